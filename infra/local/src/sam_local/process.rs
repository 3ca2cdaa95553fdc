//! Child processes: checking that a program is installed, running it, and stopping it.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::error::{Context as _, ServeError};
use crate::terminal::err;

/// Root folder of the project that this program was built from.
#[must_use]
pub fn project() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// Resolves when this process gets SIGINT, SIGTERM or SIGHUP.
///
/// # Errors
///
/// The signal handlers cannot be installed.
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

/// A command in the project's folder, in a new process group. Ctrl-C in a terminal then reaches
/// this process only, which stops its children one after the other.
pub fn command(program: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(project())
        .stdin(Stdio::null())
        .process_group(0);
    command
}

/// Checks that a program is installed.
///
/// # Errors
///
/// The program does not run. The message says how to install it.
pub async fn require_program(program: &str, how_to_get_it: &str) -> Result<(), ServeError> {
    let version = output(command(program, ["--version"])).await;
    version.context(format!(
        "{program} is needed but does not run (to install it: {how_to_get_it})"
    ))?;
    Ok(())
}

/// Runs a command to completion and returns its standard output.
///
/// # Errors
///
/// The command fails. The error is the last line of its standard error.
pub async fn output(mut command: Command) -> Result<String, String> {
    let output = command.kill_on_drop(true).output().await;
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(last_line(&stderr).unwrap_or_else(|| output.status.to_string()))
}

/// The last line of a text that is not empty.
#[must_use]
pub fn last_line(text: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim).rev();
    lines.find(|line| !line.is_empty()).map(str::to_owned)
}

/// A child process that runs until it is stopped or dropped.
pub struct ChildProcess {
    process: Child,
    id: Option<Pid>,
}

impl ChildProcess {
    /// Starts a command.
    ///
    /// # Errors
    ///
    /// The program cannot be started.
    pub fn start(mut command: Command) -> io::Result<Self> {
        let process = command.spawn()?;
        let id = process.id().and_then(|id| i32::try_from(id).ok());
        Ok(Self {
            process,
            id: id.and_then(Pid::from_raw),
        })
    }

    /// Waits until the process ends. Returns its exit status as text.
    pub async fn ended(&mut self) -> String {
        match self.process.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    /// Sends SIGINT and waits until the process has ended. It stops its own children.
    pub async fn end(mut self) {
        // Removing containers is slow.
        const SHUTDOWN_TIMEOUT: Duration = Duration::from_mins(1);
        if let Some(id) = self.id.filter(|_| !self.has_ended()) {
            let _ = kill_process(id, Signal::INT);
            if timeout(SHUTDOWN_TIMEOUT, self.process.wait())
                .await
                .is_err()
            {
                err(format!("process {id:?} does not stop; killing it"));
                let _ = self.process.kill().await;
            }
        }
    }
}

impl Drop for ChildProcess {
    /// Sends SIGINT to the process and its children, without waiting.
    fn drop(&mut self) {
        if let Some(id) = self.id.filter(|_| !self.has_ended()) {
            let _ = kill_process_group(id, Signal::INT);
        }
    }
}

/// Runs a command to completion, with its output on standard error.
///
/// # Errors
///
/// The command fails.
pub async fn run_checked(what: &str, mut command: Command) -> Result<(), ServeError> {
    command.stdout(io::stderr());
    let running = ChildProcess::start(command);
    let mut running = running.context(what)?;
    let status = running.process.wait().await.context(what)?;
    if status.success() {
        Ok(())
    } else {
        Err(ServeError::new(format!("{what} failed: {status}")))
    }
}
