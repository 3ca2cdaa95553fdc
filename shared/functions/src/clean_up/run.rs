//! The state of one run: its request, deadline and mode.

use std::time::Duration;

use super::malformed::MalformedRecords;
use super::rate::AdaptiveRateLimiter;
use super::report::ProgressLog;
use super::retry::ResponseClock;
use super::totals::WriteReason;
use super::{CleanupRequest, CleanupSettings, CleanupTable};
use session_domain::{RetentionPolicy, Timestamp};
use session_lifecycle::aws::CallPolicy;
use session_lifecycle::clock::Deadline;
use session_lifecycle::ports::ApplyWrites;

/// What a run does with the writes that it decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Sends them to the table.
    Apply,
    /// Counts them, in a dry run. Records are always read first, because no write checks them.
    Predict,
}

/// One run.
pub(super) struct Run<'a, T> {
    pub(super) table: &'a T,
    pub(super) request: &'a CleanupRequest,
    pub(super) settings: &'a CleanupSettings,
    pub(super) mode: Mode,
    pub(super) policy: RetentionPolicy,
    pub(super) now: Timestamp,
    pub(super) deadline: Deadline,
    pub(super) write_rate: AdaptiveRateLimiter,
    /// Limits the reads of a scan to as many units per second as the writes.
    pub(super) scan_rate: AdaptiveRateLimiter,
    pub(super) malformed: MalformedRecords,
    pub(super) responses: ResponseClock,
    pub(super) progress: ProgressLog,
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
            mode: if request.dry_run {
                Mode::Predict
            } else {
                Mode::Apply
            },
            policy: RetentionPolicy {
                retention: settings.retention,
                sweep_grace: request.sweep_grace,
            },
            now: request.started_at.into(),
            deadline: Deadline::after(request.time_limit),
            write_rate: rate_limiter(),
            scan_rate: rate_limiter(),
            malformed: MalformedRecords::default(),
            responses: ResponseClock::default(),
            progress: ProgressLog::default(),
        }
    }

    pub(super) fn time_is_up(&self) -> bool {
        self.deadline.remaining().is_zero()
    }

    /// Whether it is too late for another write. A scan stops earlier, to have time to store its
    /// checkpoint.
    pub(super) fn time_is_up_for(&self, reason: WriteReason) -> bool {
        match reason {
            WriteReason::Scan => self.deadline.remaining() <= self.time_for_checkpoint(),
            WriteReason::Due(_) | WriteReason::Malformed => self.time_is_up(),
        }
    }

    /// How long before the run's deadline a scan stops.
    fn time_for_checkpoint(&self) -> Duration {
        CallPolicy::BATCH
            .operation_timeout
            .min(self.request.time_limit / 4)
    }
}
