//! What the functions measure of themselves: metrics for CloudWatch, in the log.
//!
//! `docs/reference/metrics.md` describes each of them; a test compares it with [`Metric`]. Metrics may be
//! delivered twice or not at all. Exact counts are in the reports.

mod document;

use std::fmt;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

use self::document::Document;
use crate::authorize::{AuthorizeError, Deactivation, Decision};
use crate::schedule::ScheduledRuns;
use session_domain::{CleanupReport, DenyReason, Statistics};

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Requests that were decided about.
    Validations,
    /// Expired sessions that were deactivated when somebody used them.
    DeactivationsOnValidation,
    /// Expired sessions of which it is not known whether that deactivated them.
    DeactivationsOnValidationUnknown,
    /// First events of new instances.
    ColdStarts,
    /// Of a run.
    SessionsDeactivated,
    /// Of a run.
    SessionsDeleted,
    /// Of a run.
    RefreshTokensDeleted,
    /// Of a run.
    BlacklistedTokensDeleted,
    /// Of a run.
    ChangedElsewhere,
    /// Of a run.
    Reindexed,
    /// Of a run.
    Adopted,
    /// Of a run.
    Malformed,
    /// Of a run.
    Failed,
    /// How long a run took.
    Duration,
    /// 1 where a run did all that was due, 0 where work is left.
    Complete,
    /// What a run consumed.
    CapacityUnits,
    /// For how long the oldest expired session had been expired as a run began.
    OldestExpiredAge,
    /// Sessions in the table.
    TotalSessions,
    /// Those with `is_active` true.
    ActiveSessions,
    /// Active ones that have expired.
    ExpiredSessions,
    /// Records that cannot be understood, off the work list.
    MalformedRecords,
    /// How late the scheduled cleanup is.
    CleanupOverdue,
    /// How many of the last scheduled runs, without a break, ended with work left.
    IncompleteRuns,
    /// How many of the last scheduled runs, without a break, failed on a record.
    RunsWithFailures,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 24] = [
        Self::Validations,
        Self::DeactivationsOnValidation,
        Self::DeactivationsOnValidationUnknown,
        Self::ColdStarts,
        Self::SessionsDeactivated,
        Self::SessionsDeleted,
        Self::RefreshTokensDeleted,
        Self::BlacklistedTokensDeleted,
        Self::ChangedElsewhere,
        Self::Reindexed,
        Self::Adopted,
        Self::Malformed,
        Self::Failed,
        Self::Duration,
        Self::Complete,
        Self::CapacityUnits,
        Self::OldestExpiredAge,
        Self::TotalSessions,
        Self::ActiveSessions,
        Self::ExpiredSessions,
        Self::MalformedRecords,
        Self::CleanupOverdue,
        Self::IncompleteRuns,
        Self::RunsWithFailures,
    ];

    /// The name that CloudWatch knows it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.definition().0
    }

    /// Its unit, in CloudWatch's words.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        self.definition().1
    }

    /// The name of its one dimension, where it has one.
    #[must_use]
    pub const fn dimension(self) -> Option<&'static str> {
        self.definition().2
    }

    const fn definition(self) -> (&'static str, &'static str, Option<&'static str>) {
        const RUN: Option<&str> = Some("Trigger");
        match self {
            Self::Validations => ("Validations", "Count", Some("Outcome")),
            Self::DeactivationsOnValidation => ("DeactivationsOnValidation", "Count", None),
            Self::DeactivationsOnValidationUnknown => {
                ("DeactivationsOnValidationUnknown", "Count", None)
            }
            Self::ColdStarts => ("ColdStarts", "Count", Some("Function")),
            Self::SessionsDeactivated => ("SessionsDeactivated", "Count", RUN),
            Self::SessionsDeleted => ("SessionsDeleted", "Count", RUN),
            Self::RefreshTokensDeleted => ("RefreshTokensDeleted", "Count", RUN),
            Self::BlacklistedTokensDeleted => ("BlacklistedTokensDeleted", "Count", RUN),
            Self::ChangedElsewhere => ("ChangedElsewhere", "Count", RUN),
            Self::Reindexed => ("Reindexed", "Count", RUN),
            Self::Adopted => ("Adopted", "Count", RUN),
            Self::Malformed => ("Malformed", "Count", RUN),
            Self::Failed => ("Failed", "Count", RUN),
            Self::Duration => ("Duration", "Milliseconds", RUN),
            Self::Complete => ("Complete", "None", RUN),
            Self::CapacityUnits => ("CapacityUnits", "Count", RUN),
            Self::OldestExpiredAge => ("OldestExpiredAge", "Seconds", RUN),
            Self::TotalSessions => ("TotalSessions", "Count", None),
            Self::ActiveSessions => ("ActiveSessions", "Count", None),
            Self::ExpiredSessions => ("ExpiredSessions", "Count", None),
            Self::MalformedRecords => ("MalformedRecords", "Count", None),
            Self::CleanupOverdue => ("CleanupOverdue", "Seconds", None),
            Self::IncompleteRuns => ("IncompleteRuns", "Count", None),
            Self::RunsWithFailures => ("RunsWithFailures", "Count", None),
        }
    }
}

/// Where CloudWatch keeps the metrics: `METRICS_NAMESPACE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace(String);

