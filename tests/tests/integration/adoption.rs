//! Adoption in several runs: a run continues where the one before it stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::database::needs_embedded;
use session_cleanup_tests::fault_proxy::{Fault, FaultProxy, NO_TIMEOUT_NO_RETRY, Request};
use session_cleanup_tests::{
    DAY, HOUR, Item, NOW, World, active_session, at, counts, number, only, sample, text,
};
use session_domain::{Days, ScanCheckpoint, ScanSettings, SegmentProgress, Shards, Timestamp};
use session_lifecycle::dynamodb::Table;
use session_lifecycle::ports::StoreScanCheckpoint as _;

const RECORDS: usize = 3_000;

/// Live sessions of about 300 bytes without the index attributes.
fn sessions_to_adopt(records: usize) -> Vec<Value> {
    let session = |number: usize| {
        let user = format!("u{number}");
        let mut item = active_session(&user, "s", NOW + HOUR);
        for name in ["due_key", "due_at", "ttl"] {
            item.as_object_mut().unwrap().remove(name);
        }
        item["user_agent"] = json!({ "S": "x".repeat(100) });
        item
    };
    (0..records).map(session).collect()
}

/// A world whose table rejects scans after a run has read this number of pages. Each run thus reads
/// the same part of the table on any machine.
async fn world_with_runs_of(pages: usize, records: usize) -> (World, FaultProxy, Arc<AtomicUsize>) {
    let left = Arc::new(AtomicUsize::new(pages));
    let of_a_run = Arc::clone(&left);
    let fault = move |request: &Request| {
        let take = |left: usize| left.checked_sub(1);
        let may_scan = || of_a_run.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
        if request.operation == "Scan" && may_scan().is_err() {
            Fault::DENIED
        } else {
            Fault::None
        }
    };
    let (world, faults) =
        World::with_faults(NO_TIMEOUT_NO_RETRY, [("MAX_WRITES_PER_SECOND", "0")], fault).await;
    sample::store(&world, sessions_to_adopt(records));
    (world, faults, left)
}

/// Runs the cleanup. Returns the number of adopted records and the progress of the adoption.
async fn run(world: &World, event: &Value, now: i64) -> (u64, u64) {
    let run = world
        .functions
        .invoke(FunctionName::Cleanup, event, at(now));
    let report = match run.await {
        Ok(report) => report,
        // A failed run stores its report, too.
        Err(error) => {
            assert!(error.to_string().contains("AccessDenied"), "{error}");
            let started_at = at(now).to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
            let mut items = world.items().await;
            items.retain(|it| text(it, "sk").starts_with(&format!("RUN#{started_at}")));
            json!({
                "adopted": number(&items[0], "adopted"),
                "adoption_percent": number(&items[0], "adoption_percent"),
            })
        }
    };
    let number = |name: &str| report[name].as_u64().expect("a number");
    (number("adopted"), number("adoption_percent"))
}

/// Runs the cleanup with this number of pages per run until the adoption is complete. Returns the
/// results of all runs.
async fn adopt_in_parts(world: &World, left: &AtomicUsize, pages: usize) -> Vec<(u64, u64)> {
    let mut runs = Vec::new();
    let mut now = NOW;
    while runs.last().is_none_or(|(_, percent)| *percent != 100) {
        left.store(pages, Ordering::SeqCst);
        runs.push(run(world, &json!({ "adopt": true }), now).await);
        now += 1;
        assert!(runs.len() < 100, "no progress: {runs:?}");
    }
    runs
}

fn units(faults: &FaultProxy) -> f64 {
    faults.usage().values().map(|it| it.units).sum()
}

