//! The sessions of a user: list them, and close one, the others or all of them.

use std::time::Duration;

use session_domain::{
    ConditionalWrite, DeactivateIf, Kind, RecordKey, RecordState, Session, SessionId, SessionState,
    Timestamp, UserId, WriteOp,
};
use tokio::time::sleep;

use super::{Reason, Sessions, SessionsError, UpdateOutcome};
use crate::ports::{Outcome, SessionStore, StoreError};

/// Maximum number of attempts to close a session.
const MAX_ATTEMPTS: u32 = 8;

/// Delay before the second attempt. It doubles with each attempt.
const RETRY_DELAY: Duration = Duration::from_millis(50);

impl<T: SessionStore> Sessions<T> {
    /// A session of a user. `None` if the user has no such session.
    ///
    /// # Errors
    ///
    /// The store fails.
    pub async fn get(
        &self,
        user: &UserId,
        session: &SessionId,
    ) -> Result<Option<Session>, SessionsError> {
        Ok(self.store.session(user, session).await?)
    }

    /// The sessions of a user, newest first, without the hashes of their refresh tokens.
    ///
    /// # Errors
    ///
    /// The store fails.
    pub async fn list(&self, user: &UserId) -> Result<Vec<Session>, SessionsError> {
        let mut sessions = self.store.sessions_of(user).await?;
        for session in &mut sessions {
            session.refresh = None;
        }
        sessions.sort_by(|a, b| {
            let newest = b.created_at.cmp(&a.created_at);
            newest.then_with(|| a.id.as_str().cmp(b.id.as_str()))
        });
        Ok(sessions)
    }

    /// Closes a session because its user signs out. The authorizer then denies all its access tokens, and
    /// [`refresh`](Self::refresh) rejects its refresh token.
    ///
    /// # Errors
    ///
    /// The store fails.
    pub async fn logout(
        &self,
        user: &UserId,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<UpdateOutcome, SessionsError> {
        self.close(user, session, Reason::Logout, now).await
    }

    /// Closes a session without a sign-out in it, as [`logout`](Self::logout) does: for an administrator, or for its user
    /// in another session.
    ///
    /// # Errors
    ///
    /// The store fails.
    pub async fn revoke(
        &self,
        user: &UserId,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<UpdateOutcome, SessionsError> {
        self.close(user, session, Reason::Revoked, now).await
    }

    /// Closes all active sessions of a user. Returns how many it closed. Of two calls in the same second, both may
    /// count a session.
    ///
    /// Each session that existed at the time of the call is closed afterwards, whatever was written to it
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// The store fails, or [some sessions](SessionsError::Incomplete) could not be closed; call it again.
    pub async fn revoke_all(&self, user: &UserId, now: Timestamp) -> Result<usize, SessionsError> {
        self.revoke_where(user, now, |_| true).await
    }

    /// Closes all active sessions of a user but one, as [`revoke_all`](Self::revoke_all) does.
    ///
    /// # Errors
    ///
    /// The store fails, or [some sessions](SessionsError::Incomplete) could not be closed; call it again.
    pub async fn revoke_others(
        &self,
        user: &UserId,
        current: &SessionId,
        now: Timestamp,
    ) -> Result<usize, SessionsError> {
        self.revoke_where(user, now, |session| session.id != *current)
            .await
    }

    async fn revoke_where(
        &self,
        user: &UserId,
        now: Timestamp,
        is_meant: impl Fn(&Session) -> bool,
    ) -> Result<usize, SessionsError> {
        let inactive = RecordState::Session(SessionState::Inactive {
            deactivated_at: now,
        });
        let due = self.policy.due_entry(&inactive);
        let sessions = self.store.sessions_of(user).await?;
        let close = |session: &Session| ConditionalWrite {
            key: RecordKey::session(user, &session.id).into_item(),
            op: WriteOp::Deactivate {
                only_if: DeactivateIf::Active,
                at: now,
                reason: Reason::Revoked,
                shard: session.shard,
                due,
            },
        };
        let meant = sessions.iter().filter(|it| it.is_active && is_meant(it));
        let writes: Vec<_> = meant.map(close).collect();
        let batch = usize::try_from(T::MAX_BATCH.get()).unwrap_or(1);
        let mut result = Closing::default();
        for writes in writes.chunks(batch) {
            self.close_all(user, writes.to_vec(), now, &mut result)
                .await;
        }
        match result.first_error {
            None => Ok(result.closed),
            Some(source) => Err(SessionsError::Incomplete {
                closed: result.closed,
                source,
            }),
        }
    }

    /// Applies each write, and repeats those that failed for a moment. A session that cannot be closed must not
    /// keep the others open.
    async fn close_all(
        &self,
        user: &UserId,
        mut writes: Vec<ConditionalWrite>,
        now: Timestamp,
        result: &mut Closing,
    ) {
        let mut delay = RETRY_DELAY;
        for attempt in 1.. {
            let is_last = attempt == MAX_ATTEMPTS;
            let outcomes = match self.store.apply(&writes).await {
                Ok(outcomes) => outcomes.value,
                Err(error) if error.is_retryable() && !is_last => Vec::new(),
                Err(error) => return result.failed(error),
            };
            // A write without an outcome is repeated: its condition fails if it took place.
            let mut left = writes.split_off(outcomes.len().min(writes.len()));
            for (write, outcome) in writes.into_iter().zip(outcomes) {
                match outcome {
                    Outcome::Applied => result.closed += 1,
                    Outcome::ConditionFailed => match self.is_closed_by(user, &write, now).await {
                        Ok(is_ours) => result.closed += usize::from(is_ours),
                        Err(error) => result.failed(error),
                    },
                    // The record is gone.
                    Outcome::Gone => {}
                    Outcome::Failed(error) if error.is_retryable() && !is_last => left.push(write),
                    Outcome::Failed(error) => result.failed(error),
                }
            }
            if left.is_empty() {
                return;
            }
            writes = left;
            sleep(delay).await;
            delay *= 2;
        }
    }

    /// Whether a session whose condition failed was closed by an earlier attempt of this call, whose response
    /// was lost.
    async fn is_closed_by(
        &self,
        user: &UserId,
        write: &ConditionalWrite,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let id = write.key.sort.strip_prefix(Kind::Session.prefix());
        let Some(Ok(session)) = id.map(SessionId::parse) else {
            return Ok(false);
        };
        let found = self.store.session(user, &session).await?;
        Ok(found.is_some_and(|found| found.was_deactivated(now, Reason::Revoked)))
    }
}

/// What a revocation has done so far.
#[derive(Default)]
struct Closing {
    closed: usize,
    first_error: Option<StoreError>,
}

impl Closing {
    fn failed(&mut self, error: StoreError) {
        self.first_error.get_or_insert(error);
    }
}
