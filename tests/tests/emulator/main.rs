//! Tests of the release binaries in AWS's emulator, with the events of the AWS services.
#![allow(clippy::unwrap_used, reason = "test code: a panic fails the test")]

mod attacks;
mod authorizer;
mod cleanup;
mod failures;
mod identity_providers;
mod keys;
mod kill;
mod logs;
mod memory;
mod metrics;
mod monitoring;
mod panic;
mod sessions;
mod table_check;

use std::collections::BTreeMap;

use session_cleanup_local::tokens::Bearer;
use session_cleanup_tests::tokens::Tokens;
use session_cleanup_tests::{DAY, HOUR, Item, World, at, inactive_session, only, text};
use session_lifecycle::clock;

/// The authorizer's events, and the stage in the policy that answers each.
const AUTHORIZER_EVENTS: [(&str, Option<&str>); 4] = [
    ("rest-request", Some("abcdef1234/prod")),
    ("rest-token", Some("abcdef1234/prod")),
    ("http-api-1.0", Some("fedcba4321/$default")),
    ("http-api-2.0", None),
];

/// Current time in epoch seconds.
fn now() -> i64 {
    clock::now().timestamp()
}

fn sign(tokens: &Tokens, user: &str, session: &str) -> String {
    tokens.sign(Bearer {
        user,
        session,
        scope: "orders:read sessions:read",
        expires_at: at(now() + HOUR),
    })
}

/// Stores records of all kinds: due now, within the sweep grace, and not due.
async fn fill(world: &World) {
    let now = now();
    for (user, end) in [
        ("ann", -1),
        ("ben", -DAY),
        ("cleo", -9 * DAY),
        ("dana", HOUR),
    ] {
        world.open(user, "a", now + end).await;
    }
    for (user, end) in [("ann", 31), ("ben", 32), ("cleo", 33), ("dana", 1)] {
        world
            .put(inactive_session(user, "i", now - end * DAY - HOUR))
            .await;
    }
    for (user, end) in [("ann", -1), ("ben", -47), ("cleo", -49), ("dana", 1)] {
        world.refresh_token(user, user, now + end * HOUR).await;
    }
    for (user, end) in [("ann", -1), ("ben", -49), ("cleo", -50), ("dana", 1)] {
        world.blacklist(user, "jti", now + end * HOUR).await;
    }
}

/// The expected counts of a scheduled run.
fn due_by_schedule() -> BTreeMap<String, u64> {
    only([
        ("sessions_deactivated", 3),
        ("sessions_deleted", 2),
        ("refresh_tokens_deleted", 1),
        ("blacklisted_tokens_deleted", 2),
    ])
}

/// The expected counts of a run without grace.
fn due_at_once() -> BTreeMap<String, u64> {
    only([
        ("sessions_deactivated", 3),
        ("sessions_deleted", 3),
        ("refresh_tokens_deleted", 3),
        ("blacklisted_tokens_deleted", 3),
    ])
}

/// The reports, and all other records by key.
async fn table(world: &World) -> (Vec<Item>, BTreeMap<[String; 2], Item>) {
    let items = world.items().await;
    let (reports, records): (Vec<_>, Vec<_>) = items
        .into_iter()
        .partition(|item| text(item, "pk") == "CLEANUP");
    let keyed = |item: Item| (["pk", "sk"].map(|name| text(&item, name).to_owned()), item);
    (reports, records.into_iter().map(keyed).collect())
}
