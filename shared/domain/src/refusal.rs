//! Who is let in.

use super::{Session, Shard, Timestamp};

/// Why a request is refused. The sentence is the answer's `error`, and all it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// No `Authorization` header, or not one of the form `Bearer <token>`.
    #[error("Missing bearer token")]
    MissingBearerToken,
    /// The token's form, signature or claims other than `exp` are wrong.
    #[error("Invalid token")]
    InvalidToken,
    /// The token's own `exp` has passed.
    #[error("Token expired")]
    TokenExpired,
    /// The token was blacklisted.
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

/// A session as a validation sees it. That it is inactive is enough to know, whatever else its
/// record says or lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeenSession {
    /// `is_active` is false.
    Inactive,
    /// `is_active` is true.
    Active {
        /// From when on the session lets nobody in.
        expires_at: Timestamp,
        /// The shard of its record.
        shard: Shard,
    },
}

impl SeenSession {
    /// The shard of a session that has to be deactivated now; nothing for others.
    #[must_use]
    pub fn expired_at(self, now: Timestamp) -> Option<Shard> {
        match self {
            Self::Active { expires_at, shard } => (Session::Active { expires_at })
                .is_expired_at(now)
                .then_some(shard),
            Self::Inactive => None,
        }
    }
}

/// Decides about a token whose form, signature and claims other than `exp` are right.
///
/// Where more than one refusal applies: revoked, session not found, inactive, session expired,
/// token expired, in this order.
///
/// # Errors
///
/// The refusal.
pub fn judge(
    session: Option<SeenSession>,
    blacklisted: bool,
    token_expires_at: Timestamp,
    now: Timestamp,
) -> Result<(), Refusal> {
    if blacklisted {
        return Err(Refusal::TokenRevoked);
    }
    let session = session.ok_or(Refusal::SessionNotFound)?;
    if session == SeenSession::Inactive {
        return Err(Refusal::SessionInactive);
    }
    if session.expired_at(now).is_some() {
        return Err(Refusal::SessionExpired);
    }
    if token_expires_at <= now {
        return Err(Refusal::TokenExpired);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shards;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    #[test]
    fn where_several_refusals_apply_the_first_in_order_is_given() {
        let active = |expires_at| {
            let shard = Shards::default().all().next().unwrap();
            SeenSession::Active { expires_at, shard }
        };
        let (live, expired) = (active(NOW.plus(1)), active(NOW));
        let inactive = SeenSession::Inactive;
        let (later, past) = (NOW.plus(1), NOW);
        let table = [
            (Some(live), false, later, Ok(())),
            (Some(live), false, past, Err(Refusal::TokenExpired)),
            (Some(expired), false, later, Err(Refusal::SessionExpired)),
            (Some(expired), false, past, Err(Refusal::SessionExpired)),
            (Some(inactive), false, later, Err(Refusal::SessionInactive)),
            (Some(inactive), false, past, Err(Refusal::SessionInactive)),
            (None, false, later, Err(Refusal::SessionNotFound)),
            (None, false, past, Err(Refusal::SessionNotFound)),
            (None, true, past, Err(Refusal::TokenRevoked)),
            (Some(live), true, later, Err(Refusal::TokenRevoked)),
            (Some(expired), true, past, Err(Refusal::TokenRevoked)),
            (Some(inactive), true, past, Err(Refusal::TokenRevoked)),
        ];
        for (session, blacklisted, token_expires_at, decision) in table {
            assert_eq!(
                judge(session, blacklisted, token_expires_at, NOW),
                decision,
                "{session:?}, blacklisted: {blacklisted}, token until {token_expires_at}"
            );
        }
    }
}
