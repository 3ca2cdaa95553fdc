//! Login with a refresh token, and refreshes.

use session_domain::{
    RecordKey, RecordState, RefreshSalt, RefreshToken, RefreshTokenHash, RefreshUse, Replacement,
    SessionId, SessionState, Timestamp, UsedToken, UserId, WriteOp,
};

use super::{CreateOutcome, Reason, Sessions, SessionsError, UpdateOutcome, valid_expiry};
use crate::ports::{NewSession, Outcome, SessionStore, StoreError, StoreErrorKind};

/// Maximum number of attempts of a refresh. Each attempt that fails has lost against another use of the
/// same token, and the next one finds its result.
const MAX_ATTEMPTS: u32 = 5;

/// Outcome of a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the token may be invalid"]
pub enum RefreshOutcome {
    /// The token was valid. Send the client an access token, and this refresh token.
    Refreshed {
        /// The refresh token that replaces the used one.
        token: RefreshToken,
        /// Expiry time of the session.
        expires_at: Timestamp,
    },
    /// The user has no such session, or the token is not one of the session's. Nothing was changed.
    NotFound,
    /// The session is inactive or has expired.
    Ended,
    /// The token was used before, longer ago than the grace period. The session was closed
    /// (`refresh_reused`), because the token may be stolen.
    Reused,
}

impl<T: SessionStore> Sessions<T> {
    /// Creates a session with a refresh token. Returns the token; only its hash is stored. `None` if a session
    /// with this ID already exists, which a [random ID](SessionId::random) prevents.
    ///
    /// # Errors
    ///
    /// `expires_at` is not a time in epoch seconds, or the store fails.
    pub async fn login(
        &self,
        new: NewSession,
        now: Timestamp,
    ) -> Result<Option<RefreshToken>, SessionsError> {
        let token = RefreshToken::random();
        let (user, session) = (new.user.clone(), new.session.clone());
        let new = new.refresh_token(&token);
        if self.create(new, now).await? == CreateOutcome::Created {
            return Ok(Some(token));
        }
        // The response to an earlier attempt of the SDK may have been lost.
        let found = self.store.session(&user, &session).await?;
        let refresh = found.and_then(|it| it.refresh);
        let is_ours = refresh.is_some_and(|refresh| refresh.current == token.hash());
        Ok(is_ours.then_some(token))
    }

    /// Uses a refresh token: the session then expires at `expires_at`, or at its absolute end if that is
    /// earlier, and the token is replaced.
    ///
    /// A token may be used again within the grace period, and returns the same replacement: two tabs of a
    /// browser, or a client that did not get the response, stay signed in. Later, it closes the session
    /// (RFC 9700 §4.14.2). A token that is not one of the session's changes nothing.
    ///
    /// # Errors
    ///
    /// `expires_at` is not a time in epoch seconds, or the store fails.
    pub async fn refresh(
        &self,
        user: &UserId,
        session: &SessionId,
        token: &str,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<RefreshOutcome, SessionsError> {
        let expires_at = valid_expiry(expires_at)?;
        let used_hash = RefreshTokenHash::of(token);
        let mut written: Option<(RefreshToken, Timestamp)> = None;
        for _ in 0..MAX_ATTEMPTS {
            let Some(found) = self.store.session(user, session).await? else {
                return Ok(RefreshOutcome::NotFound);
            };
            let expires_at = expires_at.min(found.max_expires_at.unwrap_or(expires_at));
            if !found.is_live_at(now) || found.has_passed_its_end(now) {
                return Ok(RefreshOutcome::Ended);
            }
            let Some(refresh) = found.refresh else {
                return Ok(RefreshOutcome::NotFound);
            };
            // The response to the write of the last attempt was lost.
            if let Some((token, expires_at)) = written
                && token.hash() == refresh.current
            {
                return Ok(RefreshOutcome::Refreshed { token, expires_at });
            }
            let replaced = match refresh.classify(token, now, self.grace) {
                RefreshUse::Unknown => return Ok(RefreshOutcome::NotFound),
                RefreshUse::Reused => return self.close_reused(user, session, now).await,
                RefreshUse::Repeated(token) => {
                    return Ok(RefreshOutcome::Refreshed {
                        token,
                        expires_at: found.expires_at.unwrap_or(expires_at),
                    });
                }
                RefreshUse::RepeatedUnderived => UsedToken::Previous {
                    current: refresh.current,
                },
                RefreshUse::Current => UsedToken::Current,
            };
            let salt = RefreshSalt::random();
            let new = RefreshToken::replacing(token, &salt);
            let state = RecordState::Session(SessionState::Active { expires_at });
            let replacement = Replacement {
                used: replaced,
                used_hash: used_hash.clone(),
                new_hash: new.hash(),
                salt,
                at: now,
                expires_at,
                ttl: self.policy.due_entry(&state).ttl,
                due_at: found
                    .due_at
                    .filter(|due_at| *due_at > expires_at)
                    .map(|_| expires_at),
            };
            let op = WriteOp::ReplaceRefreshToken(Box::new(replacement));
            match self.write(RecordKey::session(user, session), op).await? {
                Outcome::Applied => {
                    return Ok(RefreshOutcome::Refreshed {
                        token: new,
                        expires_at,
                    });
                }
                Outcome::Failed(error) => return Err(error.into()),
                // Another use of the token was first, the session has ended, or the response was lost.
                Outcome::ConditionFailed | Outcome::Gone => written = Some((new, expires_at)),
            }
        }
        let problem = "other writes to the session were always first";
        Err(StoreError::new(StoreErrorKind::Conflict, "refreshing a session", problem).into())
    }
    async fn close_reused(
        &self,
        user: &UserId,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<RefreshOutcome, SessionsError> {
        let closed = self
            .close(user, session, Reason::RefreshReused, now)
            .await?;
        Ok(match closed {
            UpdateOutcome::Updated => RefreshOutcome::Reused,
            UpdateOutcome::Ended => RefreshOutcome::Ended,
            UpdateOutcome::NotFound => RefreshOutcome::NotFound,
        })
    }
}
