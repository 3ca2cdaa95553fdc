//! The cleanup: a scheduled event, or a few options by hand, become a run and its report.

mod event;

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use chrono::{DateTime, Utc};
use lambda_runtime::Diagnostic;
use serde_json::value::RawValue;
use session_domain::{CleanupReport, Hours, Trigger};
use session_functions::clean_up::{
    CleanupFailed, CleanupRequest, CleanupSettings, adopt_and_clean_up, time_limit,
};
use session_functions::config::CleanupConfig;
use session_functions::metrics::Metrics;
use session_functions::statistics;
use session_functions::telemetry::diagnostic;
use session_lifecycle::clock::Deadline;
use session_lifecycle::dynamodb::Table;
use tokio::time::timeout;
use uuid::Uuid;

pub use event::{InvalidEvent, Request};

/// The most time that a scheduled run takes to count sessions before it starts.
const COUNT_TIMEOUT_MAX: Duration = Duration::from_mins(1);

/// The count takes at most this fraction of the invocation's remaining time.
const COUNT_TIMEOUT_FRACTION: u32 = 10;

/// The function.
#[derive(Debug)]
pub struct Cleanup {
    table: Table,
    settings: CleanupSettings,
    sweep_grace: Hours,
    count_sessions: bool,
    metrics: Metrics,
}

impl Cleanup {
    /// The function as configured.
    #[must_use]
    pub fn new(config: CleanupConfig, client: Client, metrics: Metrics) -> Self {
        let CleanupConfig {
            table_name,
            settings,
            sweep_grace,
            count_sessions,
            ..
        } = config;
        Self {
            table: Table::new(client, table_name, settings.shards),
            settings,
            sweep_grace,
            count_sessions,
            metrics,
        }
    }

    /// Runs for one event, whose invocation ends in `left`.
    ///
    /// # Errors
    ///
    /// An event that cannot be understood (nothing is done then), or what kept the run from
    /// doing all its work. Lambda invokes again after an error of an asynchronous invocation.
    pub async fn handle(
        &self,
        event: &RawValue,
        now: DateTime<Utc>,
        left: Duration,
    ) -> Result<CleanupReport, CleanupError> {
        self.metrics.record_invocation(now);
        let request = Request::read(event)?;
        let deadline = Deadline::after(left);
        if request.trigger == Trigger::Schedule && self.count_sessions {
            self.count_sessions(now, left).await;
        }
        let options = request.options;
        let most = options
            .max_seconds
            .map_or(Duration::MAX, |it| Duration::from_secs(it.into()));
        let cleanup_request = CleanupRequest {
            run_id: Uuid::new_v4(),
            trigger: request.trigger,
            requested_by: None,
            dry_run: options.dry_run,
            adopt: options.adopt,
            sweep_grace: options.sweep_grace_hours.map_or(self.sweep_grace, Hours),
            started_at: now,
            time_limit: time_limit(deadline.remaining()).min(most),
        };
        let done = adopt_and_clean_up(&self.table, &self.settings, &cleanup_request).await;
        self.metrics.record_run(CleanupFailed::report(&done));
        Ok(done?)
    }

    /// Counts the sessions for the metrics. Where that fails or takes too long there are none of
    /// this hour, and the run begins.
    async fn count_sessions(&self, now: DateTime<Utc>, left: Duration) {
        let count = statistics::count(&self.table, self.settings.shards, now.into());
        let why = match timeout(COUNT_TIMEOUT_MAX.min(left / COUNT_TIMEOUT_FRACTION), count).await {
            Ok(Ok(statistics)) => return self.metrics.record_session_counts(&statistics, now),
            Ok(Err(error)) => error.error_chain(),
            Err(_) => "it takes too long".to_owned(),
        };
        tracing::warn!(error = why, "the sessions could not be counted");
    }
}

/// Why there is no report to give.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// The event cannot be understood: whoever invoked must act. Nothing was done.
    #[error(transparent)]
    Event(#[from] InvalidEvent),
    /// The run could not do all its work. Its report is stored all the same.
    #[error(transparent)]
    Run(#[from] CleanupFailed),
}

impl From<CleanupError> for Diagnostic {
    fn from(error: CleanupError) -> Self {
        let error_type = match error {
            CleanupError::Event(_) => "WrongEvent",
            CleanupError::Run(_) => "CleanupFailed",
        };
        diagnostic(error_type, &error)
    }
}
