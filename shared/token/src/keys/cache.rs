//! Keys that change: fetched, believed for a while, fetched again.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tokio::sync::Mutex;

use super::{FetchError, KeySet, KeysUnavailable};
use session_domain::Timestamp;

/// The pause between two fetches for keys that are not there, and after a fetch that failed.
const REFETCH_COOLDOWN_SECONDS: i64 = 30;

/// The pause after the first failure where no keys are at hand, so that the function recovers soon.
/// Each further failure doubles it, up to [`REFETCH_COOLDOWN_SECONDS`]. It is long enough for the request that
/// waits for an init that has failed to be answered at once, not by another fetch.
const FIRST_COOLDOWN_SECONDS: i64 = 2;

/// For how long keys are believed while no newer ones can be fetched.
const MAX_STALE_SECONDS: i64 = 24 * 3_600;

/// Where keys are fetched from.
pub trait FetchKeys: fmt::Debug + Send + Sync {
    /// Fetches the keys as they are at `now`. It may take `timeout`.
    fn fetch(
        &self,
        now: Timestamp,
        timeout: Duration,
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
    pub ttl_seconds: i64,
}

/// Keys that are fetched when they are needed, by one request for all that wait.
#[derive(Debug)]
pub struct CachedKeys {
    source: Box<dyn FetchKeys>,
    /// How long a fetch may take.
    timeout: Duration,
    state: RwLock<State>,
    fetching: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    cached: Option<CachedKeySet>,
    /// How many fetches have ended.
    fetches: u64,
    /// The last fetch, if it failed.
    failed: Option<FailedFetch>,
    /// When keys were last fetched because one was not among them.
    last_kid_miss: Option<Timestamp>,
}

/// A fetch that failed.
#[derive(Debug)]
struct FailedFetch {
    at: Timestamp,
    why: String,
    /// Until then it is not tried again.
    retry_at: Timestamp,
    /// How many fetches have failed since the last one that did not.
    consecutive: u32,
}

impl FailedFetch {
    fn is_cooling_down(&self, now: Timestamp) -> bool {
        // A clock that was set back makes no pause longer.
        self.at <= now && now < self.retry_at
    }
}

#[derive(Debug)]
struct CachedKeySet {
    keys: Arc<KeySet>,
    fetched_at: Timestamp,
    fresh_until: Timestamp,
}

impl CachedKeys {
    /// Fetches the first keys; each fetch may take `timeout`. Where the first one fails and may
    /// pass, it is logged, and tried again after a short pause.
    ///
    /// # Errors
    ///
    /// [`FetchError::Permanent`].
    pub async fn load(
        source: Box<dyn FetchKeys>,
        now: Timestamp,
        timeout: Duration,
    ) -> Result<Self, FetchError> {
        let first = source.fetch(now, timeout).await;
        if let Err(permanent @ FetchError::Permanent(_)) = first.outcome {
            return Err(permanent);
        }
        let mut state = State::default();
        state.store_result(first, now);
        Ok(Self {
            source,
            timeout,
            state: RwLock::new(state),
            fetching: Mutex::new(()),
        })
    }