#[tokio::test]
async fn adoption_in_parts_costs_as_much_as_in_one_run() {
    if needs_embedded(
        "adoption_in_parts_costs_as_much_as_in_one_run",
        "other databases count units differently",
    ) {
        return;
    }
    let (world, faults, left) = world_with_runs_of(usize::MAX, RECORDS).await;
    let whole = adopt_in_parts(&world, &left, usize::MAX).await;
    assert_eq!(whole, [(RECORDS as u64, 100)]);
    let whole = units(&faults);

    let (world, faults, left) = world_with_runs_of(1, RECORDS).await;
    let runs = adopt_in_parts(&world, &left, 1).await;
    assert!(runs.len() >= 10, "{}", runs.len());
    let adopted: u64 = runs.iter().map(|(adopted, _)| adopted).sum();
    assert_eq!(adopted, RECORDS as u64);
    let percent: Vec<_> = runs.iter().map(|(_, percent)| percent).collect();
    assert!(percent.is_sorted(), "{percent:?}");
    assert!(*percent[0] < 20, "{percent:?}");
    let parts = units(&faults);
    assert!(
        parts <= 1.1 * whole,
        "{parts} units in parts, {whole} whole"
    );
}

#[tokio::test]
async fn adoption_after_finished_one_starts_anew() {
    let (world, _faults, left) = world_with_runs_of(usize::MAX, 10).await;
    adopt_in_parts(&world, &left, usize::MAX).await;
    for item in sessions_to_adopt(20) {
        world.put(item).await;
    }
    let runs = adopt_in_parts(&world, &left, usize::MAX).await;
    assert_eq!(runs, [(20, 100)]);
}

/// The adoption's checkpoint in the table.
async fn checkpoint(world: &World) -> Item {
    let checkpoint = world.item("CLEANUP", "ADOPTION").await;
    checkpoint.expect("a checkpoint")
}

/// Number of pages that a run reads after an earlier run has read two.
async fn pages_after_two(event: Value, now: i64, change: impl AsyncFnOnce(&World)) -> usize {
    let (world, faults, left) = world_with_runs_of(2, 1_500).await;
    run(&world, &json!({ "adopt": true }), NOW).await;
    change(&world).await;
    left.store(usize::MAX, Ordering::SeqCst);
    let passed = || {
        let record = faults.record();
        let scans = record.iter().filter(|it| it.request.operation == "Scan");
        scans.filter(|it| !it.failed).count()
    };
    let before = passed();
    assert_eq!(before, 2);
    run(&world, &event, now).await;
    passed() - before
}

const NOTHING: fn(&World) -> std::future::Ready<()> = |_| std::future::ready(());

#[tokio::test]
async fn checkpoint_is_valid_for_one_day() {
    let adopt = json!({ "adopt": true });
    let whole = pages_after_two(adopt.clone(), NOW + 2 * DAY, NOTHING).await;
    let rest = pages_after_two(adopt, NOW + HOUR, NOTHING).await;
    assert_eq!(rest + 2, whole);
}

#[tokio::test]
async fn dry_run_stores_and_uses_no_checkpoint() {
    let adopt = json!({ "adopt": true });
    let whole = pages_after_two(adopt, NOW + 2 * DAY, NOTHING).await;
    let dry = json!({ "adopt": true, "dry_run": true });
    let pages = pages_after_two(dry, NOW + HOUR, async |world: &World| {
        let checkpoint = checkpoint(world).await;
        assert_eq!(text(&checkpoint, "sk"), "ADOPTION");
        assert!(number(&checkpoint, "ttl") >= NOW + DAY);
    });
    assert_eq!(pages.await, whole, "reads the whole table");
}

#[tokio::test]
async fn ignores_malformed_checkpoint() {
    let adopt = json!({ "adopt": true });
    let whole = pages_after_two(adopt.clone(), NOW + 2 * DAY, NOTHING).await;
    let pages = pages_after_two(adopt, NOW + HOUR, async |world: &World| {
        let mut checkpoint = checkpoint(world).await;
        checkpoint.insert("segments".to_owned(), AttributeValue::S("all".to_owned()));
        let put = world.client.put_item().table_name(world.table_name());
        put.set_item(Some(checkpoint)).send().await.unwrap();
    });
    assert_eq!(pages.await, whole);
}

