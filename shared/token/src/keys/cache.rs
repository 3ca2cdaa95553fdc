//! Keys that change: fetched, believed for a while, fetched again.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tokio::sync::Mutex;

use super::{FetchError, KeySet, KeysUnavailable};
use session_domain::Timestamp;

/// The pause between two fetches for keys that are not there, and after a fetch that failed.
const PAUSE_SECONDS: i64 = 30;

/// The pause after the first failure where no keys are at hand, so that the function recovers soon.
/// Each further failure doubles it, up to [`PAUSE_SECONDS`]. It is long enough for the request that
/// waits for an init that has failed to be answered at once, not by another fetch.
const FIRST_PAUSE_SECONDS: i64 = 2;

/// For how long keys are believed while no newer ones can be fetched.
const LAST_RESORT_SECONDS: i64 = 24 * 3_600;

/// Where keys are fetched from.
pub trait FetchKeys: fmt::Debug + Send + Sync {
    /// Fetches the keys as they are at `now`. It may take `patience`.
    fn fetch(
        &self,
        now: Timestamp,
        patience: Duration,
    ) -> Pin<Box<dyn Future<Output = Fetch> + Send + '_>>;
}

/// What a fetch came to. The time is the source's to measure: nothing here reads a clock.
#[derive(Debug)]
pub struct Fetch {
    /// The keys, or why there are none.
    pub outcome: Result<Fetched, FetchError>,
    /// How long it took.
    pub took: Duration,
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
    /// How long a fetch may take.
    patience: Duration,
    state: RwLock<State>,
    fetching: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// How many fetches have ended.
    fetches: u64,
    /// The last fetch, if it failed.
    failed: Option<Failure>,
    /// When keys were last fetched because one was not among them.
    searched_at: Option<Timestamp>,
}

/// A fetch that failed.
#[derive(Debug)]
struct Failure {
    at: Timestamp,
    why: String,
    /// Until then it is not tried again.
    pauses_until: Timestamp,
    /// How many fetches have failed since the last one that did not.
    in_a_row: u32,
}

impl Failure {
    fn pauses(&self, now: Timestamp) -> bool {
        // A clock that was set back makes no pause longer.
        self.at <= now && now < self.pauses_until
    }
}

#[derive(Debug)]
struct Held {
    keys: Arc<KeySet>,
    fetched_at: Timestamp,
    fresh_until: Timestamp,
}

