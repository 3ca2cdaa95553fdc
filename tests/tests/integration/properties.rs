//! Property tests of the cleanup: random tables with all kinds of records, including invalid ones.
//! Each is cleaned up in several ways and compared with the model.
//!
//! `cargo test --workspace` tries 400 tables, always the same ones. tests/README.md says how to try
//! more, and how to repeat one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use session_cleanup_tests::database::DynamoDb;
use session_cleanup_tests::model::{self, DONE, Expected, Options, Records, Revoke};
use session_cleanup_tests::{NOW, at, sample, serve_table};
use session_domain::{
    CleanupReport, ConditionalWrite, Counts, Days, DueList, Hours, ItemKey, Revocation,
    ScanCheckpoint, ScanSettings, Shard, Shards, Timestamp, Trigger, WriteOp,
};
use session_functions::clean_up::{CleanupRequest, CleanupSettings, scan_and_clean_up};
use session_functions::environment::Environment;
use session_lifecycle::dynamodb::Table;
use session_lifecycle::ports::{
    ApplyWrites, DescribeTable, DuePage, MalformedPage, Metered, Outcome, PageToken, ParsedRecord,
    ReadDueList, ReadRecords, ScanPage, ScanTable, StoreError, StoreReport, StoreScanCheckpoint,
    TableDescription,
};
use tokio::sync::Notify;
use uuid::Uuid;

/// Default number of tables, without the variable `TABLES`.
const USUAL: u64 = 400;

/// Default number of the first table, without the variable `FIRST_TABLE`.
const FIRST: u64 = 1;

/// Exclusive maximum of the number of records in a table.
const MAX_RECORDS: usize = 40;

/// Number of interrupted runs before one that completes.
const INTERRUPTIONS: usize = 2;

/// Time limit of a run that runs out of time.
const LIMIT: Duration = Duration::from_millis(300);

const ALWAYS: Duration = Duration::from_hours(1);

/// How a run is interrupted at a call to the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Interruption {
    None,
    /// The call takes longer than the run's time limit.
    TimeIsUp,
    /// The run is killed before the call.
    KilledBefore,
    /// The run is killed after the table has executed the call.
    KilledAfter,
}

/// A table that interrupts a run at a call, and counts the writes.
struct Interrupted {
    table: Table,
    interruption: Interruption,
    /// The interrupted call, and the number of calls so far.
    at: usize,
    calls: AtomicUsize,
    killed: Notify,
    written: AtomicUsize,
}

impl Interrupted {
    async fn call<T>(&self, asked: impl Future<Output = T> + Send) -> T {
        let is_met = self.calls.fetch_add(1, Ordering::SeqCst) == self.at;
        if !is_met {
            return asked.await;
        }
        match self.interruption {
            Interruption::None => asked.await,
            Interruption::TimeIsUp => {
                let answer = asked.await;
                tokio::time::sleep(LIMIT).await;
                answer
            }
            Interruption::KilledBefore => self.kill().await,
            Interruption::KilledAfter => {
                asked.await;
                self.kill().await
            }
        }
    }

    async fn kill<T>(&self) -> T {
        self.killed.notify_one();
        std::future::pending().await
    }
}

impl ReadDueList for Interrupted {
    type LastKey = <Table as ReadDueList>::LastKey;

    async fn due_page(
        &self,
        list: DueList,
        cutoff: Timestamp,
        start_after: Option<PageToken<Self::LastKey>>,
    ) -> Result<Metered<DuePage<Self::LastKey>>, StoreError> {
        self.call(self.table.due_page(list, cutoff, start_after))
            .await
    }

    async fn malformed_page(
        &self,
        shard: Shard,
        start_after: Option<PageToken<Self::LastKey>>,
    ) -> Result<Metered<MalformedPage<Self::LastKey>>, StoreError> {
        self.call(self.table.malformed_page(shard, start_after))
            .await
    }
}

impl ReadRecords for Interrupted {
    const MAX_BATCH: usize = <Table as ReadRecords>::MAX_BATCH;

    async fn read(&self, keys: &[ItemKey]) -> Result<Metered<Vec<ParsedRecord>>, StoreError> {
        self.call(self.table.read(keys)).await
    }
}

impl ApplyWrites for Interrupted {
    const MAX_BATCH: std::num::NonZeroU32 = <Table as ApplyWrites>::MAX_BATCH;

    async fn apply(
        &self,
        changes: &[ConditionalWrite],
    ) -> Result<Metered<Vec<Outcome>>, StoreError> {
        let outcomes = self.call(self.table.apply(changes)).await?;
        // Moving a malformed record is a write that no count of changes includes.
        let counts =
            |change: &ConditionalWrite| !matches!(change.op, WriteOp::MoveMalformed { .. });
        let written = changes
            .iter()
            .zip(&outcomes.value)
            .filter(|(change, outcome)| counts(change) && matches!(outcome, Outcome::Applied))
            .count();
        self.written.fetch_add(written, Ordering::SeqCst);
        Ok(outcomes)
    }
}

