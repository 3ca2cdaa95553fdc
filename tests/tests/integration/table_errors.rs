//! DynamoDB's documented errors, and how a run handles each.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use axum::http::Method;
use serde_json::{Value, json};
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::database::needs_embedded;
use session_cleanup_tests::fault_proxy::{Fault, NO_TIMEOUT_NO_RETRY, OlderIndex, Request};
use session_cleanup_tests::{
    CLEANUP, CLEANUPS, HOUR, NOW, STATS, World, active_session, at, counts, only,
};

const WRITE: &str = "BatchExecuteStatement";

/// Maximum size of an item in bytes (names and values of its attributes).
const MAX_ITEM: usize = 400 * 1024;

/// Size of an active session in bytes.
fn size(item: &Value) -> usize {
    let sizes = item.as_object().unwrap().iter().map(|(name, value)| {
        let value = match (&value["S"], &value["N"]) {
            (Value::String(text), _) => text.len(),
            // Two digits per byte, and one byte for sign and exponent.
            (_, Value::String(number)) => number.len().div_ceil(2) + 1,
            _ => 1,
        };
        name.len() + value
    });
    sizes.sum()
}

/// An expired session with this number of bytes below the maximum size.
fn large_session(name: &str, bytes_left: usize) -> Value {
    let mut item = active_session("ann", name, NOW - 1);
    item["data"] = json!({ "S": "" });
    let data = "x".repeat(MAX_ITEM - bytes_left - size(&item));
    item["data"] = json!({ "S": data });
    item
}

#[tokio::test]
async fn reports_oversized_record_and_processes_others() {
    let world = World::new().await;
    let admin = world.login("ada", "sessions:admin").await;
    world.put(large_session("large-1", 20)).await;
    for number in 0..30 {
        let name = format!("s{number}");
        world.put(active_session("ann", &name, NOW - 1)).await;
    }
    let report = world.clean_up(json!({}), NOW).await;
    let expected = only([("sessions_deactivated", 30), ("failed", 1)]);
    assert_eq!(counts(&report), expected);
    assert_eq!(report["complete"], true);
    assert_eq!(
        report["failed_records"],
        json!(["USER#ann SESSION#large-1"])
    );
    assert_eq!(report["error"], Value::Null);
    let lines = world.log.about("SESSION#large-1");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["key"], "USER#ann SESSION#large-1");

    let scheduled = json!({ "detail-type": "Scheduled Event", "source": "aws.events" });
    let function = world
        .functions
        .invoke(FunctionName::Cleanup, &scheduled, at(NOW));
    let scheduled = function
        .await
        .expect("a scheduled run does not fail for one record");
    assert_eq!(counts(&scheduled), only([("failed", 1)]));

    let (status, body) = world.call(Method::POST, CLEANUP, Some(&admin)).await;
    assert_eq!(
        (status, &body["data"]["failed"]),
        (200, &json!(1)),
        "{body}"
    );
    let (_, body) = world.call(Method::GET, CLEANUPS, Some(&admin)).await;
    for report in body["data"]["reports"].as_array().unwrap() {
        assert_eq!(
            report["failed_records"],
            json!(["USER#ann SESSION#large-1"])
        );
    }
}

#[tokio::test]
async fn reports_record_too_large_to_be_adopted() {
    let world = World::new().await;
    let mut item = large_session("large", 20);
    let filled = item["data"]["S"].as_str().unwrap().len();
    for name in ["due_key", "due_at", "ttl"] {
        item.as_object_mut().unwrap().remove(name);
    }
    item["expires_at"] = json!({ "N": (NOW + HOUR).to_string() });
    item["data"] = json!({ "S": "x".repeat(filled + 40) });
    world.put(item).await;
    let report = world.clean_up(json!({ "adopt": true }), NOW).await;
    assert_eq!(counts(&report), only([("failed", 1)]));
    assert_eq!(report["failed_records"], json!(["USER#ann SESSION#large"]));
    assert_eq!(report["complete"], true);
    assert_eq!(report["adoption_percent"], 100, "the rest is read");
}

