//! A table of sessions in memory, for the library, the authorizer and the cleanup.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use session_domain::{
    ActiveSession, CleanupReport, ConditionalWrite, DueEntry, DueKey, DueList, ItemKey, Reason,
    Record, RecordKey, RefreshState, Session, SessionId, SessionSnapshot, Shard, Shards, Timestamp,
    TokenId, UserId,
};
use session_lifecycle::ports::{
    ApplyWrites, CreateRecords, DuePage, LookUpSession, MalformedPage, Metered, NewRecord, Outcome,
    PageToken, ParsedRecord, ReadDueList, ReadRecords, ReadSessions, SessionLookup, StoreError,
    StoreErrorKind, StoreReport, WithoutRetries,
};

use super::conditions::{Stored, deletes_by};

/// Probabilities of the faults of a write.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// The table rejects the request for the moment.
    pub rejected: f64,
    /// The table makes the write, and its response is lost.
    pub lost: f64,
}

/// A table of sessions in memory. Clones share their records.
///
/// Each call lets other tasks of an [`interleave`](super::interleave) run before and after it. Panics if a
/// write activates an inactive session, or moves an expiry time past the absolute end.
#[derive(Debug, Clone)]
pub struct MemoryTable {
    shards: Shards,
    faults: Faults,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    sessions: BTreeMap<(String, String), Stored>,
    created: u64,
    /// Number of created sessions at each list of a user's sessions.
    listings: Vec<u64>,
    faults_left: u32,
    random: StdRng,
}

