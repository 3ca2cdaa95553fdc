//! Keys that change: fetched, believed for a while, fetched again.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::Mutex;

use super::{FetchError, KeySet, KeysUnavailable};
use crate::domain::Timestamp;

/// The pause between two fetches for keys that are not there, and after a fetch that failed.
const PAUSE_SECONDS: i64 = 30;

/// For how long keys are believed while no newer ones can be fetched.
const LAST_RESORT_SECONDS: i64 = 24 * 3_600;

/// Where keys are fetched from.
pub trait FetchKeys: fmt::Debug + Send + Sync {
    /// Fetches the keys as they are at `now`.
    fn fetch(
        &self,
        now: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<Fetched, FetchError>> + Send + '_>>;
}

/// Keys, as they were just fetched.
#[derive(Debug)]
pub struct Fetched {
    /// The keys.
    pub keys: KeySet,
    /// For how long they need not be fetched again.
    pub fresh_seconds: i64,
}

/// Keys that are fetched when they are needed, by one request for all that wait.
#[derive(Debug)]
pub struct CachedKeys {
    source: Box<dyn FetchKeys>,
    state: RwLock<State>,
    fetching: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// How many fetches have ended.
    fetches: u64,
    /// When and why the last fetch failed, if it did.
    failed: Option<(Timestamp, String)>,
    /// When keys were last fetched because one was not among them.
    searched_at: Option<Timestamp>,
}

#[derive(Debug)]
struct Held {
    keys: Arc<KeySet>,
    fetched_at: Timestamp,
    fresh_until: Timestamp,
}

impl CachedKeys {
    /// Fetches the first keys. Where that fails and may pass, it is logged, and tried again with
    /// the first token.
    ///
    /// # Errors
    ///
    /// [`FetchError::Unfit`].
    pub async fn load(source: Box<dyn FetchKeys>, now: Timestamp) -> Result<Self, FetchError> {
        let first = source.fetch(now).await;
        if let Err(unfit @ FetchError::Unfit(_)) = first {
            return Err(unfit);
        }
        let mut state = State::default();
        state.take(first, now);
        Ok(Self {
            source,
            state: RwLock::new(state),
            fetching: Mutex::new(()),
        })
    }

    pub(super) async fn at(
        &self,
        now: Timestamp,
        kid: Option<&str>,
    ) -> Result<Arc<KeySet>, KeysUnavailable> {
        let seen = {
            let state = self.state();
            if !state.wants(kid, now) {
                return state.answer(kid, now);
            }
            state.fetches
        };
        let _one_at_a_time = self.fetching.lock().await;
        // Who has waited for somebody else's fetch takes what it brought.
        if self.state().fetches == seen {
            let fetched = self.source.fetch(now).await;
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            if state.lacks(kid, now) {
                state.searched_at = Some(now);
            }
            state.take(fetched, now);
        }
        self.state().answer(kid, now)
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, fetched: Result<Fetched, FetchError>, now: Timestamp) {
        self.fetches += 1;
        match fetched {
            Ok(Fetched {
                keys,
                fresh_seconds,
            }) => {
                self.failed = None;
                self.held = Some(Held {
                    keys: Arc::new(keys),
                    fetched_at: now,
                    fresh_until: now.plus(fresh_seconds),
                });
            }
            Err(error) => {
                tracing::error!(%error, "the keys could not be fetched; those at hand go on");
                self.failed = Some((now, error.to_string()));
            }
        }
    }

    /// The keys, unless they are too old.
    fn believed(&self, now: Timestamp) -> Option<&Held> {
        let recent = |held: &&Held| now.since(held.fetched_at) < LAST_RESORT_SECONDS;
        self.held.as_ref().filter(recent)
    }

    /// Whether the keys that are believed have none for `kid`.
    fn lacks(&self, kid: Option<&str>, now: Timestamp) -> bool {
        let held = self.believed(now);
        held.is_some_and(|held| held.keys.of(kid).next().is_none())
    }

    /// Whether keys have to be fetched for a token with this `kid`.
    fn wants(&self, kid: Option<&str>, now: Timestamp) -> bool {
        // A clock that was set back makes no pause longer.
        let rested = |since: Timestamp| !(0..PAUSE_SECONDS).contains(&now.since(since));
        let Some(held) = self.believed(now) else {
            return true;
        };
        if self.lacks(kid, now) && self.searched_at.is_none_or(rested) {
            return true;
        }
        match self.failed {
            Some((failed_at, _)) => rested(failed_at),
            None => held.fresh_until <= now || now < held.fetched_at,
        }
    }

    fn answer(&self, kid: Option<&str>, now: Timestamp) -> Result<Arc<KeySet>, KeysUnavailable> {
        match (self.believed(now), &self.failed) {
            // Only while fetching works is a key that is not there a key that does not exist.
            (Some(held), failed) if failed.is_none() || !self.lacks(kid, now) => {
                Ok(Arc::clone(&held.keys))
            }
            (_, failed) => {
                let why = failed.as_ref().map(|(_, why)| why.clone());
                Err(KeysUnavailable(why.unwrap_or_default()))
            }
        }
    }
}
