//! The limits of a run: time, rate and cost, and a table that does not respond.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::Method;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use session_cleanup_local::template::{FunctionName, Template};
use session_cleanup_tests::cost::{Cost, ENOUGH, READ_UNITS, REQUESTS, WRITE_UNITS};
use session_cleanup_tests::database::{DynamoDb, needs_embedded};
use session_cleanup_tests::fault_proxy::{Fault, FaultProxy, NO_TIMEOUT_NO_RETRY, Request};
use session_cleanup_tests::{
    CLEANUP, DAY, HOUR, Limits, NOW, World, active_session, at, counts, only, sample, serve_table,
    text,
};

#[tokio::test]
async fn keeps_rate_below_batch_size_and_makes_progress() {
    // Two at once, and ten more at two per second: at least about five seconds, on any machine.
    let world = World::with([("MAX_WRITES_PER_SECOND", "2")]).await;
    for number in 0..12 {
        world.open("ann", &format!("s{number}"), NOW - 1).await;
    }
    let report = world.clean_up(json!({}), NOW).await;
    assert_eq!(counts(&report), only([("sessions_deactivated", 12)]));
    assert_eq!(report["complete"], true);
    assert!(report["duration_ms"].as_u64() >= Some(4_000), "{report}");
}

/// The rate limit counts write units: a record of 390 KB needs 391.
#[tokio::test]
async fn limits_write_units_and_not_records() {
    const RATE: u64 = 400;
    if needs_embedded(
        "limits_write_units_and_not_records",
        "other databases count units differently",
    ) {
        return;
    }
    let limit = RATE.to_string();
    let (world, faults) = World::with_faults(
        NO_TIMEOUT_NO_RETRY,
        [("MAX_WRITES_PER_SECOND", &*limit)],
        |_| Fault::None,
    )
    .await;
    let session = |number| {
        let mut item = active_session("ann", &format!("s{number}"), NOW - 1);
        item["data"] = json!({ "S": "x".repeat(390_000) });
        item["due_key"] = json!({ "S": "deactivate#00" });
        item
    };
    sample::store(&world, (0..100).map(session).collect());
    let report = world.clean_up(json!({ "max_seconds": 8 }), NOW).await;
    let done = report["sessions_deactivated"].as_u64().unwrap();
    assert_eq!(report["complete"], false, "{report}");
    let written = faults.usage()["BatchExecuteStatement"].units;
    let seconds = report["duration_ms"].as_u64().unwrap() / 1000 + 1;
    // The response contains the units of a batch, so the first batch is not limited.
    let most = u32::try_from(RATE * (seconds + 1) + 25 * 391 + 2 * done).unwrap();
    assert!(
        written <= most.into(),
        "{written} units in {seconds} s: {report}"
    );
    assert!(done >= 25, "{report}");
}

#[tokio::test]
async fn run_without_time_does_nothing_and_reports_incomplete() {
    let world = World::new().await;
    world.open("ann", "s", NOW - 1).await;
    let before = world.records().await;
    for (adopt, dry_run) in [(false, false), (false, true), (true, false), (true, true)] {
        let event = json!({ "max_seconds": 0, "adopt": adopt, "dry_run": dry_run });
        let report = world.clean_up(event, NOW).await;
        assert_eq!(report["complete"], false);
        assert_eq!(report["capacity_units"], 0.0, "no request to the table");
        assert_eq!(counts(&report), only([]));
    }
    assert_eq!(world.records().await, before);
    let report = world.clean_up(json!({}), NOW).await;
    assert_eq!(report["complete"], true);
    assert_eq!(counts(&report), only([("sessions_deactivated", 1)]));
}

