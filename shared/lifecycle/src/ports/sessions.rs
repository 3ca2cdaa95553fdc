//! Interfaces of an application that creates and changes sessions.

use std::future::Future;

use session_domain::{
    DueEntry, Record, RecordKey, RefreshTokenHash, SessionId, Timestamp, TokenId, UserId,
};

use super::StoreError;

/// A session that an application creates.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Owner of the session.
    pub user: UserId,
    /// Session ID.
    pub session: SessionId,
    /// Expiry time. The authorizer denies requests from this second on.
    pub expires_at: Timestamp,
    /// IP address of the user at login, if it is recorded.
    pub ip_address: Option<String>,
    /// User agent at login, if it is recorded.
    pub user_agent: Option<String>,
}

/// A record that an application creates.
#[derive(Debug, Clone)]
pub enum NewRecord {
    /// A session.
    Session {
        /// The session's attributes.
        new: NewSession,
        /// The stored `created_at`.
        created_at: Timestamp,
    },
    /// A refresh token of a session.
    RefreshToken {
        /// Owner of the token.
        user: UserId,
        /// Session of the token.
        session: SessionId,
        /// Hash of the token.
        token: RefreshTokenHash,
        /// Expiry time of the token.
        expires_at: Timestamp,
    },
    /// An access token that the authorizer denies from now on.
    BlacklistedToken {
        /// Owner of the token.
        user: UserId,
        /// Token ID.
        token: TokenId,
        /// The token's own `exp`.
        expires_at: Timestamp,
    },
}

impl NewRecord {
    /// Key of the record.
    #[must_use]
    pub fn key(&self) -> RecordKey {
        match self {
            Self::Session { new, .. } => RecordKey::session(&new.user, &new.session),
            Self::RefreshToken { user, token, .. } => RecordKey::refresh_token(user, token),
            Self::BlacklistedToken { user, token, .. } => RecordKey::blacklisted_token(user, token),
        }
    }
}

/// Creates records.
pub trait CreateRecords {
    /// Creates a record with the index entry `due`. Returns `false` if the key already exists; the
    /// existing record stays unchanged.
    fn create(
        &self,
        record: &NewRecord,
        due: &DueEntry,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// Reads single records.
pub trait FindRecord {
    /// Reads a record consistently.
    fn find(
        &self,
        key: &RecordKey,
    ) -> impl Future<Output = Result<Option<Record>, StoreError>> + Send;
}
