//! The metrics: described as they are, and no hindrance to what they measure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use session_cleanup_local::stack::scheduled_event;
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::faults::{Fault, ONCE};
use session_cleanup_tests::{DAY, NOW, World, at, counts, metrics, only};
use session_lifecycle::metrics::Metric;

#[test]
fn the_table_of_the_documentation_has_the_metrics_of_the_code_and_no_others() {
    let described: BTreeMap<_, _> = metrics::table()
        .into_iter()
        .map(|row| (row.name, (row.unit, row.dimension)))
        .collect();
    let of_the_code = Metric::ALL.map(|metric| {
        let unit = metric.unit().to_owned();
        let dimension = metric.dimension().map(str::to_owned);
        (metric.name().to_owned(), (unit, dimension))
    });
    assert_eq!(described, BTreeMap::from(of_the_code));
    assert_eq!(metrics::table().len(), described.len(), "one row each");
}

#[tokio::test]
async fn a_scheduled_run_whose_sessions_cannot_be_counted_cleans_up_all_the_same() {
    let (world, _faults) = World::with_faults(ONCE, [], |request| {
        if request.body["Select"] == "COUNT" {
            return Fault::Error {
                status: 400,
                code: "ProvisionedThroughputExceededException",
            };
        }
        Fault::None
    })
    .await;
    world.open("ann", "a", NOW - 1).await;
    let report = world
        .functions
        .invoke(FunctionName::Cleanup, &scheduled_event(at(NOW)), at(NOW))
        .await
        .unwrap();
    assert_eq!(counts(&report), only([("sessions_deactivated", 1)]));
    assert_eq!(report["complete"], true, "{report}");
    assert_eq!(world.log.about("could not be counted").len(), 1);
}

#[tokio::test]
async fn sessions_are_counted_by_scheduled_runs_alone_and_only_if_they_are_to_be() {
    for (count_sessions, event, expected) in [
        ("true", scheduled_event(at(NOW)), true),
        ("true", json!({}), false),
        ("false", scheduled_event(at(NOW)), false),
    ] {
        let variables = [("COUNT_SESSIONS", count_sessions)];
        let counted = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&counted);
        let (world, _faults) = World::with_faults(ONCE, variables, move |request| {
            seen.fetch_or(request.body["Select"] == "COUNT", Ordering::Relaxed);
            Fault::None
        })
        .await;
        let (cleanup, now) = (FunctionName::Cleanup, at(NOW));
        world.functions.invoke(cleanup, &event, now).await.unwrap();
        let counted = counted.load(Ordering::Relaxed);
        assert_eq!(counted, expected, "{count_sessions}, {event}");
    }
}

#[tokio::test]
async fn a_run_tells_for_how_long_the_oldest_session_had_been_expired() {
    let world = World::new().await;
    for (user, ago) in [("ann", 5), ("ben", 77), ("cleo", 60)] {
        world.open(user, "a", NOW - ago).await;
    }
    // What is due to be deleted is not an expired session.
    world.refresh_token("dana", "r", NOW - 3 * DAY).await;
    for expected in [json!(77), json!(null)] {
        world.clean_up(json!({}), NOW).await;
        let ended = world.log.about("cleanup ended");
        let told = &ended.last().unwrap()["oldest_expired_age_seconds"];
        assert_eq!(told, &expected, "{ended:?}");
    }
}
