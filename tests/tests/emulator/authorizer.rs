//! The authorizer, with the events of each gateway.

use serde_json::{Value, json};
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::emulator::Emulator;
use session_cleanup_tests::events::{event, event_with_token};
use session_cleanup_tests::tokens::Tokens;
use session_cleanup_tests::{DAY, HOUR, World, number, text};

use crate::{AUTHORIZER_EVENTS, now, sign};

fn policy(effect: &str, stage: &str, principal: &str, context: &Value) -> Value {
    json!({
        "principalId": principal,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": effect,
                "Action": ["execute-api:Invoke"],
                "Resource": [format!("arn:aws:execute-api:us-east-1:123456789012:{stage}/*")],
            }],
        },
        "context": context,
        "usageIdentifierKey": null,
    })
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn allows_live_session_for_each_gateway_type() {
    let world = World::new().await;
    world.open("ann", "live", now() + HOUR).await;
    let token = sign(&world.tokens, "ann", "live");
    let authorizer = Emulator::start(&world, FunctionName::Authorizer, []).await;
    let context = json!({
        "user_id": "ann", "session_id": "live", "scope": "orders:read sessions:read",
    });
    for (name, stage) in AUTHORIZER_EVENTS {
        let event = event_with_token(FunctionName::Authorizer, name, &token);
        let expected = match stage {
            Some(stage) => policy("Allow", stage, "ann", &context),
            None => json!({ "isAuthorized": true, "context": context }),
        };
        assert_eq!(authorizer.invoke(&event).await, Ok(expected), "{name}");
    }
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn denies_foreign_token_for_each_gateway_type() {
    let world = World::new().await;
    world.open("ann", "live", now() + HOUR).await;
    let token = sign(&Tokens::new(), "ann", "live");
    let authorizer = Emulator::start(&world, FunctionName::Authorizer, []).await;
    let context = json!({ "error": "Invalid token" });
    for (name, stage) in AUTHORIZER_EVENTS {
        let event = event_with_token(FunctionName::Authorizer, name, &token);
        let expected = match stage {
            Some(stage) => policy("Deny", stage, "anonymous", &context),
            None => json!({ "isAuthorized": false, "context": context }),
        };
        assert_eq!(authorizer.invoke(&event).await, Ok(expected), "{name}");
    }
    let without = event(FunctionName::Authorizer, "rest-request-without-token");
    let answer = authorizer.invoke(&without).await.unwrap();
    assert_eq!(answer["context"]["error"], "Missing bearer token");
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn denies_expired_session_and_deactivates_it() {
    let world = World::new().await;
    let authorizer = Emulator::start(&world, FunctionName::Authorizer, []).await;
    for (name, _) in AUTHORIZER_EVENTS {
        world.open("ann", name, now() - 1).await;
        let token = sign(&world.tokens, "ann", name);
        let event = event_with_token(FunctionName::Authorizer, name, &token);
        let before = now();
        for denial in ["Session expired", "Session inactive"] {
            let answer = authorizer.invoke(&event).await.unwrap();
            assert_eq!(answer["context"], json!({ "error": denial }), "{name}");
        }
        let row = world.session("ann", name).await.unwrap();
        assert_eq!(row["is_active"].as_bool(), Ok(&false));
        assert_eq!(text(&row, "deactivation_reason"), "expired_on_validation");
        let deactivated_at = number(&row, "deactivated_at");
        assert!((before..=now()).contains(&deactivated_at), "{row:?}");
        assert_eq!(number(&row, "ttl"), deactivated_at + 30 * DAY);
        assert!(text(&row, "due_key").starts_with("delete#"), "{row:?}");
    }
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn returns_error_while_table_is_unreachable() {
    let world = World::new().await;
    world.open("ann", "live", now() + HOUR).await;
    let token = sign(&world.tokens, "ann", "live");
    let nowhere = [("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")];
    let authorizer = Emulator::start(&world, FunctionName::Authorizer, nowhere).await;
    for (name, _) in AUTHORIZER_EVENTS {
        let event = event_with_token(FunctionName::Authorizer, name, &token);
        let error = authorizer.invoke(&event).await.unwrap_err();
        assert!(error.contains("cannot be reached"), "{name}: {error}");
    }
}
