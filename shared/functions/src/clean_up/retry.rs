//! Retries, backoff, and when a run gives up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::CleanupTable;
use super::run::Run;
use super::totals::RunTotals;
use session_lifecycle::clock::Deadline;
use session_lifecycle::ports::{Metered, StoreError, StoreErrorKind};

/// How long a run retries while the table does not respond at all.
const UNRESPONSIVE_LIMIT: Duration = Duration::from_mins(1);

/// Attempts to store the report, and to read or store a scan's checkpoint.
const MAX_ATTEMPTS: u32 = 3;

/// When the table last responded, in milliseconds since the run started.
#[derive(Default)]
pub(super) struct ResponseClock(AtomicU64);

impl ResponseClock {
    fn last(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

impl<T: CleanupTable> Run<'_, T> {
    /// Notes that the table responded.
    pub(super) fn mark_responsive(&self) {
        let now = milliseconds(self.deadline.elapsed());
        self.responses.0.store(now, Ordering::Relaxed);
    }

    /// Excludes time in which the run sent no request: waiting for its own rate limiter says nothing
    /// about the table.
    pub(super) fn exclude_idle_time(&self, time: Duration) {
        self.responses
            .0
            .fetch_add(milliseconds(time), Ordering::Relaxed);
    }

    /// Whether a retry after this error makes sense. A table that throttles is responsive.
    pub(super) fn should_retry(&self, error: &StoreError) -> bool {
        error.kind() == StoreErrorKind::Throttled
            || error.is_retryable()
                && self.deadline.elapsed() < self.responses.last() + UNRESPONSIVE_LIMIT
    }

    /// Reduces the rates of reads and writes if the table throttled.
    pub(super) fn slow_down_if_throttled(&self, error: &StoreError) {
        if error.kind() == StoreErrorKind::Throttled {
            self.mark_responsive();
            self.write_rate.on_throttle(&self.deadline);
            self.scan_rate.on_throttle(&self.deadline);
        }
    }

    /// Repeats a read with growing delays until it succeeds. Returns `None`, and notes the reason
    /// in `totals`, if the time ran out or the error is permanent.
    pub(super) async fn retry<V, F>(
        &self,
        totals: &mut RunTotals,
        call: impl Fn() -> F,
    ) -> Option<V>
    where
        F: Future<Output = Result<Metered<V>, StoreError>>,
    {
        let mut attempt = 1;
        loop {
            match call().await {
                Ok(response) => {
                    self.mark_responsive();
                    return Some(totals.add_capacity(response));
                }
                Err(error) if error.is_retryable() && self.time_is_up() => {
                    totals.time_ran_out = true;
                    return None;
                }
                Err(error) if self.should_retry(&error) => {
                    tracing::debug!(attempt, error = error.error_chain(), "retrying a read");
                    self.slow_down_if_throttled(&error);
                    self.back_off(attempt).await;
                    attempt += 1;
                }
                Err(error) => {
                    totals.record_error(error);
                    return None;
                }
            }
        }
    }

    /// Pauses before the next attempt, at most until the deadline.
    pub(super) async fn back_off(&self, attempt: u32) {
        tokio::time::sleep(backoff_delay(attempt).min(self.deadline.remaining())).await;
    }
}

/// Repeats a small call up to [`MAX_ATTEMPTS`] times, and not after the deadline if there is one.
pub(super) async fn retry_briefly<V, F>(
    deadline: Option<&Deadline>,
    call: impl Fn() -> F,
) -> Result<V, StoreError>
where
    F: Future<Output = Result<V, StoreError>>,
{
    let remaining = || deadline.map_or(Duration::MAX, Deadline::remaining);
    let mut attempt = 1;
    loop {
        match call().await {
            Err(error)
                if error.is_retryable() && attempt < MAX_ATTEMPTS && !remaining().is_zero() =>
            {
                tokio::time::sleep(backoff_delay(attempt).min(remaining())).await;
                attempt += 1;
            }
            result => return result,
        }
    }
}

/// Pause after an attempt: doubles with each attempt, with jitter so that concurrent callers do not
/// retry together.
fn backoff_delay(attempt: u32) -> Duration {
    max_backoff(attempt).mul_f64(rand::random_range(0.5..=1.0))
}

fn max_backoff(attempt: u32) -> Duration {
    Duration::from_millis(100 << attempt.min(6))
}

pub(super) fn milliseconds(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use session_lifecycle::aws::CallPolicy;

    use super::*;
    use crate::clean_up::time_limit;

    #[test]
    fn time_limit_leaves_time_for_open_calls_and_report() {
        let call = CallPolicy::BATCH.operation_timeout;
        let pauses: Duration = (1..MAX_ATTEMPTS).map(max_backoff).sum();
        // A batch, the read of the records whose condition failed, and the report.
        let needed = 2 * call + MAX_ATTEMPTS * call + pauses;
        for left in [22, 29, 60, 900].map(Duration::from_secs) {
            let limit = time_limit(left);
            assert!(limit + needed <= left, "{limit:?} of {left:?}");
        }
        assert_eq!(time_limit(Duration::from_secs(4)), Duration::from_secs(2));
        assert_eq!(time_limit(Duration::ZERO), Duration::ZERO);
    }
}
