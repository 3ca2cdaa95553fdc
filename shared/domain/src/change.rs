//! Records as they were found, and the conditional writes that change them.

use super::{
    Action, Due, DueKey, DueList, ItemKey, Kind, Reason, Record, RecordKey, Rules, Session, Shard,
    Shards, Step, Timestamp,
};

/// A record as the table holds it, with the attributes that the index and native TTL go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its key.
    pub key: RecordKey,
    /// Its own truth.
    pub record: Record,
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
pub struct Change {
    /// Which record.
    pub key: ItemKey,
    /// What is done.
    pub write: Write,
}

/// What a [`Change`] does, and the truth it takes for granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
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
        due: Due,
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
        due: Due,
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
        seen: Record,
        /// The shard.
        shard: Shard,
        /// What they are to say.
        due: Due,
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

impl StoredRecord {
    /// Whether `due_key`, `due_at` and `ttl` say what the record's state asks for.
    #[must_use]
    pub fn agrees_with(&self, due: &Due) -> bool {
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
    pub fn next_change(
        &self,
        rules: &Rules,
        shards: Shards,
        reason: Reason,
        now: Timestamp,
    ) -> Option<Change> {
        match rules.next_step(&self.record, now) {
            Step::KeepUntil(_) => None,
            Step::Deactivate => Some(Change::deactivate(
                self.key.clone(),
                self.shard(shards),
                rules,
                reason,
                now,
            )),
            Step::Delete => Some(Change::delete(self.key.clone(), rules, now)),
        }
    }

    /// The write that puts the index attributes right; nothing where they are.
    #[must_use]
    pub fn reindexing(&self, rules: &Rules, shards: Shards) -> Option<Change> {
        let due = rules.due(&self.record);
        (!self.agrees_with(&due)).then(|| Change {
            key: self.key.item().clone(),
            write: Write::Reindex {
                seen: self.record,
                shard: self.shard(shards),
                due,
            },
        })
    }
}

impl Change {
    /// Deactivates a session that has expired by `now`.
    #[must_use]
    pub fn deactivate(
        key: RecordKey,
        shard: Shard,
        rules: &Rules,
        reason: Reason,
        now: Timestamp,
    ) -> Self {
        let due = rules.due(&Record::Session(Session::Inactive {
            deactivated_at: now,
        }));
        let write = Write::Deactivate {
            expired_by: Some(now),
            at: now,
            reason,
            shard,
            due,
        };
        let key = key.into_item();
        Self { key, write }
    }

    /// Deletes a record that is due, and past the grace, at `now`.
    #[must_use]
    pub fn delete(key: RecordKey, rules: &Rules, now: Timestamp) -> Self {
        let due_by = rules.due_by(Action::Delete, now);
        let kind = key.kind();
        let ended_by = match kind {
            Kind::Session => due_by.minus(rules.retention.seconds()),
            Kind::RefreshToken | Kind::BlacklistedToken => due_by,
        };
        Self {
            key: key.into_item(),
            write: Write::Delete { kind, ended_by },
        }
    }

    /// Moves a malformed record off the list `from`.
    #[must_use]
    pub fn move_malformed(key: ItemKey, from: DueList) -> Self {
        let kind = key.kind();
        let write = Write::MoveMalformed { kind, from };
        Self { key, write }
    }

    /// Whether a record looks as this change leaves it. Where the answer to a write was lost, that
    /// tells whose write it was: two writers would have to agree on the reason and on the second.
    #[must_use]
    pub fn is_seen_in(&self, found: &StoredRecord) -> bool {
        match &self.write {
            Write::Deactivate {
                at, reason, due, ..
            } => {
                let inactive = Session::Inactive {
                    deactivated_at: *at,
                };
                found.record == Record::Session(inactive)
                    && found.reason == Some(*reason)
                    && found.agrees_with(due)
            }
            Write::Reindex { seen, due, .. } => found.record == *seen && found.agrees_with(due),
            Write::Extend { .. } | Write::Delete { .. } | Write::MoveMalformed { .. } => false,
        }
    }

    /// What a record on `list` most probably needs, taken on trust: the write's own condition
    /// finds out whether the record is what the index says.
    #[must_use]
    pub fn expected(key: RecordKey, list: DueList, rules: &Rules, now: Timestamp) -> Self {
        match (list.action, key.kind()) {
            (Action::Deactivate, Kind::Session) => {
                Self::deactivate(key, list.shard, rules, Reason::ExpiredByCleanup, now)
            }
            (Action::Deactivate | Action::Delete, _) => Self::delete(key, rules, now),
        }
    }
}
