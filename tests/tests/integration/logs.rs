//! The logs: JSON lines with the request ID and without tokens.

use axum::http::Method;
use serde_json::json;
use session_cleanup_tests::{CLEANUP, NOW, STATS, World, active_session};

#[tokio::test]
async fn log_lines_are_json_with_request_id_and_no_token() {
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

    // The world's guard checks that no line contains a token, a secret or a header.
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
        "denied",
        "deactivated an expired session",
        "a record is malformed",
        "cleanup ended",
    ] {
        assert!(
            messages.iter().any(|it| it == message),
            "{message} in {messages:?}"
        );
    }
    let malformed = world.log.about("a record is malformed");
    assert!(
        malformed
            .iter()
            .any(|line| line["key"] == "USER#ann SESSION#bad"),
        "{malformed:?}"
    );
}

#[tokio::test]
async fn logs_each_malformed_key_once_up_to_20() {
    const MALFORMED: usize = 33;
    let world = World::new().await;
    for number in 0..MALFORMED {
        let mut session = active_session("mallory", &format!("m{number}"), NOW - 1);
        session["expires_at"] = json!({ "S": "the-day-before-yesterday" });
        world.put(session).await;
    }
    // The scan finds each of them, and so does the list.
    let report = world.clean_up(json!({ "adopt": true }), NOW).await;
    assert_eq!(report["malformed"], MALFORMED);
    let mut named: Vec<_> = world.log.about("USER#mallory SESSION#m");
    assert_eq!(named.len(), 20, "{named:?}");
    named.sort_by_key(|line| line["key"].to_string());
    named.dedup_by_key(|line| line["key"].to_string());
    assert_eq!(named.len(), 20, "a key is logged twice: {named:?}");
    let more = world.log.about("more records are malformed");
    let counted: Vec<_> = more.iter().map(|line| &line["more"]).collect();
    assert_eq!(counted, [MALFORMED - 20]);
    let values = world.log.about("the-day-before-yesterday");
    assert!(values.is_empty(), "{values:?}");
}
