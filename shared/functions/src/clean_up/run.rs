//! One run: its time, its patience with the table, its report.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::malformed::MalformedRecords;
use super::rate::AdaptiveRateLimiter;
use super::totals::{RunTotals, WriteReason};
use super::{CleanupFailed, CleanupRequest, CleanupSettings, CleanupTable};
use session_domain::{CleanupReport, Counts, ItemKey, RetentionPolicy, Timestamp};
use session_lifecycle::aws::CallPolicy;
use session_lifecycle::clock::Deadline;
use session_lifecycle::ports::{ApplyWrites, Metered, StoreError, StoreErrorKind};

/// For how long a run goes on to ask a table that does not answer at all.
const UNRESPONSIVE_LIMIT: Duration = Duration::from_mins(1);

/// How often a run says in the log how far it is.
pub(super) const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// How often the report, and the place of an adoption, are tried to be stored or read.
pub(super) const MAX_ATTEMPTS: u32 = 3;

/// One run under way.
pub(super) struct Run<'a, T> {
    pub(super) table: &'a T,
    pub(super) request: &'a CleanupRequest,
    pub(super) settings: &'a CleanupSettings,
    pub(super) policy: RetentionPolicy,
    pub(super) now: Timestamp,
    pub(super) deadline: Deadline,
    pub(super) rate_limiter: AdaptiveRateLimiter,
    /// For the reads of a scan: as many units in a second as there may be writes.
    pub(super) scan_rate_limiter: AdaptiveRateLimiter,
    pub(super) malformed: MalformedRecords,
    /// How many records the table has refused to change for good.
    failed: AtomicUsize,
    /// When the table last answered, and when the log last told how far the run is, in
    /// milliseconds on the watch.
    last_response_ms: AtomicU64,
    last_progress_ms: AtomicU64,
}

impl<'a, T: CleanupTable> Run<'a, T> {
    pub(super) fn new(
        table: &'a T,
        settings: &'a CleanupSettings,
        request: &'a CleanupRequest,
    ) -> Self {
        let rate_limiter = || {
            AdaptiveRateLimiter::new(
                settings.max_writes_per_second,
                <T as ApplyWrites>::MAX_BATCH,
            )
        };
        Self {
            table,
            request,
            settings,
            policy: RetentionPolicy {
                retention: settings.retention,
                sweep_grace: request.sweep_grace,
            },
            now: request.started_at.into(),
            deadline: Deadline::after(request.time_limit),
            rate_limiter: rate_limiter(),
            scan_rate_limiter: rate_limiter(),
            malformed: MalformedRecords::default(),
            failed: AtomicUsize::new(0),
            last_response_ms: AtomicU64::new(0),
            last_progress_ms: AtomicU64::new(0),
        }
    }

    pub(super) fn time_is_up(&self) -> bool {
        self.deadline.remaining().is_zero()
    }

    /// Whether it is too late for another write. An adoption stops earlier, so that there is time to
    /// keep its place.
    pub(super) fn time_is_up_for(&self, reason: WriteReason) -> bool {
        match reason {
            WriteReason::Adoption => self.deadline.remaining() <= self.time_for_checkpoint(),
            WriteReason::Due(_) | WriteReason::Malformed => self.time_is_up(),
        }
    }

    /// How long before the run's end an adoption stops.
    pub(super) fn time_for_checkpoint(&self) -> Duration {
        CallPolicy::BATCH
            .operation_timeout
            .min(self.request.time_limit / 4)
    }

    /// Notes that the table answers.
    pub(super) fn mark_responsive(&self) {
        let now = milliseconds(self.deadline.elapsed());
        self.last_response_ms.store(now, Ordering::Relaxed);
    }

    /// Notes for how long the run has asked the table nothing.
    pub(super) fn exclude_idle_time(&self, time: Duration) {
        self.last_response_ms
            .fetch_add(milliseconds(time), Ordering::Relaxed);
    }

    /// Whether it makes sense to try again what ended with this error. A table that throttles is
    /// there, and says when it can do more.
    pub(super) fn should_retry(&self, error: &StoreError) -> bool {
        let last_response = Duration::from_millis(self.last_response_ms.load(Ordering::Relaxed));
        error.kind() == StoreErrorKind::Throttled
            || error.is_retryable() && self.deadline.elapsed() < last_response + UNRESPONSIVE_LIMIT
    }

    /// Writes and reads less in a second where the table throttles.
    pub(super) fn slow_down_if_throttled(&self, error: &StoreError) {
        if error.kind() == StoreErrorKind::Throttled {
            self.mark_responsive();
            self.rate_limiter.on_throttle(&self.deadline);
            self.scan_rate_limiter.on_throttle(&self.deadline);
        }
    }

    /// Asks until there is an answer, with growing pauses. Where there is none, notes why: the
    /// time ran out, or an error that would not pass.
    pub(super) async fn retry<V, F>(&self, totals: &mut RunTotals, ask: impl Fn() -> F) -> Option<V>
    where
        F: Future<Output = Result<Metered<V>, StoreError>>,
    {
        let mut attempt = 1;
        loop {
            match ask().await {
                Ok(answer) => {
                    self.mark_responsive();
                    return Some(totals.add_capacity(answer));
                }
                Err(error) if error.is_retryable() && self.time_is_up() => {
                    totals.time_ran_out = true;
                    return None;
                }
                Err(error) if self.should_retry(&error) => {
                    tracing::debug!(attempt, error = error.error_chain(), "trying again");
                    self.slow_down_if_throttled(&error);
                    self.back_off(attempt).await;
                    attempt += 1;
                }
                Err(error) => {
                    totals.record_error(Some(error));
                    return None;
                }
            }
        }
    }

