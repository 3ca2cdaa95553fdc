//! Interfaces of the authorizer.

use std::future::Future;

use session_domain::{MalformedRecord, SessionId, SessionSnapshot, TokenId, UserId};

use super::StoreError;

/// The stored data about one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionLookup {
    /// The session that the token names. `None` if the user has no such session.
    pub session: Option<Result<SessionSnapshot, MalformedRecord>>,
    /// Whether the token is blacklisted.
    pub blacklisted: bool,
}

/// Reads what a validation needs.
pub trait LookUpSession {
    /// Reads a session, and whether the token is blacklisted, in one consistent request. Without `token`,
    /// it reads the session only.
    fn look_up(
        &self,
        user: &UserId,
        session: &SessionId,
        token: Option<&TokenId>,
    ) -> impl Future<Output = Result<SessionLookup, StoreError>> + Send;
}

/// A store whose automatic retries can be turned off.
///
/// A store that retries hides from its caller that the response to an earlier attempt was lost.
pub trait WithoutRetries {
    /// The same store, with one attempt per call.
    #[must_use]
    fn without_retries(&self) -> Self;
}
