//! Progress of a run in the log, and the report at its end.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::retry::{milliseconds, retry_briefly};
use super::run::Run;
use super::totals::RunTotals;
use super::{CleanupFailed, CleanupTable};
use session_domain::{CleanupReport, Counts, ItemKey, Revocation, Timestamp, with_counts};
use session_lifecycle::ports::StoreError;

/// How often a run logs its progress, and a scan stores its checkpoint.
pub(super) const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// What a run has logged so far.
#[derive(Default)]
pub(super) struct ProgressLog {
    /// When progress was last logged, in milliseconds since the run started.
    last_ms: AtomicU64,
    /// Number of failed records.
    failed: AtomicUsize,
}

impl<T: CleanupTable> Run<'_, T> {
    /// Logs progress once per [`PROGRESS_INTERVAL`].
    pub(super) fn log_progress(&self, totals: &RunTotals) {
        let elapsed = self.deadline.elapsed();
        let last = Duration::from_millis(self.progress.last_ms.load(Ordering::Relaxed));
        if elapsed < last + PROGRESS_INTERVAL {
            return;
        }
        let duration_ms = milliseconds(elapsed);
        self.progress.last_ms.store(duration_ms, Ordering::Relaxed);
        let Counts {
            sessions_deactivated,
            sessions_revoked,
            adopted,
            changed_elsewhere,
            malformed,
            failed,
            ..
        } = totals.counts;
        tracing::info!(
            run_id = %self.request.run_id,
            duration_ms,
            sessions_deactivated,
            sessions_revoked,
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

    /// Logs a failed record, if it is one of the first [`CleanupReport::NAMED_RECORDS`] of a run.
    pub(super) fn log_failed(&self, key: &ItemKey, error: &StoreError) {
        if self.progress.failed.fetch_add(1, Ordering::Relaxed) < CleanupReport::NAMED_RECORDS {
            let error = error.error_chain();
            tracing::warn!(%key, error, "the table rejected a write");
        }
    }

    /// Builds, stores and logs the report.
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
            revoke: request.revoke.clone(),
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

    /// Stores the report. If that fails, the report is still in the log.
    async fn store_report(&self, report: &CleanupReport, ttl: Timestamp) {
        // `time_limit` has reserved time for these attempts, so they have no deadline.
        if let Err(error) = retry_briefly(None, || self.table.store(report, ttl)).await {
            tracing::error!(error = error.error_chain(), "could not store the report");
        }
    }
}

fn log(report: &CleanupReport) {
    let revoke = report.revoke.as_ref();
    macro_rules! log_with_counts {
        ([$counts:ident] $(
            $(#[$doc:meta])* $member:ident => $metric:ident $(by $dimension:ident)?,
        )+) => {
            tracing::info!(
                run_id = %report.run_id,
                trigger = report.trigger.as_str(),
                requested_by = report.requested_by.as_deref(),
                dry_run = report.dry_run,
                started_at = report.started_at_text(),
                duration_ms = report.duration_ms,
                complete = report.complete,
                $($member = $counts.$member,)+
                adoption_percent = report.adoption_percent,
                capacity_units = report.capacity_units,
                revoke_created_before = revoke.and_then(Revocation::created_before_text),
                revoke_client_id = revoke.and_then(|it| it.client_id.as_deref()),
                revoke_reason = revoke.map(|it| &*it.reason),
                revoke_requested_by = revoke.and_then(|it| it.requested_by.as_deref()),
                oldest_expired_age_seconds = report.oldest_expired_age_seconds,
                error = report.error.as_deref(),
                "cleanup ended"
            )
        };
    }
    let counts = report.counts;
    with_counts!(log_with_counts[counts]);
}
