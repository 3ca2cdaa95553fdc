//! The life of a record: what is due, and what happens to it then.
//!
//! ```text
//!   session:  active ──expires_at──▶ inactive ──deactivated_at + retention──▶ deleted
//!   token:    stored ──expires_at──▶ deleted
//! ```
//!
//! Inactive is absorbing: no step leads back.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::{Days, Hours, RecordKey, Timestamp};

/// What of a session its life depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// `is_active` is true.
    Active {
        /// From when on the session lets nobody in.
        expires_at: Timestamp,
    },
    /// `is_active` is false.
    Inactive {
        /// When it became inactive.
        deactivated_at: Timestamp,
    },
}

impl SessionState {
    /// Whether the session's end has come while it is active: whether it must be deactivated.
    #[must_use]
    pub fn is_expired_at(self, now: Timestamp) -> bool {
        // Retention plays no part in a deactivation.
        RetentionPolicy::without_grace(Days(0)).next_action(&RecordState::Session(self), now)
            == NextAction::Deactivate
    }
}

/// What of a record its life depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordState {
    /// A session.
    Session(SessionState),
    /// A refresh token or a blacklisted token.
    Token {
        /// From when on nobody needs it.
        expires_at: Timestamp,
    },
}

/// What is done to a record when its time comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// An active session becomes inactive.
    Deactivate,
    /// The record goes.
    Delete,
}

/// When a record is due, for what, and when native TTL may take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueEntry {
    /// What has to be done.
    pub action: Action,
    /// From when on.
    pub at: Timestamp,
    /// The attribute `ttl`: when DynamoDB itself may delete the record.
    pub ttl: Timestamp,
}

/// The next step in a record's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextAction {
    /// Nothing before that time.
    KeepUntil(Timestamp),
    /// Deactivate the session now.
    Deactivate,
    /// Delete the record now.
    Delete,
}

/// The two spans that the life of a record depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// How long an inactive session is kept.
    pub retention: Days,
    /// How long a deletion that is due is left to native TTL, which deletes for free.
    pub sweep_grace: Hours,
}

impl RetentionPolicy {
    /// Rules with no grace: whoever asks wants to know when a record is due, not when it is swept.
    #[must_use]
    pub const fn without_grace(retention: Days) -> Self {
        Self {
            retention,
            sweep_grace: Hours(0),
        }
    }

    /// When `state` is due, and for what.
    #[must_use]
    pub const fn due_entry(&self, state: &RecordState) -> DueEntry {
        let retention = self.retention.seconds();
        match *state {
            RecordState::Session(SessionState::Active { expires_at }) => DueEntry {
                action: Action::Deactivate,
                at: expires_at,
                ttl: expires_at.plus(retention),
            },
            RecordState::Session(SessionState::Inactive { deactivated_at }) => {
                let end = deactivated_at.plus(retention);
                DueEntry {
                    action: Action::Delete,
                    at: end,
                    ttl: end,
                }
            }
            RecordState::Token { expires_at } => DueEntry {
                action: Action::Delete,
                at: expires_at,
                ttl: expires_at,
            },
        }
    }

    /// What happens to `state` at `now`: the one decision that everything else asks.
    #[must_use]
    pub fn next_action(&self, state: &RecordState, now: Timestamp) -> NextAction {
        let due = self.due_entry(state);
        let at = match due.action {
            Action::Deactivate => due.at,
            Action::Delete => due.at.plus(self.sweep_grace.seconds()),
        };
        match due.action {
            _ if at > now => NextAction::KeepUntil(at),
            Action::Deactivate => NextAction::Deactivate,
            Action::Delete => NextAction::Delete,
        }
    }

    /// The latest due time that a step of this kind is taken for at `now`: what [`next_action`]
    /// compares, the other way round, for those who ask an index.
    ///
    /// [`next_action`]: Self::next_action
    #[must_use]
    pub const fn cutoff(&self, action: Action, now: Timestamp) -> Timestamp {
        match action {
            Action::Deactivate => now,
            Action::Delete => now.minus(self.sweep_grace.seconds()),
        }
    }
}

/// Why a session became inactive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The authorizer met it after its end.
    ExpiredOnValidation,
    /// The cleanup found it after its end.
    ExpiredByCleanup,
    /// The user logged out.
    Logout,
    /// Somebody took it away.
    Revoked,
}

impl Reason {
    /// The stored `deactivation_reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ExpiredOnValidation => "expired_on_validation",
            Self::ExpiredByCleanup => "expired_by_cleanup",
            Self::Logout => "logout",
            Self::Revoked => "revoked",
        }
    }

    /// Reads a stored `deactivation_reason`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [
            Self::ExpiredOnValidation,
            Self::ExpiredByCleanup,
            Self::Logout,
            Self::Revoked,
        ]
        .into_iter()
        .find(|it| it.as_str() == name)
    }
}

