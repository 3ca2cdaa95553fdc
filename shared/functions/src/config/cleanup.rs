//! Configuration of the cleanup, scheduled and over HTTP.

use std::num::NonZeroU32;

use session_domain::Hours;

use super::common::{self, TableConfig};
use crate::clean_up::CleanupSettings;
use crate::environment::{Environment, InvalidConfiguration, Reader};
use crate::http::{AllowedOrigin, ScopeNames};
use crate::metrics::Namespace;

/// Configuration of the scheduled cleanup.
#[derive(Debug, Clone)]
pub struct CleanupConfig {
    /// `TABLE_NAME`, `STRICT_TABLE_CHECK`.
    pub table: TableConfig,
    /// `METRICS_NAMESPACE`.
    pub metrics_namespace: Namespace,
    /// `DUE_SHARDS`, `SESSION_RETENTION_DAYS`, `REPORT_RETENTION_DAYS`, `MAX_WRITES_PER_SECOND`.
    pub settings: CleanupSettings,
    /// `SWEEP_GRACE_HOURS`.
    pub sweep_grace: Hours,
    /// `COUNT_SESSIONS`.
    pub count_sessions: bool,
}

impl CleanupConfig {
    /// Reads the variables of the scheduled cleanup.
    ///
    /// # Errors
    ///
    /// All variables that are missing or invalid.
    pub fn read(variables: &Environment) -> Result<Self, InvalidConfiguration> {
        let mut reader = common::reader(variables);
        let table = common::table(&mut reader);
        let metrics_namespace = common::metrics_namespace(&mut reader);
        let settings = settings(&mut reader);
        let sweep_grace = Hours(reader.number("SWEEP_GRACE_HOURS", 48, 0..=720));
        let count_sessions = reader.flag("COUNT_SESSIONS", true);
        reader.finish(|| {
            Some(Self {
                table: table?,
                metrics_namespace,
                settings,
                sweep_grace,
                count_sessions,
            })
        })
    }
}

/// Configuration of the cleanup over HTTP.
#[derive(Debug, Clone)]
pub struct ForceCleanupConfig {
    /// `TABLE_NAME`, `STRICT_TABLE_CHECK`.
    pub table: TableConfig,
    /// `METRICS_NAMESPACE`.
    pub metrics_namespace: Namespace,
    /// `DUE_SHARDS`, `SESSION_RETENTION_DAYS`, `REPORT_RETENTION_DAYS`, `MAX_WRITES_PER_SECOND`.
    pub settings: CleanupSettings,
    /// `MONITORING_READ_SCOPE`, `MONITORING_ADMIN_SCOPE`.
    pub scopes: ScopeNames,
    /// `CORS_ORIGIN`.
    pub cors_origin: Option<AllowedOrigin>,
}

impl ForceCleanupConfig {
    /// Reads the variables of the cleanup over HTTP.
    ///
    /// # Errors
    ///
    /// All variables that are missing or invalid.
    pub fn read(variables: &Environment) -> Result<Self, InvalidConfiguration> {
        let mut reader = common::reader(variables);
        let table = common::table(&mut reader);
        let metrics_namespace = common::metrics_namespace(&mut reader);
        let settings = settings(&mut reader);
        let scopes = common::scope_names(&mut reader);
        let cors_origin = common::cors_origin(&mut reader);
        reader.finish(|| {
            Some(Self {
                table: table?,
                metrics_namespace,
                settings,
                scopes,
                cors_origin,
            })
        })
    }
}

fn settings(reader: &mut Reader<'_>) -> CleanupSettings {
    CleanupSettings {
        shards: common::shards(reader),
        retention: common::retention(reader),
        report_retention: common::report_retention(reader),
        max_writes_per_second: NonZeroU32::new(reader.number(
            "MAX_WRITES_PER_SECOND",
            1_000,
            0..=1_000_000,
        )),
    }
}
