//! Benchmark of conditional updates, single and in PartiQL batches of several sizes: the cleanup's
//! own statements with the embedded DynamoDB, and eight concurrent requests, as in a run.
//!
//! The client runs on its own thread, whose CPU time counts. Most of the elapsed time is that of
//! the embedded DynamoDB on the same machine. With a network, each request would take longer.
#![allow(
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program for developers, which prints, and panics on errors"
)]

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure,
};
use futures_util::stream::{self, StreamExt as _};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::Value;
use session_cleanup_local::dynamodb::{TABLE_NAME, client};
use session_cleanup_tests::benchmark::SHARDS;
use session_cleanup_tests::benchmark::stats::{grouped, quartiles, rotated};
use session_cleanup_tests::process::cpu_of_this_thread;
use session_cleanup_tests::{DAY, HOUR, NOW, World, sample};
use session_domain::{
    Action, ConditionalWrite, Days, DueList, ItemKey, RecordKey, RetentionPolicy, Shard, Shards,
    Timestamp, WriteOp,
};
use session_lifecycle::dynamodb::Table;
use session_lifecycle::ports::{ApplyWrites as _, Outcome};

/// Number of sessions that are deactivated in each round.
const SESSIONS: usize = 5_000;
/// Number of rounds of each method.
const ROUNDS: usize = 12;
/// Number of concurrent requests.
const AT_ONCE: usize = 8;

/// How sessions are deactivated.
#[derive(Clone, Copy)]
enum Way {
    /// An `UpdateItem` per session.
    Single,
    /// A `BatchExecuteStatement` for this number of sessions.
    Batches(usize),
}

const WAYS: [(&str, Way); 4] = [
    ("UpdateItem", Way::Single),
    ("batches of 1", Way::Batches(1)),
    ("batches of 5", Way::Batches(5)),
    ("batches of 25", Way::Batches(25)),
];

/// The cost of deactivating all sessions once.
struct Taken {
    requests: usize,
    units: f64,
    cpu: Duration,
    time: Duration,
}

#[tokio::main]
async fn main() {
    let world = World::new().await;
    let address = world.dynamodb.address();
    let mut taken = WAYS.map(|_| Vec::new());
    for round in 0..ROUNDS {
        for index in rotated(round, WAYS.len()) {
            let items = due_sessions();
            let changes: Vec<_> = items.iter().map(change).collect();
            sample::store(&world, items);
            let way = WAYS[index].1;
            let client = thread::spawn(move || deactivate(address, way, &changes));
            // The waiting thread must not be one that serves the table.
            let waiting = tokio::task::spawn_blocking(|| client.join());
            let result = waiting.await.expect("the thread does not panic");
            taken[index].push(result.expect("all sessions are deactivated"));
        }
    }
    print(&taken);
}

/// The same active sessions in each round.
fn due_sessions() -> Vec<Value> {
    let mut rng = StdRng::seed_from_u64(5);
    sample::active_sessions(&mut rng, SESSIONS, SHARDS, |_| NOW - HOUR)
}

fn text<'a>(item: &'a Value, name: &str) -> &'a str {
    item[name]["S"].as_str().expect("text")
}

/// The cleanup's write for a session.
fn change(item: &Value) -> ConditionalWrite {
    let key = RecordKey::parse(ItemKey {
        partition: text(item, "pk").to_owned(),
        sort: text(item, "sk").to_owned(),
    });
    let list = DueList {
        action: Action::Deactivate,
        shard: shard(text(item, "due_key")),
    };
    let policy = RetentionPolicy::without_grace(Days(30));
    let now = Timestamp::from_seconds(NOW);
    ConditionalWrite::for_due_entry(key.expect("a session's key"), list, &policy, now)
}

fn shard(list: &str) -> Shard {
    let number = list.strip_prefix("deactivate#").map(str::parse);
    let number: usize = number.expect("a list").expect("a number");
    Shards::default().all().nth(number).expect("a shard")
}

