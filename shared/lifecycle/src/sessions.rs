//! The use case of an application: open sessions, extend them, close them; store refresh tokens;
//! blacklist access tokens.
//!
//! Every record is written as the authorizer and the cleanup expect it, index attributes and
//! `ttl` included, so that nobody assembles items by hand.

use crate::dynamodb::Table;
use crate::ports::{
    ApplyWrites, CreateRecords, FindRecord, NewRecord, NewSession, Outcome, StoreError,
};
use session_domain::{
    ConditionalWrite, Days, MalformedRecord, Reason, Record, RecordKey, RecordState,
    RefreshTokenHash, RetentionPolicy, SessionId, SessionState, Timestamp, TokenId, UserId,
    WriteOp,
};

/// The sessions of an application.
#[derive(Debug, Clone)]
pub struct Sessions {
    table: Table,
    policy: RetentionPolicy,
}

/// What became of a new record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateOutcome {
    /// It is stored.
    Created,
    /// One with its key was there already, and stays as it is.
    AlreadyExists,
}

/// What became of a change to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateOutcome {
    /// It took place.
    Updated,
    /// The user has no such session.
    NotFound,
    /// The session is inactive or has expired; it never comes back.
    Ended,
}

impl Sessions {
    /// The sessions in `table`, kept for `retention` after they became inactive
    /// (`SESSION_RETENTION_DAYS` of the stack).
    #[must_use]
    pub const fn new(table: Table, retention: Days) -> Self {
        Self {
            table,
            policy: RetentionPolicy::without_grace(retention),
        }
    }

    /// Opens a session.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn create(
        &self,
        new: NewSession,
        now: Timestamp,
    ) -> Result<CreateOutcome, StoreError> {
        let state = SessionState::Active {
            expires_at: new.expires_at,
        };
        self.store(
            NewRecord::Session {
                new,
                created_at: now,
            },
            RecordState::Session(state),
        )
        .await
    }

    /// Stores the hash of a session's refresh token; the token itself is never stored.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn add_refresh_token(
        &self,
        user: &UserId,
        session: &SessionId,
        token: &str,
        expires_at: Timestamp,
    ) -> Result<CreateOutcome, StoreError> {
        let record = NewRecord::RefreshToken {
            user: user.clone(),
            session: session.clone(),
            token: RefreshTokenHash::of(token),
            expires_at,
        };
        self.store(record, RecordState::Token { expires_at }).await
    }

    /// Has an access token refused from now on. `expires_at` is that token's own `exp`, after
    /// which nobody needs the entry any more.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn blacklist(
        &self,
        user: &UserId,
        token: &TokenId,
        expires_at: Timestamp,
    ) -> Result<CreateOutcome, StoreError> {
        let record = NewRecord::BlacklistedToken {
            user: user.clone(),
            token: token.clone(),
            expires_at,
        };
        self.store(record, RecordState::Token { expires_at }).await
    }

    async fn store(&self, new: NewRecord, state: RecordState) -> Result<CreateOutcome, StoreError> {
        validate_expiry(&new.key(), &state)?;
        let stored = self
            .table
            .create(&new, &self.policy.due_entry(&state))
            .await?;
        Ok(if stored {
            CreateOutcome::Created
        } else {
            CreateOutcome::AlreadyExists
        })
    }

    /// Moves the end of a live session, as a refresh does.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn extend(
        &self,
        user: &UserId,
        session: &SessionId,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<UpdateOutcome, StoreError> {
        let state = RecordState::Session(SessionState::Active { expires_at });
        validate_expiry(&RecordKey::session(user, session), &state)?;
        let due = self.policy.due_entry(&state);
        self.change(user, session, |found| WriteOp::Extend {
            live_at: now,
            expires_at,
            shard: found.shard(self.table.shards()),
            due,
        })
        .await
    }

    /// Closes an active session: at logout, or because it is revoked.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn deactivate(
        &self,
        user: &UserId,
        session: &SessionId,
        reason: Reason,
        now: Timestamp,
    ) -> Result<UpdateOutcome, StoreError> {
        let due = self
            .policy
            .due_entry(&RecordState::Session(SessionState::Inactive {
                deactivated_at: now,
            }));
        self.change(user, session, |found| WriteOp::Deactivate {
            expired_by: None,
            at: now,
            reason,
            shard: found.shard(self.table.shards()),
            due,
        })
        .await
    }

    /// Reads a session for its shard, which it keeps for life, and changes it on conditions of
    /// its own.
    async fn change(
        &self,
        user: &UserId,
        session: &SessionId,
        op: impl Fn(&Record) -> WriteOp,
    ) -> Result<UpdateOutcome, StoreError> {
        let key = RecordKey::session(user, session);
        let Some(found) = self.table.find(&key).await? else {
            return Ok(UpdateOutcome::NotFound);
        };
        let change = ConditionalWrite {
            key: key.item().clone(),
            op: op(&found),
        };
        let outcomes = self.table.apply(&[change]).await?.value;
        match outcomes.into_iter().next() {
            Some(Outcome::Applied) => Ok(UpdateOutcome::Updated),
            // It was changed or deleted since it was read.
            Some(Outcome::ConditionFailed) => Ok(match self.table.find(&key).await? {
                Some(_) => UpdateOutcome::Ended,
                None => UpdateOutcome::NotFound,
            }),
            Some(Outcome::Failed(error)) => Err(error),
            Some(Outcome::Gone) | None => Ok(UpdateOutcome::NotFound),
        }
    }
}

/// Refuses to write an end that no reader would believe: a time in milliseconds, most probably.
fn validate_expiry(key: &RecordKey, state: &RecordState) -> Result<(), StoreError> {
    let expires_at = match *state {
        RecordState::Session(SessionState::Active { expires_at })
        | RecordState::Token { expires_at } => expires_at,
        RecordState::Session(SessionState::Inactive { .. }) => return Ok(()),
    };
    if expires_at <= Timestamp::MAX_VALID {
        return Ok(());
    }
    let problem = "expires_at is not a time in epoch seconds".to_owned();
    let record = MalformedRecord {
        key: key.item().clone(),
        problem,
    };
    Err(StoreError::malformed("writing", record))
}
