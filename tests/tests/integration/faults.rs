//! The cleanup while the table fails. In the end no live session has changed, all due records are
//! processed, and the reports together count each change once.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::fault_proxy::{
    Fault, FaultProxy, NO_TIMEOUT_NO_RETRY, OlderIndex, Request,
};
use session_cleanup_tests::model::{
    self, DONE, Expected, Options, Revoke, after, moved, records, sum,
};
use session_cleanup_tests::{
    HOUR, NOW, World, active_session, at, number, sample, session_id, user_id,
};
use session_domain::Timestamp;
use session_lifecycle::{CallPolicy, UpdateOutcome};

const READ: &str = "Query";
const WRITE: &str = "BatchExecuteStatement";

/// Number of random records.
const RECORDS: usize = 400;

const OPTIONS: Options = Options {
    now: NOW,
    retention_days: 30,
    grace_hours: 48,
    shards: 3,
    adopt: false,
    revoke: None,
};

/// A run that scans the table: it adopts, and it revokes sessions.
const SCANNING: Options = Options {
    adopt: true,
    revoke: Some(Revoke {
        created_before: NOW - HOUR,
        client_id: None,
    }),
    ..OPTIONS
};

/// A table that fails, and its expected final state.
struct FaultScenario {
    world: World,
    faults: FaultProxy,
    options: Options,
    expected: Expected,
}

impl FaultScenario {
    async fn over(
        options: Options,
        policy: CallPolicy,
        decide: impl Fn(&Request) -> Fault + Send + Sync + 'static,
    ) -> Self {
        let (world, faults) = World::with_faults(policy, [("DUE_SHARDS", "3")], decide).await;
        let mut rng = StdRng::seed_from_u64(7);
        sample::fill(&world, &mut rng, RECORDS, &options);
        let expected = after(&records(&world).await, &options);
        for name in ["sessions_deactivated", "sessions_deleted", "malformed"] {
            assert!(
                expected.count(name) > 5,
                "too few records in the sample: {expected:?}"
            );
        }
        Self {
            world,
            faults,
            options,
            expected,
        }
    }

    /// The event of a run with these options.
    fn event(&self) -> Value {
        let revoke = self.options.revoke.map(Revoke::event);
        json!({ "adopt": self.options.adopt, "revoke": revoke })
    }

    /// Runs the cleanup once.
    async fn run(&self, max_seconds: u32) -> Value {
        let mut event = self.event();
        event["max_seconds"] = max_seconds.into();
        self.world.clean_up(event, NOW).await
    }

    /// Compares table and reports with the model. Another run may have processed a record that one
    /// run could not process.
    async fn end(self, reports: &[Value]) {
        let records = records(&self.world).await;
        self.expected.compare(&records, &self.options);
        for name in DONE {
            let expected = self.expected.count(name);
            assert_eq!(sum(reports, name), expected, "{name}: {reports:#?}");
        }
        let last = reports.last().unwrap();
        assert_eq!(last["complete"], true, "{last}");
        assert_eq!(last["failed"], 0, "{last}");
        // Each run that finds a malformed record counts it: those that could not move it off its
        // list, and the one that did.
        let malformed = sum(reports, "malformed");
        assert!(
            malformed >= self.expected.count("malformed"),
            "{reports:#?}"
        );
    }

    /// A single run completes, and its report counts all changes.
    async fn one_run_comes_through(self) {
        let report = self.run(800).await;
        assert_eq!(report["changed_elsewhere"], 0, "{report}");
        assert!(self.has_met_faults(), "no fault was injected");
        self.end(&[report]).await;
    }

    /// Runs the cleanup once, until the table denies access. Returns the stored report.
    async fn refused(&self) -> Value {
        let event = self.event();
        let functions = &self.world.functions;
        let answer = functions.invoke(FunctionName::Cleanup, &event, at(NOW));
        let error = answer.await.unwrap_err().to_string();
        assert!(error.contains("AccessDenied"), "{error}");
        let items = self.world.items().await;
        let stored = items
            .iter()
            .filter(|it| it["sk"].as_s().unwrap().starts_with("RUN#"));
        let [stored] = stored.collect::<Vec<_>>()[..] else {
            panic!("expected one report: {items:?}");
        };
        assert_eq!(stored["complete"].as_bool(), Ok(&false));
        assert!(stored["error"].as_s().unwrap().contains("AccessDenied"));
        let mut report = json!({});
        for name in DONE.into_iter().chain(["malformed", "failed"]) {
            report[name] = number(stored, name).into();
        }
        report
    }

