//! Benchmark of the cleanup: the release binary in AWS's emulator, with the embedded DynamoDB,
//! which counts capacity as AWS does. A proxy between the two counts the requests.
//!
//! First the same sessions are due in tables of growing size, then so many that the fixed cost of a
//! run does not matter, then a million. The growth is drawn as a chart.
//!
//! Requests and capacity are the same on each machine; times are not. A missed goal is printed but
//! does not fail the benchmark.
#![allow(
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program for developers, which prints, and panics on errors"
)]

mod chart;

use std::fs;
use std::path::Path;
use std::time::Duration;

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use session_cleanup_local::dynamodb::TABLE_NAME;
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::benchmark::stats::{grouped, mebibytes};
use session_cleanup_tests::benchmark::{Measured, Metered, SHARDS, store_in_parts};
use session_cleanup_tests::cost::{Cost, ENOUGH, READ_UNITS, REQUESTS, WRITE_UNITS};
use session_cleanup_tests::{DAY, HOUR, World, sample};
use session_lifecycle::clock;

use crate::chart::Point;

/// Table sizes in live sessions.
const LIVE: [usize; 3] = [10_000, 100_000, 1_000_000];
/// Number of due sessions in each table.
const DUE: usize = 1_000;
/// Number of due sessions in the last table, next to as many live ones as in the first table.
const ALL_DUE: usize = 1_000_000;

/// Goal: maximum cost of a run in the largest table, relative to the smallest.
const GROWTH: f64 = 1.0;
/// Goal: maximum CPU time of the function per deactivation, in microseconds.
const CPU: f64 = 20.0;
/// Goal: maximum memory of the function for a million deactivations, in MiB.
const MEMORY: f64 = 64.0;

/// A cleanup run.
struct Run {
    live: usize,
    cost: Cost,
    /// Time from the event to the answer.
    time: Duration,
    /// CPU time of the function.
    cpu: Duration,
    mebibytes_at_most: f64,
}

#[tokio::main]
async fn main() {
    let (growing, enough) = measure_growth().await;
    let million = measure_million().await;
    print(&growing, &enough, &million);
}

