//! The check of the table during init.

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    TimeToLiveSpecification,
};
use serde_json::json;
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::emulator::Emulator;
use session_cleanup_tests::events::event_with_token;
use session_cleanup_tests::fault_proxy::{Fault, FaultProxy, Request};
use session_cleanup_tests::{HOUR, Item, World, item_from};
use session_lifecycle::aws::CallPolicy;
use session_lifecycle::clock::Stopwatch;

use crate::{now, sign};

const FOREIGN: &str = "logins";

/// Creates a table with these key attributes and without an index, whose TTL is on `attribute`, with
/// an expired session.
async fn create_foreign(world: &World, keys: [&str; 2], attribute: &str) {
    let client = &world.client;
    let create = client.create_table().table_name(FOREIGN);
    let mut create = create.billing_mode(BillingMode::PayPerRequest);
    for (name, kind) in keys.into_iter().zip([KeyType::Hash, KeyType::Range]) {
        let definition = AttributeDefinition::builder().attribute_name(name);
        let definition = definition.attribute_type(ScalarAttributeType::S);
        let element = KeySchemaElement::builder().attribute_name(name);
        let element = element.key_type(kind);
        create = create
            .attribute_definitions(definition.build().unwrap())
            .key_schema(element.build().unwrap());
    }
    create.send().await.unwrap();
    let ttl = TimeToLiveSpecification::builder().attribute_name(attribute);
    let ttl = ttl.enabled(true).build().unwrap();
    let update = client.update_time_to_live().table_name(FOREIGN);
    update.time_to_live_specification(ttl).send().await.unwrap();
    let mut item = item_from(&json!({
        "is_active": {"BOOL": true},
        "expires_at": {"N": (now() - HOUR).to_string()},
        "due_key": {"S": "deactivate#00"},
        "due_at": {"N": (now() - HOUR).to_string()},
    }));
    for (name, value) in keys.into_iter().zip(["USER#ann", "SESSION#s"]) {
        item.extend(item_from(&json!({ name: {"S": value} })));
    }
    let put = client.put_item().table_name(FOREIGN).set_item(Some(item));
    put.send().await.unwrap();
}