    fn has_met_faults(&self) -> bool {
        self.faults.record().iter().any(|it| it.failed)
    }
}

/// A fault for a percentage of all requests.
fn of_all(
    percent: u32,
    fault: impl Fn() -> Fault + Send + Sync + 'static,
) -> impl Fn(&Request) -> Fault + Send + Sync + 'static {
    move |request| {
        if request.rng(1).random_ratio(percent, 100) {
            fault()
        } else {
            Fault::None
        }
    }
}

/// A fault for a percentage of the batches of writes.
fn of_writes(
    percent: u32,
    fault: impl Fn(&Request) -> Fault + Send + Sync + 'static,
) -> impl Fn(&Request) -> Fault + Send + Sync + 'static {
    move |request| {
        if request.operation == WRITE && request.rng(2).random_ratio(percent, 100) {
            fault(request)
        } else {
            Fault::None
        }
    }
}

#[tokio::test]
async fn cleans_up_table_throttled_occasionally() {
    let decide = of_all(5, || Fault::THROTTLED);
    let scenario = FaultScenario::over(OPTIONS, NO_TIMEOUT_NO_RETRY, decide).await;
    scenario.one_run_comes_through().await;
}

#[tokio::test]
async fn cleans_up_and_adopts_table_throttled_often() {
    let decide = of_all(30, || Fault::THROTTLED);
    let scenario = FaultScenario::over(SCANNING, NO_TIMEOUT_NO_RETRY, decide).await;
    scenario.one_run_comes_through().await;
}

#[tokio::test]
async fn next_run_finishes_what_heavy_throttling_left() {
    let decide = of_all(90, || Fault::THROTTLED);
    let scenario = FaultScenario::over(OPTIONS, NO_TIMEOUT_NO_RETRY, decide).await;
    let first = scenario.run(5).await;
    assert_eq!(first["changed_elsewhere"], 0, "{first}");
    scenario.faults.end();
    let second = scenario.run(800).await;
    scenario.end(&[first, second]).await;
}

#[tokio::test]
async fn cleans_up_table_that_fails_occasionally() {
    let decide = of_all(20, || Fault::BROKEN);
    let scenario = FaultScenario::over(SCANNING, NO_TIMEOUT_NO_RETRY, decide).await;
    scenario.one_run_comes_through().await;
}

/// Short attempts. On a busy machine more of them fail, which is what is tested.
const IMPATIENT: CallPolicy = CallPolicy {
    attempt_timeout: Duration::from_millis(700),
    operation_timeout: Duration::from_millis(700),
    max_attempts: 1,
};

#[tokio::test]
async fn counts_correctly_if_requests_hang_occasionally() {
    let decide = |request: &Request| match request.rng(3).random_range(0..10) {
        0 => Fault::Hang,
        1 => Fault::Hang.after_commit(),
        _ => Fault::None,
    };
    let scenario = FaultScenario::over(SCANNING, IMPATIENT, decide).await;
    scenario.one_run_comes_through().await;
}

#[tokio::test]
async fn counts_correctly_if_connections_drop() {
    let decide = |request: &Request| match request.rng(4).random_range(0..5) {
        0 => Fault::DroppedBefore,
        1 => Fault::DroppedAfter,
        _ => Fault::None,
    };
    let scenario = FaultScenario::over(SCANNING, NO_TIMEOUT_NO_RETRY, decide).await;
    scenario.one_run_comes_through().await;
}

#[tokio::test]
async fn counts_correctly_if_first_responses_to_writes_are_lost() {
    // Batches that repeat the remaining statements.
    let decide = |request: &Request| match (request.operation.as_str(), request.number) {
        (WRITE, 1..=8) => Fault::DroppedAfter,
        _ => Fault::None,
    };
    let scenario = FaultScenario::over(OPTIONS, NO_TIMEOUT_NO_RETRY, decide).await;
    scenario.one_run_comes_through().await;
}

