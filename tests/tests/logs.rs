//! The logs: JSON lines with the request's id, and no token in any of them. A test binary of its
//! own, for a process has one log.
#![allow(
    clippy::unwrap_used,
    reason = "this is test code: what fails here fails the test"
)]

use axum::http::Method;
use serde_json::json;
use session_cleanup_tests::{CLEANUP, NOW, STATS, World};

#[tokio::test]
async fn lines_are_json_with_the_requests_id_and_never_hold_a_token() {
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

    // That no line holds a token, a secret or a header, the world's own watch sees to.
    let mut messages = Vec::new();
    for line in world.log.lines() {
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
    let malformed = world.log.about("left as it is");
    assert!(
        malformed[0].to_string().contains("USER#ann SESSION#bad"),
        "{malformed:?}"
    );
}
