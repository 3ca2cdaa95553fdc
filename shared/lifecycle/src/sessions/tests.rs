//! [`Sessions`] with a store in memory.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use session_domain::{DueEntry, DueKey, DueList};

use super::*;
use crate::ports::{ApplyWrites, CreateRecords, FindRecord, Metered};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const HOUR: i64 = 3_600;

/// A store in memory that fails on demand.
#[derive(Default)]
struct Memory {
    records: Mutex<Vec<Record>>,
    error: Option<StoreErrorKind>,
}

impl Memory {
    fn with<R>(&self, operate: impl FnOnce(&mut Vec<Record>) -> R) -> Result<R, StoreError> {
        match self.error {
            Some(kind) => Err(StoreError::new(kind, "testing", "a cause")),
            None => Ok(operate(
                &mut self.records.lock().unwrap_or_else(PoisonError::into_inner),
            )),
        }
    }
}

impl CreateRecords for Memory {
    async fn create(&self, record: &NewRecord, due: &DueEntry) -> Result<bool, StoreError> {
        let key = record.key();
        let state = match record {
            NewRecord::Session { new, .. } => RecordState::Session(SessionState::Active {
                expires_at: new.expires_at,
            }),
            NewRecord::RefreshToken { expires_at, .. }
            | NewRecord::BlacklistedToken { expires_at, .. } => RecordState::Token {
                expires_at: *expires_at,
            },
        };
        let list = DueList {
            action: due.action,
            shard: Shards::default().assign(&key),
        };
        self.with(|records| {
            let is_new = records.iter().all(|it| it.key != key);
            if is_new {
                let max_expires_at = match record {
                    NewRecord::Session { new, .. } => new.max_expires_at,
                    NewRecord::RefreshToken { .. } | NewRecord::BlacklistedToken { .. } => None,
                };
                records.push(Record {
                    key,
                    state,
                    max_expires_at,
                    due_key: Some(DueKey::List(list)),
                    due_at: Some(due.at),
                    ttl: Some(due.ttl),
                    reason: None,
                });
            }
            is_new
        })
    }
}

impl FindRecord for Memory {
    async fn find(&self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        self.with(|records| records.iter().find(|it| it.key == *key).cloned())
    }
}

impl ApplyWrites for Memory {
    const MAX_BATCH: NonZeroU32 = NonZeroU32::MIN;

    async fn apply(
        &self,
        changes: &[ConditionalWrite],
    ) -> Result<Metered<Vec<Outcome>>, StoreError> {
        let value = self.with(|records| {
            let apply = |change: &ConditionalWrite| {
                let record = records.iter_mut().find(|it| *it.key.item() == change.key);
                let Some(record) = record else {
                    return Outcome::ConditionFailed;
                };
                let RecordState::Session(SessionState::Active { expires_at }) = record.state else {
                    return Outcome::ConditionFailed;
                };
                record.state = RecordState::Session(match change.op {
                    WriteOp::Extend {
                        live_at,
                        expires_at: later,
                        ..
                    } if expires_at > live_at => SessionState::Active { expires_at: later },
                    WriteOp::Deactivate { at, .. } => SessionState::Inactive { deactivated_at: at },
                    WriteOp::Extend { .. }
                    | WriteOp::Touch(_)
                    | WriteOp::Delete { .. }
                    | WriteOp::Reindex { .. }
                    | WriteOp::MoveMalformed { .. } => return Outcome::ConditionFailed,
                });
                Outcome::Applied
            };
            changes.iter().map(apply).collect()
        })?;
        Ok(Metered {
            value,
            capacity_units: 0.0,
            table_units: 0.0,
        })
    }
}

fn sessions(error: Option<StoreErrorKind>) -> Sessions<Memory> {
    let store = Memory {
        error,
        ..Memory::default()
    };
    Sessions::with_store(store, Shards::default(), Days(30))
}

fn ann() -> Result<UserId, Box<dyn std::error::Error>> {
    Ok(UserId::parse("ann")?)
}

#[tokio::test]
async fn creates_extends_and_deactivates_in_any_store() -> Result<(), Box<dyn std::error::Error>> {
    let (sessions, user, session) = (sessions(None), ann()?, SessionId::random());
    let new = NewSession::new(user.clone(), session.clone(), NOW.plus(HOUR));
    let created = sessions.create(new.clone(), NOW).await?;
    assert_eq!(created, CreateOutcome::Created);
    let again = sessions.create(new, NOW).await?;
    assert_eq!(again, CreateOutcome::AlreadyExists);

    let later = NOW.plus(2 * HOUR);
    let extended = sessions.extend(&user, &session, later, NOW).await?;
    assert_eq!(extended, UpdateOutcome::Updated);
    let closed = sessions.deactivate(&user, &session, Reason::Logout, NOW);
    assert_eq!(closed.await?, UpdateOutcome::Updated);
    let ended = sessions.extend(&user, &session, later, NOW).await?;
    assert_eq!(ended, UpdateOutcome::Ended);

    let other = SessionId::random();
    let missing = sessions.deactivate(&user, &other, Reason::Logout, NOW);
    assert_eq!(missing.await?, UpdateOutcome::NotFound);
    Ok(())
}

#[tokio::test]
async fn rejects_expiry_in_milliseconds_as_wrong_argument() -> Result<(), Box<dyn std::error::Error>>
{
    let (sessions, user, session) = (sessions(None), ann()?, SessionId::random());
    let token = TokenId::parse("j")?;
    let milliseconds = Timestamp::from_seconds(1_800_000_000_000);
    let new = NewSession::new(user.clone(), session.clone(), milliseconds);
    for error in [
        sessions.create(new, NOW).await.err(),
        sessions
            .add_refresh_token(&user, &session, "a token", milliseconds)
            .await
            .err(),
        sessions.blacklist(&user, &token, milliseconds).await.err(),
        sessions
            .extend(&user, &session, milliseconds, NOW)
            .await
            .err(),
    ] {
        let Some(SessionsError::InvalidExpiry { expires_at }) = error else {
            return Err(format!("{error:?}").into());
        };
        assert_eq!(expires_at, milliseconds);
    }
    assert_eq!(sessions.store.with(|records| records.len())?, 0);
    Ok(())
}

#[tokio::test]
async fn accepts_the_last_valid_second() -> Result<(), Box<dyn std::error::Error>> {
    let new = NewSession::new(ann()?, SessionId::random(), Timestamp::MAX_VALID);
    let created = sessions(None).create(new, NOW).await?;
    assert_eq!(created, CreateOutcome::Created);
    Ok(())
}

#[tokio::test]
async fn store_error_keeps_its_kind_and_its_cause() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = sessions(Some(StoreErrorKind::Throttled));
    let new = NewSession::new(ann()?, SessionId::random(), NOW.plus(HOUR));
    let error = sessions.create(new, NOW).await.err();
    let Some(SessionsError::Store(error)) = error else {
        return Err(format!("{error:?}").into());
    };
    assert_eq!(error.kind(), StoreErrorKind::Throttled);
    let chain = session_domain::error_chain(&SessionsError::from(error));
    assert_eq!(chain, "the table is throttled: testing: a cause");
    Ok(())
}