#[tokio::test]
async fn counts_applied_write_reported_as_failed_once() {
    let decide = of_writes(50, |_| Fault::BROKEN.after_commit());
    let scenario = FaultScenario::over(SCANNING, NO_TIMEOUT_NO_RETRY, decide).await;
    scenario.one_run_comes_through().await;
}

#[tokio::test]
async fn retries_throttled_or_failed_statements() {
    let decide = of_writes(70, |request| {
        let code = ["ThrottlingError", "InternalServerError"][request.number % 2];
        Fault::of_statements(40, code, request.rng(5))
    });
    let scenario = FaultScenario::over(SCANNING, NO_TIMEOUT_NO_RETRY, decide).await;
    scenario.one_run_comes_through().await;
}

#[tokio::test]
async fn counts_applied_statement_reported_as_failed_once() {
    let decide = of_writes(70, |request| {
        Fault::of_statements(40, "InternalServerError", request.rng(6)).after_commit()
    });
    let scenario = FaultScenario::over(SCANNING, NO_TIMEOUT_NO_RETRY, decide).await;
    scenario.one_run_comes_through().await;
}

/// After a rejected write, the record is read again. If it still needs the same write, that is
/// tried once more and then counted as failed; the record stays on its list.
#[tokio::test]
async fn retries_write_rejected_without_reason() {
    let decide = of_writes(70, |request| {
        Fault::of_statements(40, "ConditionalCheckFailed", request.rng(7))
    });
    let scenario = FaultScenario::over(OPTIONS, NO_TIMEOUT_NO_RETRY, decide).await;
    let first = scenario.run(800).await;
    assert_eq!(first["changed_elsewhere"], 0, "{first}");
    assert!(first["failed"].as_u64() > Some(0), "{first}");
    assert_eq!(first["complete"], true, "{first}");
    scenario.faults.end();
    let second = scenario.run(800).await;
    assert_eq!(second["changed_elsewhere"], 0, "{second}");
    scenario.end(&[first, second]).await;
}

/// Responses of a proxy, a captive portal or a broken load balancer in place of the table.
const GARBAGE: [(u16, &str, &str); 7] = [
    (200, "text/html", "<html>Welcome</html>"),
    (200, "application/x-amz-json-1.0", "{}"),
    (200, "application/x-amz-json-1.0", "{\"Responses\":[]}"),
    (200, "application/x-amz-json-1.0", "{\"Items\":"),
    (200, "application/x-amz-json-1.0", ""),
    (400, "text/plain", "Bad Request"),
    (503, "text/html", "<html>Service Unavailable</html>"),
];

#[tokio::test]
async fn ignores_invalid_table_responses() {
    let decide = |request: &Request| {
        let mut rng = request.rng(8);
        if request.operation == "PutItem" || rng.random_ratio(60, 100) {
            return Fault::None;
        }
        let (status, content_type, body) = GARBAGE[rng.random_range(0..GARBAGE.len())];
        let garbage = Fault::Answer {
            status,
            content_type,
            body,
        };
        if rng.random() {
            garbage.after_commit()
        } else {
            garbage
        }
    };
    let scenario = FaultScenario::over(SCANNING, NO_TIMEOUT_NO_RETRY, decide).await;
    scenario.one_run_comes_through().await;
}

/// An empty response proves nothing about the list.
#[tokio::test]
async fn does_not_take_due_list_as_empty_for_empty_response() {
    let decide = |request: &Request| {
        let answered = ["Query", "Scan"].contains(&&*request.operation);
        if answered && request.number <= 6 {
            Fault::Stale(json!({}))
        } else {
            Fault::None
        }
    };
    let scenario = FaultScenario::over(SCANNING, NO_TIMEOUT_NO_RETRY, decide).await;
    let report = scenario.run(800).await;
    scenario.end(&[report]).await;
}

