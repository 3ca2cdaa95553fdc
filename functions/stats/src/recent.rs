//! What was counted last, kept for a while: to count reads the whole index, so whoever asks often
//! must not make it read as often.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use session_lifecycle::clock::Deadline;
use session_lifecycle::ports::StoreError;
use tokio::sync::Mutex;
use uuid::Uuid;

/// What this instance counted last.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    kept_for: TimeDelta,
    counted: Mutex<Option<Counted<T>>>,
}

#[derive(Debug)]
struct Counted<T> {
    value: T,
    /// The newest cleanup before the count. What a later one did is not counted here.
    last_cleanup: Option<Uuid>,
    began: DateTime<Utc>,
    ended: DateTime<Utc>,
}

impl<T: Copy> Recent<T> {
    /// Nothing counted yet; what will be is given again for so long.
    pub(crate) fn kept_for(kept_for: TimeDelta) -> Self {
        Self {
            kept_for,
            counted: Mutex::default(),
        }
    }

    /// What was counted last, or counts where nothing recent is kept or there was a cleanup since. `last_cleanup` was read
    /// before. Requests at the same time wait for one count. An error is not kept.
    ///
    /// # Errors
    ///
    /// The store's.
    pub(crate) async fn get(
        &self,
        last_cleanup: Option<Uuid>,
        count: impl Future<Output = Result<T, StoreError>>,
        now: DateTime<Utc>,
    ) -> Result<T, StoreError> {
        let mut counted = self.counted.lock().await;
        let recent = counted.as_ref().filter(|it| {
            it.last_cleanup == last_cleanup && it.began <= now && now < it.ended + self.kept_for
        });
        if let Some(recent) = recent {
            return Ok(recent.value);
        }
        let timer = Deadline::after(Duration::MAX);
        let value = count.await?;
        *counted = Some(Counted {
            value,
            last_cleanup,
            began: now,
            ended: now + timer.elapsed(),
        });
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use session_lifecycle::ports::StoreErrorKind;

    const NOW: i64 = 1_800_000_000;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(NOW + seconds, 0).unwrap()
    }

    /// A table whose count takes ten seconds and gives the number of the count.
    struct Table {
        recent: Recent<u64>,
        counts: AtomicU64,
    }

    impl Default for Table {
        fn default() -> Self {
            Self {
                recent: Recent::kept_for(TimeDelta::seconds(5)),
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
        assert_eq!(table.get(1, 0).await, 4, "a clock that was set back");
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
