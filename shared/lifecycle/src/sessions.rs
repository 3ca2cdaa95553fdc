//! The use case of an application: open sessions, extend them, close them; store refresh tokens;
//! blacklist access tokens.
//!
//! Every record is written as the authorizer and the cleanup expect it, index attributes and
//! `ttl` included, so that nobody assembles items by hand.

use crate::dynamodb::Table;
use crate::ports::{
    ApplyChanges, CreateRecords, FindRecord, NewRecord, NewSession, Outcome, StoreError,
};
use session_domain::{
    Change, Days, MalformedRecord, Reason, Record, RecordKey, RefreshTokenHash, Rules, Session,
    SessionId, StoredRecord, Timestamp, TokenId, UserId, Write,
};

/// The sessions of an application.
#[derive(Debug, Clone)]
pub struct Sessions {
    table: Table,
    rules: Rules,
}

/// What became of a new record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It is stored.
    Stored,
    /// One with its key was there already, and stays as it is.
    ExistsAlready,
}

/// What became of a change to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It took place.
    Done,
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
            rules: Rules::keeping(retention),
        }
    }

    /// Opens a session.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn create(&self, new: NewSession, now: Timestamp) -> Result<Created, StoreError> {
        let state = Session::Active {
            expires_at: new.expires_at,
        };
        self.store(
            NewRecord::Session {
                new,
                created_at: now,
            },
            Record::Session(state),
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
    ) -> Result<Created, StoreError> {
        let record = NewRecord::RefreshToken {
            user: user.clone(),
            session: session.clone(),
            token: RefreshTokenHash::of(token),
            expires_at,
        };
        self.store(record, Record::Token { expires_at }).await
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
    ) -> Result<Created, StoreError> {
        let record = NewRecord::BlacklistedToken {
            user: user.clone(),
            token: token.clone(),
            expires_at,
        };
        self.store(record, Record::Token { expires_at }).await
    }

    async fn store(&self, new: NewRecord, state: Record) -> Result<Created, StoreError> {
        believable(&new.key(), &state)?;
        let stored = self.table.create(&new, &self.rules.due(&state)).await?;
        Ok(if stored {
            Created::Stored
        } else {
            Created::ExistsAlready
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
    ) -> Result<Changed, StoreError> {
        let state = Record::Session(Session::Active { expires_at });
        believable(&RecordKey::session(user, session), &state)?;
        let due = self.rules.due(&state);
        self.change(user, session, |found| Write::Extend {
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
    ) -> Result<Changed, StoreError> {
        let due = self.rules.due(&Record::Session(Session::Inactive {
            deactivated_at: now,
        }));
        self.change(user, session, |found| Write::Deactivate {
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
        write: impl Fn(&StoredRecord) -> Write,
    ) -> Result<Changed, StoreError> {
        let key = RecordKey::session(user, session);
        let Some(found) = self.table.find(&key).await? else {
            return Ok(Changed::NotFound);
        };
        let change = Change {
            key: key.item().clone(),
            write: write(&found),
        };
        let outcomes = self.table.apply(&[change]).await?.value;
        match outcomes.into_iter().next() {
            Some(Outcome::Applied) => Ok(Changed::Done),
            // It was changed or deleted since it was read.
            Some(Outcome::Refused) => Ok(match self.table.find(&key).await? {
                Some(_) => Changed::Ended,
                None => Changed::NotFound,
            }),
            Some(Outcome::Failed(error)) => Err(error),
            Some(Outcome::Gone) | None => Ok(Changed::NotFound),
        }
    }
}

/// Refuses to write an end that no reader would believe: a time in milliseconds, most probably.
fn believable(key: &RecordKey, state: &Record) -> Result<(), StoreError> {
    let expires_at = match *state {
        Record::Session(Session::Active { expires_at }) | Record::Token { expires_at } => {
            expires_at
        }
        Record::Session(Session::Inactive { .. }) => return Ok(()),
    };
    if expires_at <= Timestamp::LAST {
        return Ok(());
    }
    let problem = "expires_at is not a time in epoch seconds".to_owned();
    Err(StoreError::Malformed(MalformedRecord {
        key: key.item().clone(),
        problem,
    }))
}