impl CachedKeys {
    /// Fetches the first keys; each fetch may take `patience`. Where the first one fails and may
    /// pass, it is logged, and tried again after a short pause.
    ///
    /// # Errors
    ///
    /// [`FetchError::Unfit`].
    pub async fn load(
        source: Box<dyn FetchKeys>,
        now: Timestamp,
        patience: Duration,
    ) -> Result<Self, FetchError> {
        let first = source.fetch(now, patience).await;
        if let Err(unfit @ FetchError::Unfit(_)) = first.outcome {
            return Err(unfit);
        }
        let mut state = State::default();
        state.take(first, now);
        Ok(Self {
            source,
            patience,
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
            let fetched = self.source.fetch(now, self.patience).await;
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
    /// Takes what a fetch brought that began at `now`.
    fn take(&mut self, fetch: Fetch, now: Timestamp) {
        self.fetches += 1;
        match fetch.outcome {
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
            Err(error) => self.fail(&error, now, fetch.took),
        }
    }

    fn fail(&mut self, error: &FetchError, now: Timestamp, took: Duration) {
        let before = self.failed.as_ref().map_or(0, |failed| failed.in_a_row);
        let pauses_until = if self.believed(now).is_some() {
            tracing::error!(%error, "the keys could not be fetched; the cached ones are used");
            now.plus(PAUSE_SECONDS)
        } else {
            tracing::error!(%error, "the keys could not be fetched, and none are cached");
            let pause = FIRST_PAUSE_SECONDS << before.min(8);
            // The pause begins as the fetch ends, which may have taken longer than the pause.
            let ended_at = now.plus(took.as_secs().try_into().unwrap_or_default());
            ended_at.plus(pause.min(PAUSE_SECONDS))
        };
        self.failed = Some(Failure {
            at: now,
            why: error.to_string(),
            pauses_until,
            in_a_row: before.saturating_add(1),
        });
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
        let pauses = self.failed.as_ref().map(|failed| failed.pauses(now));
        let Some(held) = self.believed(now) else {
            return pauses != Some(true);
        };
        // A clock that was set back makes no pause longer.
        let rested = |since: Timestamp| !(0..PAUSE_SECONDS).contains(&now.since(since));
        if self.lacks(kid, now) && self.searched_at.is_none_or(rested) {
            return true;
        }
        match pauses {
            Some(pauses) => !pauses,
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
                let why = failed.as_ref().map(|failed| failed.why.clone());
                Err(KeysUnavailable(why.unwrap_or_default()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::time::{Instant, sleep};

    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

    const PATIENCE: Duration = Duration::from_secs(3);

    /// What a source does, seen from outside.
    #[derive(Debug, Default)]
    struct Source {
        fetches: AtomicUsize,
        is_back: AtomicBool,
    }

    /// A source that is silent until it is back.
    #[derive(Debug)]
    struct Silent(Arc<Source>);

    impl FetchKeys for Silent {
        fn fetch(
            &self,
            _: Timestamp,
            patience: Duration,
        ) -> Pin<Box<dyn Future<Output = Fetch> + Send + '_>> {
            Box::pin(async move {
                self.0.fetches.fetch_add(1, Ordering::SeqCst);
                if !self.0.is_back.load(Ordering::SeqCst) {
                    sleep(patience).await;
                    return Fetch {
                        outcome: Err(FetchError::Unavailable("silence".to_owned())),
                        took: patience,
                    };
                }
                Fetch {
                    outcome: Ok(Fetched {
                        keys: KeySet::Any(Vec::new()),
                        fresh_seconds: 300,
                    }),
                    took: Duration::ZERO,
                }
            })
        }
    }

    /// A cache whose init met silence, its source, and what measures the time since the start.
    async fn started() -> (CachedKeys, Arc<Source>, Instant) {
        let (source, watch) = (Arc::default(), Instant::now());
        let silent = Box::new(Silent(Arc::clone(&source)));
        let keys = CachedKeys::load(silent, START, PATIENCE).await.unwrap();
        (keys, source, watch)
    }

    fn now(watch: &Instant) -> Timestamp {
        START.plus(watch.elapsed().as_secs().try_into().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn first_request_after_a_silent_init_is_answered_at_once() {
        let (keys, source, watch) = started().await;
        for _ in 0..10 {
            let error = keys.at(now(&watch), None).await.unwrap_err();
            assert_eq!(error.to_string(), "the keys cannot be fetched: silence");
        }
        assert_eq!(watch.elapsed(), PATIENCE, "the time of one fetch");
        assert_eq!(source.fetches.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn pause_without_keys_grows_and_has_a_limit() {
        let (keys, source, watch) = started().await;
        let mut fetched_at = Vec::new();
        while fetched_at.len() < 7 {
            let (before, asked_at) = (source.fetches.load(Ordering::SeqCst), now(&watch));
            keys.at(asked_at, None).await.unwrap_err();
            if source.fetches.load(Ordering::SeqCst) > before {
                fetched_at.push(asked_at.since(START));
            }
            sleep(Duration::from_secs(1)).await;
        }
        // Each fetch takes three seconds. The pauses: 2, 4, 8, 16, and then 30 seconds.
        assert_eq!(fetched_at, [5, 12, 23, 42, 75, 108, 141]);
        // One that is met ends the growth.
        source.is_back.store(true, Ordering::SeqCst);
        sleep(Duration::from_secs(30)).await;
        keys.at(now(&watch), None).await.unwrap();
        let state = keys.state();
        assert!(state.failed.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn requests_during_a_silent_fetch_wait_for_that_one() {
        let (keys, source, watch) = started().await;
        let asked_at = now(&watch).plus(60);
        let answers = join_all((0..20).map(|_| keys.at(asked_at, None))).await;
        assert!(answers.iter().all(Result::is_err));
        assert_eq!(watch.elapsed(), 2 * PATIENCE);
        assert_eq!(source.fetches.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn clock_that_was_set_back_makes_no_pause_longer() {
        let (keys, source, _) = started().await;
        source.is_back.store(true, Ordering::SeqCst);
        keys.at(START.minus(3_600), None).await.unwrap();
    }
}