/// A lagging index shows records that have been processed, moved or deleted since, and lacks new
/// ones.
#[tokio::test]
async fn lagging_index_does_no_harm_and_only_delays_work() {
    let shown = Arc::new(Mutex::new(None::<OlderIndex>));
    let index = Arc::clone(&shown);
    let decide = move |request: &Request| match &*index.lock().unwrap() {
        Some(older) if request.operation == READ => Fault::Stale(older.answer(&request.body)),
        _ => Fault::None,
    };
    let mut scenario = FaultScenario::over(OPTIONS, NO_TIMEOUT_NO_RETRY, decide).await;
    let world = &scenario.world;
    for number in 0..40 {
        open(world, &format!("s{number}"), NOW - 5).await;
    }
    let before = records(world).await;
    // The first run processes everything; the next one sees the index as before it.
    let first = world.clean_up(json!({}), NOW - 1).await;
    assert_eq!(first["complete"], true);
    let items: Vec<_> = before.values().cloned().collect();
    *shown.lock().unwrap() = Some(OlderIndex::of(&items));
    change_since(world).await;
    let now = records(world).await;
    let lagging = model::after_with_index(&now, &before, &OPTIONS);
    assert!(lagging.count("changed_elsewhere") > 100, "{lagging:?}");
    let report = world.clean_up(json!({}), NOW).await;
    let found = records(world).await;
    lagging.compare(&found, &OPTIONS);
    for name in DONE.into_iter().chain(["changed_elsewhere", "malformed"]) {
        assert_eq!(report[name], lagging.count(name), "{name}: {report}");
    }
    assert_eq!(report["failed"], 0);
    assert_eq!(report["complete"], true);
    // Now the index is up to date.
    *shown.lock().unwrap() = None;
    scenario.expected = after(&found, &OPTIONS);
    assert_eq!(scenario.expected.count("sessions_deactivated"), 20);
    let report = scenario.run(800).await;
    scenario.end(&[report]).await;
}

/// Creates a session on a shard that these runs read.
async fn open(world: &World, session: &str, expires_at: i64) {
    let mut item = active_session("ann", session, expires_at);
    item["due_key"] = json!({ "S": "deactivate#01" });
    world.put(item).await;
}

/// Changes between the state of the index and the run.
async fn change_since(world: &World) {
    let (ann, end) = (user_id("ann"), Timestamp::from_seconds(NOW + HOUR));
    for number in 0..20 {
        open(world, &format!("new{number}"), NOW).await;
        let refreshed = format!("refreshed{number}");
        open(world, &refreshed, NOW + 1).await;
        let before = Timestamp::from_seconds(NOW - 1);
        let extended = world
            .sessions
            .extend(&ann, &session_id(&refreshed), end, before)
            .await;
        assert_eq!(extended.unwrap(), UpdateOutcome::Updated);
        let closed = format!("closed{number}");
        open(world, &closed, NOW + 1).await;
        let logout = world
            .sessions
            .logout(&ann, &session_id(&closed), before)
            .await;
        assert_eq!(logout.unwrap(), UpdateOutcome::Updated);
    }
}

/// The refresh happens while the run's write is in transit, after the list was read.
#[tokio::test]
async fn keeps_sessions_refreshed_between_list_and_write() {
    // Number of sessions: one batch.
    const SESSIONS: usize = 25;
    let sessions = |expires_at| {
        let session = |number| {
            let mut item = active_session("ann", &format!("s{number}"), expires_at);
            item["due_key"] = json!({ "S": "deactivate#01" });
            item
        };
        (0..SESSIONS).map(session).collect()
    };
    let refresh = Arc::new(OnceLock::<Box<dyn Fn() + Send + Sync>>::new());
    let at_write = Arc::clone(&refresh);
    let decide = move |request: &Request| {
        if (&*request.operation, request.number) == (WRITE, 1) {
            at_write.wait()();
        }
        Fault::None
    };
    let (world, _faults) =
        World::with_faults(NO_TIMEOUT_NO_RETRY, [("DUE_SHARDS", "3")], decide).await;
    sample::store(&world, sessions(NOW - 1));
    let world = Arc::new(world);
    let table = Arc::clone(&world);
    let set = refresh.set(Box::new(move || {
        sample::store(&table, sessions(NOW + HOUR));
    }));
    assert!(set.is_ok());
    let report = world.clean_up(json!({}), NOW).await;
    assert_eq!(report["sessions_deactivated"], 0, "{report}");
    assert_eq!(report["changed_elsewhere"], SESSIONS, "{report}");
    for item in records(&world).await.into_values() {
        assert_eq!(item["is_active"].as_bool(), Ok(&true));
        assert_eq!(number(&item, "due_at"), NOW + HOUR);
    }
}