/// Deactivates all sessions on this thread.
fn deactivate(address: SocketAddr, way: Way, changes: &[ConditionalWrite]) -> Taken {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let client = client(address);
    let table = Table::new(client.clone(), TABLE_NAME, Shards::default());
    // Creates the client and its first connection before the measurement.
    runtime
        .block_on(client.describe_table().table_name(TABLE_NAME).send())
        .expect("the table responds");
    let cpu = cpu_of_this_thread();
    #[expect(clippy::disallowed_methods, reason = "real time is measured")]
    let started = Instant::now();
    let (requests, units) = runtime.block_on(async {
        match way {
            Way::Single => {
                let answers = stream::iter(changes)
                    .map(|change| update(&client, change))
                    .buffer_unordered(AT_ONCE);
                answers.fold((0, 0.0), add).await
            }
            Way::Batches(size) => {
                let answers = stream::iter(changes.chunks(size))
                    .map(|changes| execute(&table, changes))
                    .buffer_unordered(AT_ONCE);
                answers.fold((0, 0.0), add).await
            }
        }
    });
    Taken {
        requests,
        units,
        cpu: cpu_of_this_thread().saturating_sub(cpu),
        time: started.elapsed(),
    }
}

async fn add((requests, units): (usize, f64), more: f64) -> (usize, f64) {
    (requests + 1, units + more)
}

/// Deactivates one session with the conditions of the cleanup's statement. Returns the capacity
/// units.
async fn update(client: &Client, change: &ConditionalWrite) -> f64 {
    let number = |value: i64| AttributeValue::N(value.to_string());
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let WriteOp::Deactivate { shard, .. } = &change.op else {
        unreachable!("the write is a deactivation");
    };
    let list = DueList {
        action: Action::Delete,
        shard: *shard,
    };
    let answer = client
        .update_item()
        .table_name(TABLE_NAME)
        .key("pk", text(&change.key.partition))
        .key("sk", text(&change.key.sort))
        .update_expression(
            "SET is_active = :false, deactivated_at = :now, deactivation_reason = :reason, \
             due_key = :list, due_at = :due, #ttl = :due",
        )
        .condition_expression("is_active = :true AND expires_at <= :now")
        .expression_attribute_names("#ttl", "ttl")
        .expression_attribute_values(":true", AttributeValue::Bool(true))
        .expression_attribute_values(":false", AttributeValue::Bool(false))
        .expression_attribute_values(":now", number(NOW))
        .expression_attribute_values(":reason", text("expired_by_cleanup"))
        .expression_attribute_values(":list", text(&list.to_string()))
        .expression_attribute_values(":due", number(NOW + 30 * DAY))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .return_consumed_capacity(ReturnConsumedCapacity::Total)
        .send()
        .await
        .expect("the condition holds");
    let capacity = answer.consumed_capacity.expect("the requested capacity");
    capacity.capacity_units.expect("units")
}

/// Deactivates a batch as the cleanup does. Returns the capacity units.
async fn execute(table: &Table, changes: &[ConditionalWrite]) -> f64 {
    let answer = table.apply(changes).await.expect("the table responds");
    for outcome in answer.value {
        assert!(matches!(outcome, Outcome::Applied), "{outcome:?}");
    }
    answer.capacity_units
}

fn print(taken: &[Vec<Taken>]) {
    println!(
        "deactivating {} sessions, {AT_ONCE} requests at once; median (middle half) of {ROUNDS} rounds",
        grouped(SESSIONS)
    );
    println!(
        "{:<16}{:>9}{:>18}{:>32}{:>26}",
        "", "requests", "write units each", "CPU of the client, µs each", "time, µs each"
    );
    for ((name, _), taken) in WAYS.iter().zip(taken) {
        let each = |time: fn(&Taken) -> Duration| {
            let microseconds = |it: &Taken| time(it).as_secs_f64() * 1e6 / SESSIONS as f64;
            let [low, median, high] = quartiles(taken.iter().map(microseconds).collect());
            format!("{median:.1} ({low:.1} to {high:.1})")
        };
        println!(
            "{name:<16}{:>9}{:>18.2}{:>32}{:>26}",
            grouped(taken[0].requests),
            taken[0].units / SESSIONS as f64,
            each(|it| it.cpu),
            each(|it| it.time),
        );
    }
}