    pub(super) async fn at(
        &self,
        now: Timestamp,
        kid: Option<&str>,
    ) -> Result<Arc<KeySet>, KeysUnavailable> {
        let fetches_before = {
            let state = self.state();
            if !state.needs_fetch(kid, now) {
                return state.answer(kid, now);
            }
            state.fetches
        };
        let _one_at_a_time = self.fetching.lock().await;
        // Who has waited for somebody else's fetch takes what it brought.
        if self.state().fetches == fetches_before {
            let fetched = self.source.fetch(now, self.timeout).await;
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            if state.misses(kid, now) {
                state.last_kid_miss = Some(now);
            }
            state.store_result(fetched, now);
        }
        self.state().answer(kid, now)
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes what a fetch brought that began at `now`.
    fn store_result(&mut self, fetch: Fetch, now: Timestamp) {
        self.fetches += 1;
        match fetch.outcome {
            Ok(Fetched { keys, ttl_seconds }) => {
                self.failed = None;
                self.cached = Some(CachedKeySet {
                    keys: Arc::new(keys),
                    fetched_at: now,
                    fresh_until: now.plus(ttl_seconds),
                });
            }
            Err(error) => self.fail(&error, now, fetch.took),
        }
    }

    fn fail(&mut self, error: &FetchError, now: Timestamp, took: Duration) {
        let before = self.failed.as_ref().map_or(0, |failed| failed.consecutive);
        let retry_at = if self.usable(now).is_some() {
            tracing::error!(%error, "the keys could not be fetched; the cached ones are used");
            now.plus(REFETCH_COOLDOWN_SECONDS)
        } else {
            tracing::error!(%error, "the keys could not be fetched, and none are cached");
            let cooldown = FIRST_COOLDOWN_SECONDS << before.min(8);
            // The pause begins as the fetch ends, which may have taken longer than the pause.
            let ended_at = now.plus(took.as_secs().try_into().unwrap_or_default());
            ended_at.plus(cooldown.min(REFETCH_COOLDOWN_SECONDS))
        };
        self.failed = Some(FailedFetch {
            at: now,
            why: error.to_string(),
            retry_at,
            consecutive: before.saturating_add(1),
        });
    }

    /// The keys, unless they are too old.
    fn usable(&self, now: Timestamp) -> Option<&CachedKeySet> {
        let recent = |cached: &&CachedKeySet| now.since(cached.fetched_at) < MAX_STALE_SECONDS;
        self.cached.as_ref().filter(recent)
    }

    /// Whether the keys that are believed have none for `kid`.
    fn misses(&self, kid: Option<&str>, now: Timestamp) -> bool {
        let cached = self.usable(now);
        cached.is_some_and(|cached| cached.keys.of(kid).next().is_none())
    }

    /// Whether keys have to be fetched for a token with this `kid`.
    fn needs_fetch(&self, kid: Option<&str>, now: Timestamp) -> bool {
        let cooling_down = self
            .failed
            .as_ref()
            .map(|failed| failed.is_cooling_down(now));
        let Some(cached) = self.usable(now) else {
            return cooling_down != Some(true);
        };
        // A clock that was set back makes no pause longer.
        let cooled_down =
            |since: Timestamp| !(0..REFETCH_COOLDOWN_SECONDS).contains(&now.since(since));
        if self.misses(kid, now) && self.last_kid_miss.is_none_or(cooled_down) {
            return true;
        }
        match cooling_down {
            Some(cooling_down) => !cooling_down,
            None => cached.fresh_until <= now || now < cached.fetched_at,
        }
    }

    fn answer(&self, kid: Option<&str>, now: Timestamp) -> Result<Arc<KeySet>, KeysUnavailable> {
        match (self.usable(now), &self.failed) {
            // Only while fetching works is a key that is not there a key that does not exist.
            (Some(cached), failed) if failed.is_none() || !self.misses(kid, now) => {
                Ok(Arc::clone(&cached.keys))
            }
            (_, failed) => {
                let why = failed.as_ref().map(|failed| failed.why.clone());
                Err(KeysUnavailable(why.unwrap_or_default()))
            }
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the clock of these tests is paused"
)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::time::{Instant, sleep};

    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

    const FETCH_TIMEOUT: Duration = Duration::from_secs(3);

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
            timeout: Duration,
        ) -> Pin<Box<dyn Future<Output = Fetch> + Send + '_>> {
            Box::pin(async move {
                self.0.fetches.fetch_add(1, Ordering::SeqCst);
                if !self.0.is_back.load(Ordering::SeqCst) {
                    sleep(timeout).await;
                    return Fetch {
                        outcome: Err(FetchError::Transient("silence".to_owned())),
                        took: timeout,
                    };
                }
                Fetch {
                    outcome: Ok(Fetched {
                        keys: KeySet::Any(Vec::new()),
                        ttl_seconds: 300,
                    }),
                    took: Duration::ZERO,
                }
            })
        }
    }

    /// A cache whose init met silence, its source, and what measures the time since the start.
    async fn started() -> (CachedKeys, Arc<Source>, Instant) {
        let (source, timer) = (Arc::default(), Instant::now());
        let silent = Box::new(Silent(Arc::clone(&source)));
        let keys = CachedKeys::load(silent, START, FETCH_TIMEOUT)
            .await
            .unwrap();
        (keys, source, timer)
    }

    fn now(timer: &Instant) -> Timestamp {
        START.plus(timer.elapsed().as_secs().try_into().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn first_request_fails_at_once_after_init_timed_out() {
        let (keys, source, timer) = started().await;
        for _ in 0..10 {
            let error = keys.at(now(&timer), None).await.unwrap_err();
            assert_eq!(error.to_string(), "the keys cannot be fetched: silence");
        }
        assert_eq!(timer.elapsed(), FETCH_TIMEOUT, "the time of one fetch");
        assert_eq!(source.fetches.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn cooldown_without_keys_grows_up_to_limit() {
        let (keys, source, timer) = started().await;
        let mut fetched_at = Vec::new();
        while fetched_at.len() < 7 {
            let (before, asked_at) = (source.fetches.load(Ordering::SeqCst), now(&timer));
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
        keys.at(now(&timer), None).await.unwrap();
        let state = keys.state();
        assert!(state.failed.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_requests_wait_for_same_hanging_fetch() {
        let (keys, source, timer) = started().await;
        let asked_at = now(&timer).plus(60);
        let answers = join_all((0..20).map(|_| keys.at(asked_at, None))).await;
        assert!(answers.iter().all(Result::is_err));
        assert_eq!(timer.elapsed(), 2 * FETCH_TIMEOUT);
        assert_eq!(source.fetches.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn clock_set_back_does_not_extend_cooldown() {
        let (keys, source, _) = started().await;
        source.is_back.store(true, Ordering::SeqCst);
        keys.at(START.minus(3_600), None).await.unwrap();
    }
}
