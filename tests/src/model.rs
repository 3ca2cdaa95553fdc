//! A model of the cleanup, written from the contract alone: the due list, the transitions and the
//! index attributes. It shares no code with the cleanup. It compares whole items, so that it also
//! notices changes of foreign attributes.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

use crate::{DAY, HOUR, Item, World, text};

/// The last second of the year 9999. A later time is malformed.
const LAST: i64 = 253_402_300_799;

/// Placeholder for any shard in an expected `due_key`.
const ANY: &str = "*";

/// The records of a table by key, without reports.
pub type Records = BTreeMap<(String, String), Item>;

/// The parameters of a run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub now: i64,
    pub retention_days: i64,
    pub grace_hours: i64,
    pub shards: u8,
    pub adopt: bool,
    pub revoke: Option<Revoke>,
}

/// Which sessions a run revokes.
#[derive(Debug, Clone, Copy)]
pub struct Revoke {
    pub created_before: i64,
    pub client_id: Option<&'static str>,
}

impl Revoke {
    /// The member `revoke` of an event.
    #[must_use]
    pub fn event(self) -> Value {
        json!({
            "created_before": self.created_before,
            "client_id": self.client_id,
            "reason": "a leaked key",
        })
    }
}

/// The expected result of a run.
#[derive(Debug, Clone)]
pub struct Expected {
    pub records: Records,
    pub counts: BTreeMap<String, u64>,
}

/// The state of a record.
#[derive(Clone, Copy)]
enum State {
    Active { end: i64 },
    Inactive { since: i64 },
    Token { end: i64 },
}

/// The expected outcome for a record, and the counts that include it.
struct ExpectedOutcome {
    item: Option<Item>,
    counts: Vec<&'static str>,
}

/// The records of a world's table.
pub async fn records(world: &World) -> Records {
    keyed(world.items().await)
}

/// Items by key, without reports.
#[must_use]
pub fn keyed(items: Vec<Item>) -> Records {
    items
        .into_iter()
        .filter(|item| text(item, "pk") != "CLEANUP")
        .map(|item| (key(&item), item))
        .collect()
}

/// Number of malformed records that were moved off their lists.
#[must_use]
pub fn moved(records: &Records) -> usize {
    let is_moved = |item: &&Item| {
        let due_key = item.get("due_key").and_then(|it| it.as_s().ok());
        due_key.is_some_and(|it| it.starts_with("malformed#"))
    };
    records.values().filter(is_moved).count()
}

fn key(item: &Item) -> (String, String) {
    (text(item, "pk").to_owned(), text(item, "sk").to_owned())
}

/// The expected result for these records if the index is up to date.
#[must_use]
pub fn after(records: &Records, options: &Options) -> Expected {
    after_with_index(records, records, options)
}

/// The expected result for these records if the index shows an older state of them.
#[must_use]
pub fn after_with_index(records: &Records, index: &Records, options: &Options) -> Expected {
    let mut expected = Expected {
        records: Records::new(),
        counts: BTreeMap::new(),
    };
    let mut count = |name: &str| *expected.counts.entry(name.to_owned()).or_default() += 1;
    for (key, item) in records {
        let entry = index.get(key).filter(|it| is_listed(it, options));
        let expected_outcome = expected_outcome(item, entry, options);
        expected_outcome.counts.into_iter().for_each(&mut count);
        if let Some(item) = expected_outcome.item {
            expected.records.insert(key.clone(), item);
        }
    }
    let gone = index.iter().filter(|(key, _)| !records.contains_key(key));
    for (_, item) in gone {
        if is_listed(item, options) {
            let is_ours = kind(item).is_some();
            count(if is_ours {
                "changed_elsewhere"
            } else {
                "malformed"
            });
        }
    }
    expected
}

