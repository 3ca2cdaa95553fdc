//! [`Sessions`] with a store in memory.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use session_domain::{DueEntry, RefreshState, Rotation, Shards};

use super::*;
use crate::ports::{ApplyWrites, CreateRecords, Metered, ReadSessions};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const HOUR: i64 = 3_600;

/// A store in memory that fails on demand.
#[derive(Default)]
struct Memory {
    records: Mutex<Records>,
    error: Option<StoreErrorKind>,
}

#[derive(Default)]
struct Records {
    keys: HashSet<RecordKey>,
    sessions: Vec<Session>,
}

impl Memory {
    fn with<R>(&self, operate: impl FnOnce(&mut Records) -> R) -> Result<R, StoreError> {
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
        self.with(|records| {
            let is_new = records.keys.insert(key.clone());
            if let (true, NewRecord::Session { new, created_at }) = (is_new, record) {
                records.sessions.push(Session {
                    user: new.user.clone(),
                    id: new.session.clone(),
                    is_active: true,
                    created_at: Some(*created_at),
                    expires_at: Some(new.expires_at),
                    max_expires_at: new.max_expires_at,
                    last_used_at: None,
                    deactivated_at: None,
                    deactivation_reason: None,
                    ip_address: new.ip_address.clone(),
                    user_agent: new.user_agent.clone(),
                    client_id: new.client_id.clone(),
                    refresh: new.refresh_hash.clone().map(|current| RefreshState {
                        current,
                        last: None,
                    }),
                    shard: Shards::default().assign(&key),
                    due_at: Some(due.at),
                });
            }
            is_new
        })
    }
}

impl ReadSessions for Memory {
    async fn session(
        &self,
        user: &UserId,
        session: &SessionId,
    ) -> Result<Option<Session>, StoreError> {
        let sessions = self.sessions_of(user).await?;
        Ok(sessions.into_iter().find(|it| it.id == *session))
    }

    async fn sessions_of(&self, user: &UserId) -> Result<Vec<Session>, StoreError> {
        self.with(|records| {
            let of_user = records.sessions.iter().filter(|it| it.user == *user);
            of_user.cloned().collect()
        })
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
                let is_meant =
                    |it: &&mut Session| *RecordKey::session(&it.user, &it.id).item() == change.key;
                let found = records.sessions.iter_mut().find(is_meant);
                let Some(session) = found.filter(|it| it.is_active) else {
                    return Outcome::ConditionFailed;
                };
                match &change.op {
                    WriteOp::Extend {
                        live_at,
                        expires_at,
                        ..
                    } if session.is_live_at(*live_at) => session.expires_at = Some(*expires_at),
                    WriteOp::Deactivate { at, reason, .. } => {
                        session.is_active = false;
                        session.deactivated_at = Some(*at);
                        session.deactivation_reason = Some(reason.as_str().to_owned());
                    }
                    WriteOp::ReplaceRefreshToken(new) if session.is_live_at(new.at) => {
                        session.expires_at = Some(new.expires_at);
                        session.refresh = Some(RefreshState {
                            current: new.new_hash.clone(),
                            last: Some(Rotation {
                                used: new.used_hash.clone(),
                                at: new.at,
                                salt: Some(new.salt.clone()),
                            }),
                        });
                    }
                    WriteOp::Extend { .. }
                    | WriteOp::Touch(_)
                    | WriteOp::ReplaceRefreshToken(_)
                    | WriteOp::Delete { .. }
                    | WriteOp::Reindex { .. }
                    | WriteOp::MoveMalformed { .. } => return Outcome::ConditionFailed,
                }
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
    Sessions::with_store(store, Days(30))
}

fn ann() -> Result<UserId, Box<dyn std::error::Error>> {
    Ok(UserId::parse("ann")?)
}

#[tokio::test]
async fn creates_extends_and_closes_in_any_store() -> Result<(), Box<dyn std::error::Error>> {
    let (sessions, user, session) = (sessions(None), ann()?, SessionId::random());
    let new = NewSession::new(user.clone(), session.clone(), NOW.plus(HOUR));
    let created = sessions.create(new.clone(), NOW).await?;
    assert_eq!(created, CreateOutcome::Created);
    let again = sessions.create(new, NOW).await?;
    assert_eq!(again, CreateOutcome::AlreadyExists);

    let later = NOW.plus(2 * HOUR);
    let extended = sessions.extend(&user, &session, later, NOW).await?;
    assert_eq!(extended, UpdateOutcome::Updated);
    let closed = sessions.logout(&user, &session, NOW);
    assert_eq!(closed.await?, UpdateOutcome::Updated);
    let ended = sessions.extend(&user, &session, later, NOW).await?;
    assert_eq!(ended, UpdateOutcome::Ended);

    let other = SessionId::random();
    let missing = sessions.revoke(&user, &other, NOW);
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
    assert_eq!(sessions.store.with(|records| records.keys.len())?, 0);
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

#[tokio::test]
async fn list_has_no_hash_of_refresh_token() -> Result<(), Box<dyn std::error::Error>> {
    let (sessions, user) = (sessions(None), ann()?);
    let new = NewSession::new(user.clone(), SessionId::random(), NOW.plus(HOUR));
    assert!(sessions.login(new, NOW).await?.is_some());
    let listed = sessions.list(&user).await?;
    let refresh: Vec<_> = listed.into_iter().map(|it| it.refresh).collect();
    assert_eq!(refresh, [None]);
    Ok(())
}