impl ScanTable for Interrupted {
    async fn scan_page(
        &self,
        segment: u16,
        segments: u16,
        start_after: Option<&ItemKey>,
    ) -> Result<Metered<ScanPage>, StoreError> {
        self.call(self.table.scan_page(segment, segments, start_after))
            .await
    }
}

impl DescribeTable for Interrupted {
    async fn describe(&self) -> Result<TableDescription, StoreError> {
        self.call(self.table.describe()).await
    }
}

impl StoreScanCheckpoint for Interrupted {
    async fn scan_checkpoint(
        &self,
        settings: &ScanSettings,
    ) -> Result<Option<ScanCheckpoint>, StoreError> {
        self.call(self.table.scan_checkpoint(settings)).await
    }

    async fn store_scan_checkpoint(
        &self,
        checkpoint: &ScanCheckpoint,
        ttl: Timestamp,
    ) -> Result<(), StoreError> {
        self.call(self.table.store_scan_checkpoint(checkpoint, ttl))
            .await
    }
}

impl StoreReport for Interrupted {
    async fn store(&self, report: &CleanupReport, ttl: Timestamp) -> Result<(), StoreError> {
        self.call(self.table.store(report, ttl)).await
    }
}

/// The database of the tables.
struct Store {
    dynamodb: DynamoDb,
    client: Client,
}

/// A table, and how it is cleaned up.
struct Case<'a> {
    store: &'a Store,
    name: String,
    options: Options,
}

impl Store {
    async fn start() -> Self {
        let dynamodb = serve_table().await;
        Self {
            client: dynamodb.client(),
            dynamodb,
        }
    }

    /// Creates a table with these records.
    fn table<'a>(&'a self, name: String, options: Options, records: &[Value]) -> Case<'a> {
        self.dynamodb.create_table(&name);
        self.dynamodb.import(&name, records.to_vec());
        Case {
            store: self,
            name,
            options,
        }
    }
}

/// The report of a run, and the number of records that it changed.
struct Done {
    report: CleanupReport,
    written: usize,
}

impl Case<'_> {
    async fn records(&self) -> Records {
        let items = self.store.client.scan().table_name(&self.name);
        let items = items.consistent_read(true).into_paginator().items().send();
        model::keyed(items.collect::<Result<_, _>>().await.unwrap())
    }

    async fn run(&self, dry_run: bool) -> Done {
        let run = self.interrupted_run(dry_run, Interruption::None, 0).await;
        let done = run.unwrap();
        assert!(done.report.complete);
        assert_eq!(done.report.counts.failed, 0);
        done
    }

    /// Runs the cleanup until it completes or is interrupted.
    async fn interrupted_run(
        &self,
        dry_run: bool,
        interruption: Interruption,
        at_call: usize,
    ) -> Option<Done> {
        let options = self.options;
        let shards = Shards::new(options.shards).unwrap();
        let table = Interrupted {
            table: Table::new(self.store.client.clone(), self.name.clone(), shards),
            interruption,
            at: at_call,
            calls: AtomicUsize::new(0),
            killed: Notify::new(),
            written: AtomicUsize::new(0),
        };
        let settings = CleanupSettings {
            retention: Days(options.retention_days.try_into().unwrap()),
            report_retention: Days(1),
            max_writes_per_second: None,
            shards,
        };
        let cleanup_request = CleanupRequest {
            run_id: Uuid::new_v4(),
            trigger: Trigger::Manual,
            requested_by: None,
            dry_run,
            adopt: options.adopt,
            revoke: options.revoke.map(revocation),
            sweep_grace: Hours(options.grace_hours.try_into().unwrap()),
            started_at: at(options.now),
            time_limit: if interruption == Interruption::TimeIsUp {
                LIMIT
            } else {
                ALWAYS
            },
        };
        let report = tokio::select! {
            report = scan_and_clean_up(&table, &settings, &cleanup_request) => report.unwrap(),
            () = table.killed.notified() => return None,
        };
        let written = table.written.load(Ordering::SeqCst);
        Some(Done { report, written })
    }

    /// Compares the table with the model.
    async fn is(&self, expected: &Expected) {
        expected.compare(&self.records().await, &self.options);
    }
}

impl Drop for Case<'_> {
    fn drop(&mut self) {
        self.store.dynamodb.delete_table(&self.name);
    }
}

fn revocation(revoke: Revoke) -> Revocation {
    serde_json::from_value(revoke.event()).unwrap()
}

