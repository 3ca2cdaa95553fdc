//! The logs: JSON lines with the request's id, and no token in any of them. A test binary of its
//! own, for a process has one log.
#![allow(
    clippy::unwrap_used,
    reason = "this is test code: what fails here fails the test"
)]

use std::io;
use std::sync::{Arc, Mutex};

use axum::http::Method;
use serde_json::{Value, json};
use session_cleanup_tests::{CLEANUP, NOW, STATS, World};
use session_lifecycle::config::Variables;
use session_lifecycle::telemetry;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn lines_are_json_with_the_requests_id_and_never_hold_a_token() {
    let lines = Lines::default();
    let writer = lines.clone();
    let variables: Variables = [("AWS_LAMBDA_LOG_LEVEL", "TRACE")].into_iter().collect();
    telemetry::start(&variables, move || writer.clone());

    let world = World::new().await;
    let admin = world.login("ada", "sessions:admin").await;
    world.open("ann", "expired", NOW - 1).await;
    let expired = world.token("ann", "expired", "");
    world
        .put(json!({
            "pk": { "S": "USER#ann" }, "sk": { "S": "SESSION#bad" },
            "due_key": { "S": "deactivate#00" }, "due_at": { "N": "5" },
        }))
        .await;
    let tampered = format!("{expired}A");
    for token in [&admin, &expired, &tampered] {
        world.call(Method::GET, STATS, Some(token)).await;
    }
    world.call(Method::POST, CLEANUP, Some(&admin)).await;
    let bad = world.token("ann", "bad", "");
    world.call(Method::GET, STATS, Some(&bad)).await;

    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let secret = world.tokens.variables()[1].1.clone();
    let parts =
        [&admin, &expired, &tampered, &bad].map(|token| token.split('.').collect::<Vec<_>>());
    for part in parts
        .iter()
        .flatten()
        .skip(1)
        .copied()
        .chain([secret.as_str()])
    {
        // The header of a token is no secret, and the same for all.
        assert!(
            part.starts_with("eyJ0eXAi") || !log.contains(part),
            "{part}"
        );
    }
    let mut messages = Vec::new();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(
            line["timestamp"].is_string() && line["level"].is_string(),
            "{line}"
        );
        assert!(line["span"]["requestId"].is_string(), "{line}");
        messages.push(line["message"].as_str().unwrap().to_owned());
    }
    for message in [
        "refused",
        "deactivated an expired session",
        "a record is malformed and left as it is",
        "cleanup ended",
    ] {
        assert!(
            messages.iter().any(|it| it == message),
            "{message} in {messages:?}"
        );
    }
    let malformed = log
        .lines()
        .find(|line| line.contains("left as it is"))
        .unwrap();
    assert!(malformed.contains("USER#ann SESSION#bad"), "{malformed}");
}
