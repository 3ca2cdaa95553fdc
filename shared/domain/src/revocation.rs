//! Revocation of many sessions: which ones, and why.

use std::fmt;

use chrono::{DateTime, SecondsFormat};
use serde::de::{self, Deserializer, Visitor};
use serde::ser::{self, Serializer};
use serde::{Deserialize, Serialize};

use super::{
    ConditionalWrite, DeactivateIf, Reason, Record, RecordState, RetentionPolicy, SessionState,
    Shards, Timestamp,
};

/// Maximum number of characters of the texts that people write.
const MAX_TEXT: usize = 256;

/// Maximum number of characters of a client ID, which can be a URL.
const MAX_CLIENT_ID: usize = 2_048;

/// Revocation of all sessions that began before a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Revocation {
    /// Sessions with an earlier `created_at` are revoked. Serialized as RFC 3339; epoch seconds are read,
    /// too.
    #[serde(serialize_with = "rfc3339")]
    pub created_before: Timestamp,
    /// Only sessions of this client are revoked.
    pub client_id: Option<String>,
    /// Why the sessions are revoked.
    pub reason: String,
    /// Who asked for the revocation, in the words of the caller.
    pub requested_by: Option<String>,
}

/// Whether a session is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// It is one of the sessions to revoke.
    Inside,
    /// It is not one of them.
    Outside,
    /// It may be one of them: its `created_at` is missing or is not a time.
    Unknown,
}

/// Error of a revocation with an invalid value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} must be 1 to {max} characters without control characters, and not blank")]
pub struct InvalidRevocation {
    name: &'static str,
    max: usize,
}

/// A revocation whose texts are not checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    #[serde(deserialize_with = "time")]
    created_before: Timestamp,
    client_id: Option<String>,
    reason: String,
    requested_by: Option<String>,
}

impl TryFrom<Unchecked> for Revocation {
    type Error = InvalidRevocation;

    fn try_from(it: Unchecked) -> Result<Self, InvalidRevocation> {
        check("client_id", it.client_id.as_deref(), MAX_CLIENT_ID)?;
        check("reason", Some(&it.reason), MAX_TEXT)?;
        check("requested_by", it.requested_by.as_deref(), MAX_TEXT)?;
        Ok(Self {
            created_before: it.created_before,
            client_id: it.client_id,
            reason: it.reason,
            requested_by: it.requested_by,
        })
    }
}

fn check(name: &'static str, text: Option<&str>, max: usize) -> Result<(), InvalidRevocation> {
    let is_valid = |text: &str| {
        !text.trim().is_empty()
            && text.chars().count() <= max
            && !text.chars().any(char::is_control)
    };
    if text.is_none_or(is_valid) {
        Ok(())
    } else {
        Err(InvalidRevocation { name, max })
    }
}

impl Revocation {
    /// Whether this revokes the session. Only an active session that has not expired at `now` is revoked:
    /// an expired one is left to the cleanup.
    #[must_use]
    pub fn scope(&self, record: &Record, now: Timestamp) -> Scope {
        let RecordState::Session(state @ SessionState::Active { .. }) = record.state else {
            return Scope::Outside;
        };
        let is_other_client = self.client_id.is_some() && self.client_id != record.client_id;
        if state.is_expired_at(now) || is_other_client {
            return Scope::Outside;
        }
        match record.created_at {
            None => Scope::Unknown,
            Some(created_at) if created_at < self.created_before => Scope::Inside,
            Some(_) => Scope::Outside,
        }
    }

    /// The write that revokes the session. `None` if it is not one of the sessions to revoke.
    #[must_use]
    pub fn write(
        &self,
        record: &Record,
        policy: &RetentionPolicy,
        shards: Shards,
        now: Timestamp,
    ) -> Option<ConditionalWrite> {
        (self.scope(record, now) == Scope::Inside).then(|| {
            let only_if = DeactivateIf::CreatedBefore {
                time: self.created_before,
                client_id: self.client_id.clone(),
            };
            let (key, shard) = (record.key.clone(), record.shard(shards));
            ConditionalWrite::deactivate(key, shard, policy, Reason::Revoked, now, only_if)
        })
    }

