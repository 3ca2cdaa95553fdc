//! Conversion between records and items.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::ports::ParsedRecord;
use session_domain::{
    DueEntry, DueKey, DueList, ItemKey, Kind, MalformedRecord, Reason, Record, RecordKey,
    RecordState, SessionState, Shard, Shards, Timestamp,
};

pub(super) type Item = HashMap<String, AttributeValue>;

pub(super) const PK: &str = "pk";
pub(super) const SK: &str = "sk";
pub(super) const DUE_INDEX: &str = "due";
pub(super) const DUE_KEY: &str = "due_key";
pub(super) const DUE_AT: &str = "due_at";
pub(super) const TTL: &str = "ttl";
pub(super) const IS_ACTIVE: &str = "is_active";
pub(super) const EXPIRES_AT: &str = "expires_at";
pub(super) const DEACTIVATED_AT: &str = "deactivated_at";
pub(super) const DEACTIVATION_REASON: &str = "deactivation_reason";
pub(super) const CREATED_AT: &str = "created_at";
pub(super) const CLIENT_ID: &str = "client_id";
pub(super) const LAST_USED_AT: &str = "last_used_at";
pub(super) const MAX_EXPIRES_AT: &str = "max_expires_at";
pub(super) const REFRESH_HASH: &str = "refresh_hash";
pub(super) const REFRESH_PREVIOUS_HASH: &str = "refresh_previous_hash";
pub(super) const REFRESH_ROTATED_AT: &str = "refresh_rotated_at";
pub(super) const REFRESH_FAMILY_HASH: &str = "refresh_family_hash";
pub(super) const REFRESH_SALT: &str = "refresh_salt";

pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(super) fn time(value: Timestamp) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// A primary key as an item, for requests.
pub(super) fn key_item(key: &ItemKey) -> Item {
    HashMap::from([
        (PK.to_owned(), text(&key.partition)),
        (SK.to_owned(), text(&key.sort)),
    ])
}

