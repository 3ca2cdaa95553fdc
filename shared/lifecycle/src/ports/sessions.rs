//! Interfaces of an application that creates and changes sessions.

use std::future::Future;

use session_domain::{
    DueEntry, RecordKey, RefreshToken, RefreshTokenHash, Session, SessionId, Timestamp, TokenId,
    UserId,
};

use super::{ApplyWrites, StoreError};

/// A session that an application creates.
///
/// ```
/// use session_lifecycle::{NewSession, SessionId, Timestamp, UserId};
///
/// let expires_at = Timestamp::from_seconds(1_800_000_000);
/// let new = NewSession::new(UserId::parse("ann")?, SessionId::random(), expires_at)
///     .ip_address("192.0.2.7")
///     .user_agent("Mozilla/5.0");
/// assert_eq!(new.user_agent.as_deref(), Some("Mozilla/5.0"));
/// # Ok::<_, session_lifecycle::InvalidId>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
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
    /// Client that the user signed in with, if it is recorded.
    pub client_id: Option<String>,
    /// Time of the authentication, if it is recorded. A refresh does not change it.
    pub auth_time: Option<Timestamp>,
    /// The hash of the session's refresh token, if the record has it.
    pub refresh_hash: Option<RefreshTokenHash>,
    /// The hash of the family of the session's refresh tokens, if they have one.
    pub refresh_family_hash: Option<RefreshTokenHash>,
    /// The session's absolute end, if it has one. No refresh and no request moves the expiry time past it.
    pub max_expires_at: Option<Timestamp>,
}

impl NewSession {
    /// A session without the optional attributes.
    #[must_use]
    pub const fn new(user: UserId, session: SessionId, expires_at: Timestamp) -> Self {
        Self {
            user,
            session,
            expires_at,
            ip_address: None,
            user_agent: None,
            client_id: None,
            auth_time: None,
            refresh_hash: None,
            refresh_family_hash: None,
            max_expires_at: None,
        }
    }

    /// Records the IP address of the user.
    #[must_use]
    pub fn ip_address(mut self, ip_address: impl Into<String>) -> Self {
        self.ip_address = Some(ip_address.into());
        self
    }

    /// Records the user agent.
    #[must_use]
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = Some(user_agent.into());
        self
    }

    /// Records the client that the user signed in with.
    #[must_use]
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = Some(client_id.into());
        self
    }

    /// Records the time of the authentication.
    #[must_use]
    pub const fn auth_time(mut self, auth_time: Timestamp) -> Self {
        self.auth_time = Some(auth_time);
        self
    }

    /// Stores the hashes of the session's refresh token. [`Sessions::login`](crate::Sessions::login) does it.
    #[must_use]
    pub fn refresh_token(mut self, token: &RefreshToken) -> Self {
        self.refresh_hash = Some(token.hash());
        self.refresh_family_hash = token.family_hash();
        self
    }

    /// Stores the hash of a refresh token that the application made itself. Only the current token and the
    /// previous one are then recognized.
    #[must_use]
    pub fn refresh_hash(mut self, hash: RefreshTokenHash) -> Self {
        self.refresh_hash = Some(hash);
        self
    }

    /// Limits the session's lifetime to `max_expires_at`, whatever its expiry time is now or later.
    #[must_use]
    pub fn max_expires_at(mut self, max_expires_at: Timestamp) -> Self {
        self.max_expires_at = Some(max_expires_at);
        self.expires_at = self.expires_at.min(max_expires_at);
        self
    }
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

/// Reads sessions with all their attributes.
pub trait ReadSessions {
    /// Reads a session consistently.
    fn session(
        &self,
        user: &UserId,
        session: &SessionId,
    ) -> impl Future<Output = Result<Option<Session>, StoreError>> + Send;

    /// Reads all sessions of a user consistently, in the order of their IDs.
    fn sessions_of(
        &self,
        user: &UserId,
    ) -> impl Future<Output = Result<Vec<Session>, StoreError>> + Send;
}

/// Everything that [`Sessions`](crate::Sessions) needs from a store.
///
/// Every type that implements the three traits implements this one.
pub trait SessionStore: CreateRecords + ReadSessions + ApplyWrites + Sync {}

impl<T: CreateRecords + ReadSessions + ApplyWrites + Sync> SessionStore for T {}
