//! One run: its time, its patience with the table, its report.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::malformed::MalformedRecords;
use super::pace::Pace;
use super::tally::{Purpose, Tally};
use super::{CleanupFailed, CleanupTable, Order, Settings};
use session_domain::{CleanupReport, Counts, ItemKey, Rules, Timestamp};
use session_lifecycle::aws::Patience;
use session_lifecycle::clock::Stopwatch;
use session_lifecycle::ports::{ApplyChanges, Metered, StoreError};

/// For how long a run goes on to ask a table that does not answer at all.
const SILENCE: Duration = Duration::from_mins(1);

/// How often a run says in the log how far it is.
pub(super) const PROGRESS: Duration = Duration::from_secs(10);

/// How often the report, and the place of an adoption, are tried to be stored or read.
pub(super) const ATTEMPTS: u32 = 3;

/// One run under way.
pub(super) struct Run<'a, T> {
    pub(super) table: &'a T,
    pub(super) order: &'a Order,
    pub(super) settings: &'a Settings,
    pub(super) rules: Rules,
    pub(super) now: Timestamp,
    pub(super) watch: Stopwatch,
    pub(super) pace: Pace,
    /// For the reads of a scan: as many units in a second as there may be writes.
    pub(super) scan_pace: Pace,
    pub(super) malformed: MalformedRecords,
    /// How many records the table has refused to change for good.
    failed: AtomicUsize,
    /// When the table last answered, and when the log last told how far the run is, in
    /// milliseconds on the watch.
    answered_at: AtomicU64,
    told_at: AtomicU64,
}

impl<'a, T: CleanupTable> Run<'a, T> {
    pub(super) fn new(table: &'a T, settings: &'a Settings, order: &'a Order) -> Self {
        let pace = || Pace::new(settings.max_writes_per_second, <T as ApplyChanges>::MOST);
        Self {
            table,
            order,
            settings,
            rules: Rules {
                retention: settings.retention,
                sweep_grace: order.sweep_grace,
            },
            now: order.started_at.into(),
            watch: Stopwatch::start(order.time_limit),
            pace: pace(),
            scan_pace: pace(),
            malformed: MalformedRecords::default(),
            failed: AtomicUsize::new(0),
            answered_at: AtomicU64::new(0),
            told_at: AtomicU64::new(0),
        }
    }

    pub(super) fn time_is_up(&self) -> bool {
        self.watch.left().is_zero()
    }

