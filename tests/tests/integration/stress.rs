//! Stress test: concurrent cleanups, authorizers, refreshes, logouts and native TTL on several
//! threads, while the clock advances. At the end each record is compared with its own history, and
//! all counts add up.
//!
//! The clock advances with the work: by a second for each authorizer call, refresh and logout.
//! Therefore the test ends at the same second on any machine.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynoxide::Database;
use dynoxide::storage_backend::ManualClock;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use session_cleanup_local::template::FunctionName;
use session_cleanup_local::tokens::Bearer;
use session_cleanup_tests::authorizing::denial;
use session_cleanup_tests::database::DynamoDb;
use session_cleanup_tests::model::{self, Options, Records, sum};
use session_cleanup_tests::{
    DAY, HOUR, Item, NOW, World, active_session, at, inactive_session, item_from, number, sample,
    serve, session_id, text, user_id,
};
use session_domain::Timestamp;
use session_lifecycle::UpdateOutcome;
use tokio::task::JoinSet;

const SESSIONS: usize = 20_000;

/// Number of records that are only deleted: refresh tokens, blacklisted tokens and inactive
/// sessions.
const OTHERS: usize = 600;

/// Number of sessions that native TTL may delete while they are active, the first ones.
const LONG_EXPIRED: usize = SESSIONS / 20;

/// Number of workers of each kind.
const WORKERS: usize = 8;

/// Number of calls of each authorizer, refresher and logout.
const CALLS: usize = 120;

/// Number of runs of each cleanup.
const RUNS: i64 = 5;

/// Number of parts of the time between the runs of a cleanup.
const RUN_PARTS: i64 = 10;

/// Duration of the test by its own clock.
#[expect(clippy::cast_possible_wrap, reason = "a small number")]
const SPAN: i64 = (3 * WORKERS * CALLS) as i64;

const END: i64 = NOW + SPAN;
const RETENTION: i64 = 30 * DAY;
const SHARDS: u8 = 4;

/// Parameters of the last run.
const OPTIONS: Options = Options {
    now: END,
    retention_days: 30,
    grace_hours: 0,
    shards: SHARDS,
    adopt: false,
    revoke: None,
};

/// The clock of all workers.
struct Clock(AtomicI64);

