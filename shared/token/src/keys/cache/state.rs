//! State of the cache: which keys are usable, and when they are fetched again. It reads no clock.

use std::sync::Arc;
use std::time::Duration;

use super::super::{Fetch, FetchError, Fetched, KeySet, KeysUnavailable};
use session_domain::{Timestamp, error_chain};

/// Cool-down after a fetch for an unknown `kid`, and after a failed fetch while keys are cached.
const REFETCH_COOLDOWN_SECONDS: i64 = 30;

/// Cool-down after the first failed fetch if no keys are cached, short so that the function
/// recovers soon. Each further failure doubles it, up to [`REFETCH_COOLDOWN_SECONDS`]. It is long
/// enough for the request that waited for a failed init to get its error at once, without another
/// fetch.
const FIRST_COOLDOWN_SECONDS: i64 = 2;

/// Maximum time by which a request may have begun before a fetch that is complete. A larger difference means that
/// the clock was set back.
const MAX_LAG_SECONDS: i64 = 30;

/// How long keys stay usable after their fetch, if all later fetches fail (`stale-if-error`,
/// RFC 5861 §4).
const MAX_STALE_SECONDS: i64 = 24 * 3_600;

#[derive(Debug, Default)]
pub(super) struct State {
    cached: Option<CachedKeySet>,
    /// Number of completed fetches.
    fetches: u64,
    /// The last fetch, if it failed.
    failed: Option<FailedFetch>,
    /// Time of the last fetch for an unknown `kid`.
    last_kid_miss: Option<Timestamp>,
}

/// A fetch that failed.
#[derive(Debug)]
struct FailedFetch {
    at: Timestamp,
    error: Arc<FetchError>,
    /// End of the cool-down.
    retry_at: Timestamp,
    /// Number of failed fetches since the last successful one.
    consecutive: u32,
}

impl FailedFetch {
    fn is_cooling_down(&self, now: Timestamp) -> bool {
        // A clock that is set back does not extend the cool-down.
        !is_set_back(now, self.at) && now < self.retry_at
    }
}

/// Whether the clock was set back since `then`.
const fn is_set_back(now: Timestamp, then: Timestamp) -> bool {
    now.since(then) < -MAX_LAG_SECONDS
}

#[derive(Debug)]
struct CachedKeySet {
    keys: Arc<KeySet>,
    fetched_at: Timestamp,
    fresh_until: Timestamp,
}

impl State {
    pub(super) const fn fetches(&self) -> u64 {
        self.fetches
    }

    #[cfg(test)]
    pub(super) const fn last_fetch_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Starts the cool-down for unknown `kid`s, if this one is unknown.
    pub(super) fn note_kid_miss(&mut self, kid: Option<&str>, now: Timestamp) {
        if self.misses(kid, now) {
            self.last_kid_miss = Some(now);
        }
    }

    /// Stores the result of a fetch that started at `now`.
    pub(super) fn store_result(&mut self, fetch: Fetch, now: Timestamp) {
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
            Err(error) => self.fail(error, now, fetch.took),
        }
    }

    fn fail(&mut self, error: FetchError, now: Timestamp, took: Duration) {
        let before = self.failed.as_ref().map_or(0, |failed| failed.consecutive);
        let chain = error_chain(&error);
        let retry_at = if self.usable(now).is_some() {
            tracing::error!(
                error = chain,
                "the keys could not be fetched; the cached ones are used"
            );
            now.plus(REFETCH_COOLDOWN_SECONDS)
        } else {
            tracing::error!(
                error = chain,
                "the keys could not be fetched, and none are cached"
            );
            let cooldown = FIRST_COOLDOWN_SECONDS << before.min(8);
            // The cool-down starts when the fetch ends, because the fetch may take longer than it.
            let ended_at = now.plus(took.as_secs().try_into().unwrap_or_default());
            ended_at.plus(cooldown.min(REFETCH_COOLDOWN_SECONDS))
        };
        self.failed = Some(FailedFetch {
            at: now,
            error: Arc::new(error),
            retry_at,
            consecutive: before.saturating_add(1),
        });
    }

    /// The cached keys, unless they were fetched [`MAX_STALE_SECONDS`] ago or earlier.
    fn usable(&self, now: Timestamp) -> Option<&CachedKeySet> {
        let recent = |cached: &&CachedKeySet| now.since(cached.fetched_at) < MAX_STALE_SECONDS;
        self.cached.as_ref().filter(recent)
    }

    /// Whether there are usable keys, but none for `kid`.
    fn misses(&self, kid: Option<&str>, now: Timestamp) -> bool {
        let cached = self.usable(now);
        cached.is_some_and(|cached| cached.keys.of(kid).next().is_none())
    }

    /// Whether a token with this `kid` requires a fetch.
    pub(super) fn needs_fetch(&self, kid: Option<&str>, now: Timestamp) -> bool {
        let cooling_down = self
            .failed
            .as_ref()
            .map(|failed| failed.is_cooling_down(now));
        let Some(cached) = self.usable(now) else {
            return cooling_down != Some(true);
        };
        // A clock that is set back does not extend the cool-down.
        let cooled_down =
            |then: Timestamp| is_set_back(now, then) || now.since(then) >= REFETCH_COOLDOWN_SECONDS;
        if self.misses(kid, now) && self.last_kid_miss.is_none_or(cooled_down) {
            return true;
        }
        match cooling_down {
            Some(cooling_down) => !cooling_down,
            None => cached.fresh_until <= now || is_set_back(now, cached.fetched_at),
        }
    }

    pub(super) fn answer(
        &self,
        kid: Option<&str>,
        now: Timestamp,
    ) -> Result<Arc<KeySet>, KeysUnavailable> {
        match (self.usable(now), &self.failed) {
            // After a failed fetch, an unknown `kid` proves nothing: its key may exist by now.
            (Some(cached), failed) if failed.is_none() || !self.misses(kid, now) => {
                Ok(Arc::clone(&cached.keys))
            }
            (_, failed) => Err(KeysUnavailable {
                source: failed.as_ref().map(|failed| Arc::clone(&failed.error)),
            }),
        }
    }
}
