//! The commands as a user runs them: the program, its ports, its files, its exit codes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code: a panic fails the test"
)]

mod data;
mod importing;
mod jwt;
#[path = "../running/mod.rs"]
mod running;
mod serving;
mod token;
mod usage;

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use axum::http::Method;
use running::{Running, command};
use serde_json::Value;

/// Starts the local stack on free ports.
fn start(arguments: &[&str]) -> Running {
    let mut command = command(&["local", "--port", "0", "--dynamodb-port", "0"]);
    command.args(arguments).stderr(Stdio::null());
    Running::start(command)
}

/// The statistics, requested with the reader's token.
async fn statistics(local: &Running) -> Value {
    let (status, body) = local.curl("$U/stats").await;
    assert_eq!(status, 200, "{body}");
    body["data"].clone()
}

/// Calls the API with a token. Returns the status and the error of a denied request.
async fn let_in(local: &Running, token: &str) -> (u16, Value) {
    let url = format!("{}/stats", local.exported("U"));
    let answer = local.http.call(Method::GET, &url, Some(token), "").await;
    let (status, body) = answer.unwrap();
    (status, body["error"].clone())
}

/// Invokes the cleanup manually.
async fn clean_up(local: &Running, options: &str) -> Value {
    let address = local.address("API");
    let url = format!("http://{address}/2015-03-31/functions/cleanup/invocations");
    let answer = local
        .http
        .call(Method::POST, &url, None, options.to_owned());
    answer.await.unwrap().1
}

/// Output of a command that ends. The test fails if it keeps running.
fn ended(mut command: Command) -> Output {
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = piped.spawn().unwrap();
    // Two minutes, because a busy machine may be slow.
    for _ in 0..2_400 {
        if process.try_wait().unwrap().is_some() {
            return process.wait_with_output().unwrap();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    process.kill().unwrap();
    panic!(
        "the command has not ended: {:?}",
        process.wait_with_output()
    );
}

/// Standard error of a command that ends with code 2 and prints nothing to standard output.
fn complaint(output: &Output) -> String {
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{complaint}");
    assert!(
        output.stdout.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    complaint
}

/// Asserts that a command ends with one line of error and exit code 2.
fn assert_one_line(output: &Output, expected: &str) {
    let complaint = complaint(output);
    assert_eq!(complaint.trim_end().lines().count(), 1, "{complaint}");
    assert!(complaint.contains(expected), "{complaint}");
}
