//! Other programs: whether they are there, what they answer, and how they are ended.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::serve::{Context, ServeError};
use crate::terminal::err;

/// The project's folder, where this program was built.
#[must_use]
pub fn project() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// Resolves once this process is asked to end: by Ctrl-C, by `kill`, or because its terminal is
/// gone.
///
/// # Errors
///
/// The system's.
pub fn shutdown_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => (),
            _ = terminate.recv() => (),
            _ = hangup.recv() => (),
        }
    })
}

/// A command in the project's folder. It is in a process group of its own: Ctrl-C in a terminal
/// comes to this process alone, which ends the others one after the other.
pub fn command(program: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(project())
        .stdin(Stdio::null())
        .process_group(0);
    command
}

/// Makes sure that a program is there.
///
/// # Errors
///
/// How to get it.
pub async fn require_program(program: &str, how_to_get_it: &str) -> Result<(), ServeError> {
    match output(command(program, ["--version"])).await {
        Ok(_) => Ok(()),
        Err(why) => Err(ServeError::new(format!(
            "{program} is needed and does not run ({why}); to get it: {how_to_get_it}"
        ))),
    }
}

/// Runs a command to its end; what it prints.
///
/// # Errors
///
/// The last line of its complaint.
pub async fn output(mut command: Command) -> Result<String, String> {
    let output = command.kill_on_drop(true).output().await;
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(last_line(&complaint).unwrap_or_else(|| output.status.to_string()))
}

/// The last line that is not empty.
#[must_use]
pub fn last_line(text: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim).rev();
    lines.find(|line| !line.is_empty()).map(str::to_owned)
}

/// A program that runs beside this one, until it is ended or dropped.
pub struct ChildProcess {
    process: Child,
    id: Option<Pid>,
}

impl ChildProcess {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn start(mut command: Command) -> io::Result<Self> {
        let process = command.spawn()?;
        let id = process.id().and_then(|id| i32::try_from(id).ok());
        Ok(Self {
            process,
            id: id.and_then(Pid::from_raw),
        })
    }

    /// Waits until it has ended by itself; how.
    pub async fn ended(&mut self) -> String {
        match self.process.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Whether it has ended by now.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    /// Asks it to end as Ctrl-C does, and waits until it has. Its own children it ends itself.
    pub async fn end(mut self) {
        // Patient, for removing containers takes its time.
        const SHUTDOWN_TIMEOUT: Duration = Duration::from_mins(1);
        if let Some(id) = self.id.filter(|_| !self.has_ended()) {
            let _ = kill_process(id, Signal::INT);
            if timeout(SHUTDOWN_TIMEOUT, self.process.wait())
                .await
                .is_err()
            {
                err(format!("process {id:?} does not end, and is killed"));
                let _ = self.process.kill().await;
            }
        }
    }
}

impl Drop for ChildProcess {
    /// Where nobody waits for its end, its children are asked to end as well.
    fn drop(&mut self) {
        if let Some(id) = self.id.filter(|_| !self.has_ended()) {
            let _ = kill_process_group(id, Signal::INT);
        }
    }
}

/// Runs a command to its end, with all that it says on standard error.
///
/// # Errors
///
/// That it has failed.
pub async fn run_checked(what: &str, mut command: Command) -> Result<(), ServeError> {
    command.stdout(io::stderr());
    let running = ChildProcess::start(command);
    let mut running = running.context(what)?;
    match running.process.wait().await {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(ServeError::failed(what, status)),
        Err(error) => Err(ServeError::failed(what, error)),
    }
}