    /// Pauses before the next attempt.
    pub(super) async fn back_off(&self, attempt: u32) {
        tokio::time::sleep(backoff_delay(attempt).min(self.deadline.remaining())).await;
    }

    /// Logs a record that the table refuses to change for good: the first ones of a run.
    pub(super) fn log_failed(&self, key: &ItemKey, error: &StoreError) {
        if self.failed.fetch_add(1, Ordering::Relaxed) < CleanupReport::NAMED_RECORDS {
            let error = error.error_chain();
            tracing::warn!(%key, error, "the table refuses to change a record");
        }
    }

    /// Says every now and then how far the run is.
    pub(super) fn log_progress(&self, totals: &RunTotals) {
        let elapsed = self.deadline.elapsed();
        let last_progress = Duration::from_millis(self.last_progress_ms.load(Ordering::Relaxed));
        if elapsed < last_progress + PROGRESS_INTERVAL {
            return;
        }
        self.last_progress_ms
            .store(milliseconds(elapsed), Ordering::Relaxed);
        let Counts {
            sessions_deactivated,
            adopted,
            changed_elsewhere,
            malformed,
            failed,
            ..
        } = totals.counts;
        tracing::info!(
            run_id = %self.request.run_id,
            duration_ms = milliseconds(elapsed),
            sessions_deactivated,
            deleted = totals.counts.deleted(),
            adopted,
            adoption_percent = totals.adoption_percent,
            changed_elsewhere,
            malformed,
            failed,
            capacity_units = totals.capacity_units,
            "cleanup in progress"
        );
    }

    /// Stores the report. Where that fails, what was done is done: the log has the report.
    async fn store_report(&self, report: &CleanupReport, ttl: Timestamp) {
        let mut attempt = 1;
        while let Err(error) = self.table.store(report, ttl).await {
            if attempt == MAX_ATTEMPTS || !error.is_retryable() {
                tracing::error!(error = error.error_chain(), "could not store the report");
                return;
            }
            tokio::time::sleep(backoff_delay(attempt)).await;
            attempt += 1;
        }
    }

    /// Makes the report, stores it, logs it.
    pub(super) async fn finish(self, totals: RunTotals) -> Result<CleanupReport, CleanupFailed> {
        self.malformed.log_others();
        let request = self.request;
        let report = CleanupReport {
            run_id: request.run_id,
            trigger: request.trigger,
            requested_by: request.requested_by.clone(),
            dry_run: request.dry_run,
            started_at: request.started_at,
            duration_ms: milliseconds(self.deadline.elapsed()),
            complete: !totals.time_ran_out && totals.error.is_none(),
            counts: totals.counts,
            capacity_units: totals.capacity_units,
            oldest_expired_age_seconds: totals.oldest_expired.map(|end| self.now.since(end)),
            failed_records: totals.failed_records,
            adoption_percent: totals.adoption_percent,
            error: totals.error.as_ref().map(StoreError::error_chain),
        };
        let ttl = self.now.plus(self.settings.report_retention.seconds());
        self.store_report(&report, ttl).await;
        log(&report);
        match totals.error {
            None => Ok(report),
            Some(source) => Err(CleanupFailed {
                report: Box::new(report),
                source,
            }),
        }
    }
}

/// The pause after an attempt: up to twice as long each time, at random, so that those who failed
/// together do not come back together.
fn backoff_delay(attempt: u32) -> Duration {
    max_backoff(attempt).mul_f64(rand::random_range(0.5..=1.0))
}

fn max_backoff(attempt: u32) -> Duration {
    Duration::from_millis(100 << attempt.min(6))
}

pub(super) fn milliseconds(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

fn log(report: &CleanupReport) {
    let CleanupReport {
        run_id,
        trigger,
        dry_run,
        duration_ms,
        complete,
        counts,
        ..
    } = report;
    tracing::info!(
        %run_id,
        trigger = trigger.as_str(),
        requested_by = report.requested_by.as_deref(),
        dry_run,
        started_at = report.started_at_text(),
        duration_ms,
        complete,
        sessions_deactivated = counts.sessions_deactivated,
        sessions_deleted = counts.sessions_deleted,
        refresh_tokens_deleted = counts.refresh_tokens_deleted,
        blacklisted_tokens_deleted = counts.blacklisted_tokens_deleted,
        changed_elsewhere = counts.changed_elsewhere,
        reindexed = counts.reindexed,
        adopted = counts.adopted,
        adoption_percent = report.adoption_percent,
        malformed = counts.malformed,
        failed = counts.failed,
        capacity_units = report.capacity_units,
        oldest_expired_age_seconds = report.oldest_expired_age_seconds,
        error = report.error.as_deref(),
        "cleanup ended"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clean_up::time_limit;

    #[test]
    fn time_limit_leaves_time_for_open_calls_and_report() {
        let call = CallPolicy::BATCH.operation_timeout;
        let pauses: Duration = (1..MAX_ATTEMPTS).map(max_backoff).sum();
        // A batch and the read of what it refused, and the report.
        let needed = 2 * call + MAX_ATTEMPTS * call + pauses;
        for left in [22, 29, 60, 900].map(Duration::from_secs) {
            let limit = time_limit(left);
            assert!(limit + needed <= left, "{limit:?} of {left:?}");
        }
        assert_eq!(time_limit(Duration::from_secs(4)), Duration::from_secs(2));
        assert_eq!(time_limit(Duration::ZERO), Duration::ZERO);
    }
}