/// One of the parts that the work list is spread over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(u8);

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}", self.0)
    }
}

/// How many shards there are, 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shards(u8);

/// A number of shards that is not 1 to 100.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the number of shards must be 1 to 100")]
pub struct InvalidShard;

impl Default for Shards {
    fn default() -> Self {
        Self(16)
    }
}

impl Shards {
    /// Takes 1 to 100.
    ///
    /// # Errors
    ///
    /// Any other number.
    pub const fn new(count: u8) -> Result<Self, InvalidShard> {
        if count >= 1 && count <= 100 {
            Ok(Self(count))
        } else {
            Err(InvalidShard)
        }
    }

    /// The number.
    #[must_use]
    pub const fn count(self) -> u8 {
        self.0
    }

    /// All of them, in order.
    pub fn all(self) -> impl Iterator<Item = Shard> {
        (0..self.0).map(Shard)
    }

    /// The shard of a record that has none yet. Any would do; hashing the key spreads them
    /// evenly and needs no random numbers.
    #[must_use]
    pub fn assign(self, key: &RecordKey) -> Shard {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the remainder is below 100"
        )]
        Shard((hasher.finish() % u64::from(self.0)) as u8)
    }
}

/// One list of the index `due`: what has to be done, and which shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DueList {
    /// What has to be done to the records on it.
    pub action: Action,
    /// Which part of them.
    pub shard: Shard,
}

/// A value of `due_key`: the part of the index `due` that a record is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DueKey {
    /// A work list.
    List(DueList),
    /// The malformed records that a run moved off its lists. They keep their shard.
    Malformed(Shard),
}

impl DueKey {
    /// Reads a stored `due_key`; nothing where it is none that a stack with `shards` writes.
    #[must_use]
    pub fn parse(due_key: &str, shards: Shards) -> Option<Self> {
        let (list, shard) = due_key.split_once('#')?;
        let digits = shard.len() == 2 && shard.bytes().all(|digit| digit.is_ascii_digit());
        let number = shard.parse().ok();
        let shard = Shard(number.filter(|number| digits && *number < shards.0)?);
        let on_list = |action| Self::List(DueList { action, shard });
        match list {
            "deactivate" => Some(on_list(Action::Deactivate)),
            "delete" => Some(on_list(Action::Delete)),
            "malformed" => Some(Self::Malformed(shard)),
            _ => None,
        }
    }

    /// The record's shard, which it keeps for life.
    #[must_use]
    pub const fn shard(self) -> Shard {
        match self {
            Self::List(list) => list.shard,
            Self::Malformed(shard) => shard,
        }
    }
}

impl fmt::Display for DueKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(list) => list.fmt(f),
            Self::Malformed(shard) => write!(f, "malformed#{shard}"),
        }
    }
}

