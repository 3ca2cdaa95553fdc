//! The commands as a person runs them: the real program, its ports, its files, its exit codes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "this is test code: what fails here fails the test"
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

/// The local stack on free ports.
fn start(arguments: &[&str]) -> Running {
    let mut command = command(&["local", "--port", "0", "--dynamodb-port", "0"]);
    command.args(arguments).stderr(Stdio::null());
    Running::start(command)
}

/// The statistics, as the reader has them.
async fn statistics(local: &Running) -> Value {
    let (status, body) = local.curl("$U/stats").await;
    assert_eq!(status, 200, "{body}");
    body["data"].clone()
}

/// What the API says to a token: the status, and the sentence of a refusal.
async fn let_in(local: &Running, token: &str) -> (u16, Value) {
    let url = format!("{}/stats", local.exported("U"));
    let answer = local.http.call(Method::GET, &url, Some(token), "").await;
    let (status, body) = answer.unwrap();
    (status, body["error"].clone())
}

/// Invokes the cleanup by hand.
async fn clean_up(local: &Running, options: &str) -> Value {
    let address = local.address("API");
    let url = format!("http://{address}/2015-03-31/functions/cleanup/invocations");
    let answer = local
        .http
        .call(Method::POST, &url, None, options.to_owned());
    answer.await.unwrap().1
}

/// What a command leaves that ends by itself. One that stays up instead fails the test.
fn ended(mut command: Command) -> Output {
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = piped.spawn().unwrap();
    // Two minutes: a busy machine may be slow.
    for _ in 0..2_400 {
        if process.try_wait().unwrap().is_some() {
            return process.wait_with_output().unwrap();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    process.kill().unwrap();
    panic!("it has not ended: {:?}", process.wait_with_output());
}

/// What a command says to standard error where it ends with code 2 and prints nothing.
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

/// Asserts that a command ends with one clear line, and exit code 2.
fn assert_one_line(output: &Output, expected: &str) {
    let complaint = complaint(output);
    assert_eq!(complaint.trim_end().lines().count(), 1, "{complaint}");
    assert!(complaint.contains(expected), "{complaint}");
}
