//! A session with all its attributes.

use super::{Reason, RefreshState, SessionId, SessionState, Shard, Timestamp, UserId};

/// A session as it is stored. An attribute that is missing or malformed is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Owner of the session.
    pub user: UserId,
    /// Session ID.
    pub id: SessionId,
    /// `is_active`. A record without it is not active.
    pub is_active: bool,
    /// `created_at`.
    pub created_at: Option<Timestamp>,
    /// `expires_at`.
    pub expires_at: Option<Timestamp>,
    /// The session's absolute end.
    pub max_expires_at: Option<Timestamp>,
    /// `last_used_at`.
    pub last_used_at: Option<Timestamp>,
    /// `deactivated_at`.
    pub deactivated_at: Option<Timestamp>,
    /// `deactivation_reason`, which another writer may have chosen.
    pub deactivation_reason: Option<String>,
    /// IP address of the user at login.
    pub ip_address: Option<String>,
    /// User agent at login.
    pub user_agent: Option<String>,
    /// Client that the user signed in with.
    pub client_id: Option<String>,
    /// The refresh tokens, if the record has them.
    pub refresh: Option<RefreshState>,
    /// The shard of the record.
    pub shard: Shard,
    /// `due_at`.
    pub due_at: Option<Timestamp>,
}

impl Session {
    /// Whether the session is active and has not expired at `now`.
    #[must_use]
    pub fn is_live_at(&self, now: Timestamp) -> bool {
        let expires_at = self.expires_at.filter(|_| self.is_active);
        expires_at.is_some_and(|expires_at| !SessionState::Active { expires_at }.is_expired_at(now))
    }
    /// Whether the session's absolute end has passed at `now`. Its expiry time may be later if another writer
    /// does not respect the end.
    #[must_use]
    pub fn has_passed_its_end(&self, now: Timestamp) -> bool {
        self.max_expires_at.is_some_and(|end| end <= now)
    }

    /// Whether the session was deactivated at this time for this reason. After a lost response, this shows
    /// whether the write took place: another writer's values usually differ in the reason or the second.
    #[must_use]
    pub fn was_deactivated(&self, at: Timestamp, reason: Reason) -> bool {
        let is_same = self.deactivation_reason.as_deref() == Some(reason.as_str());
        !self.is_active && self.deactivated_at == Some(at) && is_same
    }
}