async fn foreign_items(world: &World) -> Vec<Item> {
    let scan = world.client.scan().table_name(FOREIGN).send();
    scan.await.unwrap().items.unwrap()
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn unfit_table_stops_init_and_is_not_written() {
    for (keys, problems) in [
        (
            ["pk", "sk"],
            &[
                "it has no index due: `aws dynamodb update-table --table-name logins ",
                "its TTL is on the attribute expires instead of ttl: \
                 `aws dynamodb update-time-to-live --table-name logins ",
            ] as &[&str],
        ),
        (
            ["id", "session"],
            &["its keys are id (S, HASH), session (S, RANGE) instead of"],
        ),
    ] {
        let world = World::new().await;
        create_foreign(&world, keys, "expires").await;
        let before = foreign_items(&world).await;
        for function in FunctionName::ALL {
            let emulator = Emulator::start(&world, function, [("TABLE_NAME", FOREIGN)]).await;
            assert!(emulator.invoke(&json!({})).await.is_err(), "{function:?}");
            let log = emulator.log();
            assert_eq!(log.len(), 1, "{log:?}");
            assert_eq!(log[0]["level"], "ERROR");
            let message = log[0]["message"].as_str().unwrap();
            let about = "the table logins is not fit: ";
            for part in problems.iter().chain([&about]) {
                assert!(message.contains(part), "{part} in {message}");
            }
            assert!(emulator.metrics().is_empty());
        }
        assert_eq!(foreign_items(&world).await, before);
    }
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn missing_table_stops_init() {
    let world = World::new().await;
    for function in FunctionName::ALL {
        let emulator = Emulator::start(&world, function, [("TABLE_NAME", FOREIGN)]).await;
        assert!(emulator.invoke(&json!({})).await.is_err(), "{function:?}");
        let log = emulator.log();
        assert_eq!(log.len(), 1, "{log:?}");
        let message = log[0]["message"].as_str().unwrap();
        let about = "the table logins is not fit: it does not exist";
        assert!(message.starts_with(about), "{message}");
    }
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn table_without_ttl_stops_init_only_if_ttl_is_required() {
    let world = World::new().await;
    let ttl = TimeToLiveSpecification::builder().attribute_name("ttl");
    let ttl = ttl.enabled(false).build().unwrap();
    let update = world.client.update_time_to_live();
    let update = update.table_name(world.table_name());
    update.time_to_live_specification(ttl).send().await.unwrap();
    for (is_strict, starts) in [("false", true), ("true", false)] {
        let variables = [("STRICT_TABLE_CHECK", is_strict)];
        let cleanup = Emulator::start(&world, FunctionName::Cleanup, variables).await;
        assert_eq!(cleanup.invoke(&json!({})).await.is_ok(), starts);
        let is_about_ttl = |line: &&serde_json::Value| {
            let message = line["message"].as_str().unwrap_or_default();
            line["level"] == "ERROR"
                && message.contains("its TTL is off: `aws dynamodb update-time")
        };
        assert_eq!(cleanup.log().iter().filter(is_about_ttl).count(), 1);
    }
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn function_starts_while_table_cannot_be_described() {
    let world = World::new().await;
    world.open("ann", "live", now() + HOUR).await;
    let token = sign(&world.tokens, "ann", "live");
    let event = event_with_token(FunctionName::Authorizer, "rest-request", &token);
    for fault in [(|| Fault::DENIED) as fn() -> Fault, || Fault::Hang] {
        let only_descriptions = move |request: &Request| {
            let is_description = request.operation.starts_with("Describe");
            if is_description { fault() } else { Fault::None }
        };
        let faults = FaultProxy::before(world.dynamodb.address(), only_descriptions).await;
        let (url, timer) = (faults.url(), Stopwatch::start());
        let variables = [
            ("AWS_ENDPOINT_URL_DYNAMODB", &*url),
            ("STRICT_TABLE_CHECK", "true"),
        ];
        let authorizer = Emulator::start(&world, FunctionName::Authorizer, variables).await;
        let answer = authorizer.invoke(&event).await.unwrap();
        assert!(answer.to_string().contains("\"Allow\""), "{answer}");
        // Lambda ends an init after ten seconds.
        assert!(
            timer.elapsed() < Duration::from_secs(8),
            "{:?}",
            timer.elapsed()
        );
        let log = authorizer.log();
        assert_eq!(log.len(), 1, "{log:?}");
        assert_eq!(log[0]["level"], "WARN");
        assert_eq!(
            log[0]["message"],
            "could not check whether the table is fit"
        );
    }
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn authorizer_checks_table_while_it_connects() {
    let world = World::new().await;
    world.open("ann", "live", now() + HOUR).await;
    let token = sign(&world.tokens, "ann", "live");
    // Nothing is answered during init, so both end with the client's timeout of 2.2 seconds.
    let decide = |request: &Request| match request.operation.as_str() {
        "BatchGetItem" if request.number > 3 => Fault::None,
        _ => Fault::Hang,
    };
    let faults = FaultProxy::before(world.dynamodb.address(), decide).await;
    let (url, timer) = (faults.url(), Stopwatch::start());
    let variables = [("AWS_ENDPOINT_URL_DYNAMODB", &*url)];
    let authorizer = Emulator::start(&world, FunctionName::Authorizer, variables).await;
    let event = event_with_token(FunctionName::Authorizer, "rest-request", &token);
    authorizer.invoke(&event).await.unwrap();
    let time = timer.elapsed();
    let one_after_the_other = 2 * CallPolicy::INTERACTIVE.operation_timeout;
    assert!(time < one_after_the_other, "{time:?}");
    assert_eq!(authorizer.log().len(), 2);
}