/// A checkpoint that cannot be read is not overwritten.
#[tokio::test]
async fn fails_if_checkpoint_is_unreachable() {
    let broken = |request: &Request| match &*request.operation {
        "GetItem" => Fault::BROKEN,
        _ => Fault::None,
    };
    let (world, faults) = World::with_faults(NO_TIMEOUT_NO_RETRY, [], broken).await;
    sample::store(&world, sessions_to_adopt(30));
    let event = json!({ "adopt": true });
    let run = world
        .functions
        .invoke(FunctionName::Cleanup, &event, at(NOW));
    let error = run.await.unwrap_err().to_string();
    assert!(error.contains("checkpoint of a scan"), "{error}");
    assert_eq!(faults.requests()["GetItem"], 3);
    assert!(!faults.requests().contains_key("Scan"));
    assert_eq!(world.item("CLEANUP", "ADOPTION").await, None);
}

/// A malformed record in the part already read is repaired before the adoption continues.
#[tokio::test]
async fn adopts_record_repaired_behind_checkpoint() {
    let world = World::new().await;
    let mut repaired = active_session("ann", "s", NOW - HOUR);
    repaired["due_key"] = json!({ "S": "malformed#07" });
    world.put(repaired).await;
    let settings = ScanSettings {
        shards: Shards::default(),
        retention: Days(30),
        adopt: true,
        revoke: None,
    };
    // All segments have been read except the empty ones.
    let mut checkpoint = ScanCheckpoint::start(4, settings, Timestamp::from_seconds(NOW));
    for (segment, at) in (0..4).zip(&mut checkpoint.segments) {
        let scan = world.client.scan().table_name(world.table_name());
        let scan = scan.segment(segment).total_segments(4).send().await;
        if scan.unwrap().count > 0 {
            *at = SegmentProgress::Done;
        }
    }
    assert!(!checkpoint.is_done());
    let table = Table::new(world.client.clone(), world.table_name(), Shards::default());
    let ttl = checkpoint.valid_until();
    table.store_scan_checkpoint(&checkpoint, ttl).await.unwrap();

    let report = world.clean_up(json!({ "adopt": true }), NOW + 1).await;
    let expected = only([("adopted", 1), ("sessions_deactivated", 1)]);
    assert_eq!(counts(&report), expected);
}

/// A run whose scan stops after one page still adopts every repaired record.
#[tokio::test]
async fn adopts_repaired_records_before_its_scan() {
    let (world, _faults, _left) = world_with_runs_of(1, 3_000).await;
    for number in 0..8 {
        let mut repaired = active_session("ann", &format!("s{number}"), NOW + HOUR);
        repaired["due_key"] = json!({ "S": "malformed#07" });
        world.put(repaired).await;
    }
    run(&world, &json!({ "adopt": true }), NOW).await;
    for number in 0..8 {
        let item = world.item("USER#ann", &format!("SESSION#s{number}")).await;
        assert_eq!(text(&item.unwrap(), "due_key"), "deactivate#07");
    }
}

/// The size of the table only serves to report progress.
#[tokio::test]
async fn adopts_if_reading_size_and_checkpoint_is_denied() {
    let denied = |request: &Request| match &*request.operation {
        "DescribeTable" | "GetItem" => Fault::DENIED,
        _ => Fault::None,
    };
    let (world, _faults) = World::with_faults(NO_TIMEOUT_NO_RETRY, [], denied).await;
    sample::store(&world, sessions_to_adopt(30));
    let report = world.clean_up(json!({ "adopt": true }), NOW).await;
    assert_eq!(counts(&report), only([("adopted", 30)]));
    assert_eq!(report["complete"], true);
    assert_eq!(report["adoption_percent"], Value::Null);
}
