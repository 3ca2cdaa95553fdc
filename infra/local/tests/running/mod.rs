//! A running stack, seen as a user sees it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use axum::http::Method;
use serde_json::Value;
use session_cleanup_local::client::JsonClient;

/// A command of the program with these arguments.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_session-cleanup-local"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// A stack that runs until it is stopped or dropped.
pub(crate) struct Running {
    process: Child,
    stdout: BufReader<ChildStdout>,
    /// The banner that it printed at its start.
    pub(crate) introduction: String,
    /// A client for its API.
    pub(crate) http: JsonClient,
}

impl Running {
    /// Starts a stack and reads its banner.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut introduction = String::new();
        // The last line is the address of the page.
        while !introduction.lines().any(is_page) {
            assert!(
                stdout.read_line(&mut introduction).unwrap() > 0,
                "{introduction}"
            );
        }
        Self {
            process,
            stdout,
            introduction,
            http: JsonClient::default(),
        }
    }

    /// The address in the row with this name.
    pub(crate) fn address(&self, row: &str) -> &str {
        let mut lines = self.introduction.lines().map(str::trim);
        let line = lines.find(|line| line.starts_with(row)).unwrap();
        let address = line.split("http://").nth(1).unwrap();
        address.split(',').next().unwrap()
    }

    /// The value in the line `export NAME=…`.
    pub(crate) fn exported(&self, name: &str) -> &str {
        let start = format!("export {name}=");
        let mut lines = self.introduction.lines();
        lines.find_map(|line| line.strip_prefix(&start)).unwrap()
    }

    /// The printed command with this ending.
    pub(crate) fn line(&self, end: &str) -> &str {
        let mut lines = self.introduction.lines();
        lines.find(|line| line.ends_with(end)).unwrap()
    }

    /// Sends the request of the printed `curl` command with this ending. Returns status and body.
    pub(crate) async fn curl(&self, end: &str) -> (u16, Value) {
        let line = self.line(end);
        let token = line.split("Bearer $").nth(1);
        let token = token.map(|rest| self.exported(rest.split('"').next().unwrap()));
        let method = if line.contains("-X POST") {
            Method::POST
        } else {
            Method::GET
        };
        let path = line.split("$U").nth(1).unwrap().trim_end_matches('"');
        let url = format!("{}{path}", self.exported("U"));
        self.http.call(method, &url, token, "").await.unwrap()
    }

    /// Sends SIGINT, as Ctrl-C does, and returns what is printed then.
    pub(crate) fn interrupt(mut self) -> String {
        let id = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &id])
                .status()
                .unwrap()
                .success()
        );
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(self.process.wait().unwrap().code(), Some(0));
        rest
    }
}

/// Whether a complete line is the address of the page.
fn is_page(line: &str) -> bool {
    line.starts_with("http://") && line.ends_with("/api/v1/monitoring")
}

impl Drop for Running {
    /// Sends SIGTERM rather than SIGKILL, so that the stack can stop its child processes.
    fn drop(&mut self) {
        let id = self.process.id().to_string();
        if matches!(self.process.try_wait(), Ok(None)) {
            let _ = Command::new("kill").arg(&id).status();
            let _ = self.process.wait();
        }
    }
}
