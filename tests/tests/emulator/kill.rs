//! The cleanup, killed at random moments and started again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::emulator::Emulator;
use session_cleanup_tests::fault_proxy::{Exchange, Fault, FaultProxy, Request};
use session_cleanup_tests::model::{DONE, Expected, Options, Records, after, moved, records};
use session_cleanup_tests::process::Process;
use session_cleanup_tests::{Item, World, number, sample};

use crate::{now, table};

const WRITE: &str = "BatchExecuteStatement";

/// Number of kills.
const KILLS: usize = 20;

/// Number of random records, and number of additional due sessions.
const RECORDS: usize = 4_000;
const DUE: usize = 5_000;

/// Maximum number of batches before the last kill, which happens at the next batch of a running
/// run.
const LAST: usize = 80;

/// Number of concurrent batches of a run, which may still arrive after a kill.
const AT_ONCE: usize = 8;

/// When the function is killed: at a batch of writes. Whether the table still executes that batch
/// is random; the other concurrent batches are at any point.
struct Moments {
    /// Process ID of the emulator, once it runs.
    emulator: OnceLock<u32>,
    /// Whether a run is in progress that has not been killed.
    armed: AtomicBool,
    /// Number of batches so far, and the remaining moments, the next one last.
    batches: Mutex<(usize, Vec<usize>)>,
}

impl Moments {
    fn any(rng: &mut StdRng) -> Arc<Self> {
        let mut moments: Vec<_> = (0..KILLS).map(|_| rng.random_range(1..=LAST)).collect();
        moments.sort_unstable_by(|a, b| b.cmp(a));
        Arc::new(Self {
            emulator: OnceLock::new(),
            armed: AtomicBool::new(false),
            batches: Mutex::new((0, moments)),
        })
    }

    fn meet(&self, request: &Request) -> Fault {
        if request.operation != WRITE {
            return Fault::None;
        }
        let mut batches = self.batches.lock().unwrap();
        batches.0 += 1;
        let is_due = batches.1.last().is_some_and(|moment| *moment <= batches.0);
        if !is_due || !self.armed.swap(false, Ordering::SeqCst) {
            return Fault::None;
        }
        batches.1.pop();
        let emulator = *self.emulator.get().unwrap();
        Process::child_of(emulator).unwrap().kill();
        if request.rng(1).random() {
            Fault::DroppedBefore
        } else {
            Fault::None
        }
    }

    fn are_over(&self) -> bool {
        self.batches.lock().unwrap().1.is_empty()
    }
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn settles_backlog_once_despite_repeated_kills() {
    let world = World::new().await;
    let mut rng = StdRng::seed_from_u64(11);
    // The times of the records are around each second that matters. All of those seconds have
    // passed when the first run starts; the next one is an hour ahead.
    let options = Options {
        now: now() - 2,
        retention_days: 30,
        grace_hours: 48,
        shards: 16,
        adopt: false,
        revoke: None,
    };
    sample::fill(&world, &mut rng, RECORDS, &options);
    let due = sample::active_sessions(&mut rng, DUE, options.shards, |_| options.now);
    sample::store(&world, due);
    let before = records(&world).await;

    let moments = Moments::any(&mut rng);
    let decide = {
        let moments = Arc::clone(&moments);
        move |request: &Request| moments.meet(request)
    };
    let passing = FaultProxy::before(world.dynamodb.address(), decide).await;
    let variables = [
        ("AWS_ENDPOINT_URL_DYNAMODB", &*passing.url()),
        ("MAX_WRITES_PER_SECOND", "0"),
    ];
    let cleanup = Emulator::start(&world, FunctionName::Cleanup, variables).await;
    moments.emulator.set(cleanup.id()).unwrap();
    let began = now();
    for kill in 0..KILLS {
        moments.armed.store(true, Ordering::SeqCst);
        let end = cleanup.invoke(&json!({})).await;
        assert!(end.is_err(), "the killed run {kill} ended: {end:?}");
    }
    assert!(moments.are_over());
    let report = cleanup.invoke(&json!({})).await.unwrap();
    assert_eq!(report["complete"], true, "{report}");
    assert_eq!(report["failed"], 0, "{report}");

    let found = records(&world).await;
    let closed_at = |item: &Item| closed_at(item, began);
    let expected = expected(&before, &found, closed_at, &options);
    expected.compare(&found, &options);
    let due: u64 = DONE.iter().map(|name| expected.count(name)).sum();
    let most = (LAST + KILLS * AT_ONCE) as u64;
    assert!(
        due > 25 * most,
        "{due} records may be processed before the last kill"
    );
    let [updates, deletions] = settled(&passing.record());
    let count = |names: &[&str]| names.iter().map(|name| expected.count(name)).sum::<u64>();
    let moved = moved(&found) as u64;
    let written = count(&["sessions_deactivated", "reindexed"]);
    assert_eq!(updates, written + moved);
    let deleted = [
        "sessions_deleted",
        "refresh_tokens_deleted",
        "blacklisted_tokens_deleted",
    ];
    assert_eq!(deletions, count(&deleted));
    let (reports, _) = table(&world).await;
    assert_eq!(reports.len(), 1, "a killed run stores a report");
}

/// The second at which a run deactivated a session, if one did.
fn closed_at(item: &Item, began: i64) -> Option<i64> {
    item.get("deactivated_at")?.as_n().ok()?;
    let closed_at = number(item, "deactivated_at");
    (began..=now()).contains(&closed_at).then_some(closed_at)
}

/// The model's expected result, with each session deactivated at the second of its run.
fn expected(
    before: &Records,
    found: &Records,
    closed_at: impl Fn(&Item) -> Option<i64>,
    options: &Options,
) -> Expected {
    let mut all = after(&Records::new(), options);
    for (key, item) in before {
        let options = Options {
            now: found.get(key).and_then(&closed_at).unwrap_or_else(now),
            ..*options
        };
        let one = Records::from([(key.clone(), item.clone())]);
        let one = after(&one, &options);
        all.records.extend(one.records);
        for (name, count) in one.counts {
            *all.counts.entry(name).or_default() += count;
        }
    }
    all
}

/// Number of updates and deletions that the table executed, whether or not the function received
/// the response.
fn settled(record: &[Exchange]) -> [u64; 2] {
    let mut settled = [0; 2];
    for exchange in record.iter().filter(|it| it.request.operation == WRITE) {
        let Some((200, answer)) = &exchange.answer else {
            continue;
        };
        let statements = exchange.request.body["Statements"].as_array().unwrap();
        let answers = answer["Responses"].as_array().unwrap();
        for (statement, answer) in statements.iter().zip(answers) {
            let deletes = statement["Statement"]
                .as_str()
                .unwrap()
                .starts_with("DELETE");
            // Deleting a missing record succeeds, too, but returns no item.
            if answer["Error"].is_null() && (!deletes || !answer["Item"].is_null()) {
                settled[usize::from(deletes)] += 1;
            }
        }
    }
    settled
}