#[tokio::test]
async fn reports_at_most_20_failed_records() {
    let fault = |request: &Request| match &*request.operation {
        WRITE => Fault::Statements(Box::new(|_, _| Some("ValidationError"))),
        _ => Fault::None,
    };
    let (world, _faults) = World::with_faults(NO_TIMEOUT_NO_RETRY, [], fault).await;
    for number in 0..33 {
        world
            .open("ann", &format!("refused-{number}"), NOW - 1)
            .await;
    }
    let report = world.clean_up(json!({}), NOW).await;
    assert_eq!(counts(&report), only([("failed", 33)]));
    assert_eq!(report["failed_records"].as_array().unwrap().len(), 20);
    let lines = world.log.about("SESSION#refused-");
    assert_eq!(lines.len(), 20);
}

/// Runs the cleanup while one statement of each batch fails with this code.
async fn run_with_statement_code(code: &'static str) -> Result<Value, String> {
    let fault = move |request: &Request| match &*request.operation {
        WRITE => Fault::Statements(Box::new(move |position, _| (position == 0).then_some(code))),
        _ => Fault::None,
    };
    let (world, _faults) =
        World::with_faults(NO_TIMEOUT_NO_RETRY, [("DUE_SHARDS", "1")], fault).await;
    for number in 0..20 {
        let mut item = active_session("ann", &format!("s{number}"), NOW - 1);
        item["due_key"] = json!({ "S": "deactivate#00" });
        world.put(item).await;
    }
    let event = json!({ "max_seconds": 800 });
    let function = world
        .functions
        .invoke(FunctionName::Cleanup, &event, at(NOW));
    function.await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn permanently_rejected_statement_fails_record_or_run() {
    for code in [
        "ValidationError",
        "ItemCollectionSizeLimitExceeded",
        "DuplicateItem",
    ] {
        let report = run_with_statement_code(code).await.unwrap();
        let expected = only([("sessions_deactivated", 19), ("failed", 1)]);
        assert_eq!(counts(&report), expected, "{code}");
    }
    for code in ["AccessDenied", "ResourceNotFound", "SomethingNew"] {
        let error = run_with_statement_code(code).await.unwrap_err();
        assert!(error.contains(code), "{code}: {error}");
    }
}

/// Runs the cleanup while the first two responses to a batch are this error. Returns the report.
async fn run_with_first_answers(status: u16, code: &'static str) -> Value {
    let fault = move |request: &Request| match (&*request.operation, request.number) {
        (WRITE, 1 | 2) => Fault::Error { status, code },
        _ => Fault::None,
    };
    let (world, _faults) = World::with_faults(NO_TIMEOUT_NO_RETRY, [], fault).await;
    world.open("ann", "s", NOW - 1).await;
    world.clean_up(json!({}), NOW).await
}

#[tokio::test]
async fn retries_each_service_failure_whatever_its_code() {
    for (status, code) in [
        (500, "InternalServerError"),
        (500, "InternalFailure"),
        (503, "ServiceUnavailable"),
        (503, "ServiceUnavailableException"),
        (500, "SomethingNew"),
        (400, "ThrottlingException"),
        (400, "RequestLimitExceeded"),
        (400, "TransactionConflictException"),
    ] {
        let report = run_with_first_answers(status, code).await;
        let expected = only([("sessions_deactivated", 1)]);
        assert_eq!(counts(&report), expected, "{status} {code}");
        assert_eq!(report["complete"], true, "{status} {code}");
    }
}

/// A record whose write fails repeatedly does not delay the run.
#[tokio::test]
async fn continues_without_record_that_fails_repeatedly() {
    let is_bad = |parameters: &Value| parameters.to_string().contains("SESSION#bad");
    let fault = move |request: &Request| match &*request.operation {
        WRITE => Fault::Statements(Box::new(move |_, parameters| {
            is_bad(parameters).then_some("TransactionConflict")
        })),
        _ => Fault::None,
    };
    let (world, _faults) = World::with_faults(NO_TIMEOUT_NO_RETRY, [], fault).await;
    world.open("ann", "bad", NOW - 1).await;
    world.open("ann", "good", NOW - 1).await;
    let report = world.clean_up(json!({}), NOW).await;
    let expected = only([("sessions_deactivated", 1), ("failed", 1)]);
    assert_eq!(counts(&report), expected);
    assert_eq!(report["complete"], true, "{report}");
    assert_eq!(report["failed_records"], json!(["USER#ann SESSION#bad"]));
}

/// The counts of a run for two due tokens whose first deletion fails with `code`, and which another
/// writer then deletes.
async fn deletion_by_somebody_else_after(code: &'static str) -> BTreeMap<String, u64> {
    let delete = Arc::new(OnceLock::<Box<dyn Fn() + Send + Sync>>::new());
    let at_second = Arc::clone(&delete);
    let fault = move |request: &Request| match (&*request.operation, request.number) {
        (WRITE, 1) => Fault::Statements(Box::new(move |_, _| Some(code))),
        (WRITE, 2) => {
            at_second.wait()();
            Fault::None
        }
        _ => Fault::None,
    };
    let (world, _faults) =
        World::with_faults(NO_TIMEOUT_NO_RETRY, [("DUE_SHARDS", "1")], fault).await;
    let keys: Vec<Value> = ["a", "b"]
        .map(|id| json!({ "pk": { "S": "USER#ann" }, "sk": { "S": format!("REFRESH#{id}") } }))
        .to_vec();
    for key in &keys {
        let mut item = active_session("ann", "x", NOW - HOUR);
        item["sk"] = key["sk"].clone();
        item["due_key"] = json!({ "S": "delete#00" });
        world.put(item).await;
    }
    let database = world.dynamodb.database().clone();
    let delete_all = move || {
        for key in &keys {
            let request = json!({ "TableName": "sessions", "Key": key });
            let request = serde_json::from_value(request).unwrap();
            database.delete_item(request).unwrap();
        }
    };
    assert!(delete.set(Box::new(delete_all)).is_ok());
    let report = world.clean_up(json!({ "sweep_grace_hours": 0 }), NOW).await;
    assert_eq!(report["complete"], true);
    counts(&report)
}

#[tokio::test]
async fn conflict_counts_as_nothing_written() {
    if needs_embedded(
        "conflict_counts_as_nothing_written",
        "deletes records while the only thread waits",
    ) {
        return;
    }
    for code in ["TransactionConflict", "ThrottlingError"] {
        let counts = deletion_by_somebody_else_after(code).await;
        assert_eq!(counts, only([("changed_elsewhere", 2)]), "{code}");
    }
    // After an internal error, the run itself may have deleted the record.
    let counts = deletion_by_somebody_else_after("InternalServerError").await;
    assert_eq!(counts, only([("refresh_tokens_deleted", 2)]));
}

#[tokio::test]
async fn processes_record_that_is_on_a_page_twice() {
    let shown = Arc::new(OnceLock::<OlderIndex>::new());
    let index = Arc::clone(&shown);
    let fault = move |request: &Request| match (&*request.operation, index.get()) {
        ("Query", Some(index)) => Fault::Stale(index.answer(&request.body)),
        _ => Fault::None,
    };
    let (world, _faults) =
        World::with_faults(NO_TIMEOUT_NO_RETRY, [("DUE_SHARDS", "1")], fault).await;
    for name in ["a", "b"] {
        let mut item = active_session("ann", name, NOW - 1);
        item["due_key"] = json!({ "S": "deactivate#00" });
        world.put(item).await;
    }
    let items = world.items().await;
    assert!(
        shown
            .set(OlderIndex::of(&[items.clone(), items].concat()))
            .is_ok()
    );
    let report = world.clean_up(json!({}), NOW).await;
    assert_eq!(counts(&report), only([("sessions_deactivated", 2)]));
}

#[tokio::test]
async fn counts_sessions_without_filter_if_it_is_rejected() {
    let fault = |request: &Request| match request.body.get("FilterExpression") {
        Some(filter) if filter.as_str().unwrap().contains("sk") => Fault::Error {
            status: 400,
            code: "ValidationException",
        },
        _ => Fault::None,
    };
    let (world, faults) = World::with_faults(NO_TIMEOUT_NO_RETRY, [], fault).await;
    let reader = world.login("rob", "sessions:read").await;
    world.open("ann", "expired", NOW - 1).await;
    world.refresh_token("ann", "t", NOW - 1).await;
    let mut foreign = active_session("x", "y", NOW - 1);
    foreign["pk"] = json!({ "S": "SHOP" });
    world.put(foreign).await;
    let (status, body) = world.call(Method::GET, STATS, Some(&reader)).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["data"]["total_sessions"], 2, "{body}");
    assert_eq!(body["data"]["expired_sessions"], 1, "{body}");
    assert!(faults.record().iter().any(|it| it.failed));
}
