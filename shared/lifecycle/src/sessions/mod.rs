//! The use case of an application: open, refresh, list and close sessions, and blacklist access tokens.

mod access_token;
mod refresh;
mod revoke;

pub use self::access_token::AccessTokenClaims;
pub use self::refresh::RefreshOutcome;

use session_domain::{
    ConditionalWrite, Days, DeactivateIf, GracePeriod, Reason, RecordKey, RecordState,
    RefreshTokenHash, RetentionPolicy, Session, SessionId, SessionState, Timestamp, TokenId,
    UserId, WriteOp,
};

use crate::dynamodb::Table;
use crate::ports::{NewRecord, NewSession, Outcome, SessionStore, StoreError, StoreErrorKind};

/// The sessions of an application.
///
/// Each record is written with the attributes that the authorizer, the cleanup and native TTL
/// expect, including those of the due index. The store is a DynamoDB table unless a test uses
/// another one ([`Sessions::with_store`]).
#[derive(Debug, Clone)]
pub struct Sessions<T = Table> {
    store: T,
    policy: RetentionPolicy,
    grace: GracePeriod,
    access_token_seconds: u32,
}

/// Outcome of creating a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the record may already exist"]
pub enum CreateOutcome {
    /// The record is stored.
    Created,
    /// A record with the same key already exists. It stays unchanged.
    AlreadyExists,
}

/// Outcome of changing a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the session may not exist, or may have ended"]
pub enum UpdateOutcome {
    /// The session was changed.
    Updated,
    /// The user has no such session.
    NotFound,
    /// The session is inactive or has expired, and stays unchanged. It never becomes active again.
    Ended,
}

/// Error of [`Sessions`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionsError {
    /// The caller passed an expiry time after the year 9999, typically in milliseconds. Nothing was
    /// written. The caller must pass epoch seconds.
    #[error("expires_at is not a time in epoch seconds: {expires_at}")]
    InvalidExpiry {
        /// The rejected time.
        expires_at: Timestamp,
    },
    /// The store failed. [`StoreError::kind`] says who must act.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Sessions {
    /// The sessions in `table`. A session is kept for `retention` after it became inactive; use the
    /// value of the stack's `SESSION_RETENTION_DAYS`.
    #[must_use]
    pub const fn new(table: Table, retention: Days) -> Self {
        Self::with_store(table, retention)
    }

    /// Creates a session that was converted from another table, unless it already exists. The stored
    /// session stays unchanged. It is safe to repeat an import within the retention: after that, the
    /// records of sessions that were deactivated since may have been deleted.
    ///
    /// # Errors
    ///
    /// The store fails.
    #[cfg(feature = "migrate")]
    pub async fn import(
        &self,
        session: &crate::migrate::ConvertedSession,
    ) -> Result<CreateOutcome, SessionsError> {
        let item = session.item(self.policy.retention, self.store.shards());
        Ok(if self.store.put_new(item).await? {
            CreateOutcome::Created
        } else {
            CreateOutcome::AlreadyExists
        })
    }
}

impl<T> Sessions<T> {
    /// How long a used refresh token may be used again. The default is 30 seconds.
    #[must_use]
    pub const fn grace_period(mut self, grace: GracePeriod) -> Self {
        self.grace = grace;
        self
    }

    /// Lifetime of an access token in seconds. The default is 900.
    #[must_use]
    pub const fn access_token_lifetime(mut self, seconds: u32) -> Self {
        self.access_token_seconds = seconds;
        self
    }

    /// The sessions in a store other than a DynamoDB table, for example in a test.
    #[must_use]
    pub const fn with_store(store: T, retention: Days) -> Self {
        Self {
            store,
            policy: RetentionPolicy::without_grace(retention),
            grace: GracePeriod::DEFAULT,
            access_token_seconds: 900,
        }
    }
}

impl<T: SessionStore> Sessions<T> {
    /// Creates a session.
    ///
    /// # Errors
    ///
    /// `expires_at` is not a time in epoch seconds, or the store fails.
    pub async fn create(
        &self,
        mut new: NewSession,
        now: Timestamp,
    ) -> Result<CreateOutcome, SessionsError> {
        let mut expires_at = valid_expiry(new.expires_at)?;
        if let Some(end) = new.max_expires_at {
            expires_at = expires_at.min(valid_expiry(end)?);
            new.expires_at = expires_at;
        }
        let record = NewRecord::Session {
            new,
            created_at: now,
        };
        let state = RecordState::Session(SessionState::Active { expires_at });
        self.store(record, state).await
    }

