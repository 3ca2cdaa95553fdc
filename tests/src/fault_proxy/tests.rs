//! Tests of the proxy itself.

use rand::RngExt as _;
use serde_json::{Value, json};

use super::{Fault, NO_TIMEOUT, Request};
use crate::{NOW, World, active_session, counts, only};

#[test]
fn each_request_has_its_own_reproducible_random_numbers() {
    let roll = |seed, number| {
        let request = Request {
            operation: "Query".to_owned(),
            number,
            body: Value::Null,
        };
        request.rng(seed).random::<u64>()
    };
    assert_eq!(roll(1, 1), roll(1, 1));
    assert_ne!(roll(1, 1), roll(2, 1));
    assert_ne!(roll(1, 1), roll(1, 2));
}

#[test]
fn hits_exact_percentage_of_each_hundred_requests() {
    for (percent, first) in [(0, 1), (1, 1), (30, 71), (99, 4), (100, 901)] {
        let met = (first..first + 100).filter(|&number| {
            let request = Request {
                operation: "Query".to_owned(),
                number,
                body: Value::Null,
            };
            request.hits_percent(percent)
        });
        assert_eq!(met.count(), percent);
    }
}

#[tokio::test]
async fn executes_all_statements_of_batch_except_failing_ones() {
    let decide = |request: &Request| match (request.operation.as_str(), request.number) {
        ("BatchExecuteStatement", 1) => Fault::Statements(Box::new(|position, parameters| {
            let cleo = json!({ "S": "USER#cleo" });
            let cleos = parameters.as_array().expect("a list").contains(&cleo);
            (position == 0 || cleos).then_some("ThrottlingError")
        })),
        _ => Fault::None,
    };
    let (world, faults) = World::with_faults(NO_TIMEOUT, [], decide).await;
    for (user, due) in [("ann", 4), ("ben", 3), ("cleo", 2), ("dana", 1)] {
        world.put(active_session(user, "s", NOW - due)).await;
    }
    let report = world.clean_up(json!({}), NOW).await;
    assert_eq!(counts(&report), only([("sessions_deactivated", 4)]));
    let batches: Vec<_> = faults
        .record()
        .into_iter()
        .filter(|it| it.request.operation == "BatchExecuteStatement")
        .map(|it| {
            (
                it.request.body["Statements"].as_array().unwrap().len(),
                it.writes(),
            )
        })
        .collect();
    // Two of the four statements of the first batch were executed.
    assert_eq!(batches[0], (4, 2));
    // Four sessions and the report.
    assert_eq!(faults.writes(), 5);
}
