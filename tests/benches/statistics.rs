//! Benchmark of the statistics: the release binary in AWS's emulator, with the embedded DynamoDB,
//! which counts capacity as AWS does, in tables of up to a million sessions.
//!
//! Requests and capacity are the same on each machine; times are not. A missed goal is printed but
//! does not fail the benchmark.
#![allow(
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program for developers, which prints, and panics on errors"
)]

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::benchmark::stats::{grouped, mebibytes, quartiles};
use session_cleanup_tests::benchmark::{Measured, Metered, SHARDS, store_in_parts};
use session_cleanup_tests::events::event;
use session_cleanup_tests::{DAY, HOUR, World, sample};
use session_lifecycle::clock;
use session_lifecycle::clock::Stopwatch;

/// Table sizes in sessions.
const SESSIONS: [usize; 3] = [10_000, 100_000, 1_000_000];
/// Numbers of live and of expired sessions of each 20; the others are inactive.
const LIVE: usize = 13;
const EXPIRED: usize = 1;
const OF: usize = 20;
/// Number of counts of each table. The minimum is printed with the median, because other processes
/// may use the machine.
const TIMES: usize = 9;

/// Time after which the function does not return an earlier count again.
const KEPT_FOR: Duration = Duration::from_secs(6);

/// Goal: maximum time of an answer.
const SECONDS: f64 = 2.0;
/// Goal: maximum memory of the function, in MiB.
const MEMORY: f64 = 16.0;

/// The answers for one table.
struct Counted {
    sessions: usize,
    requests: usize,
    units: f64,
    /// Minimum and median.
    seconds: [f64; 2],
    cpu: Duration,
    mebibytes_at_most: f64,
}

#[tokio::main]
async fn main() {
    let world = World::new().await;
    let mut rng = StdRng::seed_from_u64(1);
    let (mut all, mut stored) = (Vec::new(), 0);
    for sessions in SESSIONS {
        store_in_parts(&world, sessions - stored, |some| items(some, &mut rng));
        stored = sessions;
        all.push(count(&world, sessions).await);
    }
    print(&all);
}

/// Sessions in all states. The live ones expire after the benchmark has ended.
fn items(count: usize, rng: &mut StdRng) -> Vec<Value> {
    let now = clock::now().timestamp();
    let (live, expired) = (count * LIVE / OF, count * EXPIRED / OF);
    let mut ends = |count, ends: std::ops::Range<i64>| {
        let end = |rng: &mut StdRng| rng.random_range(ends.clone());
        sample::active_sessions(rng, count, SHARDS, end)
    };
    let mut items = ends(live, now + 6 * HOUR..now + 30 * DAY);
    items.extend(ends(expired, now - HOUR..now));
    let closed = ends(count - live - expired, now..now + 30 * DAY);
    items.extend(closed.into_iter().map(|mut item| {
        let shard = item["due_key"]["S"]
            .as_str()
            .and_then(|it| it.split_once('#'));
        let (_, shard) = shard.expect("a list has a shard");
        item["due_key"] = json!({ "S": format!("delete#{shard}") });
        item["is_active"] = json!({ "BOOL": false });
        item["deactivation_reason"] = json!({ "S": "logout" });
        item
    }));
    items
}

/// Requests the statistics several times.
async fn count(world: &World, sessions: usize) -> Counted {
    let question = event(FunctionName::Stats, "stats");
    let (metered, answer) = Metered::start(world, FunctionName::Stats, &[], &question).await;
    check(&answer, sessions);
    let before = metered.total();
    let mut seconds = Vec::new();
    for _ in 0..TIMES {
        tokio::time::sleep(KEPT_FOR).await;
        let timer = Stopwatch::start();
        let answer = metered.emulator.invoke(&question).await;
        check(&answer.expect("an answer"), sessions);
        seconds.push(timer.elapsed().as_secs_f64());
    }
    let Measured { usage, cpu } = metered.since(&before);
    let requests: usize = usage.values().map(|it| it.requests).sum();
    let units: f64 = usage.values().map(|it| it.units).sum();
    let mebibytes_at_most = mebibytes(metered.stop().await);
    let least = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    Counted {
        sessions,
        requests: requests / TIMES,
        units: units / TIMES as f64,
        seconds: [least, quartiles(seconds)[1]],
        cpu: cpu / u32::try_from(TIMES).expect("a small number"),
        mebibytes_at_most,
    }
}

/// Asserts that an answer counts the sessions that were stored.
fn check(answer: &Value, sessions: usize) {
    let body: Value =
        serde_json::from_str(answer["body"].as_str().expect("a body")).expect("the body is JSON");
    let data = &body["data"];
    assert_eq!(data["total_sessions"], sessions, "{body}");
    assert_eq!(data["expired_sessions"], sessions * EXPIRED / OF, "{body}");
    let active = sessions * (LIVE + EXPIRED) / OF;
    assert_eq!(data["active_sessions"], active, "{body}");
}

fn print(all: &[Counted]) {
    println!(
        "{:>10}{:>10}{:>12}{:>10}{:>12}{:>10}{:>8}",
        "sessions", "requests", "read units", "least, s", "median, s", "CPU, ms", "MiB"
    );
    for it in all {
        println!(
            "{:>10}{:>10}{:>12.1}{:>10.3}{:>12.3}{:>10.1}{:>8.1}",
            grouped(it.sessions),
            grouped(it.requests),
            it.units,
            it.seconds[0],
            it.seconds[1],
            it.cpu.as_secs_f64() * 1e3,
            it.mebibytes_at_most,
        );
    }
    let last = &all[all.len() - 1];
    let memory = all.iter().map(|it| it.mebibytes_at_most);
    println!("\n{:<44}{:>8}{:>8}", "", "", "goal");
    for (name, value, goal) in [
        (
            "seconds for a million sessions, the median",
            last.seconds[1],
            SECONDS,
        ),
        (
            "most resident memory, MiB",
            memory.fold(0.0, f64::max),
            MEMORY,
        ),
    ] {
        let missed = if value > goal { "  MISSED" } else { "" };
        println!("{name:<44}{value:>8.2}{goal:>8.2}{missed}");
    }
}