/// `entry` is the record as the index shows it on a due list.
fn expected_outcome(item: &Item, entry: Option<&Item>, options: &Options) -> ExpectedOutcome {
    let listed = entry.is_some();
    let same = |counts| ExpectedOutcome {
        item: Some(item.clone()),
        counts,
    };
    let malformed = || ExpectedOutcome {
        item: Some(moved_off_its_list(item, entry, options)),
        counts: vec!["malformed"],
    };
    let Some(kind) = kind(item) else {
        return if listed { malformed() } else { same(vec![]) };
    };
    if !listed && !options.adopt && options.revoke.is_none() {
        return same(vec![]);
    }
    let Some(state) = state(kind, item) else {
        return malformed();
    };
    let mut counts = Vec::new();
    match is_revoked(item, state, options) {
        Some(true) => {
            let item = closed(item, "revoked", options);
            let counts = vec!["sessions_revoked"];
            return ExpectedOutcome {
                item: Some(item),
                counts,
            };
        }
        Some(false) => {}
        None => counts.push("malformed"),
    }
    if !listed && !options.adopt {
        return same(counts);
    }
    let agrees = agrees(item, state, options);
    if options.adopt && !agrees {
        counts.push("adopted");
    }
    let grace = options.grace_hours * HOUR;
    let retention = options.retention_days * DAY;
    let now = options.now;
    match (kind, state) {
        (_, State::Active { end }) if end <= now => {
            counts.push("sessions_deactivated");
            ExpectedOutcome {
                item: Some(closed(item, "expired_by_cleanup", options)),
                counts,
            }
        }
        (_, State::Inactive { since }) if since + retention + grace <= now => {
            counts.push("sessions_deleted");
            ExpectedOutcome { item: None, counts }
        }
        (kind, State::Token { end }) if end + grace <= now => {
            counts.push(match kind {
                "REFRESH" => "refresh_tokens_deleted",
                _ => "blacklisted_tokens_deleted",
            });
            ExpectedOutcome { item: None, counts }
        }
        _ if agrees => {
            if listed && !options.adopt {
                counts.push("changed_elsewhere");
            }
            same(counts)
        }
        _ => {
            if !options.adopt {
                counts.push("reindexed");
            }
            let mut item = item.clone();
            index(&mut item, state, options);
            ExpectedOutcome {
                item: Some(item),
                counts,
            }
        }
    }
}

/// Whether a run revokes a session. `None` if the session's start is unknown.
fn is_revoked(item: &Item, state: State, options: &Options) -> Option<bool> {
    let Some(revoke) = options.revoke else {
        return Some(false);
    };
    let is_live = matches!(state, State::Active { end } if end > options.now);
    let client = item.get("client_id").and_then(|it| it.as_s().ok());
    let is_client = revoke
        .client_id
        .is_none_or(|it| client.is_some_and(|client| client == it));
    if !is_live || !is_client {
        return Some(false);
    }
    let created_at: f64 = item.get("created_at")?.as_n().ok()?.parse().ok()?;
    #[expect(clippy::cast_precision_loss, reason = "the times are small")]
    let (before, last) = (revoke.created_before as f64, LAST as f64);
    (created_at <= last).then_some(created_at < before)
}

/// A session after it was deactivated.
fn closed(item: &Item, reason: &str, options: &Options) -> Item {
    let mut item = item.clone();
    let reason = AttributeValue::S(reason.to_owned());
    item.insert("is_active".to_owned(), AttributeValue::Bool(false));
    item.insert("deactivated_at".to_owned(), whole(options.now));
    item.insert("deactivation_reason".to_owned(), reason);
    let since = options.now;
    index(&mut item, State::Inactive { since }, options);
    item
}

/// A malformed record after a run: on the list of malformed records, in the same shard, if it is in
/// a user's partition and on the list where the run found it.
fn moved_off_its_list(item: &Item, entry: Option<&Item>, options: &Options) -> Item {
    let mut item = item.clone();
    let is_there = entry.is_some_and(|entry| entry.get("due_key") == item.get("due_key"));
    let user = text(&item, "pk").strip_prefix("USER#").unwrap_or_default();
    if is_there && !user.is_empty() {
        let (_, shard) = place(&item, options).expect("a record on a list");
        let due_key = AttributeValue::S(format!("malformed#{shard}"));
        item.insert("due_key".to_owned(), due_key);
    }
    item
}

/// The kind of a record by its key, or `None` for a foreign item.
fn kind(item: &Item) -> Option<&'static str> {
    let (pk, sk) = (text(item, "pk"), text(item, "sk"));
    let user = pk.strip_prefix("USER#").unwrap_or_default();
    let of = |kind: &&str| {
        let id = sk.strip_prefix(kind).and_then(|it| it.strip_prefix('#'));
        id.is_some_and(|id| !id.is_empty())
    };
    let kinds = ["SESSION", "REFRESH", "BLACKLIST"];
    kinds.into_iter().find(of).filter(|_| !user.is_empty())
}