    /// Stores the hash of a session's refresh token. The token itself is never stored.
    ///
    /// # Errors
    ///
    /// `expires_at` is not a time in epoch seconds, or the store fails.
    pub async fn add_refresh_token(
        &self,
        user: &UserId,
        session: &SessionId,
        token: &str,
        expires_at: Timestamp,
    ) -> Result<CreateOutcome, SessionsError> {
        let expires_at = valid_expiry(expires_at)?;
        let record = NewRecord::RefreshToken {
            user: user.clone(),
            session: session.clone(),
            token: RefreshTokenHash::of(token),
            expires_at,
        };
        self.store(record, RecordState::Token { expires_at }).await
    }

    /// Blacklists an access token: the authorizer denies it from now on. `expires_at` is the
    /// token's own `exp`. After that time the record is no longer needed, and the cleanup deletes
    /// it.
    ///
    /// # Errors
    ///
    /// `expires_at` is not a time in epoch seconds, or the store fails.
    pub async fn blacklist(
        &self,
        user: &UserId,
        token: &TokenId,
        expires_at: Timestamp,
    ) -> Result<CreateOutcome, SessionsError> {
        let expires_at = valid_expiry(expires_at)?;
        let record = NewRecord::BlacklistedToken {
            user: user.clone(),
            token: token.clone(),
            expires_at,
        };
        self.store(record, RecordState::Token { expires_at }).await
    }

    async fn store(
        &self,
        new: NewRecord,
        state: RecordState,
    ) -> Result<CreateOutcome, SessionsError> {
        let due = self.policy.due_entry(&state);
        Ok(if self.store.create(&new, &due).await? {
            CreateOutcome::Created
        } else {
            CreateOutcome::AlreadyExists
        })
    }

    /// Changes the expiry time of a live session, as a refresh does. If the session has an absolute end
    /// ([`NewSession::max_expires_at`]), it expires then at the latest.
    ///
    /// # Errors
    ///
    /// `expires_at` is not a time in epoch seconds, or the store fails.
    pub async fn extend(
        &self,
        user: &UserId,
        session: &SessionId,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<UpdateOutcome, SessionsError> {
        let expires_at = valid_expiry(expires_at)?;
        self.change(user, session, |found| {
            let end = found.max_expires_at.unwrap_or(expires_at);
            let expires_at = expires_at.min(end);
            let state = RecordState::Session(SessionState::Active { expires_at });
            WriteOp::Extend {
                live_at: now,
                expires_at,
                shard: found.shard,
                due: self.policy.due_entry(&state),
            }
        })
        .await
    }

    /// Deactivates an active session.
    async fn close(
        &self,
        user: &UserId,
        session: &SessionId,
        reason: Reason,
        now: Timestamp,
    ) -> Result<UpdateOutcome, SessionsError> {
        let due = self
            .policy
            .due_entry(&RecordState::Session(SessionState::Inactive {
                deactivated_at: now,
            }));
        self.change(user, session, |found| WriteOp::Deactivate {
            only_if: DeactivateIf::Active,
            at: now,
            reason,
            shard: found.shard,
            due,
        })
        .await
    }

    /// Reads a session to learn its shard, which never changes, and writes conditionally. The
    /// condition re-checks the session, so a concurrent change is safe.
    async fn change(
        &self,
        user: &UserId,
        session: &SessionId,
        op: impl Fn(&Session) -> WriteOp,
    ) -> Result<UpdateOutcome, SessionsError> {
        let Some(found) = self.store.session(user, session).await? else {
            return Ok(UpdateOutcome::NotFound);
        };
        let key = RecordKey::session(user, session);
        match self.write(key, op(&found)).await? {
            Outcome::Applied => Ok(UpdateOutcome::Updated),
            // The session has ended, or was deleted after it was read.
            Outcome::ConditionFailed => Ok(match self.store.session(user, session).await? {
                Some(_) => UpdateOutcome::Ended,
                None => UpdateOutcome::NotFound,
            }),
            Outcome::Failed(error) => Err(error.into()),
            Outcome::Gone => Ok(UpdateOutcome::NotFound),
        }
    }

    /// Makes one conditional write.
    async fn write(&self, key: RecordKey, op: WriteOp) -> Result<Outcome, StoreError> {
        let key = key.into_item();
        let outcomes = self
            .store
            .apply(&[ConditionalWrite { key, op }])
            .await?
            .value;
        let outcome = outcomes.into_iter().next();
        outcome.ok_or_else(|| {
            let problem = "the response has no outcome";
            StoreError::new(StoreErrorKind::Unavailable, "writing", problem)
        })
    }
}

/// Rejects expiry times that readers would treat as malformed, typically milliseconds.
fn valid_expiry(expires_at: Timestamp) -> Result<Timestamp, SessionsError> {
    if expires_at <= Timestamp::MAX_VALID {
        Ok(expires_at)
    } else {
        Err(SessionsError::InvalidExpiry { expires_at })
    }
}

#[cfg(test)]
mod tests;
