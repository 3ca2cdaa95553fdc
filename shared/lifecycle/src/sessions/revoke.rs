//! The sessions of a user: list them, and close one, the others or all of them.

use std::time::Duration;

use session_domain::{
    ConditionalWrite, DeactivateIf, RecordKey, RecordState, Session, SessionId, SessionState,
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

    /// Closes a session on behalf of someone else than its user, as [`logout`](Self::logout) does.
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

    /// Closes all active sessions of a user. Returns how many it closed.
    ///
    /// Each session that existed at the time of the call is closed afterwards, whatever was written to it
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// The store fails. Some sessions may be closed; call it again.
    pub async fn revoke_all(&self, user: &UserId, now: Timestamp) -> Result<usize, SessionsError> {
        self.revoke_where(user, now, |_| true).await
    }

    /// Closes all active sessions of a user but one, as [`revoke_all`](Self::revoke_all) does.
    ///
    /// # Errors
    ///
    /// The store fails. Some sessions may be closed; call it again.
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
        let mut closed = 0;
        for writes in writes.chunks(batch) {
            closed += self.apply_all(writes.to_vec()).await?;
        }
        Ok(closed)
    }

    /// Applies each write, and repeats those that failed for a moment. Returns how many took place.
    async fn apply_all(&self, mut writes: Vec<ConditionalWrite>) -> Result<usize, StoreError> {
        let mut applied = 0;
        let mut delay = RETRY_DELAY;
        for attempt in 1.. {
            let outcomes = match self.store.apply(&writes).await {
                Ok(outcomes) => outcomes.value,
                Err(error) if error.is_retryable() && attempt < MAX_ATTEMPTS => Vec::new(),
                Err(error) => return Err(error),
            };
            // A write without an outcome is repeated: its condition fails if it took place.
            let mut left = writes.split_off(outcomes.len().min(writes.len()));
            for (write, outcome) in writes.into_iter().zip(outcomes) {
                match outcome {
                    Outcome::Applied => applied += 1,
                    // The session is closed, or its record is gone.
                    Outcome::ConditionFailed | Outcome::Gone => {}
                    Outcome::Failed(error) if error.is_retryable() && attempt < MAX_ATTEMPTS => {
                        left.push(write);
                    }
                    Outcome::Failed(error) => return Err(error),
                }
            }
            if left.is_empty() {
                break;
            }
            writes = left;
            sleep(delay).await;
            delay *= 2;
        }
        Ok(applied)
    }
}
