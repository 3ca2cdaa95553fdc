//! `cargo sam-local` as a user runs it: the built functions in containers, behind SAM's API. The
//! test starts the Docker daemon and makes an image if the machine has none.
#![cfg(unix)]
#![allow(
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "test code: a panic fails the test"
)]

mod engine;
mod image;
#[path = "../running/mod.rs"]
mod running;

use std::collections::HashMap;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use aws_sdk_dynamodb::types::AttributeValue;
use axum::http::Method;
use engine::Engine;
use jsonwebtoken::dangerous::insecure_decode_claims;
use running::{Running, command};
use serde_json::{Value, json};
use session_cleanup_local::dynamodb::{TABLE_NAME, client};
use session_cleanup_local::sample;

/// SAM's own answer to a Deny: SAM does not support `GatewayResponses`.
const DENIED: &str = "User is not authorized to access this resource";

#[tokio::test]
#[ignore = "needs SAM and Docker: see CONTRIBUTING.md"]
async fn built_functions_work_behind_api_of_sam_local() {
    let engine = Engine::find_or_start().await;
    let mut start = command(&["sam-local", "--port", "0", "--dynamodb-port", "0", "--"]);
    start.args(image::sam_options().await);
    let stack = Running::start(start);
    let admin = stack.exported("ADMIN");
    let reader = stack.exported("READER");

    let inactive = sample::OLD_INACTIVE_SESSIONS + sample::YOUNG_INACTIVE_SESSIONS;
    let active = sample::EXPIRED_SESSIONS + sample::LIVE_SESSIONS;
    let (status, body) = call(&stack, Method::GET, "stats", Some(admin)).await;
    assert_eq!(status, 200, "{body}");
    assert_members(
        &body["data"],
        &json!({
            "total_sessions": active + inactive,
            "active_sessions": active,
            "expired_sessions": sample::EXPIRED_SESSIONS,
            "inactive_sessions": inactive,
            "cleanup_needed": true,
            "last_cleanup": null,
        }),
    );

    assert_members(
        &invoke_cleanup(&stack, "dry-run"),
        &json!({
            "trigger": "manual", "dry_run": true, "complete": true, "failed": 0,
            "sessions_deactivated": sample::EXPIRED_SESSIONS,
        }),
    );

    assert_eq!(
        expired_session(&stack).await["is_active"],
        AttributeValue::Bool(true)
    );
    let (status, body) = stack.curl("$EXPIRED\" $U/stats").await;
    assert_eq!((status, body), (403, json!({ "message": DENIED })));
    let row = expired_session(&stack).await;
    assert_eq!(row["is_active"], AttributeValue::Bool(false));
    assert_eq!(
        row["deactivation_reason"],
        AttributeValue::S("expired_on_validation".to_owned())
    );

    assert_members(
        &invoke_cleanup(&stack, "scheduled"),
        &json!({
            "trigger": "schedule", "dry_run": false, "complete": true, "failed": 0,
            // One less, because the authorizer has deactivated it.
            "sessions_deactivated": sample::EXPIRED_SESSIONS - 1,
            "sessions_deleted":
                sample::OLD_INACTIVE_SESSIONS - sample::OLD_INACTIVE_SESSIONS_IN_GRACE,
        }),
    );
    assert_members(
        &invoke_cleanup(&stack, "console-default"),
        &json!({
            "trigger": "manual", "dry_run": false, "complete": true, "failed": 0,
            "sessions_deactivated": 0, "sessions_deleted": 0,
        }),
    );

    let description = format!(
        "http://{}/api/v1/monitoring/openapi.json",
        stack.address("API")
    );
    let described = stack.http.call(Method::GET, &description, None, "").await;
    let (status, body) = described.unwrap();
    assert_eq!((status, &body["openapi"]), (200, &json!("3.1.1")), "{body}");
    let (status, body) = call(&stack, Method::POST, "cleanup", None).await;
    assert_eq!((status, body), (401, json!({ "message": "Unauthorized" })));
    let (status, body) = call(&stack, Method::POST, "cleanup", Some(reader)).await;
    assert_eq!((status, body), (403, json!({ "error": "Forbidden" })));
    let (status, body) = stack.curl("-X POST $U/cleanup").await;
    assert_eq!(status, 200, "{body}");
    assert_members(
        &body["data"],
        &json!({
            "trigger": "api", "requested_by": sample::ADMIN, "complete": true, "failed": 0,
            "sessions_deactivated": 0,
            "sessions_deleted": sample::OLD_INACTIVE_SESSIONS_IN_GRACE,
            "refresh_tokens_deleted": sample::REFRESH_TOKENS_IN_GRACE,
            "blacklisted_tokens_deleted": sample::BLACKLISTED_TOKENS_IN_GRACE,
        }),
    );
    let (status, body) = stack.curl("$U/cleanups").await;
    let reports = body["data"]["reports"].as_array().unwrap().iter();
    let triggers: Vec<_> = reports.map(|report| &report["trigger"]).collect();
    assert_eq!(
        (status, json!(triggers)),
        (200, json!(["api", "manual", "schedule", "manual"]))
    );

    let api = stack.address("API").to_owned();
    stack.interrupt();
    assert!(TcpStream::connect(api).is_err(), "SAM still runs");
    assert!(engine::answers().await, "the command leaves Docker running");
    engine.end().await;
}

async fn call(stack: &Running, method: Method, name: &str, token: Option<&str>) -> (u16, Value) {
    let api = stack.address("API");
    let url = format!("http://{api}/api/v1/monitoring/sessions/{name}");
    stack.http.call(method, &url, token, "").await.unwrap()
}

/// Runs the printed command with another event. Returns the answer.
fn invoke_cleanup(stack: &Running, event: &str) -> Value {
    let line = stack.line("/dry-run.json");
    let line = line.replace("/dry-run.json", &format!("/{event}.json"));
    let mut words = line.split(' ');
    let output = Command::new(words.next().unwrap())
        .args(words)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let answer = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{line}: {answer}");
    serde_json::from_str(&answer).unwrap()
}

/// The item of the session that the token EXPIRED belongs to.
async fn expired_session(stack: &Running) -> HashMap<String, AttributeValue> {
    let token = stack.exported("EXPIRED");
    let claims: Value = insecure_decode_claims(token).unwrap();
    let key = |prefix: &str, claim: &str| {
        AttributeValue::S(format!("{prefix}#{}", claims[claim].as_str().unwrap()))
    };
    let row = client(stack.address("DynamoDB").parse().unwrap())
        .get_item()
        .table_name(TABLE_NAME)
        .key("pk", key("USER", "sub"))
        .key("sk", key("SESSION", "sid"))
        .consistent_read(true);
    row.send().await.unwrap().item.unwrap()
}

/// Asserts that an object has these members, among others.
fn assert_members(object: &Value, expected: &Value) {
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&object[name], value, "{name} in {object}");
    }
}
