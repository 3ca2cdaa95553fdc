//! Lambda function for the scheduled cleanup, which can also be invoked manually.
//!
//! It accepts a scheduled event of EventBridge, or options, runs
//! [`session_functions::clean_up`], and returns the report. Before a scheduled run, it counts the
//! sessions for the metrics.

mod event;

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use chrono::{DateTime, Utc};
use lambda_runtime::Diagnostic;
use serde_json::value::RawValue;
use session_domain::{CleanupReport, Hours, Trigger};
use session_functions::clean_up::{
    CleanupFailed, CleanupRequest, CleanupSettings, scan_and_clean_up, time_limit,
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

/// Maximum time to count the sessions before a scheduled run.
const COUNT_TIMEOUT_MAX: Duration = Duration::from_mins(1);

/// The count takes at most this fraction of the remaining time of the invocation.
const COUNT_TIMEOUT_FRACTION: u32 = 10;

/// The Lambda function.
#[derive(Debug)]
pub struct Cleanup {
    table: Table,
    settings: CleanupSettings,
    sweep_grace: Hours,
    count_sessions: bool,
    metrics: Metrics,
}

impl Cleanup {
    /// Creates the function.
    #[must_use]
    pub fn new(config: CleanupConfig, client: Client, metrics: Metrics) -> Self {
        let CleanupConfig {
            table,
            settings,
            sweep_grace,
            count_sessions,
            ..
        } = config;
        Self {
            table: Table::new(client, table.name, settings.shards),
            settings,
            sweep_grace,
            count_sessions,
            metrics,
        }
    }

    /// Handles an event. The invocation times out in `left`.
    ///
    /// # Errors
    ///
    /// The event is invalid, and nothing was done; or an error stopped the run. Lambda retries an
    /// asynchronous invocation that fails.
    pub async fn handle(
        &self,
        event: &RawValue,
        now: DateTime<Utc>,
        left: Duration,
    ) -> Result<CleanupReport, CleanupError> {
        self.metrics.record_invocation(now);
        let request = Request::read(event, now.into())?;
        let deadline = Deadline::after(left);
        if request.trigger == Trigger::Schedule && self.count_sessions {
            self.count_sessions(now, left).await;
        }
        let options = request.options;
        let max = options
            .max_seconds
            .map_or(Duration::MAX, |it| Duration::from_secs(it.into()));
        let cleanup_request = CleanupRequest {
            run_id: Uuid::new_v4(),
            trigger: request.trigger,
            requested_by: None,
            dry_run: options.dry_run,
            adopt: options.adopt,
            revoke: options.revoke,
            sweep_grace: options.sweep_grace_hours.map_or(self.sweep_grace, Hours),
            started_at: now,
            time_limit: time_limit(deadline.remaining()).min(max),
        };
        let done = scan_and_clean_up(&self.table, &self.settings, &cleanup_request).await;
        self.metrics.record_run(CleanupFailed::report(&done));
        Ok(done?)
    }

    /// Counts the sessions for the metrics. If the count fails or times out, the metrics are missing
    /// once, and the run starts.
    async fn count_sessions(&self, now: DateTime<Utc>, left: Duration) {
        let count = statistics::count(&self.table, self.settings.shards, now.into());
        let error = match timeout(COUNT_TIMEOUT_MAX.min(left / COUNT_TIMEOUT_FRACTION), count).await
        {
            Ok(Ok(statistics)) => return self.metrics.record_session_counts(&statistics, now),
            Ok(Err(error)) => error.error_chain(),
            Err(_) => "timed out".to_owned(),
        };
        tracing::warn!(error, "the sessions could not be counted");
    }
}

/// Error of an invocation.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// The event is invalid. The caller must change it. Nothing was done.
    #[error(transparent)]
    Event(#[from] InvalidEvent),
    /// An error stopped the run. Its report is stored.
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
