//! Configuration of the statistics.

use session_domain::{Days, Shards};

use super::common::{self, TableConfig};
use crate::environment::{Environment, InvalidConfiguration, Reader};
use crate::http::{AllowedOrigin, ScopeNames};
use crate::metrics::Namespace;
use crate::schedule::Schedule;

/// Configuration of the statistics.
#[derive(Debug, Clone)]
pub struct StatsConfig {
    /// `TABLE_NAME`, `STRICT_TABLE_CHECK`.
    pub table: TableConfig,
    /// `METRICS_NAMESPACE`.
    pub metrics_namespace: Namespace,
    /// `DUE_SHARDS`.
    pub shards: Shards,
    /// `REPORT_RETENTION_DAYS`.
    pub report_retention: Days,
    /// `CLEANUP_SCHEDULE`.
    pub schedule: Schedule,
    /// `MONITORING_READ_SCOPE`, `MONITORING_ADMIN_SCOPE`.
    pub scopes: ScopeNames,
    /// `CORS_ORIGIN`.
    pub cors_origin: Option<AllowedOrigin>,
    /// `STACK_NAME`.
    pub stack_name: Option<String>,
}

impl StatsConfig {
    /// Reads the variables of the statistics.
    ///
    /// # Errors
    ///
    /// All variables that are missing or invalid.
    pub fn read(variables: &Environment) -> Result<Self, InvalidConfiguration> {
        let mut reader = common::reader(variables);
        let table = common::table(&mut reader);
        let metrics_namespace = common::metrics_namespace(&mut reader);
        let shards = common::shards(&mut reader);
        let report_retention = common::report_retention(&mut reader);
        let schedule = schedule(&mut reader);
        let scopes = common::scope_names(&mut reader);
        let cors_origin = common::cors_origin(&mut reader);
        let stack_name = reader.get("STACK_NAME").map(str::to_owned);
        reader.finish(|| {
            Some(Self {
                table: table?,
                metrics_namespace,
                shards,
                report_retention,
                schedule,
                scopes,
                cors_origin,
                stack_name,
            })
        })
    }
}

fn schedule(reader: &mut Reader<'_>) -> Schedule {
    let expected = "an EventBridge schedule such as rate(1 hour) or cron(0 3 * * ? *)";
    reader
        .optional("CLEANUP_SCHEDULE", expected, Schedule::parse)
        .unwrap_or_default()
}
