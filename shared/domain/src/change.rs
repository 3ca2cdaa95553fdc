//! Records as they were read, and the conditional writes that change them.

use super::{
    Action, DueEntry, DueKey, DueList, ItemKey, Kind, NextAction, Reason, RecordKey, RecordState,
    Replacement, RetentionPolicy, SessionState, Shard, Shards, Timestamp, Touch,
};

/// A record as it is stored, with the attributes for the due index and native TTL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Primary key.
    pub key: RecordKey,
    /// State, from the attributes that applications write.
    pub state: RecordState,
    /// `due_key`, if its value is valid.
    pub due_key: Option<DueKey>,
    /// `due_at`, if there is one.
    pub due_at: Option<Timestamp>,
    /// `ttl`, if there is one.
    pub ttl: Option<Timestamp>,
    /// `deactivation_reason`, if its value is valid.
    pub reason: Option<Reason>,
    /// A session's absolute end, if it has one.
    pub max_expires_at: Option<Timestamp>,
    /// A session's `created_at`, rounded down to whole seconds, if its value is valid.
    pub created_at: Option<Timestamp>,
    /// A session's `client_id`, if it has one.
    pub client_id: Option<String>,
}

/// A record that cannot be interpreted. Its own attributes are not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record {key} is malformed: {problem}")]
pub struct MalformedRecord {
    /// Primary key.
    pub key: ItemKey,
    /// What is wrong. It names attributes, never their values.
    pub problem: String,
}

/// A conditional write to one record. Its condition checks the attributes of the record itself, not
/// the index. It never creates a record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a write has no effect until a table applies it"]
pub struct ConditionalWrite {
    /// Primary key of the record.
    pub key: ItemKey,
    /// The operation.
    pub op: WriteOp,
}

/// Operation of a [`ConditionalWrite`], with the values that its condition checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOp {
    /// Deactivates an active session.
    Deactivate {
        /// Additional condition.
        only_if: DeactivateIf,
        /// The new `deactivated_at`.
        at: Timestamp,
        /// The new `deactivation_reason`.
        reason: Reason,
        /// The shard of the session, which does not change.
        shard: Shard,
        /// The due entry of the inactive session.
        due: DueEntry,
    },
    /// Changes the expiry time of a live session. The condition fails if it is later than the
    /// session's absolute end.
    Extend {
        /// The session must be live at this time.
        live_at: Timestamp,
        /// The new `expires_at`.
        expires_at: Timestamp,
        /// The shard of the session, which does not change.
        shard: Shard,
        /// The new due entry.
        due: DueEntry,
    },
    /// Records the use of a live session, and changes its expiry time, unless another request has
    /// just done so. The condition fails if the new expiry time is later than the session's absolute end.
    Touch(Touch),
    /// Replaces a refresh token of a live session, and changes its expiry time. The condition fails if the
    /// token was replaced meanwhile.
    ReplaceRefreshToken(Box<Replacement>),
    /// Deletes an inactive session or a token.
    Delete {
        /// Kind of the record.
        kind: Kind,
        /// The `deactivated_at` of a session, or the `expires_at` of a token, must not be later
        /// than this.
        ended_by: Timestamp,
    },
    /// Repairs the index attributes and the `ttl` of a record.
    Reindex {
        /// The state that the new values are derived from. It must not have changed.
        observed: RecordState,
        /// The shard of the record.
        shard: Shard,
        /// The correct due entry.
        due: DueEntry,
    },
    /// Moves a malformed record from a due list to the malformed records of its shard, if it is still
    /// on that list and still malformed.
    MoveMalformed {
        /// Kind of the record, if its key has one.
        kind: Option<Kind>,
        /// The due list on which it was found.
        from: DueList,
    },
}

/// What a session must be, besides active, to be deactivated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeactivateIf {
    /// Nothing else.
    Active,
    /// Expired by this time.
    ExpiredBy(Timestamp),
    /// Created before this time, and for this client if there is one.
    CreatedBefore {
        /// The session's `created_at` must be earlier.
        time: Timestamp,
        /// The session's `client_id`.
        client_id: Option<String>,
    },
}

impl Record {
    /// Whether `due_key`, `due_at` and `ttl` match this due entry. The shard may differ.
    #[must_use]
    pub fn index_matches(&self, due: &DueEntry) -> bool {
        matches!(self.due_key, Some(DueKey::List(list)) if list.action == due.action)
            && self.due_at == Some(due.at)
            && self.ttl == Some(due.ttl)
    }

    /// The shard of the record, or a new one if it has none.
    #[must_use]
    pub fn shard(&self, shards: Shards) -> Shard {
        self.due_key
            .map_or_else(|| shards.assign(&self.key), DueKey::shard)
    }

    /// The write for the next action at `now`. `None` if the record is kept.
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
                DeactivateIf::ExpiredBy(now),
            )),
            NextAction::Delete => Some(ConditionalWrite::delete(self.key.clone(), policy, now)),
        }
    }

    /// The write that repairs the index attributes. `None` if they are correct.
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
    /// Deactivates a session at `now`.
    pub fn deactivate(
        key: RecordKey,
        shard: Shard,
        policy: &RetentionPolicy,
        reason: Reason,
        now: Timestamp,
        only_if: DeactivateIf,
    ) -> Self {
        let due = policy.due_entry(&RecordState::Session(SessionState::Inactive {
            deactivated_at: now,
        }));
        let op = WriteOp::Deactivate {
            only_if,
            at: now,
            reason,
            shard,
            due,
        };
        let key = key.into_item();
        Self { key, op }
    }

    /// Deletes a record whose due time and sweep grace have passed at `now`.
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

    /// Records the use of a session.
    pub fn touch(key: RecordKey, touch: Touch) -> Self {
        let (key, op) = (key.into_item(), WriteOp::Touch(touch));
        Self { key, op }
    }

    /// Moves a malformed record off the due list `from`.
    pub fn move_malformed(key: ItemKey, from: DueList) -> Self {
        let kind = key.kind();
        let op = WriteOp::MoveMalformed { kind, from };
        Self { key, op }
    }

    /// Whether a record has the values that this write sets. After a lost response, this shows
    /// whether the write happened. Another writer's values usually differ in the reason or the
    /// second.
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
            WriteOp::Extend { .. }
            | WriteOp::Touch(_)
            | WriteOp::ReplaceRefreshToken(_)
            | WriteOp::Delete { .. }
            | WriteOp::MoveMalformed { .. } => false,
        }
    }

    /// The write for an entry of a due list, before the record is read. Its condition fails if the
    /// record is not what the index says.
    pub fn for_due_entry(
        key: RecordKey,
        list: DueList,
        policy: &RetentionPolicy,
        now: Timestamp,
    ) -> Self {
        match (list.action, key.kind()) {
            (Action::Deactivate, Kind::Session) => {
                let (reason, only_if) = (Reason::ExpiredByCleanup, DeactivateIf::ExpiredBy(now));
                Self::deactivate(key, list.shard, policy, reason, now, only_if)
            }
            (Action::Deactivate | Action::Delete, _) => Self::delete(key, policy, now),
        }
    }
}
