//! Counted statistics, kept for a few seconds: to count reads the whole index, so whoever asks
//! often must not make it read as often.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use session_lifecycle::clock::Stopwatch;
use session_lifecycle::domain::{CleanupReport, Statistics};
use session_lifecycle::ports::StoreError;
use tokio::sync::Mutex;
use uuid::Uuid;

/// How long counted statistics are given again.
const KEPT_FOR: TimeDelta = TimeDelta::seconds(5);

/// The statistics that this instance counted last.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<Option<Counted>>);

#[derive(Debug)]
struct Counted {
    statistics: Statistics,
    /// The newest cleanup before the count. What a later one did is not counted here.
    last_cleanup: Option<Uuid>,
    began: DateTime<Utc>,
    ended: DateTime<Utc>,
}

impl Counted {
    fn is_recent(&self, last_cleanup: Option<Uuid>, now: DateTime<Utc>) -> bool {
        self.last_cleanup == last_cleanup && self.began <= now && now < self.ended + KEPT_FOR
    }
}

impl Recent {
    /// The statistics and the newest cleanup. Both are read where nothing recent is kept or there
    /// was a cleanup since; requests at the same time wait for one count. An error is not kept.
    ///
    /// # Errors
    ///
    /// The store's.
    pub(crate) async fn get(
        &self,
        last_cleanup: impl Future<Output = Result<Option<CleanupReport>, StoreError>>,
        count: impl Future<Output = Result<Statistics, StoreError>>,
        now: DateTime<Utc>,
    ) -> Result<(Statistics, Option<CleanupReport>), StoreError> {
        let mut kept = self.0.lock().await;
        // First, so that a cleanup during the count makes the next request count again.
        let report = last_cleanup.await?;
        let run = report.as_ref().map(|report| report.run_id);
        if let Some(counted) = kept.as_ref().filter(|it| it.is_recent(run, now)) {
            return Ok((counted.statistics, report));
        }
        let watch = Stopwatch::start(Duration::MAX);
        let statistics = count.await?;
        *kept = Some(Counted {
            statistics,
            last_cleanup: run,
            began: now,
            ended: now + watch.elapsed(),
        });
        Ok((statistics, report))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use session_lifecycle::domain::{Counted as InIndex, Counts, Timestamp, Trigger};

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(NOW + seconds, 0).unwrap()
    }

    fn report(number: u128) -> CleanupReport {
        CleanupReport {
            run_id: Uuid::from_u128(number),
            trigger: Trigger::Api,
            requested_by: None,
            dry_run: false,
            started_at: at(0),
            duration_ms: 0,
            complete: true,
            counts: Counts::default(),
            capacity_units: 0.0,
            oldest_expired_age_seconds: None,
            failed_records: Vec::new(),
            adoption_percent: None,
            error: None,
        }
    }

    /// A table whose count takes ten seconds and gives the number of the count.
    #[derive(Default)]
    struct Table {
        recent: Recent,
        counts: AtomicU64,
    }

    impl Table {
        async fn get(&self, run: u128, seconds: i64) -> u64 {
            let count = async {
                tokio::time::sleep(Duration::from_secs(10)).await;
                let live = self.counts.fetch_add(1, Ordering::Relaxed) + 1;
                let now = Timestamp::from(at(seconds));
                let counted = InIndex {
                    live,
                    ..InIndex::default()
                };
                Ok(Statistics::new(&counted, now))
            };
            let last = async { Ok(Some(report(run))) };
            let (statistics, _) = self.recent.get(last, count, at(seconds)).await.unwrap();
            statistics.total_sessions
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
    async fn requests_during_a_count_share_it() {
        let table = Table::default();
        let all = tokio::join!(table.get(1, 0), table.get(1, 4), table.get(1, 9));
        assert_eq!(all, (1, 1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn counts_again_after_an_error() {
        let table = Table::default();
        let error = || StoreError::Unavailable {
            what: "counting",
            source: "no connection".into(),
        };
        let count = async { Err(error()) };
        let failed = table.recent.get(async { Ok(None) }, count, at(0)).await;
        assert!(failed.is_err());
        assert_eq!(table.get(1, 0).await, 1);
    }
}