#[tokio::test]
async fn run_cut_short_processes_oldest_first_and_leaves_rest() {
    // One shard and 25 writes per second: in four seconds at most 125 writes start on any machine,
    // and the first batch always does.
    let world = World::with([("DUE_SHARDS", "1"), ("MAX_WRITES_PER_SECOND", "25")]).await;
    for number in 0..200 {
        let mut item = active_session("ann", &format!("s{number:03}"), NOW - 1 - number);
        item["due_key"] = json!({ "S": "deactivate#00" });
        world.put(item).await;
    }
    let report = world.clean_up(json!({ "max_seconds": 4 }), NOW).await;
    assert_eq!(report["complete"], false);
    let done = report["sessions_deactivated"].as_u64().unwrap();
    assert!((25..200).contains(&done), "{done}");
    let inactive: Vec<String> = world
        .records()
        .await
        .into_iter()
        .filter(|(_, item)| item["is_active"].as_bool() == Ok(&false))
        .map(|(_, item)| text(&item, "session_id").to_owned())
        .collect();
    let oldest: Vec<String> = (200 - done..200)
        .map(|number| format!("s{number:03}"))
        .collect();
    assert_eq!(inactive, oldest);
}

#[tokio::test]
async fn starts_no_batch_after_deadline_and_counts_open_ones() {
    // Longer than the run's time.
    let late = |request: &Request| match &*request.operation {
        "BatchExecuteStatement" => Fault::delayed(Duration::from_secs(5)),
        _ => Fault::None,
    };
    let (world, faults) = World::with_faults(NO_TIMEOUT_NO_RETRY, [], late).await;
    let session = |number| active_session("ann", &format!("s{number}"), NOW - 1);
    sample::store(&world, (0..1_000).map(session).collect());
    let report = world.clean_up(json!({ "max_seconds": 4 }), NOW).await;
    assert_eq!(report["complete"], false, "{report}");
    assert_eq!(report["failed"], 0, "{report}");
    let batches = faults.requests()["BatchExecuteStatement"];
    assert!((1..=8).contains(&batches), "{batches}");
    // One more write is the report.
    let done = faults.writes() as u64 - 1;
    assert_eq!(counts(&report), only([("sessions_deactivated", done)]));
    assert_eq!(done, 25 * batches as u64);
}

#[tokio::test]
async fn counts_writes_that_table_never_accepts_as_failed() {
    let never = |request: &Request| match &*request.operation {
        "BatchExecuteStatement" => Fault::Statements(Box::new(|_, _| Some("ThrottlingError"))),
        _ => Fault::None,
    };
    let (world, faults) = World::with_faults(NO_TIMEOUT_NO_RETRY, [], never).await;
    let session = |number| active_session("ann", &format!("s{number}"), NOW - 1);
    sample::store(&world, (0..500).map(session).collect());
    let before = world.records().await;
    let report = world.clean_up(json!({ "max_seconds": 4 }), NOW).await;
    assert_eq!(world.records().await, before);
    assert_eq!(report["complete"], false, "{report}");
    // Each record once, regardless of retries.
    let mut tried = BTreeSet::new();
    for it in faults.record() {
        for statement in it.request.body["Statements"]
            .as_array()
            .into_iter()
            .flatten()
        {
            tried.insert(statement["Parameters"].to_string());
        }
    }
    assert!(!tried.is_empty());
    assert_eq!(counts(&report), only([("failed", tried.len() as u64)]));
}

/// API Gateway's timeout is 29 seconds.
#[tokio::test]
async fn endpoint_reports_finished_work_and_leaves_rest() {
    let limits = Limits {
        timeouts: Template::read().unwrap().timeouts,
        ..Limits::patient()
    };
    let (table, variables) = (serve_table().await, [("MAX_WRITES_PER_SECOND", "2")]);
    let world = World::within(limits, table, variables, DynamoDb::client).await;
    let admin = world.login("ada", "sessions:admin").await;
    let session = |number| active_session("ann", &format!("s{number}"), NOW - 1);
    sample::store(&world, (0..400).map(session).collect());
    let (status, body) = world.call(Method::POST, CLEANUP, Some(&admin)).await;
    assert_eq!(status, 200, "{body}");
    let report = &body["data"];
    assert_eq!(report["complete"], false, "{report}");
    let records = world.records().await;
    let closed = records
        .iter()
        .filter(|it| it.1["is_active"].as_bool() == Ok(&false));
    let done = closed.count() as u64;
    assert!(done > 0, "{report}");
    assert_eq!(counts(report), only([("sessions_deactivated", done)]));
}