/// Measures the same due sessions in tables of each size, and [`ENOUGH`] of them in the largest.
async fn measure_growth() -> (Vec<Run>, Run) {
    let world = World::new().await;
    let mut rng = StdRng::seed_from_u64(1);
    let (mut runs, mut points, mut stored) = (Vec::new(), Vec::new(), 0);
    for live in LIVE {
        store(&world, live - stored, "live", &mut rng);
        stored = live;
        store(&world, DUE, "due", &mut StdRng::seed_from_u64(2));
        let run = clean_up(&world, live, DUE).await;
        points.push(point(&world, &run).await);
        runs.push(run);
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/cleanup-growth.svg");
    fs::write(file, chart::draw(&points, DUE)).expect("the chart can be written");
    store(&world, ENOUGH, "due", &mut StdRng::seed_from_u64(3));
    let enough = clean_up(&world, stored, ENOUGH).await;
    (runs, enough)
}

async fn measure_million() -> Run {
    let world = World::new().await;
    let mut rng = StdRng::seed_from_u64(4);
    store(&world, LIVE[0], "live", &mut rng);
    store(&world, ALL_DUE, "due", &mut rng);
    clean_up(&world, LIVE[0], ALL_DUE).await
}

/// Stores active sessions, which are due or stay live until the benchmark has ended.
fn store(world: &World, count: usize, what: &str, rng: &mut StdRng) {
    let started = clock::now();
    let now = started.timestamp();
    let ends = match what {
        "live" => now + 6 * HOUR..now + 30 * DAY,
        _ => now - HOUR..now,
    };
    let end = |rng: &mut StdRng| rng.random_range(ends.clone());
    store_in_parts(world, count, |some| {
        sample::active_sessions(rng, some, SHARDS, end)
    });
    let seconds = (clock::now() - started).num_seconds();
    println!("{} {what} sessions stored in {seconds} s", grouped(count));
}

/// Invokes the cleanup once, without a rate limit.
async fn clean_up(world: &World, live: usize, due: usize) -> Run {
    let variables = [
        ("AWS_LAMBDA_FUNCTION_TIMEOUT", "900"),
        ("MAX_WRITES_PER_SECOND", "0"),
    ];
    // This first run only stores its report.
    let first = json!({ "max_seconds": 0 });
    let (metered, report) = Metered::start(world, FunctionName::Cleanup, &variables, &first).await;
    assert_eq!(report["sessions_deactivated"], 0, "{report}");
    let before = metered.total();
    let report = metered.emulator.invoke(&json!({})).await.expect("a report");
    let Measured { usage, cpu } = metered.since(&before);
    assert_eq!(report["sessions_deactivated"], due, "{report}");
    assert_eq!(report["complete"], true, "{report}");
    let mebibytes_at_most = mebibytes(metered.stop().await);
    Run {
        live,
        cost: Cost {
            usage,
            deactivated: due as u64,
        },
        time: Duration::from_millis(report["duration_ms"].as_u64().expect("a number")),
        cpu,
        mebibytes_at_most,
    }
}

/// The cost of a run, and of one that would find the same sessions by scanning the table, which is
/// computed from the cost of scanning a part of it.
async fn point(world: &World, run: &Run) -> Point {
    const PART: usize = 1_000;
    /// Maximum size of a page of a scan. Half a unit reads 4 KB.
    const PAGE: f64 = 1_048_576.0;
    const HALF_A_UNIT: f64 = 4_096.0;
    let part = world
        .client
        .scan()
        .table_name(TABLE_NAME)
        .limit(i32::try_from(PART).expect("a small number"))
        .return_consumed_capacity(ReturnConsumedCapacity::Total)
        .send()
        .await
        .expect("the table responds");
    let capacity = part.consumed_capacity.expect("the requested capacity");
    let units = capacity.capacity_units.expect("units") * run.live as f64 / PART as f64;
    let pages = (units * 2.0 * HALF_A_UNIT / PAGE).ceil();
    let writes = &run.cost.usage["BatchExecuteStatement"];
    Point {
        live: run.live as f64,
        requests: run.cost.requests() as f64,
        units: run.cost.units(),
        requests_with_scan: pages + writes.requests as f64,
        units_with_scan: units + writes.units,
    }
}

fn print(growing: &[Run], enough: &Run, million: &Run) {
    println!(
        "\n{:>10}{:>11}  {:>9}{:>12}{:>13}{:>8}{:>14}{:>11}{:>9}",
        "live",
        "due",
        "requests",
        "read units",
        "write units",
        "report",
        "CPU, µs each",
        "time, s",
        "MiB"
    );
    for run in growing.iter().chain([enough, million]) {
        let cost = &run.cost;
        println!(
            "{:>10}{:>11}  {:>9}{:>12.1}{:>13.1}{:>8.1}{:>14.1}{:>11.2}{:>9.1}",
            grouped(run.live),
            grouped(usize::try_from(cost.deactivated).expect("a small number")),
            grouped(cost.requests()),
            cost.units_of("Query"),
            cost.units_of("BatchExecuteStatement"),
            cost.units_of("PutItem"),
            cpu_each(run),
            run.time.as_secs_f64(),
            run.mebibytes_at_most,
        );
    }
    println!("\nrequests by operation, {} due", grouped(ALL_DUE));
    for (operation, usage) in &million.cost.usage {
        println!(
            "  {operation:<24}{:>9}  {:>12.1} units",
            grouped(usage.requests),
            usage.units
        );
    }

    let (first, last) = (&growing[0].cost, &growing[growing.len() - 1].cost);
    let requests = last.requests() as f64 / first.requests() as f64;
    let runs = || growing.iter().chain([enough, million]);
    let figures = [
        (
            "write units for a deactivation",
            most(runs().map(|it| it.cost.write_units_each())),
            WRITE_UNITS,
        ),
        (
            "read units for 1,000 of them, 5,000 due",
            enough.cost.read_units_per_thousand(),
            READ_UNITS,
        ),
        (
            "read units for 1,000 of them, 1,000,000 due",
            million.cost.read_units_per_thousand(),
            READ_UNITS,
        ),
        (
            "requests for 1,000 of them, 5,000 due",
            enough.cost.requests_per_thousand(),
            REQUESTS,
        ),
        (
            "requests for 1,000 of them, 1,000,000 due",
            million.cost.requests_per_thousand(),
            REQUESTS,
        ),
        (
            "growth of the units from 10,000 to 1,000,000 live, ×",
            last.units() / first.units(),
            GROWTH,
        ),
        ("growth of the requests likewise, ×", requests, GROWTH),
        (
            "CPU of the function for each of a million, µs",
            cpu_each(million),
            CPU,
        ),
        (
            "most resident memory, MiB",
            most(runs().map(|it| it.mebibytes_at_most)),
            MEMORY,
        ),
    ];
    println!("\n{:<56}{:>8}{:>8}", "", "", "goal");
    let mut missed = 0;
    for (name, value, goal) in figures {
        // Compares the printed precision.
        let is_missed = (value * 100.0).round() > goal * 100.0;
        missed += usize::from(is_missed);
        println!(
            "{name:<56}{value:>8.2}{goal:>8.2}{}",
            if is_missed { "  MISSED" } else { "" }
        );
    }
    println!("\n{missed} figures miss their goal");
}

fn cpu_each(run: &Run) -> f64 {
    run.cpu.as_secs_f64() * 1e6 / run.cost.deactivated as f64
}

fn most(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}