impl MemoryTable {
    #[must_use]
    pub fn new(shards: Shards, seed: u64) -> Self {
        let state = State {
            sessions: BTreeMap::new(),
            created: 0,
            listings: Vec::new(),
            faults_left: u32::MAX,
            random: StdRng::seed_from_u64(seed),
        };
        Self {
            shards,
            faults: Faults::default(),
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The same table for a caller whose writes have faults.
    #[must_use]
    pub fn with_faults(&self, faults: Faults) -> Self {
        let mut table = self.clone();
        table.faults = faults;
        table
    }

    /// Sets the maximum number of faults from now on.
    pub fn limit_faults(&self, faults: u32) {
        self.lock().faults_left = faults;
    }

    /// All sessions, with their position among those that were created.
    #[must_use]
    pub fn sessions(&self) -> Vec<(u64, Session)> {
        let state = self.lock();
        let sessions = state.sessions.values();
        sessions
            .map(|it| (it.created, it.session.clone()))
            .collect()
    }

    /// Number of created sessions at each list of a user's sessions, in the order of the lists.
    #[must_use]
    pub fn listings(&self) -> Vec<u64> {
        self.lock().listings.clone()
    }

    /// Changes a session as another writer may.
    pub fn edit(&self, key: &RecordKey, edit: impl FnOnce(&mut Session)) {
        if let Some(stored) = self.lock().sessions.get_mut(&parts(key.item())) {
            edit(&mut stored.session);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A test that has failed may still read the table.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call of the table, between two points at which other tasks may run.
    async fn call<R: Send>(&self, operate: impl FnOnce(&mut State) -> R + Send) -> R {
        pause().await;
        let result = operate(&mut self.lock());
        pause().await;
        result
    }

    /// A write that may fail.
    async fn write<R: Send>(
        &self,
        operate: impl FnOnce(&mut State) -> R + Send,
    ) -> Result<R, StoreError> {
        let faults = self.faults;
        let fail = |problem| StoreError::new(StoreErrorKind::Unavailable, "writing", problem);
        self.call(|state| {
            if state.has_fault(faults.rejected) {
                return Err(fail("rejected"));
            }
            let result = operate(state);
            if state.has_fault(faults.lost) {
                return Err(fail("the response is lost"));
            }
            Ok(result)
        })
        .await
    }
}

/// Lets another task run.
async fn pause() {
    let mut has_paused = false;
    poll_fn(|context| {
        if has_paused {
            return Poll::Ready(());
        }
        has_paused = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn parts(key: &ItemKey) -> (String, String) {
    (key.partition.clone(), key.sort.clone())
}

const fn free<T>(value: T) -> Metered<T> {
    Metered {
        value,
        capacity_units: 0.0,
        table_units: 0.0,
    }
}

impl State {
    fn has_fault(&mut self, probability: f64) -> bool {
        let has_fault = self.faults_left > 0 && self.random.random_bool(probability);
        self.faults_left -= u32::from(has_fault);
        has_fault
    }

    fn create(&mut self, record: &NewRecord, due: &DueEntry, shards: Shards) -> bool {
        let NewRecord::Session { new, created_at } = record else {
            panic!("this table has only sessions");
        };
        let key = record.key();
        let id = parts(key.item());
        if self.sessions.contains_key(&id) {
            return false;
        }
        let shard = shards.assign(&key);
        let session = Session {
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
            shard,
            due_at: Some(due.at),
        };
        assert_valid(None, &session);
        self.created += 1;
        let list = DueList {
            action: due.action,
            shard,
        };
        let stored = Stored {
            session,
            list,
            ttl: due.ttl,
            created: self.created,
        };
        self.sessions.insert(id, stored);
        true
    }

    fn apply(&mut self, change: &ConditionalWrite) -> Outcome {
        let id = parts(&change.key);
        let deletes = deletes_by(&change.op);
        let (stored, ended_by) = match (self.sessions.get_mut(&id), deletes) {
            (None, None) => return Outcome::ConditionFailed,
            (None, Some(_)) => return Outcome::Gone,
            (Some(stored), ended_by) => (stored, ended_by),
        };
        let holds = if let Some(ended_by) = ended_by {
            let holds = stored.has_ended_by(ended_by);
            if holds {
                self.sessions.remove(&id);
            }
            holds
        } else {
            let before = stored.session.clone();
            let holds = stored.update(change);
            assert_valid(Some(&before), &stored.session);
            holds
        };
        if holds {
            Outcome::Applied
        } else {
            Outcome::ConditionFailed
        }
    }

    fn of_user(&self, user: &UserId) -> Vec<Session> {
        let sessions = self.sessions.values();
        let of_user = sessions.filter(|it| it.session.user == *user);
        of_user.map(|it| it.session.clone()).collect()
    }

    fn record(&self, key: &ItemKey) -> Option<Record> {
        let stored = self.sessions.get(&parts(key))?;
        let reason = stored.session.deactivation_reason.as_deref();
        Some(Record {
            key: RecordKey::parse(key.clone()).expect("the key of a session"),
            state: stored.state(),
            due_key: Some(DueKey::List(stored.list)),
            due_at: stored.session.due_at,
            ttl: Some(stored.ttl),
            reason: reason.and_then(Reason::parse),
            max_expires_at: stored.session.max_expires_at,
            created_at: stored.session.created_at,
            client_id: stored.session.client_id.clone(),
        })
    }
}

/// Asserts that a write did what every write must do.
fn assert_valid(before: Option<&Session>, after: &Session) {
    let was_inactive = before.is_some_and(|it| !it.is_active);
    assert!(
        !(was_inactive && after.is_active),
        "opened again: {after:?}"
    );
    let end = after.max_expires_at;
    assert!(
        end.is_none_or(|end| after.expires_at <= Some(end)),
        "outlives its end: {after:?}"
    );
}

impl CreateRecords for MemoryTable {
    async fn create(&self, record: &NewRecord, due: &DueEntry) -> Result<bool, StoreError> {
        self.write(|state| state.create(record, due, self.shards))
            .await
    }
}

impl ReadSessions for MemoryTable {
    async fn session(
        &self,
        user: &UserId,
        session: &SessionId,
    ) -> Result<Option<Session>, StoreError> {
        let key = RecordKey::session(user, session);
        let found = self.call(|state| {
            let stored = state.sessions.get(&parts(key.item()));
            stored.map(|it| it.session.clone())
        });
        Ok(found.await)
    }

    async fn sessions_of(&self, user: &UserId) -> Result<Vec<Session>, StoreError> {
        let listing = self.call(|state| {
            state.listings.push(state.created);
            state.of_user(user)
        });
        Ok(listing.await)
    }
}

impl ApplyWrites for MemoryTable {
    const MAX_BATCH: NonZeroU32 = NonZeroU32::new(4).unwrap();

    async fn apply(
        &self,
        changes: &[ConditionalWrite],
    ) -> Result<Metered<Vec<Outcome>>, StoreError> {
        let rejected = self.faults.rejected;
        let apply = |state: &mut State| {
            let each = changes.iter().map(|change| {
                // A batch may fail in part.
                if state.has_fault(rejected) {
                    let kind = StoreErrorKind::Unavailable;
                    return Outcome::Failed(StoreError::new(kind, "writing", "rejected"));
                }
                state.apply(change)
            });
            free(each.collect())
        };
        self.write(apply).await
    }
}

impl LookUpSession for MemoryTable {
    async fn look_up(
        &self,
        user: &UserId,
        session: &SessionId,
        _: Option<&TokenId>,
    ) -> Result<SessionLookup, StoreError> {
        let found = self.session(user, session).await?;
        let session = found.map(|it| {
            Ok(match it.expires_at {
                Some(expires_at) if it.is_active => SessionSnapshot::Active(ActiveSession {
                    expires_at,
                    shard: it.shard,
                    created_at: it.created_at,
                    last_used_at: it.last_used_at,
                    max_expires_at: it.max_expires_at,
                    due_at: it.due_at,
                }),
                Some(_) | None => SessionSnapshot::Inactive,
            })
        });
        Ok(SessionLookup {
            session,
            blacklisted: false,
        })
    }
}

impl WithoutRetries for MemoryTable {
    fn without_retries(&self) -> Self {
        self.clone()
    }
}

impl ReadDueList for MemoryTable {
    type LastKey = ();

    async fn due_page(
        &self,
        list: DueList,
        cutoff: Timestamp,
        _: Option<PageToken<()>>,
    ) -> Result<Metered<DuePage<()>>, StoreError> {
        let is_due = |it: &&Stored| it.list == list && it.session.due_at <= Some(cutoff);
        let key = |it: &Stored| RecordKey::session(&it.session.user, &it.session.id);
        let reading = self.call(|state| {
            let mut due: Vec<_> = state.sessions.values().filter(is_due).collect();
            due.sort_by_key(|it| it.session.due_at);
            free(DuePage {
                keys: due.iter().map(|it| key(it)).collect(),
                malformed: Vec::new(),
                oldest: due.first().and_then(|it| it.session.due_at),
                next: None,
            })
        });
        Ok(reading.await)
    }

    async fn malformed_page(
        &self,
        _: Shard,
        _: Option<PageToken<()>>,
    ) -> Result<Metered<MalformedPage<()>>, StoreError> {
        Ok(free(MalformedPage {
            keys: Vec::new(),
            next: None,
        }))
    }
}

impl ReadRecords for MemoryTable {
    const MAX_BATCH: usize = 100;

    async fn read(&self, keys: &[ItemKey]) -> Result<Metered<Vec<ParsedRecord>>, StoreError> {
        let reading = self.call(|state| {
            let found = keys.iter().filter_map(|key| state.record(key));
            free(found.map(Ok).collect())
        });
        Ok(reading.await)
    }
}

impl StoreReport for MemoryTable {
    async fn store(&self, _: &CleanupReport, _: Timestamp) -> Result<(), StoreError> {
        pause().await;
        Ok(())
    }
}
