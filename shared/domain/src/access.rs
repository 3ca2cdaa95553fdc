//! Decides whether a session allows a request.

use super::{SessionState, Shard, Timestamp};

/// Reason to deny a request. Its sentence is the `error` of the response. The caller learns nothing
/// else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DenyReason {
    /// No `Authorization` header, or not one of the form `Bearer <token>`.
    #[error("Missing bearer token")]
    MissingBearerToken,
    /// The form, the signature or a claim other than `exp` is invalid.
    #[error("Invalid token")]
    InvalidToken,
    /// The `exp` of the token has passed.
    #[error("Token expired")]
    TokenExpired,
    /// The token is blacklisted.
    #[error("Token revoked")]
    TokenRevoked,
    /// The user has no such session.
    #[error("Session not found")]
    SessionNotFound,
    /// The session was deactivated.
    #[error("Session inactive")]
    SessionInactive,
    /// The session's `expires_at` has passed.
    #[error("Session expired")]
    SessionExpired,
}

/// A session as the authorizer reads it. The other attributes of an inactive session do not matter,
/// and may be malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionSnapshot {
    /// `is_active` is false.
    Inactive,
    /// `is_active` is true.
    Active(ActiveSession),
}

/// An active session as the authorizer reads it. The optional times are `None` if they are missing or
/// malformed: no decision about access depends on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveSession {
    /// Expiry time. The authorizer denies requests from this second on.
    pub expires_at: Timestamp,
    /// The shard of the record.
    pub shard: Shard,
    /// `created_at`.
    pub created_at: Option<Timestamp>,
    /// `last_used_at`.
    pub last_used_at: Option<Timestamp>,
    /// The session's absolute end.
    pub max_expires_at: Option<Timestamp>,
    /// `due_at`.
    pub due_at: Option<Timestamp>,
}

impl ActiveSession {
    /// A session without the optional times.
    #[must_use]
    pub const fn new(expires_at: Timestamp, shard: Shard) -> Self {
        Self {
            expires_at,
            shard,
            created_at: None,
            last_used_at: None,
            max_expires_at: None,
            due_at: None,
        }
    }
}

impl SessionSnapshot {
    /// The shard of a session that is active and expired, and must be deactivated. `None` for other
    /// sessions.
    #[must_use]
    pub fn expired_at(self, now: Timestamp) -> Option<Shard> {
        match self {
            Self::Active(ActiveSession {
                expires_at, shard, ..
            }) => (SessionState::Active { expires_at })
                .is_expired_at(now)
                .then_some(shard),
            Self::Inactive => None,
        }
    }
}

/// Decides about a request whose token is valid except for `exp`.
///
/// # Errors
///
/// The reason to deny the request. If several apply, the first in this order: token revoked, session
/// not found, session inactive, session expired, token expired.
pub fn check_access(
    session: Option<SessionSnapshot>,
    blacklisted: bool,
    token_expires_at: Timestamp,
    now: Timestamp,
) -> Result<(), DenyReason> {
    if blacklisted {
        return Err(DenyReason::TokenRevoked);
    }
    let session = session.ok_or(DenyReason::SessionNotFound)?;
    if session == SessionSnapshot::Inactive {
        return Err(DenyReason::SessionInactive);
    }
    if session.expired_at(now).is_some() {
        return Err(DenyReason::SessionExpired);
    }
    if token_expires_at <= now {
        return Err(DenyReason::TokenExpired);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shards;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    #[test]
    fn returns_first_deny_reason_in_order() {
        let active = |expires_at| {
            let shard = Shards::default().all().next().unwrap();
            SessionSnapshot::Active(ActiveSession::new(expires_at, shard))
        };
        let (live, expired) = (active(NOW.plus(1)), active(NOW));
        let inactive = SessionSnapshot::Inactive;
        let (later, past) = (NOW.plus(1), NOW);
        let table = [
            (Some(live), false, later, Ok(())),
            (Some(live), false, past, Err(DenyReason::TokenExpired)),
            (Some(expired), false, later, Err(DenyReason::SessionExpired)),
            (Some(expired), false, past, Err(DenyReason::SessionExpired)),
            (
                Some(inactive),
                false,
                later,
                Err(DenyReason::SessionInactive),
            ),
            (
                Some(inactive),
                false,
                past,
                Err(DenyReason::SessionInactive),
            ),
            (None, false, later, Err(DenyReason::SessionNotFound)),
            (None, false, past, Err(DenyReason::SessionNotFound)),
            (None, true, past, Err(DenyReason::TokenRevoked)),
            (Some(live), true, later, Err(DenyReason::TokenRevoked)),
            (Some(expired), true, past, Err(DenyReason::TokenRevoked)),
            (Some(inactive), true, past, Err(DenyReason::TokenRevoked)),
        ];
        for (session, blacklisted, token_expires_at, decision) in table {
            assert_eq!(
                check_access(session, blacklisted, token_expires_at, NOW),
                decision,
                "{session:?}, blacklisted: {blacklisted}, token until {token_expires_at}"
            );
        }
    }
}
