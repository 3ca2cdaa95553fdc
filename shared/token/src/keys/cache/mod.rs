//! Cache of keys that are fetched.

mod state;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tokio::sync::Mutex;

use self::state::State;
use super::{FetchError, FetchKeys, KeySet, KeysUnavailable};
use session_domain::Timestamp;

/// Keys that are fetched on demand. Concurrent requests share one fetch.
#[derive(Debug)]
pub struct CachedKeys {
    source: Box<dyn FetchKeys>,
    /// Timeout of a fetch.
    timeout: Duration,
    state: RwLock<State>,
    fetching: Mutex<()>,
}

impl CachedKeys {
    /// Creates a cache and fetches the first keys. `timeout` limits each fetch. If the first fetch
    /// fails with [`FetchError::Transient`], the error is logged, and a request fetches again after a
    /// short cool-down.
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
            state.fetches()
        };
        let _one_at_a_time = self.fetching.lock().await;
        // Callers that waited for a concurrent fetch reuse its result.
        if self.state().fetches() == fetches_before {
            let fetched = self.source.fetch(now, self.timeout).await;
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            state.note_kid_miss(kid, now);
            state.store_result(fetched, now);
        }
        self.state().answer(kid, now)
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the clock of these tests is paused"
)]
mod tests {
    use std::pin::Pin;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use jsonwebtoken::Algorithm;
    use session_domain::error_chain;
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::keys::{Fetch, Fetched, VerifyingKey};

    const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

    const FETCH_TIMEOUT: Duration = Duration::from_secs(3);

    /// The state of a source that a test reads and changes.
    #[derive(Debug, Default)]
    struct Source {
        fetches: AtomicUsize,
        is_back: AtomicBool,
    }

    /// A source whose keys are fresh for one second. Each fetch takes `takes`.
    #[derive(Debug)]
    struct ShortLived {
        source: Arc<Source>,
        takes: Duration,
    }

    impl FetchKeys for ShortLived {
        fn fetch(
            &self,
            _: Timestamp,
            _: Duration,
        ) -> Pin<Box<dyn Future<Output = Fetch> + Send + '_>> {
            Box::pin(async move {
                self.source.fetches.fetch_add(1, Ordering::SeqCst);
                sleep(self.takes).await;
                let keys = KeySet::Named(vec![(Some("k".to_owned()), key())]);
                Fetch {
                    outcome: Ok(Fetched {
                        keys,
                        ttl_seconds: 1,
                    }),
                    took: self.takes,
                }
            })
        }
    }

    fn key() -> VerifyingKey {
        VerifyingKey::from_secret(Algorithm::HS256, [7; 32]).unwrap()
    }

    /// A source that does not respond until it is back.
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
                        outcome: Err(FetchError::transient("silence")),
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

    /// A cache whose first fetch timed out, its source, and the time of the start.
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
            assert_eq!(error_chain(&error), "the keys cannot be fetched: silence");
        }
        assert_eq!(timer.elapsed(), FETCH_TIMEOUT, "one fetch");
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
        // Each fetch takes three seconds. The cool-downs are 2, 4, 8, 16 and then 30 seconds.
        assert_eq!(fetched_at, [5, 12, 23, 42, 75, 108, 141]);
        // A fetch that succeeds resets the cool-down.
        source.is_back.store(true, Ordering::SeqCst);
        sleep(Duration::from_secs(30)).await;
        keys.at(now(&timer), None).await.unwrap();
        let state = keys.state();
        assert!(!state.last_fetch_failed());
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

    /// `max-age=1`, a thousand concurrent requests a second, and fetches that take less or more time than the
    /// keys are fresh. Half of the requests began one second earlier.
    #[tokio::test(start_paused = true)]
    async fn short_lifetime_causes_one_fetch_a_second_at_most() {
        for (kid, takes) in [
            (Some("k"), Duration::from_millis(200)),
            (Some("k"), Duration::from_millis(1_500)),
            (Some("unknown"), Duration::from_millis(200)),
            (None, Duration::ZERO),
        ] {
            let (source, timer) = (Arc::<Source>::default(), Instant::now());
            let short = ShortLived {
                source: Arc::clone(&source),
                takes,
            };
            let keys = CachedKeys::load(Box::new(short), START, FETCH_TIMEOUT).await;
            let keys = Arc::new(keys.unwrap());
            let ask = |at: u64, keys: Arc<CachedKeys>| async move {
                sleep(Duration::from_millis(at)).await;
                let asked = Instant::now();
                let late = i64::from(at % 2 == 1);
                let set = keys.at(now(&timer).minus(late), kid).await.unwrap();
                assert!(!set.is_empty());
                asked.elapsed()
            };
            let fetches_before = source.fetches.load(Ordering::SeqCst);
            let asked = (0..10_000).map(|at| tokio::spawn(ask(at, Arc::clone(&keys))));
            let mut longest = Duration::ZERO;
            for waited in join_all(asked).await {
                longest = longest.max(waited.unwrap());
            }
            let fetches = source.fetches.load(Ordering::SeqCst) - fetches_before;
            assert!((5..=11).contains(&fetches), "{kid:?} {takes:?}: {fetches}");
            assert!(longest <= takes, "{kid:?} {takes:?}: {longest:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn clock_set_back_does_not_extend_cooldown() {
        let (keys, source, _) = started().await;
        source.is_back.store(true, Ordering::SeqCst);
        keys.at(START.minus(3_600), None).await.unwrap();
    }
}