impl Clock {
    fn now(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn tick(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Waits until `part` of `parts` of the duration have passed.
    async fn has_come(&self, part: i64, parts: i64) {
        while self.now() < NOW + SPAN * part / parts {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The expiry times of the stored sessions, in order.
fn ends(rng: &mut StdRng) -> Vec<i64> {
    let mut ends: Vec<_> = (0..SESSIONS)
        .map(|number| match number % 20 {
            0 => NOW - RETENTION - rng.random_range(0..9 * DAY),
            1..3 => NOW - rng.random_range(0..9 * DAY),
            3..12 => NOW + rng.random_range(1..=SPAN),
            12 => END + rng.random_range(0..=1),
            _ => END + rng.random_range(1..9 * DAY),
        })
        .collect();
    ends.sort_unstable();
    ends
}

fn user(session: usize) -> String {
    format!("crowd{}", session % 50)
}

fn name(session: usize) -> String {
    format!("s{session}")
}

fn stored(session: usize, end: i64) -> Value {
    let mut item = active_session(&user(session), &name(session), end);
    item["due_key"] = json!({ "S": format!("deactivate#{:02}", session % usize::from(SHARDS)) });
    item["ip_address"] = json!({ "S": "2001:db8::1" });
    item
}

/// A record that is due for deletion during the test, or shortly before or after.
fn other(rng: &mut StdRng, other: usize) -> Value {
    let due = match other % 4 {
        0 => NOW - rng.random_range(0..9 * DAY),
        _ => NOW + rng.random_range(0..SPAN * 3 / 2),
    };
    let mut item = inactive_session("crowd", &format!("old{other}"), due - RETENTION);
    if rng.random_ratio(2, 3) {
        let kind = ["REFRESH", "BLACKLIST"][rng.random_range(0..2)];
        item["sk"] = json!({ "S": format!("{kind}#{other}") });
        item["expires_at"] = json!({ "N": due.to_string() });
        item["ttl"] = item["expires_at"].clone();
        let members = item.as_object_mut().unwrap();
        for name in ["is_active", "deactivated_at", "deactivation_reason"] {
            members.remove(name);
        }
    }
    item["due_key"] = json!({ "S": format!("delete#{:02}", other % usize::from(SHARDS)) });
    item
}

/// The state that all workers share.
struct Stress {
    world: World,
    clock: Clock,
    ends: Vec<i64>,
}

/// What a worker has done.
#[derive(Default)]
struct WorkerLog {
    reports: Vec<Value>,
    /// The refreshed sessions and their new expiry, in order.
    refreshed: Vec<(usize, i64)>,
    /// The logged out sessions and the times.
    logged_out: Vec<(usize, i64)>,
    /// The authorizer's answers: session, time, and error of a denied request.
    answers: Vec<(usize, i64, Option<String>)>,
    /// Number of records that native TTL deleted.
    taken: usize,
}

impl WorkerLog {
    fn add(&mut self, other: Self) {
        self.reports.extend(other.reports);
        self.refreshed.extend(other.refreshed);
        self.logged_out.extend(other.logged_out);
        self.answers.extend(other.answers);
        self.taken += other.taken;
    }
}

impl Stress {
    async fn clean_up(&self, grace_hours: i64) -> Value {
        let event = json!({ "sweep_grace_hours": grace_hours });
        self.world.clean_up(event, self.clock.now()).await
    }

    async fn cleanups(self: Arc<Self>, worker: usize) -> WorkerLog {
        let mut worker_log = WorkerLog::default();
        self.native_ttl_has_begun().await;
        for run in 0..RUNS {
            // At different seconds, or the runs would mostly conflict.
            let part = RUN_PARTS * run + i64::try_from(worker).unwrap();
            self.clock.has_come(part, RUN_PARTS * RUNS).await;
            let grace_hours = [0, 48][worker % 2];
            worker_log.reports.push(self.clean_up(grace_hours).await);
        }
        worker_log
    }

    /// Waits until native TTL has deleted some of its records, so that the others race for the
    /// rest.
    async fn native_ttl_has_begun(&self) {
        let (of, id) = (user(20), name(20));
        while self.world.session(&of, &id).await.is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A session that expires around now, where races matter most.
    fn any(&self, rng: &mut StdRng) -> usize {
        let now = self.clock.now();
        let next = self.ends.partition_point(|end| *end <= now);
        let place = match rng.random_range(0..4) {
            0 => rng.random_range(LONG_EXPIRED..SESSIONS),
            1 => next + rng.random_range(0..400),
            _ => (next + rng.random_range(0..60)).saturating_sub(50),
        };
        place.min(SESSIONS - 1)
    }

    async fn authorizers(self: Arc<Self>, worker: usize) -> WorkerLog {
        let mut rng = StdRng::seed_from_u64(100 + worker as u64);
        let mut worker_log = WorkerLog::default();
        for _ in 0..CALLS {
            let session = self.any(&mut rng);
            let token = self.world.tokens.sign(Bearer {
                user: &user(session),
                session: &name(session),
                scope: "",
                expires_at: at(END + HOUR),
            });
            let event = json!({
                "type": "TOKEN",
                "methodArn": "arn:aws:execute-api:r:1:api/prod/GET/x",
                "authorizationToken": format!("Bearer {token}"),
            });
            let now = self.clock.now();
            let functions = &self.world.functions;
            let answer = functions.invoke(FunctionName::Authorizer, &event, at(now));
            let answer = answer.await.unwrap();
            let denial = denial(&answer).map(str::to_owned);
            worker_log.answers.push((session, now, denial));
            self.clock.tick();
        }
        worker_log
    }

    /// Refreshes sessions. Each session has a single client.
    async fn refreshers(self: Arc<Self>, worker: usize) -> WorkerLog {
        let mut rng = StdRng::seed_from_u64(200 + worker as u64);
        let mut worker_log = WorkerLog::default();
        for _ in 0..CALLS {
            let session = self.any(&mut rng) / WORKERS * WORKERS + worker;
            let now = self.clock.now();
            let end = now + rng.random_range(1..SPAN);
            let (of, id) = (user_id(&user(session)), session_id(&name(session)));
            let changed = self.world.sessions.extend(
                &of,
                &id,
                Timestamp::from_seconds(end),
                Timestamp::from_seconds(now),
            );
            if changed.await.unwrap() == UpdateOutcome::Updated {
                worker_log.refreshed.push((session, end));
            }
            self.clock.tick();
        }
        worker_log
    }

    async fn logouts(self: Arc<Self>, worker: usize) -> WorkerLog {
        let mut rng = StdRng::seed_from_u64(300 + worker as u64);
        let mut worker_log = WorkerLog::default();
        for _ in 0..CALLS {
            let session = self.any(&mut rng);
            let now = self.clock.now();
            let (of, id) = (user_id(&user(session)), session_id(&name(session)));
            let changed = self
                .world
                .sessions
                .logout(&of, &id, Timestamp::from_seconds(now));
            if changed.await.unwrap() == UpdateOutcome::Updated {
                worker_log.logged_out.push((session, now));
            }
            self.clock.tick();
        }
        worker_log
    }

    /// Runs native TTL by the same clock.
    async fn expire(self: Arc<Self>, ttl: ManualClock) -> WorkerLog {
        let mut worker_log = WorkerLog::default();
        for run in 0..RUNS {
            self.clock.has_come(run, RUNS).await;
            worker_log.taken += self.take(&ttl).await;
        }
        worker_log
    }

    async fn take(&self, ttl: &ManualClock) -> usize {
        ttl.set(self.clock.now().try_into().unwrap());
        let database = self.world.dynamodb.database();
        let sweep = tokio::task::spawn_blocking(move || database.sweep_ttl());
        sweep.await.unwrap().unwrap()
    }

    /// How often authorizers logged the deactivation of each session, by key.
    fn closed_on_validation(&self) -> HashMap<String, u64> {
        let mut closed = HashMap::new();
        for line in self.world.log.about("deactivated an expired session") {
            let session = line["session"].as_str().unwrap();
            // Other tests write to the same log.
            if session.starts_with("USER#crowd") {
                *closed.entry(session.to_owned()).or_default() += 1;
            }
        }
        closed
    }
}

fn set(item: &mut Item, name: &str, value: i64) {
    item.insert(name.to_owned(), AttributeValue::N(value.to_string()));
}

/// The expected item of an active session, with its first expiry and the one of its last refresh.
fn live(session: usize, stored_end: i64, end: i64) -> Item {
    let mut item = item_from(&stored(session, stored_end));
    set(&mut item, "expires_at", end);
    set(&mut item, "due_at", end);
    set(&mut item, "ttl", end + RETENTION);
    item
}

/// The expected item of a deactivated session.
fn closed(mut item: Item, since: i64, reason: &str) -> Item {
    item.insert("is_active".to_owned(), AttributeValue::Bool(false));
    set(&mut item, "deactivated_at", since);
    set(&mut item, "due_at", since + RETENTION);
    set(&mut item, "ttl", since + RETENTION);
    for (name, value) in [
        ("deactivation_reason", reason.to_owned()),
        (
            "due_key",
            text(&item, "due_key").replace("deactivate", "delete"),
        ),
    ] {
        item.insert(name.to_owned(), AttributeValue::S(value));
    }
    item
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn concurrent_use_deactivates_only_expired_sessions_once_each() {
    let mut rng = StdRng::seed_from_u64(11);
    let ends = ends(&mut rng);
    let ttl = ManualClock::new(0);
    let database = Database::memory_with_clock(ttl.arc()).unwrap();
    // Without timeouts, the functions know the outcome of each write.
    let shards = SHARDS.to_string();
    let variables = [("DUE_SHARDS", &*shards), ("MAX_WRITES_PER_SECOND", "0")];
    let world = World::over(serve(database).await, variables, DynamoDb::client).await;
    let sessions = ends.iter().enumerate().map(|it| stored(it.0, *it.1));
    let others: Vec<_> = (0..OTHERS).map(|number| other(&mut rng, number)).collect();
    sample::store(&world, sessions.chain(others.iter().cloned()).collect());
    let clock = Clock(AtomicI64::new(NOW));
    let stress = Arc::new(Stress { world, clock, ends });

    let mut working = JoinSet::new();
    for worker in 0..WORKERS {
        working.spawn(Arc::clone(&stress).cleanups(worker));
        working.spawn(Arc::clone(&stress).authorizers(worker));
        working.spawn(Arc::clone(&stress).refreshers(worker));
        working.spawn(Arc::clone(&stress).logouts(worker));
    }
    working.spawn(Arc::clone(&stress).expire(ttl.clone()));
    let mut worker_log = WorkerLog::default();
    while let Some(done) = working.join_next().await {
        worker_log.add(done.unwrap());
    }
    assert_eq!(stress.clock.now(), END);
    // A last run for the remaining records.
    worker_log.reports.push(stress.clean_up(0).await);
    worker_log.taken += stress.take(&ttl).await;

    let found = model::records(&stress.world).await;
    // By the model there is nothing left to do, and each record is consistent.
    let left = model::after(&found, &OPTIONS);
    assert_eq!(left.counts, BTreeMap::new());
    left.compare(&found, &OPTIONS);
    compare(&stress, &worker_log, &others, &found);
}

/// Compares each record with the logs of its workers, and all counts with the records.
fn compare(stress: &Stress, worker_log: &WorkerLog, others: &[Value], found: &Records) {
    let refreshed: HashMap<_, _> = worker_log.refreshed.iter().copied().collect();
    let logged_out: HashMap<_, _> = worker_log.logged_out.iter().copied().collect();
    let validated = stress.closed_on_validation();
    let mut ended = 0;
    let mut closed_by = BTreeMap::<String, u64>::new();
    let mut gone = 0;
    for (session, stored_end) in stress.ends.iter().copied().enumerate() {
        let end = refreshed.get(&session).copied().unwrap_or(stored_end);
        let key = (
            format!("USER#{}", user(session)),
            format!("SESSION#{}", name(session)),
        );
        let logout = logged_out.get(&session);
        let by_authorizer = validated.get(&format!("{} {}", key.0, key.1));
        ended += u64::from(end <= END || logout.is_some());
        let live = live(session, stored_end, end);
        let Some(found) = found.get(&key) else {
            // Only native TTL deletes an active session, which nothing has deactivated before.
            assert!(stored_end + RETENTION <= END, "{key:?} does not exist");
            assert_eq!((logout, by_authorizer), (None, None), "{key:?}");
            *closed_by.entry("ttl".to_owned()).or_default() += 1;
            gone += 1;
            continue;
        };
        if found["is_active"].as_bool() == Ok(&true) {
            assert!(end > END, "{key:?} has expired");
            assert_eq!(found, &live);
            assert_eq!((logout, by_authorizer), (None, None), "{key:?}");
            continue;
        }
        let since = number(found, "deactivated_at");
        let reason = text(found, "deactivation_reason");
        assert_eq!(found, &closed(live, since, reason));
        let by_logout = (reason == "logout").then_some(&since);
        assert_eq!(logout, by_logout, "{key:?}");
        let on_validation = (reason == "expired_on_validation").then_some(&1);
        assert_eq!(by_authorizer, on_validation, "{key:?}");
        assert!(
            end <= since || reason == "logout",
            "{key:?} was live at {since}: {found:?}"
        );
        *closed_by.entry(reason.to_owned()).or_default() += 1;
    }

    let by = |who: &str| closed_by.get(who).copied().unwrap_or_default();
    let reports = &worker_log.reports;
    assert_eq!(
        sum(reports, "sessions_deactivated"),
        by("expired_by_cleanup")
    );
    assert_eq!(validated.len() as u64, by("expired_on_validation"));
    let mut unknown = stress
        .world
        .log
        .about("whether an expired session was deactivated");
    unknown.retain(|line| line.to_string().contains("USER#crowd"));
    assert!(unknown.is_empty(), "{unknown:?}");
    assert_eq!(worker_log.logged_out.len() as u64, by("logout"));
    assert_eq!(closed_by.values().sum::<u64>(), ended, "{closed_by:?}");
    for report in reports {
        assert_eq!(report["complete"], true, "{report}");
        for name in ["failed", "malformed", "reindexed", "adopted"] {
            assert_eq!(report[name], 0, "{report}");
        }
    }

    for other in others {
        let item = item_from(other);
        let key = (text(&item, "pk").to_owned(), text(&item, "sk").to_owned());
        assert_eq!(found.contains_key(&key), number(&item, "ttl") > END);
        gone += u64::from(number(&item, "ttl") <= END);
    }
    let deleted: u64 = ["sessions", "refresh_tokens", "blacklisted_tokens"]
        .iter()
        .map(|kind| sum(reports, &format!("{kind}_deleted")))
        .sum();
    assert_eq!(deleted + worker_log.taken as u64, gone);

    check_answers(stress, worker_log, found);
    // Each worker must have deactivated some sessions, or there was no race.
    for who in [
        "expired_by_cleanup",
        "expired_on_validation",
        "logout",
        "ttl",
    ] {
        assert!(by(who) > 20, "{closed_by:?}");
    }
    assert!(refreshed.len() > 20 && deleted > 20, "{deleted}");
}

/// Authorizers allow sessions that are live by their clock, and deny the others.
fn check_answers(stress: &Stress, worker_log: &WorkerLog, found: &Records) {
    for (session, now, denial) in &worker_log.answers {
        let refreshed = worker_log.refreshed.iter().filter(|it| it.0 == *session);
        let ends: Vec<_> = refreshed
            .map(|it| it.1)
            .chain([stress.ends[*session]])
            .collect();
        let key = (
            format!("USER#{}", user(*session)),
            format!("SESSION#{}", name(*session)),
        );
        let item = found.get(&key);
        let is_active = item.is_some_and(|item| item["is_active"].as_bool() == Ok(&true));
        let story = format!("{denial:?} for {key:?} at {now}: {ends:?}, now {item:?}");
        match denial.as_deref() {
            None => assert!(ends.iter().any(|end| end > now), "{story}"),
            // A concurrent refresh with an earlier reading of the clock may still succeed.
            Some("Session expired") => assert!(ends.iter().any(|end| end <= now), "{story}"),
            Some("Session inactive") => assert!(item.is_some() && !is_active, "{story}"),
            Some("Session not found") => assert!(item.is_none(), "{story}"),
            Some(_) => panic!("{story}"),
        }
    }
}
