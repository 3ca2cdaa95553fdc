//! Benchmark of the revocation of a million sessions in one invocation: the binary of the cleanup in AWS's
//! emulator, with the embedded DynamoDB, which counts capacity as AWS does. A proxy between the two counts the
//! requests.
//!
//! Requests and capacity are the same on each machine; times are not. A missed goal is printed but does not
//! fail the benchmark.
#![allow(
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program for developers, which prints, and panics on errors"
)]

use std::path::Path;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use session_cleanup_local::dynamodb::{self, TABLE_NAME};
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::benchmark::stats::{grouped, mebibytes};
use session_cleanup_tests::benchmark::{Measured, Metered, SHARDS, store_in_parts};
use session_cleanup_tests::cost::{Cost, WRITE_UNITS};
use session_cleanup_tests::database::DynamoDb;
use session_cleanup_tests::{DAY, HOUR, World, sample, serve};
use session_lifecycle::clock;

/// Sessions that began before the time of the revocation.
const OLD: usize = 1_000_000;
/// Sessions that began later.
const NEW: usize = 10_000;

/// Goal: maximum memory of the function, in MiB.
const MEMORY: f64 = 64.0;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let file = folder.path().join("table.sqlite");
    let database = dynamodb::open(Some(&file)).expect("a database");
    let world = World::over(serve(database).await, [], DynamoDb::client).await;
    let now = clock::now().timestamp();
    let mut rng = StdRng::seed_from_u64(1);
    store(&world, OLD, &mut rng, now - 2 * HOUR);
    store(&world, NEW, &mut rng, now - HOUR);
    index_segments(&file);
    println!("{} sessions stored", grouped(OLD + NEW));
    let revoke = json!({ "created_before": now - HOUR, "reason": "a benchmark" });

    let variables = [
        ("AWS_LAMBDA_FUNCTION_TIMEOUT", "900"),
        ("MAX_WRITES_PER_SECOND", "0"),
    ];
    // This first run only stores its report.
    let first = json!({ "max_seconds": 0 });
    let (metered, _) = Metered::start(&world, FunctionName::Cleanup, &variables, &first).await;
    for (event, revoked) in [
        (json!({ "revoke": revoke, "dry_run": true }), OLD),
        (json!({ "revoke": revoke }), OLD),
        (json!({ "revoke": revoke }), 0),
    ] {
        let before = metered.total();
        let report = metered.emulator.invoke(&event).await.expect("a report");
        assert_eq!(report["sessions_revoked"], revoked, "{report}");
        assert_eq!(report["complete"], true, "{report}");
        print(&event, &report, metered.since(&before));
    }
    let most = mebibytes(metered.stop().await);
    println!("most resident memory: {most:.1} MiB, goal {MEMORY:.1}");
}

/// Adds an index to the embedded DynamoDB, whose parallel scan sorts the whole table for each page without it.
fn index_segments(file: &Path) {
    let connection = rusqlite::Connection::open(file).expect("the database");
    connection
        .busy_timeout(Duration::from_mins(1))
        .expect("a timeout");
    let statement =
        format!("CREATE INDEX segments ON \"{TABLE_NAME}\" (hash_prefix, pk, sk); ANALYZE;");
    connection.execute_batch(&statement).expect("an index");
}

/// Stores live sessions that began at `created_at`.
fn store(world: &World, count: usize, rng: &mut StdRng, created_at: i64) {
    let ends = created_at + 8 * HOUR..created_at + 30 * DAY;
    store_in_parts(world, count, |some| {
        let mut sessions =
            sample::active_sessions(rng, some, SHARDS, |rng| rng.random_range(ends.clone()));
        for session in &mut sessions {
            session["created_at"] = json!({ "N": created_at.to_string() });
        }
        sessions
    });
}

fn print(event: &Value, report: &Value, measured: Measured) {
    let Measured { usage, cpu } = measured;
    let time = Duration::from_millis(report["duration_ms"].as_u64().expect("a number"));
    let cost = Cost {
        usage,
        deactivated: OLD as u64,
    };
    println!("\n{event}");
    println!(
        "  {} revoked in {} s",
        report["sessions_revoked"],
        time.as_secs()
    );
    for (operation, usage) in &cost.usage {
        let (requests, units) = (grouped(usage.requests), usage.units);
        println!("  {operation:<24}{requests:>9}  {units:>12.1} units");
    }
    let written = cost.write_units_each();
    println!("  write units each: {written:.2}, goal {WRITE_UNITS:.2}");
    let each = cpu.as_secs_f64() * 1e6 / OLD as f64;
    println!("  CPU of the function each: {each:.1} µs");
}