fn state(kind: &str, item: &Item) -> Option<State> {
    if kind != "SESSION" {
        let end = time(item, "expires_at")?;
        return Some(State::Token { end });
    }
    if *item.get("is_active")?.as_bool().ok()? {
        let end = time(item, "expires_at")?;
        Some(State::Active { end })
    } else {
        let since = time(item, "deactivated_at")?;
        Some(State::Inactive { since })
    }
}

/// A stored time, rounded up to a whole second.
fn time(item: &Item, name: &str) -> Option<i64> {
    let number = item.get(name)?.as_n().ok()?;
    let (seconds, fraction) = number.split_once('.').unwrap_or((number, ""));
    let seconds: i64 = seconds.parse().ok()?;
    let seconds = seconds + i64::from(!fraction.is_empty());
    (seconds <= LAST).then_some(seconds)
}

/// The list, the due time and the `ttl` of a state.
fn due(state: State, options: &Options) -> (&'static str, i64, i64) {
    let retention = options.retention_days * DAY;
    match state {
        State::Active { end } => ("deactivate", end, end + retention),
        State::Inactive { since } => ("delete", since + retention, since + retention),
        State::Token { end } => ("delete", end, end),
    }
}

/// The list and the shard of a record, if it is on a list of the stack.
fn place<'a>(item: &'a Item, options: &Options) -> Option<(&'a str, &'a str)> {
    let (list, shard) = item.get("due_key")?.as_s().ok()?.split_once('#')?;
    let number: u8 = shard.parse().ok()?;
    let known = ["deactivate", "delete", "malformed"].contains(&list);
    (known && shard.len() == 2 && number < options.shards).then_some((list, shard))
}

fn is_listed(item: &Item, options: &Options) -> bool {
    let Some((list, _)) = place(item, options) else {
        return false;
    };
    let grace = match list {
        "malformed" => return false,
        "delete" => options.grace_hours * HOUR,
        _ => 0,
    };
    let due_at = item.get("due_at").and_then(|it| it.as_n().ok());
    let due_at = due_at.and_then(|it| it.parse::<i64>().ok());
    due_at.is_some_and(|due_at| due_at + grace <= options.now)
}

fn agrees(item: &Item, state: State, options: &Options) -> bool {
    let (list, at, ttl) = due(state, options);
    place(item, options).is_some_and(|it| it.0 == list)
        && item.get("due_at") == Some(&whole(at))
        && item.get("ttl") == Some(&whole(ttl))
}

/// Sets the index attributes of a state. The shard stays, or may be any.
fn index(item: &mut Item, state: State, options: &Options) {
    let (list, at, ttl) = due(state, options);
    let shard = place(item, options).map_or(ANY, |it| it.1);
    let list = AttributeValue::S(format!("{list}#{shard}"));
    item.insert("due_key".to_owned(), list);
    item.insert("due_at".to_owned(), whole(at));
    item.insert("ttl".to_owned(), whole(ttl));
}

fn whole(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

impl Expected {
    /// The expected value of a count.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or_default()
    }

    /// Compares each record with the model, attribute by attribute.
    ///
    /// # Panics
    ///
    /// If a record differs.
    pub fn compare(&self, found: &Records, options: &Options) {
        for (key, expected) in &self.records {
            let Some(found) = found.get(key) else {
                panic!("{key:?} does not exist, but should be {expected:?}");
            };
            let mut expected = expected.clone();
            let any = expected.get("due_key").and_then(|it| it.as_s().ok());
            if let Some(list) = any.and_then(|it| it.strip_suffix(ANY)) {
                let (_, shard) = place(found, options).expect("a list that the run reads");
                let list = AttributeValue::S(format!("{list}{shard}"));
                expected.insert("due_key".to_owned(), list);
            }
            let names: std::collections::BTreeSet<_> =
                expected.keys().chain(found.keys()).collect();
            for name in names {
                let (found, expected) = (found.get(name), expected.get(name));
                assert_eq!(found, expected, "{name} of {key:?}");
            }
        }
        for key in found.keys() {
            assert!(self.records.contains_key(key), "{key:?} should not exist");
        }
    }
}

/// The counts of a report that count changes.
pub const DONE: [&str; 7] = [
    "sessions_deactivated",
    "sessions_revoked",
    "sessions_deleted",
    "refresh_tokens_deleted",
    "blacklisted_tokens_deleted",
    "reindexed",
    "adopted",
];

/// The sum of a count over several reports.
#[must_use]
pub fn sum(reports: &[Value], name: &str) -> u64 {
    let count = |report: &Value| report[name].as_u64().expect("a count");
    reports.iter().map(count).sum()
}
