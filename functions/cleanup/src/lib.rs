//! The cleanup: a scheduled event, or a few options by hand, become a run and its report.

mod event;

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use chrono::{DateTime, Utc};
use lambda_runtime::Diagnostic;
use serde_json::value::RawValue;
use session_lifecycle::clean_up::{CleanupFailed, Order, Settings, adopt_and_clean_up, time_limit};
use session_lifecycle::config::CleanupConfig;
use session_lifecycle::domain::{CleanupReport, Hours};
use session_lifecycle::dynamodb::Table;
use uuid::Uuid;

pub use event::{Request, WrongEvent};

/// The function.
#[derive(Debug)]
pub struct Cleanup {
    table: Table,
    settings: Settings,
    sweep_grace: Hours,
}

impl Cleanup {
    /// The function as configured.
    #[must_use]
    pub fn new(config: CleanupConfig, client: Client) -> Self {
        let CleanupConfig {
            table_name,
            settings,
            sweep_grace,
        } = config;
        Self {
            table: Table::new(client, table_name, settings.shards),
            settings,
            sweep_grace,
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
        let request = Request::read(event)?;
        let options = request.options;
        let most = options
            .max_seconds
            .map_or(Duration::MAX, |it| Duration::from_secs(it.into()));
        let order = Order {
            run_id: Uuid::new_v4(),
            trigger: request.trigger,
            requested_by: None,
            dry_run: options.dry_run,
            adopt: options.adopt,
            sweep_grace: options.sweep_grace_hours.map_or(self.sweep_grace, Hours),
            started_at: now,
            time_limit: time_limit(left).min(most),
        };
        Ok(adopt_and_clean_up(&self.table, &self.settings, &order).await?)
    }
}

/// Why there is no report to give.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// The event cannot be understood: whoever invoked must act. Nothing was done.
    #[error(transparent)]
    Event(#[from] WrongEvent),
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
        Self {
            error_type: error_type.to_owned(),
            error_message: error.to_string(),
        }
    }
}