    /// `created_before` as RFC 3339.
    #[must_use]
    pub fn created_before_text(&self) -> Option<String> {
        time_text(self.created_before)
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn rfc3339<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    let text = time_text(*time).ok_or_else(|| ser::Error::custom("a time outside the calendar"))?;
    serializer.serialize_str(&text)
}

fn time_text(time: Timestamp) -> Option<String> {
    let time = DateTime::from_timestamp(time.seconds(), 0)?;
    Some(time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// Reads whole epoch seconds, or a time of RFC 3339 without a fraction of a second.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    struct Time;

    impl Visitor<'_> for Time {
        type Value = Timestamp;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str(
                "created_before as whole epoch seconds, or as a time such as 2026-11-24T12:00:00Z",
            )
        }

        fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Timestamp, E> {
            let time = Timestamp::from_seconds(seconds);
            let is_valid = seconds >= 0 && time <= Timestamp::MAX_VALID;
            is_valid
                .then_some(time)
                .ok_or_else(|| E::invalid_value(de::Unexpected::Signed(seconds), &self))
        }

        fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Timestamp, E> {
            self.visit_i64(seconds.try_into().unwrap_or(i64::MAX))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
            let time = DateTime::parse_from_rfc3339(text).ok();
            let whole = time.filter(|time| time.timestamp_subsec_nanos() == 0);
            match whole {
                Some(time) => self.visit_i64(time.timestamp()),
                None => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
            }
        }
    }

    deserializer.deserialize_any(Time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ItemKey, RecordKey};

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const BEFORE: Timestamp = Timestamp::from_seconds(1_799_000_000);

    fn session(state: SessionState, created_at: Option<Timestamp>, client: Option<&str>) -> Record {
        let key = ItemKey {
            partition: "USER#ann".to_owned(),
            sort: "SESSION#s".to_owned(),
        };
        Record {
            key: RecordKey::parse(key).unwrap(),
            state: RecordState::Session(state),
            due_key: None,
            due_at: None,
            ttl: None,
            reason: None,
            max_expires_at: None,
            created_at,
            client_id: client.map(str::to_owned),
        }
    }

    #[test]
    fn revokes_live_sessions_that_began_before_the_time() {
        let live = SessionState::Active {
            expires_at: NOW.plus(1),
        };
        let expired = SessionState::Active { expires_at: NOW };
        let inactive = SessionState::Inactive {
            deactivated_at: BEFORE,
        };
        let (early, late) = (Some(BEFORE.minus(1)), Some(BEFORE));
        for (state, created_at, client, of_client, expected) in [
            (live, early, None, None, Scope::Inside),
            (live, late, None, None, Scope::Outside),
            (live, None, None, None, Scope::Unknown),
            (live, early, Some("web"), None, Scope::Inside),
            (live, early, Some("web"), Some("web"), Scope::Inside),
            (live, early, Some("Web"), Some("web"), Scope::Outside),
            (live, early, None, Some("web"), Scope::Outside),
            (live, None, Some("app"), Some("web"), Scope::Outside),
            (expired, early, None, None, Scope::Outside),
            (expired, None, None, None, Scope::Outside),
            (inactive, early, None, None, Scope::Outside),
        ] {
            let revocation = Revocation {
                created_before: BEFORE,
                client_id: of_client.map(str::to_owned),
                reason: "a leaked key".to_owned(),
                requested_by: None,
            };
            let record = session(state, created_at, client);
            assert_eq!(revocation.scope(&record, NOW), expected, "{record:?}");
            let policy = RetentionPolicy::without_grace(crate::Days(30));
            let write = revocation.write(&record, &policy, Shards::default(), NOW);
            assert_eq!(write.is_some(), expected == Scope::Inside, "{record:?}");
        }
    }
}
