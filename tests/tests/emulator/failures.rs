//! The authorizer while its table fails, with the events of each gateway.

use serde_json::{Value, json};
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::emulator::Emulator;
use session_cleanup_tests::events::event_with_token;
use session_cleanup_tests::fault_proxy::{Fault, FaultProxy, Request};
use session_cleanup_tests::{HOUR, World, counts, only};

use crate::{AUTHORIZER_EVENTS, now, sign};

/// Starts the authorizer with a fault proxy in front of the world's table.
async fn start(
    world: &World,
    decide: impl Fn(&Request) -> Fault + Send + Sync + 'static,
) -> (Emulator, FaultProxy) {
    let faults = FaultProxy::before(world.dynamodb.address(), decide).await;
    let variables = [("AWS_ENDPOINT_URL_DYNAMODB", &*faults.url())];
    let authorizer = Emulator::start(world, FunctionName::Authorizer, variables).await;
    (authorizer, faults)
}

/// Whether an answer of any form allows the request.
fn lets_in(answer: &Value) -> bool {
    let effect = &answer["policyDocument"]["Statement"][0]["Effect"];
    effect == "Allow" || answer["isAuthorized"] == true
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn returns_error_while_table_fails_then_allows_again() {
    let world = World::new().await;
    world.open("ann", "live", now() + HOUR).await;
    let token = sign(&world.tokens, "ann", "live");
    for (fault, says) in [
        ((|| Fault::THROTTLED) as fn() -> Fault, "is throttled"),
        (|| Fault::BROKEN, "cannot be reached"),
        (|| Fault::DroppedAfter, "cannot be reached"),
        (
            || Fault::Unprocessed(|key| key.starts_with("BLACKLIST#")),
            "is throttled",
        ),
    ] {
        let (authorizer, faults) = start(&world, move |request| {
            let is_read = request.operation == "BatchGetItem";
            if is_read { fault() } else { Fault::None }
        })
        .await;
        let events = AUTHORIZER_EVENTS
            .map(|(name, _)| event_with_token(FunctionName::Authorizer, name, &token));
        for event in &events {
            let error = authorizer.invoke(event).await.unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        faults.end();
        for event in &events {
            let answer = authorizer.invoke(event).await.unwrap();
            assert!(lets_in(&answer), "{answer}");
        }
    }
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn retries_single_table_failure() {
    let world = World::new().await;
    world.open("ann", "live", now() + HOUR).await;
    let token = sign(&world.tokens, "ann", "live");
    // The first request comes from the init, which opens the connection.
    let (authorizer, faults) = start(&world, |request| match request.number {
        // Of the reads. Init describes the table only once.
        2 => Fault::DroppedBefore,
        4 => Fault::THROTTLED,
        6 => Fault::DroppedAfter,
        8 => Fault::Unprocessed(|_| true),
        _ => Fault::None,
    })
    .await;
    for (name, _) in AUTHORIZER_EVENTS {
        let event = event_with_token(FunctionName::Authorizer, name, &token);
        let answer = authorizer.invoke(&event).await.unwrap();
        assert!(lets_in(&answer), "{name}: {answer}");
    }
    assert_eq!(faults.requests()["BatchGetItem"], 9);
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn denies_and_leaves_failed_deactivation_to_cleanup() {
    let world = World::new().await;
    let (authorizer, faults) = start(&world, |request| match request.operation.as_str() {
        "BatchExecuteStatement" => Fault::THROTTLED,
        _ => Fault::None,
    })
    .await;
    for (name, _) in AUTHORIZER_EVENTS {
        world.open("ann", name, now() - 1).await;
        let token = sign(&world.tokens, "ann", name);
        let event = event_with_token(FunctionName::Authorizer, name, &token);
        let answer = authorizer.invoke(&event).await.unwrap();
        assert_eq!(answer["context"], json!({ "error": "Session expired" }));
        let failed = "could not deactivate an expired session; the cleanup will";
        let log = authorizer.log();
        assert!(log.iter().any(|line| {
            line["message"] == failed && line["session"] == format!("USER#ann SESSION#{name}")
        }));
    }
    assert_eq!(faults.writes(), 0);
    let report = world.clean_up(json!({}), now()).await;
    assert_eq!(counts(&report), only([("sessions_deactivated", 4)]));
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn init_connects_and_allowed_request_costs_one_read() {
    let world = World::new().await;
    world.open("ann", "live", now() + HOUR).await;
    let token = sign(&world.tokens, "ann", "live");
    let (authorizer, passing) = start(&world, |_| Fault::None).await;
    for (number, (name, _)) in AUTHORIZER_EVENTS.into_iter().enumerate() {
        let event = event_with_token(FunctionName::Authorizer, name, &token);
        let answer = authorizer.invoke(&event).await.unwrap();
        assert!(lets_in(&answer), "{name}: {answer}");
        let requests = [
            ("BatchGetItem", number + 2),
            // The check of the table during init.
            ("DescribeTable", 1),
            ("DescribeTimeToLive", 1),
        ];
        let requests = requests.map(|(name, requests)| (name.to_owned(), requests));
        assert_eq!(passing.requests(), requests.into(), "{name}");
    }
    assert_eq!(passing.writes(), 0);
}
