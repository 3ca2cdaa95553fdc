//! Cache of the last count. A count reads the whole index, so frequent requests share one.

use chrono::{DateTime, TimeDelta, Utc};
use session_lifecycle::clock::Stopwatch;
use session_lifecycle::ports::StoreError;
use tokio::sync::Mutex;
use uuid::Uuid;

/// The last count of this instance.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    ttl: TimeDelta,
    counted: Mutex<Option<Counted<T>>>,
}

#[derive(Debug)]
struct Counted<T> {
    value: T,
    /// The newest cleanup before the count. The count does not include the effect of later ones.
    last_cleanup: Option<Uuid>,
    started_at: DateTime<Utc>,
    ended_at: DateTime<Utc>,
}

impl<T: Copy> Recent<T> {
    /// An empty cache, whose entry is valid for `ttl` after the end of its count.
    pub(crate) fn with_ttl(ttl: TimeDelta) -> Self {
        Self {
            ttl,
            counted: Mutex::default(),
        }
    }

    /// Returns the last count if it is still valid and there was no cleanup since; otherwise counts.
    ///
    /// `last_cleanup` must have been read before this call. Concurrent requests share one count.
    /// Errors are not cached.
    ///
    /// # Errors
    ///
    /// The error of `count`.
    pub(crate) async fn get(
        &self,
        last_cleanup: Option<Uuid>,
        count: impl Future<Output = Result<T, StoreError>>,
        now: DateTime<Utc>,
    ) -> Result<T, StoreError> {
        let mut counted = self.counted.lock().await;
        let recent = counted.as_ref().filter(|it| {
            it.last_cleanup == last_cleanup && it.started_at <= now && now < it.ended_at + self.ttl
        });
        if let Some(recent) = recent {
            return Ok(recent.value);
        }
        let timer = Stopwatch::start();
        let value = count.await?;
        *counted = Some(Counted {
            value,
            last_cleanup,
            started_at: now,
            ended_at: now + timer.elapsed(),
        });
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;
    use session_lifecycle::ports::StoreErrorKind;

    const NOW: i64 = 1_800_000_000;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(NOW + seconds, 0).unwrap()
    }

    /// A table whose count takes ten seconds and returns how many counts there were.
    struct Table {
        recent: Recent<u64>,
        counts: AtomicU64,
    }

    impl Default for Table {
        fn default() -> Self {
            Self {
                recent: Recent::with_ttl(TimeDelta::seconds(5)),
                counts: AtomicU64::default(),
            }
        }
    }

    impl Table {
        async fn get(&self, run: u128, seconds: i64) -> u64 {
            let count = async {
                tokio::time::sleep(Duration::from_secs(10)).await;
                Ok(self.counts.fetch_add(1, Ordering::Relaxed) + 1)
            };
            let last = Some(Uuid::from_u128(run));
            self.recent.get(last, count, at(seconds)).await.unwrap()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn counts_again_five_seconds_after_a_count_ended() {
        let table = Table::default();
        for (seconds, number) in [(0, 1), (5, 1), (10, 1), (14, 1), (15, 2), (29, 2), (30, 3)] {
            assert_eq!(table.get(1, seconds).await, number, "{seconds}");
        }
        assert_eq!(table.get(1, 0).await, 4, "the clock was set back");
    }

    #[tokio::test(start_paused = true)]
    async fn counts_again_after_another_cleanup() {
        let table = Table::default();
        for (run, number) in [(1, 1), (1, 1), (2, 2), (2, 2)] {
            assert_eq!(table.get(run, 0).await, number, "{run}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_requests_share_one_count() {
        let table = Table::default();
        let all = tokio::join!(table.get(1, 0), table.get(1, 4), table.get(1, 9));
        assert_eq!(all, (1, 1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn counts_again_after_an_error() {
        let table = Table::default();
        let error = || StoreError::new(StoreErrorKind::Unavailable, "counting", "no connection");
        let count = async { Err(error()) };
        let failed = table.recent.get(None, count, at(0)).await;
        assert!(failed.is_err());
        assert_eq!(table.get(1, 0).await, 1);
    }
}
