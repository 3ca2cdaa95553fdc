//! The conditional writes on a session in memory: an independent version of the adapter's statements.

use session_domain::{
    ConditionalWrite, DeactivateIf, DueEntry, DueList, Kind, RecordState, Replacement, Rotation,
    Session, SessionState, Shard, Timestamp, Touch, UsedToken, WriteOp,
};

/// A session of a [`MemoryTable`](super::MemoryTable). It is always well-formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) session: Session,
    /// The list in `due_key`.
    pub(super) list: DueList,
    pub(super) ttl: Timestamp,
    /// Position among all sessions that the table has created.
    pub(super) created: u64,
}

impl Stored {
    pub(super) fn expires_at(&self) -> Timestamp {
        self.session.expires_at.unwrap()
    }

    pub(super) fn state(&self) -> RecordState {
        RecordState::Session(if self.session.is_active {
            SessionState::Active {
                expires_at: self.expires_at(),
            }
        } else {
            SessionState::Inactive {
                deactivated_at: self.session.deactivated_at.unwrap(),
            }
        })
    }

    /// Whether the session may be deleted.
    pub(super) fn has_ended_by(&self, time: Timestamp) -> bool {
        !self.session.is_active && self.session.deactivated_at.unwrap() <= time
    }

    /// Changes the session if the condition of the write holds. Returns whether it does.
    pub(super) fn update(&mut self, write: &ConditionalWrite) -> bool {
        let holds = self.allows(&write.op);
        if holds {
            self.change(&write.op);
        }
        holds
    }

    fn allows(&self, op: &WriteOp) -> bool {
        let session = &self.session;
        match op {
            WriteOp::Deactivate { only_if, .. } => session.is_active && self.may_end(only_if),
            WriteOp::Extend {
                live_at,
                expires_at,
                ..
            } => self.allows_expiry(*live_at, *expires_at),
            WriteOp::Touch(touch) => {
                let used = session.last_used_at;
                let is_just_used =
                    used.is_some_and(|at| touch.used_since < at && at < touch.used_until);
                self.allows_expiry(touch.at, touch.expires_at)
                    && !is_just_used
                    && self.is_due_by(touch.expires_at, touch.due_at)
            }
            WriteOp::ReplaceRefreshToken(new) => {
                self.allows_expiry(new.at, new.expires_at)
                    && self.is_due_by(new.expires_at, new.due_at)
                    && self.has_token(new)
            }
            WriteOp::Reindex { observed, .. } => self.state() == *observed,
            WriteOp::Delete { .. } | WriteOp::MoveMalformed { .. } => false,
        }
    }

    fn may_end(&self, only_if: &DeactivateIf) -> bool {
        match only_if {
            DeactivateIf::Active => true,
            DeactivateIf::ExpiredBy(time) => self.expires_at() <= *time,
            DeactivateIf::CreatedBefore { time, client_id } => {
                let session = &self.session;
                let is_of_client = client_id.is_none() || session.client_id == *client_id;
                is_of_client && session.created_at.is_some_and(|at| at < *time)
            }
        }
    }

    fn allows_expiry(&self, now: Timestamp, expires_at: Timestamp) -> bool {
        let end = self.session.max_expires_at;
        self.session.is_active && self.expires_at() > now && end.is_none_or(|end| expires_at <= end)
    }

    fn is_due_by(&self, expires_at: Timestamp, new_due_at: Option<Timestamp>) -> bool {
        new_due_at.is_some() || self.session.due_at.is_none_or(|at| at <= expires_at)
    }

    fn has_token(&self, new: &Replacement) -> bool {
        let Some(refresh) = &self.session.refresh else {
            return false;
        };
        match new.used {
            UsedToken::Current => refresh.current == new.used_hash,
            UsedToken::Previous => {
                let last = refresh.last.as_ref();
                last.is_some_and(|last| last.used == new.used_hash && last.salt.is_none())
            }
        }
    }

    fn change(&mut self, op: &WriteOp) {
        match op {
            WriteOp::Deactivate {
                at,
                reason,
                shard,
                due,
                ..
            } => {
                self.session.is_active = false;
                self.session.deactivated_at = Some(*at);
                self.session.deactivation_reason = Some(reason.as_str().to_owned());
                self.set_due(due, *shard);
            }
            WriteOp::Extend {
                expires_at,
                shard,
                due,
                ..
            } => {
                self.session.expires_at = Some(*expires_at);
                self.set_due(due, *shard);
            }
            WriteOp::Touch(touch) => self.touch(touch),
            WriteOp::ReplaceRefreshToken(new) => self.replace_token(new),
            WriteOp::Reindex { shard, due, .. } => self.set_due(due, *shard),
            WriteOp::Delete { .. } | WriteOp::MoveMalformed { .. } => {}
        }
    }

    fn touch(&mut self, touch: &Touch) {
        self.session.last_used_at = Some(touch.at);
        self.set_expiry(touch.expires_at, touch.ttl, touch.due_at);
    }

    fn replace_token(&mut self, new: &Replacement) {
        self.session.last_used_at = Some(new.at);
        self.set_expiry(new.expires_at, new.ttl, new.due_at);
        let refresh = self.session.refresh.as_mut().unwrap();
        refresh.current = new.new_hash.clone();
        let (used, at) = match (new.used, refresh.last.take()) {
            (UsedToken::Previous, Some(last)) => (last.used, last.at),
            (UsedToken::Current | UsedToken::Previous, _) => (new.used_hash.clone(), new.at),
        };
        refresh.last = Some(Rotation {
            used,
            at,
            salt: Some(new.salt.clone()),
        });
    }

    fn set_expiry(&mut self, expires_at: Timestamp, ttl: Timestamp, due_at: Option<Timestamp>) {
        self.session.expires_at = Some(expires_at);
        self.ttl = ttl;
        self.session.due_at = due_at.or(self.session.due_at);
    }

    fn set_due(&mut self, due: &DueEntry, shard: Shard) {
        let action = due.action;
        self.list = DueList { action, shard };
        self.session.shard = shard;
        self.session.due_at = Some(due.at);
        self.ttl = due.ttl;
    }
}

/// The time in the condition of a write that deletes a session.
pub(super) const fn deletes_by(op: &WriteOp) -> Option<Timestamp> {
    if let WriteOp::Delete {
        kind: Kind::Session,
        ended_by,
    } = op
    {
        return Some(*ended_by);
    }
    None
}