impl Namespace {
    /// A name that CloudWatch takes: 1 to 255 letters, digits or `.-_/#:`, and not one of AWS's
    /// own, which begin with `AWS/`.
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

/// Takes a line, its end included.
type Sink = dyn Fn(&[u8]) + Send + Sync;

/// Writes the metrics of one instance of a function.
pub struct Metrics {
    namespace: Namespace,
    function: &'static str,
    /// Whether an event came already.
    warm: AtomicBool,
    write: Box<Sink>,
}

impl Metrics {
    /// The metrics of `function`; `write` is given each line, its end included.
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

    /// The metrics of `function`, written to where Lambda reads the log.
    #[must_use]
    pub fn to_stdout(namespace: Namespace, function: &'static str) -> Self {
        Self::new(namespace, function, |line| {
            // Who cannot write a line cannot say so either.
            let _ = std::io::stdout().lock().write_all(line);
        })
    }

    /// Notes that an event came: the first one of an instance is a cold start.
    pub fn record_invocation(&self, now: DateTime<Utc>) {
        if !self.warm.swap(true, Ordering::Relaxed) {
            self.emit(now, self.function, &[(Metric::ColdStarts, 1.0)]);
        }
    }

    /// Notes what became of a request, or that it could not be decided about.
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

    /// Notes what a run did; of a dry run nothing, for it did nothing.
    #[expect(
        clippy::cast_precision_loss,
        reason = "CloudWatch's numbers are floating"
    )]
    pub fn record_run(&self, report: &CleanupReport) {
        if report.dry_run {
            return;
        }
        let counts = report.counts;
        let oldest = report.oldest_expired_age_seconds.unwrap_or_default();
        let took = TimeDelta::milliseconds(report.duration_ms.try_into().unwrap_or_default());
        self.emit(
            report.started_at + took,
            report.trigger.as_str(),
            &[
                (
                    Metric::SessionsDeactivated,
                    counts.sessions_deactivated as f64,
                ),
                (Metric::SessionsDeleted, counts.sessions_deleted as f64),
                (
                    Metric::RefreshTokensDeleted,
                    counts.refresh_tokens_deleted as f64,
                ),
                (
                    Metric::BlacklistedTokensDeleted,
                    counts.blacklisted_tokens_deleted as f64,
                ),
                (Metric::ChangedElsewhere, counts.changed_elsewhere as f64),
                (Metric::Reindexed, counts.reindexed as f64),
                (Metric::Adopted, counts.adopted as f64),
                (Metric::Malformed, counts.malformed as f64),
                (Metric::Failed, counts.failed as f64),
                (Metric::Duration, report.duration_ms as f64),
                (Metric::Complete, f64::from(u8::from(report.complete))),
                (Metric::CapacityUnits, report.capacity_units),
                (Metric::OldestExpiredAge, oldest as f64),
            ],
        );
    }

    /// Notes how many sessions there are.
    #[expect(
        clippy::cast_precision_loss,
        reason = "CloudWatch's numbers are floating"
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

    /// Notes how the scheduled cleanups do; how late they are only where that is known.
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

    /// Writes a line. `dimension` is the value for those of the metrics that have a dimension.
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
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn accepts_only_namespaces_that_cloudwatch_allows() {
        for name in ["SessionCleanup", "a", "Team.A-1_x/prod#2:y"] {
            assert!(Namespace::parse(name).is_some(), "{name}");
        }
        for name in ["", "AWS/Lambda", "two words", "ü", "a\"b", &"n".repeat(256)] {
            assert!(Namespace::parse(name).is_none(), "{name}");
        }
    }

    #[test]
    fn counts_unknown_deactivations_separately() {
        for (deactivation, expected) in [
            (None, None),
            (Some(Deactivation::ChangedElsewhere), None),
            (Some(Deactivation::Failed), None),
            (
                Some(Deactivation::Done),
                Some(Metric::DeactivationsOnValidation),
            ),
            (
                Some(Deactivation::Unknown),
                Some(Metric::DeactivationsOnValidationUnknown),
            ),
        ] {
            let (written, lines) = mpsc::channel();
            let metrics = Metrics::new(Namespace::default(), "authorizer", move |line| {
                written.send(line.to_vec()).unwrap();
            });
            let reason = DenyReason::SessionExpired;
            let decision = Decision::Deny {
                reason,
                deactivation,
            };
            metrics.record_validation(&Ok(decision), DateTime::UNIX_EPOCH);
            let line: serde_json::Value = serde_json::from_slice(&lines.recv().unwrap()).unwrap();
            for metric in [
                Metric::DeactivationsOnValidation,
                Metric::DeactivationsOnValidationUnknown,
            ] {
                let counted = line.get(metric.name()).is_some();
                assert_eq!(counted, expected == Some(metric), "{line}");
            }
        }
    }

    #[test]
    fn lists_every_metric_once() {
        for (place, metric) in Metric::ALL.into_iter().enumerate() {
            assert_eq!(metric as usize, place, "{metric:?}");
            assert_eq!(metric.name(), format!("{metric:?}"));
        }
        assert_eq!(Metric::ALL.len(), Metric::RunsWithFailures as usize + 1);
    }
}
