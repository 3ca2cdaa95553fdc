//! The use case of an application: create, extend and deactivate sessions, store refresh tokens,
//! and blacklist access tokens.

use session_domain::{
    ConditionalWrite, Days, Reason, Record, RecordKey, RecordState, RefreshTokenHash,
    RetentionPolicy, SessionId, SessionState, Shards, Timestamp, TokenId, UserId, WriteOp,
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
    shards: Shards,
    policy: RetentionPolicy,
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
        let shards = table.shards();
        Self::with_store(table, shards, retention)
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
        let item = session.item(self.policy.retention, self.shards);
        Ok(if self.store.put_new(item).await? {
            CreateOutcome::Created
        } else {
            CreateOutcome::AlreadyExists
        })
    }
}

impl<T> Sessions<T> {
    /// The sessions in a store other than a DynamoDB table, for example in a test. `shards` is the
    /// number of shards of the store's due lists.
    #[must_use]
    pub const fn with_store(store: T, shards: Shards, retention: Days) -> Self {
        Self {
            store,
            shards,
            policy: RetentionPolicy::without_grace(retention),
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
                shard: found.shard(self.shards),
                due: self.policy.due_entry(&state),
            }
        })
        .await
    }

    /// Deactivates an active session, because its user signs out or because it is revoked.
    ///
    /// # Errors
    ///
    /// The store fails.
    pub async fn deactivate(
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
            expired_by: None,
            at: now,
            reason,
            shard: found.shard(self.shards),
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
        op: impl Fn(&Record) -> WriteOp,
    ) -> Result<UpdateOutcome, SessionsError> {
        let key = RecordKey::session(user, session);
        let Some(found) = self.store.find(&key).await? else {
            return Ok(UpdateOutcome::NotFound);
        };
        let change = ConditionalWrite {
            key: key.item().clone(),
            op: op(&found),
        };
        let outcomes = self.store.apply(&[change]).await?.value;
        match outcomes.into_iter().next() {
            Some(Outcome::Applied) => Ok(UpdateOutcome::Updated),
            // The session has ended, or was deleted after it was read.
            Some(Outcome::ConditionFailed) => Ok(match self.store.find(&key).await? {
                Some(_) => UpdateOutcome::Ended,
                None => UpdateOutcome::NotFound,
            }),
            Some(Outcome::Failed(error)) => Err(error.into()),
            Some(Outcome::Gone) => Ok(UpdateOutcome::NotFound),
            None => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "writing",
                "the response has no outcome",
            )
            .into()),
        }
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