/// The progress lines of this run.
fn progress(world: &World, report: &Value) -> Vec<Value> {
    let of_this_run = |line: &Value| line["run_id"] == report["run_id"];
    let lines = world.log.about("cleanup in progress").into_iter();
    lines.filter(of_this_run).collect()
}

#[tokio::test]
async fn long_run_logs_progress_every_ten_seconds() {
    let world = World::with([("MAX_WRITES_PER_SECOND", "2")]).await;
    let session = |number| active_session("ann", &format!("s{number}"), NOW - 1);
    sample::store(&world, (0..400).map(session).collect());
    let report = world.clean_up(json!({ "max_seconds": 13 }), NOW).await;
    let lines = progress(&world, &report);
    let tens = report["duration_ms"].as_u64().unwrap() / 10_000;
    assert!((1..=tens).contains(&(lines.len() as u64)), "{lines:?}");
    let done = |line: &Value| line["sessions_deactivated"].as_u64().unwrap();
    assert!((1..=done(&report)).contains(&done(&lines[0])), "{lines:?}");
    let elapsed = lines[0]["duration_ms"].as_u64().unwrap();
    assert!(elapsed >= 10_000, "{lines:?}");
}

/// A busy machine makes a run longer, never shorter.
#[tokio::test]
async fn adoption_reads_no_more_units_per_second_than_write_limit() {
    const RATE: f64 = 25.0;
    if needs_embedded(
        "adoption_reads_no_more_units_per_second_than_write_limit",
        "other databases count units differently",
    ) {
        return;
    }
    let world = World::with([("MAX_WRITES_PER_SECOND", "25")]).await;
    let mut session = active_session("ann", "s", NOW + DAY);
    session["user_agent"] = json!({ "S": "x".repeat(400) });
    let sessions = (0..2_500).map(|number| {
        session["sk"] = json!({ "S": format!("SESSION#{number}") });
        session.clone()
    });
    let sessions = sessions.collect();
    sample::store(&world, sessions);
    let report = world.clean_up(json!({ "adopt": true }), NOW).await;
    assert_eq!(report["complete"], true, "{report}");
    assert_eq!(counts(&report), only([]));
    // Each of the 32 lists, and each list of malformed records, costs half a unit.
    let read = report["capacity_units"].as_f64().unwrap() - 24.0;
    let seconds = report["duration_ms"].as_f64().unwrap() / 1_000.0;
    assert!(read > 12.0 * RATE, "the table is too small: {report}");
    // At the start, a second's worth of units may be read at once.
    assert!(read <= RATE * (seconds + 1.0), "{report}");
    assert!(!progress(&world, &report).is_empty());
}

/// A busy machine makes a run longer, never shorter.
#[tokio::test]
async fn run_slows_down_after_throttling() {
    const SESSIONS: i64 = 1_000;
    const RATE: i64 = 250;
    let throttled_first = |request: &Request| match (&*request.operation, request.number) {
        ("BatchExecuteStatement", 1) => Fault::THROTTLED,
        _ => Fault::None,
    };
    let variables = [("MAX_WRITES_PER_SECOND", "250")];
    let (world, _faults) =
        World::with_faults(NO_TIMEOUT_NO_RETRY, variables, throttled_first).await;
    let session = |number| active_session("ann", &format!("s{number}"), NOW - 1);
    sample::store(&world, (0..SESSIONS).map(session).collect());
    let report = world.clean_up(json!({}), NOW).await;
    assert_eq!(report["sessions_deactivated"], SESSIONS, "{report}");
    let at_the_whole_rate = 1_000 * SESSIONS / RATE;
    let duration = report["duration_ms"].as_i64().unwrap();
    assert!(duration > at_the_whole_rate * 5 / 4, "{report}");
}