fn done(counts: Counts) -> u64 {
    let done = counts.named().into_iter().filter(|it| DONE.contains(&it.0));
    done.map(|it| it.1).sum()
}

fn count(counts: Counts, name: &str) -> u64 {
    let found = counts.named().into_iter().find(|it| it.0 == name);
    found.unwrap().1
}

async fn check(store: Arc<Store>, number: u64) {
    let mut rng = StdRng::seed_from_u64(number);
    let options = Options {
        now: NOW,
        retention_days: [1, 30][rng.random_range(0..2)],
        grace_hours: [0, 48][rng.random_range(0..2)],
        shards: rng.random_range(1..=2),
        adopt: rng.random_ratio(1, 3),
        revoke: rng.random_ratio(1, 3).then(|| sample::revoke(&mut rng)),
    };
    let records: Vec<_> = (0..rng.random_range(0..MAX_RECORDS))
        .map(|number| sample::record(&mut rng, number, &options))
        .collect();
    let table = |kind| store.table(format!("{kind}{number}"), options, &records);

    let whole = table("whole");
    let before = whole.records().await;
    let expected = model::after(&before, &options);
    a_dry_run_equals_the_run_and_a_second_run_does_nothing(&whole, &before, &expected).await;

    let mut interrupt = |most: usize| rng.random_range(0..most);
    let split = table("split");
    a_run_split_into_short_ones_equals_one_long_one(&split, &expected, &mut interrupt).await;

    let killed = table("killed");
    a_run_that_is_killed_anywhere_loses_nothing(&killed, &expected, &mut interrupt).await;
}

async fn a_dry_run_equals_the_run_and_a_second_run_does_nothing(
    table: &Case<'_>,
    before: &Records,
    expected: &Expected,
) {
    let dry = table.run(true).await;
    assert_eq!(dry.written, 0);
    assert_eq!(&table.records().await, before, "after a dry run");
    let run = table.run(false).await;
    table.is(expected).await;
    for (name, found) in run.report.counts.named() {
        assert_eq!(found, expected.count(name), "{name} of the run");
    }
    assert_eq!(dry.report.counts, run.report.counts, "of the dry run");
    assert_eq!(run.written as u64, done(run.report.counts), "writes");

    let after = table.records().await;
    let second = table.run(false).await;
    // An adoption reads all malformed records again; the lists contain only those that cannot be
    // moved.
    let nothing = Counts {
        malformed: model::after(&after, &table.options).count("malformed"),
        ..Counts::default()
    };
    assert_eq!(second.report.counts, nothing, "of the second run");
    assert_eq!(second.written, 0);
    assert_eq!(table.records().await, after, "after the second run");
}

async fn a_run_split_into_short_ones_equals_one_long_one(
    table: &Case<'_>,
    expected: &Expected,
    draw: &mut impl FnMut(usize) -> usize,
) {
    let mut counts = Counts::default();
    for _ in 0..INTERRUPTIONS {
        let short = table.interrupted_run(false, Interruption::TimeIsUp, draw(12));
        let short = short.await.unwrap();
        assert_eq!(short.written as u64, done(short.report.counts), "writes");
        counts.add(short.report.counts);
    }
    let last = table.run(false).await;
    counts.add(last.report.counts);
    table.is(expected).await;
    for name in DONE {
        assert_eq!(count(counts, name), expected.count(name), "{name}, split");
    }
    let malformed = expected.count("malformed");
    assert!(last.report.counts.malformed <= malformed, "malformed, last");
    assert!(counts.malformed >= malformed, "malformed, split");
}

async fn a_run_that_is_killed_anywhere_loses_nothing(
    table: &Case<'_>,
    expected: &Expected,
    draw: &mut impl FnMut(usize) -> usize,
) {
    for _ in 0..INTERRUPTIONS {
        let kill = [Interruption::KilledBefore, Interruption::KilledAfter][draw(2)];
        table.interrupted_run(false, kill, draw(12)).await;
    }
    table.run(false).await;
    table.is(expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cleanup_of_any_table_matches_model_despite_interruptions() {
    let variables = Environment::from_process();
    let variable = |name, usual| variables.get(name).map_or(usual, |it| it.parse().unwrap());
    let (tables, first) = (variable("TABLES", USUAL), variable("FIRST_TABLE", FIRST));
    let store = Arc::new(Store::start().await);
    let mut checks = stream::iter(first..first + tables)
        .map(|number| {
            let check = tokio::spawn(check(Arc::clone(&store), number));
            check.map(move |done| (number, done))
        })
        .buffer_unordered(8);
    while let Some((number, done)) = checks.next().await {
        assert!(done.is_ok(), "repeat with FIRST_TABLE={number} TABLES=1");
    }
}