/// The attributes that the due index and native TTL use.
pub(super) fn due_attributes(due: &DueEntry, shard: Shard) -> [(&'static str, AttributeValue); 3] {
    let list = DueList {
        action: due.action,
        shard,
    };
    [
        (DUE_KEY, text(list.to_string())),
        (DUE_AT, time(due.at)),
        (TTL, time(due.ttl)),
    ]
}

/// When an index entry is due.
pub(super) fn due_at(entry: &Item) -> Option<Timestamp> {
    Timestamp::parse(entry.get(DUE_AT)?.as_n().ok()?).ok()
}

/// The primary key of an item.
pub(super) fn item_key(item: &Item) -> ItemKey {
    let part = |name| {
        let part = item.get(name).and_then(|part| part.as_s().ok());
        part.cloned().unwrap_or_default()
    };
    ItemKey {
        partition: part(PK),
        sort: part(SK),
    }
}

/// Removes the primary key from an item and returns it.
fn take_item_key(item: &mut Item) -> ItemKey {
    let mut part = |name| match item.remove(name) {
        Some(AttributeValue::S(part)) => part,
        _ => String::new(),
    };
    ItemKey {
        partition: part(PK),
        sort: part(SK),
    }
}

/// Removes the key from an item and parses it as a record's key.
pub(super) fn take_key(item: &mut Item) -> Result<RecordKey, MalformedRecord> {
    RecordKey::parse(take_item_key(item)).map_err(|unknown| MalformedRecord {
        problem: unknown.to_string(),
        key: unknown.0,
    })
}

/// The attributes that [`read_record`] needs. Reading whole items would also transfer the
/// application's own attributes.
pub(super) const READ_ATTRIBUTES: [&str; 12] = [
    PK,
    SK,
    IS_ACTIVE,
    EXPIRES_AT,
    DEACTIVATED_AT,
    DEACTIVATION_REASON,
    DUE_KEY,
    DUE_AT,
    MAX_EXPIRES_AT,
    CREATED_AT,
    CLIENT_ID,
    "#ttl",
];

/// `ttl` is a reserved word of DynamoDB's expressions.
pub(super) const TTL_NAME: (&str, &str) = ("#ttl", TTL);

/// Reads a record: its key, its state, and its index attributes.
pub(super) fn read_record(mut item: Item, shards: Shards) -> ParsedRecord {
    let key = take_key(&mut item)?;
    read_keyed(key, &item, shards)
}

/// Reads a record whose key was removed from its item.
pub(super) fn read_keyed(key: RecordKey, item: &Item, shards: Shards) -> ParsedRecord {
    match read_state(key.kind(), item) {
        Ok(state) => Ok(Record {
            due_key: item
                .get(DUE_KEY)
                .and_then(|due_key| due_key.as_s().ok())
                .and_then(|due_key| DueKey::parse(due_key, shards)),
            due_at: stored_seconds(item, DUE_AT),
            ttl: stored_seconds(item, TTL),
            max_expires_at: absolute_end(item),
            created_at: limit(item, CREATED_AT),
            client_id: item
                .get(CLIENT_ID)
                .and_then(|client| client.as_s().ok())
                .cloned(),
            reason: item
                .get(DEACTIVATION_REASON)
                .and_then(|reason| Reason::parse(reason.as_s().ok()?)),
            key,
            state,
        }),
        Err(problem) => Err(MalformedRecord {
            key: key.into_item(),
            problem,
        }),
    }
}

/// Reads exactly the attributes that the conditions of the writes compare. A record is malformed here
/// if and only if those conditions treat it as malformed.
fn read_state(kind: Kind, item: &Item) -> Result<RecordState, String> {
    match kind {
        Kind::RefreshToken | Kind::BlacklistedToken => Ok(RecordState::Token {
            expires_at: read_time(item, EXPIRES_AT)?,
        }),
        Kind::Session => {
            let is_active = item
                .get(IS_ACTIVE)
                .ok_or_else(|| format!("{IS_ACTIVE} is missing"))?
                .as_bool()
                .map_err(|_| format!("{IS_ACTIVE} is not a boolean"))?;
            Ok(RecordState::Session(if *is_active {
                SessionState::Active {
                    expires_at: read_time(item, EXPIRES_AT)?,
                }
            } else {
                SessionState::Inactive {
                    deactivated_at: read_time(item, DEACTIVATED_AT)?,
                }
            }))
        }
    }
}

/// A time that this crate writes. It may be later than [`Timestamp::MAX_VALID`], the limit for
/// times from other writers.
fn stored_seconds(item: &Item, name: &str) -> Option<Timestamp> {
    let seconds = item.get(name)?.as_n().ok()?.parse().ok()?;
    Some(Timestamp::from_seconds(seconds))
}

/// A session's absolute end.
pub(super) fn absolute_end(item: &Item) -> Option<Timestamp> {
    limit(item, MAX_EXPIRES_AT)
}

/// A time, rounded down. Compared with whole seconds, it is earlier if and only if the stored number is.
fn limit(item: &Item, name: &str) -> Option<Timestamp> {
    Timestamp::parse_limit(item.get(name)?.as_n().ok()?).ok()
}

/// `due_at`, the time at which the record is due in the index. A number that is not a valid time is too
/// late.
pub(super) fn indexed_at(item: &Item) -> Option<Timestamp> {
    let due_at = item.get(DUE_AT)?.as_n().ok()?;
    Some(Timestamp::parse(due_at).unwrap_or(Timestamp::MAX))
}

/// A time that no decision depends on. `None` if it is missing or malformed.
pub(super) fn valid_time(item: &Item, name: &str) -> Option<Timestamp> {
    read_time(item, name).ok()
}

fn read_time(item: &Item, name: &str) -> Result<Timestamp, String> {
    let number = item
        .get(name)
        .ok_or_else(|| format!("{name} is missing"))?
        .as_n()
        .map_err(|_| format!("{name} is not a number"))?;
    Timestamp::parse(number).map_err(|_| format!("{name} is not a time in epoch seconds"))
}