impl fmt::Display for DueList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            Action::Deactivate => "deactivate",
            Action::Delete => "delete",
        };
        write!(f, "{action}#{}", self.shard)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T: i64 = 1_800_000_000;
    const DAY: i64 = 86_400;
    const POLICY: RetentionPolicy = RetentionPolicy {
        retention: Days(30),
        sweep_grace: Hours(48),
    };

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn active(expires_at: i64) -> RecordState {
        RecordState::Session(SessionState::Active {
            expires_at: at(expires_at),
        })
    }

    fn inactive(deactivated_at: i64) -> RecordState {
        RecordState::Session(SessionState::Inactive {
            deactivated_at: at(deactivated_at),
        })
    }

    fn token(expires_at: i64) -> RecordState {
        RecordState::Token {
            expires_at: at(expires_at),
        }
    }

    #[test]
    fn next_action_changes_at_exact_second() {
        let table = [
            (active(T), T - 1, NextAction::KeepUntil(at(T))),
            (active(T), T, NextAction::Deactivate),
            (active(T), T + 400 * DAY, NextAction::Deactivate),
            (
                inactive(T),
                T + 30 * DAY - 1,
                NextAction::KeepUntil(at(T + 32 * DAY)),
            ),
            (
                inactive(T),
                T + 32 * DAY - 1,
                NextAction::KeepUntil(at(T + 32 * DAY)),
            ),
            (inactive(T), T + 32 * DAY, NextAction::Delete),
            (token(T), T, NextAction::KeepUntil(at(T + 2 * DAY))),
            (
                token(T),
                T + 2 * DAY - 1,
                NextAction::KeepUntil(at(T + 2 * DAY)),
            ),
            (token(T), T + 2 * DAY, NextAction::Delete),
        ];
        for (state, now, step) in table {
            assert_eq!(
                POLICY.next_action(&state, at(now)),
                step,
                "{state:?} at {now}"
            );
        }
    }

    #[test]
    fn deletes_when_due_without_grace() {
        let policy = RetentionPolicy::without_grace(Days(30));
        assert_eq!(policy.next_action(&token(T), at(T)), NextAction::Delete);
        assert_eq!(
            policy.next_action(&inactive(T), at(T + 30 * DAY)),
            NextAction::Delete
        );
        assert_eq!(
            policy.next_action(&token(T), at(T - 1)),
            NextAction::KeepUntil(at(T))
        );
    }

    #[test]
    fn due_entry_and_ttl_match_record() {
        let table = [
            (active(T), Action::Deactivate, T, T + 30 * DAY),
            (inactive(T), Action::Delete, T + 30 * DAY, T + 30 * DAY),
            (token(T), Action::Delete, T, T),
        ];
        for (state, action, due_at, ttl) in table {
            let due = DueEntry {
                action,
                at: at(due_at),
                ttl: at(ttl),
            };
            assert_eq!(POLICY.due_entry(&state), due, "{state:?}");
        }
    }

    #[test]
    fn parses_written_due_keys_and_rejects_others() {
        let shards = Shards::new(100).unwrap();
        for shard in shards.all() {
            for action in [Action::Deactivate, Action::Delete] {
                let key = DueKey::List(DueList { action, shard });
                assert_eq!(DueKey::parse(&key.to_string(), shards), Some(key));
            }
            let key = DueKey::Malformed(shard);
            assert_eq!(DueKey::parse(&key.to_string(), shards), Some(key));
            assert_eq!(key.shard(), shard);
        }
        let shards = Shards::new(16).unwrap();
        for stray in [
            "delete#16",
            "delete#99",
            "delete#1",
            "delete#001",
            "delete#+1",
            "Delete#01",
            "delete",
            "",
            "keep#01",
            "malformed#16",
            "delete#01#",
        ] {
            assert_eq!(DueKey::parse(stray, shards), None, "{stray:?}");
        }
    }

    fn any_record() -> impl Strategy<Value = RecordState> {
        let time = T - 100 * DAY..T + 100 * DAY;
        prop_oneof![
            time.clone().prop_map(active),
            time.clone().prop_map(inactive),
            time.prop_map(token),
        ]
    }

    fn any_policy() -> impl Strategy<Value = RetentionPolicy> {
        (1..400_u32, 0..=720_u32).prop_map(|(days, hours)| RetentionPolicy {
            retention: Days(days),
            sweep_grace: Hours(hours),
        })
    }

    proptest! {
        #[test]
        fn acts_at_due_time_and_never_before(
            state in any_record(), policy in any_policy(), now in T - 500 * DAY..T + 500 * DAY,
        ) {
            match policy.next_action(&state, at(now)) {
                NextAction::KeepUntil(time) => {
                    prop_assert!(time > at(now));
                    prop_assert!(!matches!(policy.next_action(&state, time), NextAction::KeepUntil(_)));
                    prop_assert!(matches!(
                        policy.next_action(&state, time.minus(1)), NextAction::KeepUntil(_)));
                }
                NextAction::Deactivate => prop_assert!(policy.due_entry(&state).at <= at(now)),
                NextAction::Delete => prop_assert!(
                    policy.due_entry(&state).at.plus(policy.sweep_grace.seconds()) <= at(now)),
            }
        }

        #[test]
        fn deactivates_only_active_sessions(
            state in any_record(), policy in any_policy(), now in T - 500 * DAY..T + 500 * DAY,
        ) {
            if policy.next_action(&state, at(now)) == NextAction::Deactivate {
                let is_active = matches!(state, RecordState::Session(SessionState::Active { .. }));
                prop_assert!(is_active);
            }
        }

        #[test]
        fn keeps_deactivated_session_for_whole_retention(
            policy in any_policy(), now in T - 500 * DAY..T + 500 * DAY, later in 0..500 * DAY,
        ) {
            let step = policy.next_action(&inactive(now), at(now + later));
            prop_assert_ne!(step, NextAction::Deactivate);
            let swept = later >= policy.retention.seconds() + policy.sweep_grace.seconds();
            prop_assert_eq!(step == NextAction::Delete, swept);
        }

        #[test]
        fn cutoff_selects_exactly_the_due_records(
            state in any_record(), policy in any_policy(), now in T - 500 * DAY..T + 500 * DAY,
        ) {
            let due = policy.due_entry(&state);
            let listed = due.at <= policy.cutoff(due.action, at(now));
            let kept = matches!(policy.next_action(&state, at(now)), NextAction::KeepUntil(_));
            prop_assert_eq!(listed, !kept);
        }
    }
}