    /// Whether it is too late for another write. An adoption stops earlier, so that there is time to
    /// keep its place.
    pub(super) fn time_is_up_for(&self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Adoption => self.watch.left() <= self.time_for_the_place(),
            Purpose::Work(_) | Purpose::Malformed => self.time_is_up(),
        }
    }

    /// How long before the run's end an adoption stops.
    pub(super) fn time_for_the_place(&self) -> Duration {
        Patience::RUN.call.min(self.order.time_limit / 4)
    }

    /// Notes that the table answers.
    pub(super) fn table_answered(&self) {
        let now = milliseconds(self.watch.elapsed());
        self.answered_at.store(now, Ordering::Relaxed);
    }

    /// Notes for how long the run has asked the table nothing.
    pub(super) fn table_is_not_asked_for(&self, time: Duration) {
        self.answered_at
            .fetch_add(milliseconds(time), Ordering::Relaxed);
    }

    /// Whether it makes sense to try again what ended with this error. A table that throttles is
    /// there, and says when it can do more.
    pub(super) fn is_worth_a_retry(&self, error: &StoreError) -> bool {
        let answered_at = Duration::from_millis(self.answered_at.load(Ordering::Relaxed));
        matches!(error, StoreError::Throttled { .. })
            || error.may_pass() && self.watch.elapsed() < answered_at + SILENCE
    }

    /// Writes and reads less in a second where the table throttles.
    pub(super) fn slow_down_if_throttled(&self, error: &StoreError) {
        if matches!(error, StoreError::Throttled { .. }) {
            self.table_answered();
            self.pace.slow_down(&self.watch);
            self.scan_pace.slow_down(&self.watch);
        }
    }

    /// Asks until there is an answer, with growing pauses. Where there is none, notes why: the
    /// time ran out, or an error that would not pass.
    pub(super) async fn retry<V, F>(&self, tally: &mut Tally, ask: impl Fn() -> F) -> Option<V>
    where
        F: Future<Output = Result<Metered<V>, StoreError>>,
    {
        let mut attempt = 1;
        loop {
            match ask().await {
                Ok(answer) => {
                    self.table_answered();
                    return Some(tally.meter(answer));
                }
                Err(error) if error.may_pass() && self.time_is_up() => {
                    tally.time_ran_out = true;
                    return None;
                }
                Err(error) if self.is_worth_a_retry(&error) => {
                    tracing::debug!(attempt, error = error.causes(), "trying again");
                    self.slow_down_if_throttled(&error);
                    self.back_off(attempt).await;
                    attempt += 1;
                }
                Err(error) => {
                    tally.note(Some(error));
                    return None;
                }
            }
        }
    }

    /// Pauses before the next attempt.
    pub(super) async fn back_off(&self, attempt: u32) {
        tokio::time::sleep(pause(attempt).min(self.watch.left())).await;
    }

    /// Logs a record that the table refuses to change for good: the first ones of a run.
    pub(super) fn log_failed(&self, key: &ItemKey, error: &StoreError) {
        if self.failed.fetch_add(1, Ordering::Relaxed) < CleanupReport::NAMED_RECORDS {
            let error = error.causes();
            tracing::warn!(%key, error, "the table refuses to change a record");
        }
    }

    /// Says every now and then how far the run is.
    pub(super) fn log_progress(&self, tally: &Tally) {
        let elapsed = self.watch.elapsed();
        let told_at = Duration::from_millis(self.told_at.load(Ordering::Relaxed));
        if elapsed < told_at + PROGRESS {
            return;
        }
        self.told_at.store(milliseconds(elapsed), Ordering::Relaxed);
        let Counts {
            sessions_deactivated,
            adopted,
            changed_elsewhere,
            malformed,
            failed,
            ..
        } = tally.counts;
        tracing::info!(
            run_id = %self.order.run_id,
            duration_ms = milliseconds(elapsed),
            sessions_deactivated,
            deleted = tally.counts.deleted(),
            adopted,
            adoption_percent = tally.adoption_percent,
            changed_elsewhere,
            malformed,
            failed,
            capacity_units = tally.capacity_units,
            "cleanup in progress"
        );
    }

    /// Stores the report. Where that fails, what was done is done: the log has the report.
    async fn keep(&self, report: &CleanupReport, ttl: Timestamp) {
        let mut attempt = 1;
        while let Err(error) = self.table.keep(report, ttl).await {
            if attempt == ATTEMPTS || !error.may_pass() {
                tracing::error!(error = error.causes(), "could not store the report");
                return;
            }
            tokio::time::sleep(pause(attempt)).await;
            attempt += 1;
        }
    }

    /// Makes the report, stores it, logs it.
    pub(super) async fn finish(self, tally: Tally) -> Result<CleanupReport, CleanupFailed> {
        self.malformed.log_others();
        let order = self.order;
        let report = CleanupReport {
            run_id: order.run_id,
            trigger: order.trigger,
            requested_by: order.requested_by.clone(),
            dry_run: order.dry_run,
            started_at: order.started_at,
            duration_ms: milliseconds(self.watch.elapsed()),
            complete: !tally.time_ran_out && tally.error.is_none(),
            counts: tally.counts,
            capacity_units: tally.capacity_units,
            oldest_expired_age_seconds: tally.oldest_expired.map(|end| self.now.since(end)),
            failed_records: tally.failed_records,
            adoption_percent: tally.adoption_percent,
            error: tally.error.as_ref().map(StoreError::causes),
        };
        let ttl = self.now.plus(self.settings.report_retention.seconds());
        self.keep(&report, ttl).await;
        log(&report);
        match tally.error {
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
fn pause(attempt: u32) -> Duration {
    longest_pause(attempt).mul_f64(rand::random_range(0.5..=1.0))
}

fn longest_pause(attempt: u32) -> Duration {
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
    fn when_a_run_stops_there_is_time_for_what_is_under_way_and_for_the_report() {
        let call = Patience::RUN.call;
        let pauses: Duration = (1..ATTEMPTS).map(longest_pause).sum();
        // A batch and the read of what it refused, and the report.
        let needed = 2 * call + ATTEMPTS * call + pauses;
        for left in [22, 29, 60, 900].map(Duration::from_secs) {
            let limit = time_limit(left);
            assert!(limit + needed <= left, "{limit:?} of {left:?}");
        }
        assert_eq!(time_limit(Duration::from_secs(4)), Duration::from_secs(2));
        assert_eq!(time_limit(Duration::ZERO), Duration::ZERO);
    }
}
