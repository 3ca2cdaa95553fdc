//! Concurrent writers to a session in random schedules, on a table in memory.
//!
//! A schedule decides after each call of the table which writer continues. `cargo test --workspace` tries
//! some hundred for each test, always the same ones; `SCHEDULES` and `FIRST_SCHEDULE` change that.
//! `equivalence` shows that the table in memory does what the DynamoDB adapter does.

mod absolute_end;
mod authorizing;
mod equivalence;
mod refresh;
mod revocation;
mod theft;

use std::ops::Range;

use session_cleanup_tests::simulation::MemoryTable;
use session_cleanup_tests::{session_id, user_id};
use session_domain::{Days, Shards, Timestamp};
use session_functions::environment::Environment;
use session_lifecycle::ports::NewSession;
use session_lifecycle::{RefreshOutcome, RefreshToken, Sessions};

/// Default number of schedules of each test, without the variable `SCHEDULES`.
const USUAL: u64 = 500;

/// How often a client repeats a call that failed.
const REPEATS: usize = 50;

/// The number in an environment variable.
pub(crate) fn number(variable: &str) -> Option<u64> {
    let variables = Environment::from_process();
    variables
        .get(variable)
        .map(|it| it.parse().expect("a number"))
}

/// The seeds of the schedules.
fn schedules() -> Range<u64> {
    let first = number("FIRST_SCHEDULE").unwrap_or(1);
    first..first + number("SCHEDULES").unwrap_or(USUAL)
}

/// Whether these are too few schedules for all that a test should come across.
fn are_few() -> bool {
    schedules().count() < 100
}

/// Prints the seed of a schedule that fails.
struct Seed(u64);

impl Drop for Seed {
    #[expect(clippy::print_stderr, reason = "a failed test shows it")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to repeat it: FIRST_SCHEDULE={} SCHEDULES=1", self.0);
        }
    }
}

const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

/// A table with one due list for each action: the cleanup reads several in an order that no seed decides.
fn table(seed: u64) -> MemoryTable {
    MemoryTable::new(Shards::new(1).expect("a number of shards"), seed)
}

const fn library(table: MemoryTable) -> Sessions<MemoryTable> {
    Sessions::with_store(table, Days(30))
}

/// Opens a session of `ann`, and returns its refresh token.
async fn login(table: &MemoryTable, session: &str, expires_at: i64, now: i64) -> RefreshToken {
    let new = NewSession::new(user_id("ann"), session_id(session), at(expires_at));
    let token = library(table.clone()).login(new, at(now)).await;
    token.expect("the table responds").expect("a new session")
}

/// Uses a token of a session of `ann` until the table responds.
async fn refresh(
    sessions: &Sessions<MemoryTable>,
    session: &str,
    token: &str,
    expires_at: i64,
    now: i64,
) -> RefreshOutcome {
    refresh_up_to(REPEATS, sessions, session, token, expires_at, now).await
}

/// Uses a token of a session of `ann`, at most so many times, until the table responds.
async fn refresh_up_to(
    times: usize,
    sessions: &Sessions<MemoryTable>,
    session: &str,
    token: &str,
    expires_at: i64,
    now: i64,
) -> RefreshOutcome {
    let (user, session) = (user_id("ann"), session_id(session));
    for _ in 0..times {
        let using = sessions.refresh(&user, &session, token, at(expires_at), at(now));
        if let Ok(outcome) = using.await {
            return outcome;
        }
    }
    panic!("the table did not respond {times} times");
}
