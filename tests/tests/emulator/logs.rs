//! The functions' logs, and failures of their init.

use std::collections::BTreeSet;

use serde_json::json;
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::emulator::Emulator;
use session_cleanup_tests::events::{event, event_with_token};
use session_cleanup_tests::tokens::Tokens;
use session_cleanup_tests::{HOUR, World};

use crate::{AUTHORIZER_EVENTS, now, sign};

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn init_fails_with_one_line_naming_each_invalid_variable() {
    let world = World::new().await;
    let short = "too short a secret";
    for function in FunctionName::ALL {
        let wrong = [
            ("TABLE_NAME", ""),
            ("DUE_SHARDS", "0"),
            ("JWT_SECRET", short),
            ("JWT_ISSUER", ""),
        ];
        let emulator = Emulator::start(&world, function, wrong).await;
        assert!(emulator.invoke(&json!({})).await.is_err(), "{function:?}");
        let log = emulator.log();
        assert_eq!(log.len(), 1, "{log:?}");
        assert_eq!(log[0]["level"], "ERROR");
        let message = log[0]["message"].as_str().unwrap();
        let jwt = function == FunctionName::Authorizer;
        for (name, named) in [
            ("invalid configuration: ", true),
            ("TABLE_NAME is missing", true),
            ("DUE_SHARDS is \"0\"", true),
            ("JWT_SECRET must have", jwt),
            ("JWT_ISSUER is missing", jwt),
            (short, false),
        ] {
            assert_eq!(message.contains(name), named, "{name}: {message}");
        }
    }
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn log_lines_are_json_with_request_id() {
    let world = World::new().await;
    let authorizer = Emulator::start(&world, FunctionName::Authorizer, []).await;
    world.open("ann", "expired", now() - 1).await;
    let token = sign(&world.tokens, "ann", "expired");
    let mut logged = Vec::new();
    for (name, _) in AUTHORIZER_EVENTS {
        let event = event_with_token(FunctionName::Authorizer, name, &token);
        authorizer.invoke(&event).await.unwrap();
        let id = authorizer.request_ids().pop().unwrap();
        let lines = authorizer.log().split_off(logged.len());
        assert!(!lines.is_empty(), "{name}");
        for line in &lines {
            assert_eq!(line["span"]["requestId"], id, "{line}");
            assert!(line["message"].is_string() && line["timestamp"].is_string());
        }
        logged.extend(lines);
    }
    let messages: BTreeSet<_> = logged.iter().map(|it| it["message"].as_str()).collect();
    let expected = ["deactivated an expired session", "denied"].map(Some);
    assert_eq!(messages, expected.into());
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn applies_log_level() {
    let world = World::new().await;
    let refused = event(FunctionName::Authorizer, "rest-token");
    for (ours, lambdas, lines) in [
        ("", "INFO", 1),
        ("", "WARN", 0),
        ("INFO", "", 1),
        ("info", "FATAL", 1),
        ("WARN", "TRACE", 0),
        ("FATAL", "", 0),
    ] {
        // The emulator reads LOG_LEVEL, too, and ends if it is empty.
        let variables = match ours {
            "" => [("AWS_LAMBDA_LOG_LEVEL", lambdas); 2],
            _ => [("LOG_LEVEL", ours), ("AWS_LAMBDA_LOG_LEVEL", lambdas)],
        };
        let authorizer = Emulator::start(&world, FunctionName::Authorizer, variables).await;
        authorizer.invoke(&refused).await.unwrap();
        assert_eq!(authorizer.log().len(), lines, "{variables:?}");
    }
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn logs_no_token_secret_or_header_at_any_level() {
    let world = World::new().await;
    world.open("ann", "live", now() + HOUR).await;
    world.open("ann", "expired", now() - 1).await;
    let secret = world.tokens.variables()[1].1.clone();
    let own = ["live", "expired", "none"].map(|session| sign(&world.tokens, "ann", session));
    let foreign = sign(&Tokens::new(), "ann", "live");
    for (function, names) in [
        (
            FunctionName::Authorizer,
            &AUTHORIZER_EVENTS.map(|it| it.0)[..],
        ),
        (FunctionName::Stats, &["stats", "reports"]),
        (FunctionName::ForceCleanup, &["dry-run", "cleanup"]),
    ] {
        let variables = [("LOG_LEVEL", "TRACE")];
        let emulator = Emulator::start(&world, function, variables).await;
        for token in own.iter().chain([&foreign]) {
            for name in names {
                let event = event_with_token(function, name, token);
                emulator.invoke(&event).await.unwrap();
            }
        }
        let output = emulator.output();
        let parts = own.iter().chain([&foreign]).flat_map(|it| it.split('.'));
        for hidden in parts.chain([secret.as_str(), "curl/8", "no secret, for"]) {
            assert!(!output.contains(hidden), "{function:?}: {output}");
        }
    }
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn never_repeats_malformed_event_in_response_or_log() {
    let world = World::new().await;
    let token = sign(&world.tokens, "ann", "live");
    let method = "arn:aws:execute-api:us-east-1:123456789012:abcdef1234/prod/GET/orders";
    let authorizer = Emulator::start(&world, FunctionName::Authorizer, []).await;
    for event in [
        json!(token),
        json!([method, token]),
        json!({ "methodArn": method, "headers": token }),
        json!({ "methodArn": method, "headers": { "Authorization": { token.as_str(): 1 } } }),
        json!({ "methodArn": method, "authorizationToken": [token] }),
    ] {
        let error = authorizer.invoke(&event).await.unwrap_err();
        assert!(error.contains("it has another shape"), "{error}");
        assert!(!error.contains(&token), "{error}");
    }
    let output = authorizer.output();
    assert!(output.contains("it has another shape"), "{output}");
    assert!(!output.contains(&token), "{output}");
}
