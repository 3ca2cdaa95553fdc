//! Records as they were found, and the conditional writes that change them.

use super::{
    Action, DueEntry, DueKey, DueList, ItemKey, Kind, NextAction, Reason, RecordKey, RecordState,
    RetentionPolicy, SessionState, Shard, Shards, Timestamp,
};

/// A record as the table holds it, with the attributes that the index and native TTL go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: RecordKey,
    /// Its own truth.
    pub state: RecordState,
    /// The stored `due_key`, where it is one of ours.
    pub due_key: Option<DueKey>,
    /// The stored `due_at`, where there is one.
    pub due_at: Option<Timestamp>,
    /// The stored `ttl`, where there is one.
    pub ttl: Option<Timestamp>,
    /// The stored `deactivation_reason`, where it is one of ours.
    pub reason: Option<Reason>,
}

/// A record that cannot be understood. Its attributes stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record {key} is malformed: {problem}")]
pub struct MalformedRecord {
    /// Its key.
    pub key: ItemKey,
    /// What is wrong with it; names attributes, never their values.
    pub problem: String,
}

/// One conditional write to one record. It never creates a record, and it takes place only while
/// the record's own attributes, not the index, allow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionalWrite {
    /// Which record.
    pub key: ItemKey,
    /// What is done.
    pub op: WriteOp,
}

/// What a [`ConditionalWrite`] does, and the truth it takes for granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOp {
    /// Makes an active session inactive.
    Deactivate {
        /// The session must have expired by then; without it, being active is enough.
        expired_by: Option<Timestamp>,
        /// The new `deactivated_at`.
        at: Timestamp,
        /// The new `deactivation_reason`.
        reason: Reason,
        /// The shard it stays on.
        shard: Shard,
        /// When the inactive session is due.
        due: DueEntry,
    },
    /// Moves the end of an active session that has not expired.
    Extend {
        /// The session must still be live then.
        live_at: Timestamp,
        /// The new `expires_at`.
        expires_at: Timestamp,
        /// The shard it stays on.
        shard: Shard,
        /// When the session is due now.
        due: DueEntry,
    },
    /// Deletes an inactive session or a token.
    Delete {
        /// What the record is.
        kind: Kind,
        /// `deactivated_at` of the session, `expires_at` of the token must not be later.
        ended_by: Timestamp,
    },
    /// Gives a record the index attributes and the `ttl` that its state asks for.
    Reindex {
        /// The truth they were derived from, which must not have changed.
        observed: RecordState,
        /// The shard.
        shard: Shard,
        /// What they are to say.
        due: DueEntry,
    },
    /// Moves a malformed record off a work list, to the malformed ones of its shard. It takes
    /// place only while the record is on that list and cannot be understood.
    MoveMalformed {
        /// What the record is, as far as its key tells.
        kind: Option<Kind>,
        /// The list on which it was met.
        from: DueList,
    },
}

impl Record {
    /// Whether `due_key`, `due_at` and `ttl` say what the record's state asks for.
    #[must_use]
    pub fn index_matches(&self, due: &DueEntry) -> bool {
        matches!(self.due_key, Some(DueKey::List(list)) if list.action == due.action)
            && self.due_at == Some(due.at)
            && self.ttl == Some(due.ttl)
    }

    /// The shard the record stands on, or the one it gets.
    #[must_use]
    pub fn shard(&self, shards: Shards) -> Shard {
        self.due_key
            .map_or_else(|| shards.assign(&self.key), DueKey::shard)
    }

    /// The write that takes the record's next step at `now`; nothing while it is to be kept.
    #[must_use]
    pub fn next_write(
        &self,
        policy: &RetentionPolicy,
        shards: Shards,
        reason: Reason,
        now: Timestamp,
    ) -> Option<ConditionalWrite> {
        match policy.next_action(&self.state, now) {
            NextAction::KeepUntil(_) => None,
            NextAction::Deactivate => Some(ConditionalWrite::deactivate(
                self.key.clone(),
                self.shard(shards),
                policy,
                reason,
                now,
            )),
            NextAction::Delete => Some(ConditionalWrite::delete(self.key.clone(), policy, now)),
        }
    }

    /// The write that puts the index attributes right; nothing where they are.
    #[must_use]
    pub fn index_repair(
        &self,
        policy: &RetentionPolicy,
        shards: Shards,
    ) -> Option<ConditionalWrite> {
        let due = policy.due_entry(&self.state);
        (!self.index_matches(&due)).then(|| ConditionalWrite {
            key: self.key.item().clone(),
            op: WriteOp::Reindex {
                observed: self.state,
                shard: self.shard(shards),
                due,
            },
        })
    }
}

impl ConditionalWrite {
    /// Deactivates a session that has expired by `now`.
    #[must_use]
    pub fn deactivate(
        key: RecordKey,
        shard: Shard,
        policy: &RetentionPolicy,
        reason: Reason,
        now: Timestamp,
    ) -> Self {
        let due = policy.due_entry(&RecordState::Session(SessionState::Inactive {
            deactivated_at: now,
        }));
        let op = WriteOp::Deactivate {
            expired_by: Some(now),
            at: now,
            reason,
            shard,
            due,
        };
        let key = key.into_item();
        Self { key, op }
    }

    /// Deletes a record that is due, and past the grace, at `now`.
    #[must_use]
    pub fn delete(key: RecordKey, policy: &RetentionPolicy, now: Timestamp) -> Self {
        let cutoff = policy.cutoff(Action::Delete, now);
        let kind = key.kind();
        let ended_by = match kind {
            Kind::Session => cutoff.minus(policy.retention.seconds()),
            Kind::RefreshToken | Kind::BlacklistedToken => cutoff,
        };
        Self {
            key: key.into_item(),
            op: WriteOp::Delete { kind, ended_by },
        }
    }

    /// Moves a malformed record off the list `from`.
    #[must_use]
    pub fn move_malformed(key: ItemKey, from: DueList) -> Self {
        let kind = key.kind();
        let op = WriteOp::MoveMalformed { kind, from };
        Self { key, op }
    }

    /// Whether a record looks as this change leaves it. Where the answer to a write was lost, that
    /// tells whose write it was: two writers would have to agree on the reason and on the second.
    #[must_use]
    pub fn is_reflected_in(&self, found: &Record) -> bool {
        match &self.op {
            WriteOp::Deactivate {
                at, reason, due, ..
            } => {
                let inactive = SessionState::Inactive {
                    deactivated_at: *at,
                };
                found.state == RecordState::Session(inactive)
                    && found.reason == Some(*reason)
                    && found.index_matches(due)
            }
            WriteOp::Reindex { observed, due, .. } => {
                found.state == *observed && found.index_matches(due)
            }
            WriteOp::Extend { .. } | WriteOp::Delete { .. } | WriteOp::MoveMalformed { .. } => {
                false
            }
        }
    }

    /// What a record on `list` most probably needs, taken on trust: the write's own condition
    /// finds out whether the record is what the index says.
    #[must_use]
    pub fn for_due_entry(
        key: RecordKey,
        list: DueList,
        policy: &RetentionPolicy,
        now: Timestamp,
    ) -> Self {
        match (list.action, key.kind()) {
            (Action::Deactivate, Kind::Session) => {
                Self::deactivate(key, list.shard, policy, Reason::ExpiredByCleanup, now)
            }
            (Action::Deactivate | Action::Delete, _) => Self::delete(key, policy, now),
        }
    }
}
