//! A stack that stays up, as a person has it before them.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use axum::http::Method;
use serde_json::Value;
use session_cleanup_local::client::JsonClient;

/// The program with these arguments.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_session-cleanup-local"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// A stack that stays up until it is ended or dropped.
pub(crate) struct Running {
    process: Child,
    stdout: BufReader<ChildStdout>,
    /// What it has printed until it waits.
    pub(crate) introduction: String,
    /// Calls its API.
    pub(crate) http: JsonClient,
}

impl Running {
    /// Starts it, and reads what it prints until it waits.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut introduction = String::new();
        // The last line is about the cleanup by hand.
        while !introduction.contains("functions/cleanup/") {
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

    /// The line under a title.
    pub(crate) fn line(&self, title: &str) -> &str {
        let mut lines = self.introduction.lines();
        lines.find(|line| line.contains(title)).unwrap();
        lines.next().unwrap()
    }

    /// The address in the table's row of this name.
    pub(crate) fn address(&self, row: &str) -> &str {
        let mut lines = self.introduction.lines().map(str::trim);
        let line = lines.find(|line| line.starts_with(row)).unwrap();
        line.split("http://").nth(1).unwrap()
    }

    /// The token in the line under a title.
    pub(crate) fn token(&self, title: &str) -> Option<&str> {
        let (_, after) = self.line(title).split_once("Bearer ")?;
        after.split('\'').next()
    }

    /// Does what the `curl` line under a title does; the status and the body.
    pub(crate) async fn curl(&self, title: &str) -> (u16, Value) {
        let line = self.line(title);
        let url = &line[line.find("http://").unwrap()..];
        let url = url.split([' ', '\'']).next().unwrap();
        let method = if line.contains("-X POST") {
            Method::POST
        } else {
            Method::GET
        };
        let body = line
            .split("-d '")
            .nth(1)
            .map(|rest| rest.trim_end_matches('\'').to_owned());
        self.http
            .call(method, url, self.token(title), body.unwrap_or_default())
            .await
            .unwrap()
    }

    /// Ends it as Ctrl-C does.
    pub(crate) fn interrupt(mut self) {
        let id = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &id])
                .status()
                .unwrap()
                .success()
        );
        self.stdout.read_to_end(&mut Vec::new()).unwrap();
        assert_eq!(self.process.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Running {
    /// As `kill` does, for it may have to end others.
    fn drop(&mut self) {
        let id = self.process.id().to_string();
        if matches!(self.process.try_wait(), Ok(None)) {
            let _ = Command::new("kill").arg(&id).status();
            let _ = self.process.wait();
        }
    }
}
