//! Benchmark of malformed records: the release binary of the cleanup in AWS's emulator, with the
//! embedded DynamoDB and the default rate limit.
//!
//! The same sessions are due twice: alone, and behind five times as many malformed records. The
//! second cleanup gets 1.2 times the time of the first and must deactivate all of them. Later runs
//! move the malformed records off the lists. The last run must cost as much as one without them.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program for developers, which prints, and panics on errors"
)]

use serde_json::{Value, json};
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::benchmark::stats::grouped;
use session_cleanup_tests::emulator::Emulator;
use session_cleanup_tests::{DAY, HOUR, World, active_session, benchmark, sample};
use session_lifecycle::clock;

const DUE: usize = 20_000;
const MALFORMED: usize = 100_000;

/// Maximum time behind malformed records, relative to the time without them.
const MOST: f64 = 1.2;

#[tokio::main]
async fn main() {
    let alone = World::new().await;
    store(&alone, "due", DUE);
    let emulator = start(&alone).await;
    let whole = run(&emulator, &json!({})).await;
    assert_eq!(whole["sessions_deactivated"], DUE, "{whole}");
    let idle = run(&emulator, &json!({})).await;

    let world = World::new().await;
    store(&world, "malformed", MALFORMED);
    store(&world, "due", DUE);
    let emulator = start(&world).await;
    let milliseconds = whole["duration_ms"].as_f64().expect("a number");
    let seconds = (milliseconds * MOST / 1000.0).ceil();
    let behind = run(&emulator, &json!({ "max_seconds": whole_number(seconds) })).await;
    let settled = &behind["sessions_deactivated"];
    println!("deactivated within {seconds} s, behind malformed records: {settled} of {DUE}");

    let mut moving = run(&emulator, &json!({})).await;
    while moving["complete"] == false {
        moving = run(&emulator, &json!({})).await;
    }
    let last = run(&emulator, &json!({})).await;
    let units = |report: &Value| report["capacity_units"].clone();
    println!("units of a run with nothing to do: {}", units(&idle));
    println!(
        "units of a run after the malformed records were moved: {}",
        units(&last)
    );
    assert_eq!(*settled, DUE, "malformed records delay the run");
    assert_eq!(
        units(&last),
        units(&idle),
        "moved records still cost something"
    );
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number is small and not negative"
)]
const fn whole_number(seconds: f64) -> u64 {
    seconds as u64
}

async fn start(world: &World) -> Emulator {
    let variables = [("AWS_LAMBDA_FUNCTION_TIMEOUT", "900")];
    let first = json!({ "max_seconds": 0 });
    let (emulator, _) = benchmark::start(world, FunctionName::Cleanup, variables, &first).await;
    emulator
}

async fn run(emulator: &Emulator, event: &Value) -> Value {
    let report = emulator.invoke(event).await.expect("a report");
    println!(
        "{event}: {} ms, {} deactivated, {} malformed, {} units",
        report["duration_ms"],
        report["sessions_deactivated"],
        report["malformed"],
        report["capacity_units"]
    );
    report
}

/// Stores expired sessions. The malformed ones are due first.
fn store(world: &World, what: &str, count: usize) {
    let now = clock::now().timestamp();
    let sessions = (0..count).map(|number| {
        let is_malformed = what == "malformed";
        let end = now - if is_malformed { DAY } else { HOUR };
        let mut item = active_session(&format!("{what}{number}"), "s", end);
        item["due_key"] =
            json!({ "S": format!("deactivate#{:02}", number % usize::from(benchmark::SHARDS)) });
        if is_malformed {
            item["is_active"] = json!({ "N": "1" });
        }
        item
    });
    sample::store(world, sessions.collect());
    println!("{} {what} sessions stored", grouped(count));
}
