//! Metrics of the functions, written to the log in CloudWatch's Embedded Metric Format.
//!
//! `docs/reference/metrics.md` describes each metric; a test compares it with [`Metric`]. A metric may
//! be delivered twice or not at all. Exact counts are in the reports.

mod document;
mod metric;

use std::fmt;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

use self::document::Document;
pub use self::metric::Metric;
use crate::authorize::{AuthorizeError, Deactivation, Decision};
use crate::schedule::ScheduledRuns;
use session_domain::{CleanupReport, DenyReason, Statistics};

/// CloudWatch namespace of the metrics: `METRICS_NAMESPACE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace(String);

impl Namespace {
    /// Parses a name that CloudWatch accepts: 1 to 255 letters, digits or `.-_/#:`, without the prefix
    /// `AWS/`, which is reserved.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/#:".contains(&byte);
        let fits = (1..=255).contains(&name.len()) && name.bytes().all(allowed);
        (fits && !name.starts_with("AWS/")).then(|| Self(name.to_owned()))
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self("SessionCleanup".to_owned())
    }
}

/// Function that writes a line, including its line break.
type Sink = dyn Fn(&[u8]) + Send + Sync;

/// Who asked for the end of a session: `initiating_entity` of CAEP (`OpenID` Continuous Access Evaluation Profile 1.0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitiatingEntity {
    /// The user of the session.
    User,
    /// An administrator.
    Admin,
}

impl InitiatingEntity {
    /// The value of the metric's dimension.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }
}

/// Metrics of one instance of a function.
pub struct Metrics {
    namespace: Namespace,
    function: &'static str,
    /// Whether the instance has received an event.
    warm: AtomicBool,
    write: Box<Sink>,
}

impl Metrics {
    /// Metrics of `function`. `write` gets each line, including its line break.
    pub fn new(
        namespace: Namespace,
        function: &'static str,
        write: impl Fn(&[u8]) + Send + Sync + 'static,
    ) -> Self {
        Self {
            namespace,
            function,
            warm: AtomicBool::new(false),
            write: Box::new(write),
        }
    }

    /// Metrics of `function`, written to stdout, which Lambda reads as the log.
    #[must_use]
    pub fn to_stdout(namespace: Namespace, function: &'static str) -> Self {
        Self::new(namespace, function, |line| {
            // If stdout is closed, there is nowhere to report the error.
            let _ = std::io::stdout().lock().write_all(line);
        })
    }

    /// Records an event. The first event of an instance is a cold start.
    pub fn record_invocation(&self, now: DateTime<Utc>) {
        if !self.warm.swap(true, Ordering::Relaxed) {
            self.emit(now, self.function, &[(Metric::ColdStarts, 1.0)]);
        }
    }

    /// Records a validation: the decision, or the error that prevented one.
    pub fn record_validation(
        &self,
        decision: &Result<Decision, AuthorizeError>,
        now: DateTime<Utc>,
    ) {
        const VALIDATION: (Metric, f64) = (Metric::Validations, 1.0);
        const DONE: (Metric, f64) = (Metric::DeactivationsOnValidation, 1.0);
        const UNKNOWN: (Metric, f64) = (Metric::DeactivationsOnValidationUnknown, 1.0);
        let (outcome, deactivation) = match decision {
            Ok(Decision::Allow(_)) => ("Allowed", None),
            Ok(Decision::Deny {
                reason,
                deactivation,
            }) => (outcome(*reason), *deactivation),
            Err(_) => ("Error", None),
        };
        let values: &[_] = match deactivation {
            Some(Deactivation::Done) => &[VALIDATION, DONE],
            Some(Deactivation::Unknown) => &[VALIDATION, UNKNOWN],
            Some(Deactivation::ChangedElsewhere | Deactivation::Failed) | None => &[VALIDATION],
        };
        self.emit(now, outcome, values);
    }