#[tokio::test]
async fn deactivation_costs_three_write_units() {
    if needs_embedded(
        "deactivation_costs_three_write_units",
        "other databases count units differently",
    ) {
        return;
    }
    let world = World::new().await;
    let empty = world.clean_up(json!({}), NOW).await;
    for number in 0..100 {
        world
            .put(active_session("ann", &format!("s{number}"), NOW - number))
            .await;
    }
    let report = world.clean_up(json!({}), NOW).await;
    let units = |report: &Value| report["capacity_units"].as_f64().unwrap();
    // 32 queries of half a unit, even for empty lists; the query for the list with a hundred
    // entries costs more.
    assert!((units(&empty) - 16.0).abs() < 0.01, "{empty}");
    let writes = units(&report) - units(&empty);
    assert!((300.0..303.0).contains(&writes), "{writes}");
}

#[tokio::test]
async fn cost_of_run_depends_only_on_due_records() {
    const LIVE: usize = 5_000;
    if needs_embedded(
        "cost_of_run_depends_only_on_due_records",
        "other databases count units differently",
    ) {
        return;
    }
    let costs = [0, LIVE].map(async |live| {
        let dynamodb = serve_table().await;
        let meter = FaultProxy::without_faults(dynamodb.address()).await;
        let variables = [("MAX_WRITES_PER_SECOND", "0")];
        let world = World::over(dynamodb, variables, |_| meter.client(NO_TIMEOUT_NO_RETRY)).await;
        let mut rng = StdRng::seed_from_u64(1);
        for (count, end) in [(ENOUGH, NOW - 1), (live, NOW + HOUR)] {
            let end = |_: &mut StdRng| end;
            sample::store(&world, sample::active_sessions(&mut rng, count, 16, end));
        }
        let report = world.clean_up(json!({}), NOW).await;
        let cost = Cost {
            usage: meter.usage(),
            deactivated: report["sessions_deactivated"].as_u64().unwrap(),
        };
        assert_eq!(cost.deactivated, ENOUGH as u64, "{report}");
        // The report does not count its own units.
        let reported = report["capacity_units"].as_f64().unwrap();
        let all_but_the_report = cost.units() - cost.units_of("PutItem");
        assert!((reported - all_but_the_report).abs() < 0.01, "{report}");
        cost
    });
    let [small, large] = costs;
    let (small, large) = (small.await, large.await);
    assert_eq!(small.usage, large.usage);
    assert!((small.write_units_each() - WRITE_UNITS).abs() < 1e-9);
    assert!(small.read_units_per_thousand() <= READ_UNITS, "{small:?}");
    assert!(small.requests_per_thousand() <= REQUESTS, "{small:?}");
}

#[tokio::test]
async fn returns_error_with_cause_if_table_rejects_requests() {
    let world = World::with([("TABLE_NAME", "another-table")]).await;
    let answer = world
        .functions
        .invoke(FunctionName::Cleanup, &json!({}), at(NOW))
        .await;
    let error = answer.unwrap_err().to_string();
    assert!(error.contains("could not finish"), "{error}");
    assert!(
        error.contains("ResourceNotFound") || error.contains("not found"),
        "{error}"
    );
}

/// A table that is unreachable until the deadline makes the run incomplete, but is not an error.
#[tokio::test]
async fn run_that_waits_for_table_until_deadline_is_incomplete() {
    if needs_embedded(
        "run_that_waits_for_table_until_deadline_is_incomplete",
        "stops the database",
    ) {
        return;
    }
    let world = World::new().await;
    let World {
        dynamodb,
        functions,
        ..
    } = world;
    dynamodb.stop().await;
    let event = json!({ "max_seconds": 1 });
    let report = functions
        .invoke(FunctionName::Cleanup, &event, at(NOW))
        .await
        .unwrap();
    assert_eq!(report["complete"], false);
    assert_eq!(counts(&report), only([]));
}
