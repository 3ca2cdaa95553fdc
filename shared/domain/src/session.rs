//! A session with all its attributes.

use super::{RefreshState, SessionId, SessionState, Shard, Timestamp, UserId};

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
}