    /// Records sessions that were revoked.
    #[expect(
        clippy::cast_precision_loss,
        reason = "CloudWatch uses floating-point numbers"
    )]
    pub fn record_revocation(&self, by: InitiatingEntity, sessions: usize, now: DateTime<Utc>) {
        let values = [(Metric::SessionsRevoked, sessions as f64)];
        self.emit(now, by.as_str(), &values);
    }

    /// Records a run. A dry run is not recorded, because it changed nothing.
    #[expect(
        clippy::cast_precision_loss,
        reason = "CloudWatch uses floating-point numbers"
    )]
    pub fn record_run(&self, report: &CleanupReport) {
        if report.dry_run {
            return;
        }
        let oldest = report.oldest_expired_age_seconds.unwrap_or_default();
        let took = TimeDelta::milliseconds(report.duration_ms.try_into().unwrap_or_default());
        let counts = report.counts.named().map(|(_, count)| count as f64);
        let mut values: Vec<_> = Metric::COUNTS.into_iter().zip(counts).collect();
        values.extend([
            (Metric::Duration, report.duration_ms as f64),
            (Metric::Complete, f64::from(u8::from(report.complete))),
            (Metric::CapacityUnits, report.capacity_units),
            (Metric::OldestExpiredAge, oldest as f64),
        ]);
        let ended = report.started_at + took;
        // It has another dimension than the other metrics.
        values.retain(|(metric, _)| *metric != Metric::SessionsRevoked);
        self.emit(ended, report.trigger.as_str(), &values);
        if report.revoke.is_some() {
            let revoked = usize::try_from(report.counts.sessions_revoked).unwrap_or(usize::MAX);
            self.record_revocation(InitiatingEntity::Admin, revoked, ended);
        }
    }

    /// Records the numbers of sessions.
    #[expect(
        clippy::cast_precision_loss,
        reason = "CloudWatch uses floating-point numbers"
    )]
    pub fn record_session_counts(&self, statistics: &Statistics, now: DateTime<Utc>) {
        self.emit(
            now,
            "",
            &[
                (Metric::TotalSessions, statistics.total_sessions as f64),
                (Metric::ActiveSessions, statistics.active_sessions as f64),
                (Metric::ExpiredSessions, statistics.expired_sessions as f64),
                (
                    Metric::MalformedRecords,
                    statistics.malformed_records as f64,
                ),
            ],
        );
    }

    /// Records the state of the scheduled runs. `overdue` is `None` if it is unknown.
    pub fn record_scheduled_runs(
        &self,
        runs: &ScheduledRuns,
        overdue: Option<TimeDelta>,
        now: DateTime<Utc>,
    ) {
        let overdue = overdue.map(|late| (Metric::CleanupOverdue, late.as_seconds_f64()));
        let mut values = vec![
            (Metric::IncompleteRuns, f64::from(runs.incomplete)),
            (Metric::RunsWithFailures, f64::from(runs.with_failures)),
        ];
        values.extend(overdue);
        self.emit(now, "", &values);
    }

    /// Writes a line. `dimension` is the value for the metrics that have a dimension.
    fn emit(&self, time: DateTime<Utc>, dimension: &str, values: &[(Metric, f64)]) {
        let document = Document {
            namespace: &self.namespace.0,
            time,
            dimension,
            values,
        };
        (self.write)(&document.line());
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Metrics")
            .field("namespace", &self.namespace.0)
            .field("function", &self.function)
            .finish_non_exhaustive()
    }
}

const fn outcome(reason: DenyReason) -> &'static str {
    match reason {
        DenyReason::MissingBearerToken => "MissingBearerToken",
        DenyReason::InvalidToken => "InvalidToken",
        DenyReason::TokenExpired => "TokenExpired",
        DenyReason::TokenRevoked => "TokenRevoked",
        DenyReason::SessionNotFound => "SessionNotFound",
        DenyReason::SessionInactive => "SessionInactive",
        DenyReason::SessionExpired => "SessionExpired",
    }
}

#[cfg(test)]
mod tests;