#[tokio::test]
async fn run_denied_halfway_reports_finished_work_and_reason() {
    let decide = |request: &Request| match (request.operation.as_str(), request.number) {
        (WRITE, 3) => Fault::DENIED,
        _ => Fault::None,
    };
    let scenario = FaultScenario::over(OPTIONS, NO_TIMEOUT_NO_RETRY, decide).await;
    let first = scenario.refused().await;
    let failed = first["failed"].as_i64().unwrap();
    assert!((1..=25).contains(&failed), "{first}");
    let done = sum(std::slice::from_ref(&first), "sessions_deactivated");
    assert!(done > 0, "the other batches were not executed: {first}");
    scenario.faults.end();
    let second = scenario.run(800).await;
    scenario.end(&[first, second]).await;
}

#[tokio::test]
async fn adoption_denied_halfway_is_safe_to_repeat() {
    let decide = |request: &Request| match (&*request.operation, request.number) {
        ("Scan", 2) | (WRITE, 4) => Fault::DENIED,
        _ => Fault::None,
    };
    let scenario = FaultScenario::over(SCANNING, NO_TIMEOUT_NO_RETRY, decide).await;
    let first = scenario.refused().await;
    let adopted = first["adopted"].as_u64().unwrap();
    assert!((1..scenario.expected.count("adopted")).contains(&adopted));
    scenario.faults.end();
    let second = scenario.run(800).await;
    let (FaultScenario { expected, .. }, reports) = (&scenario, [first, second]);
    expected.compare(&records(&scenario.world).await, &scenario.options);
    for name in &DONE[..4] {
        assert_eq!(sum(&reports, name), expected.count(name), "{name}");
    }
    // The first run has repaired or processed from the lists what it could not adopt.
    let put_right = sum(&reports, "adopted") + sum(&reports, "reindexed");
    assert!(put_right <= expected.count("adopted"), "{reports:#?}");
    // Four more writes: the reports, and the checkpoint of the adoption that the first run stored
    // and the second one completed.
    let done: u64 = DONE.iter().map(|name| sum(&reports, name)).sum();
    let moved = moved(&records(&scenario.world).await) as u64;
    assert_eq!(scenario.faults.writes() as u64, done + moved + 4);
}

#[tokio::test]
async fn adoption_skips_correct_records() {
    let scenario = FaultScenario::over(SCANNING, NO_TIMEOUT_NO_RETRY, |_| Fault::None).await;
    let first = scenario.run(800).await;
    let done = |report| {
        let reports = std::slice::from_ref(report);
        let counts = DONE.iter().map(|name| sum(reports, name));
        usize::try_from(counts.sum::<u64>()).unwrap()
    };
    let before = records(&scenario.world).await;
    // One more write is the report.
    let written = done(&first) + moved(&before) + 1;
    assert_eq!(scenario.faults.writes(), written);
    let second = scenario.run(800).await;
    assert_eq!(done(&second), 0, "{second}");
    assert_eq!(scenario.faults.writes(), written + 1);
    assert_eq!(records(&scenario.world).await, before);
    scenario.end(&[first, second]).await;
}

#[tokio::test]
async fn logs_report_that_cannot_be_stored_and_keeps_changes() {
    let decide = |request: &Request| match &*request.operation {
        "PutItem" => Fault::BROKEN,
        _ => Fault::None,
    };
    let scenario = FaultScenario::over(OPTIONS, NO_TIMEOUT_NO_RETRY, decide).await;
    let report = scenario.run(800).await;
    assert!(
        scenario.faults.requests()["PutItem"] > 1,
        "the report is stored again"
    );
    let items = scenario.world.items().await;
    assert!(items.iter().all(|it| it["pk"].as_s().unwrap() != "CLEANUP"));
    let log = &scenario.world.log;
    assert!(!log.about("could not store the report").is_empty());
    let ended = log.about(report["run_id"].as_str().unwrap());
    let ended = ended.iter().find(|it| it["message"] == "cleanup ended");
    let ended = ended.expect("a line with the report");
    let members = report.as_object().unwrap();
    for (name, value) in members.iter().filter(|it| !it.1.is_null()) {
        assert_eq!(&ended[name], value, "{name}");
    }
    scenario.end(&[report]).await;
}
