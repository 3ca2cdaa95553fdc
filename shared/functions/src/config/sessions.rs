//! Configuration of the session service.

use session_domain::{Days, Shards};

use super::common::{self, TableConfig};
use crate::environment::{Environment, InvalidConfiguration};
use crate::http::{AllowedOrigin, ScopeNames};
use crate::metrics::Namespace;

/// Configuration of the session service.
#[derive(Debug, Clone)]
pub struct SessionsConfig {
    /// `TABLE_NAME`, `STRICT_TABLE_CHECK`.
    pub table: TableConfig,
    /// `METRICS_NAMESPACE`.
    pub metrics_namespace: Namespace,
    /// `DUE_SHARDS`.
    pub shards: Shards,
    /// `SESSION_RETENTION_DAYS`.
    pub retention: Days,
    /// `MONITORING_READ_SCOPE`, `MONITORING_ADMIN_SCOPE`.
    pub scopes: ScopeNames,
    /// `CORS_ORIGIN`.
    pub cors_origin: Option<AllowedOrigin>,
}

impl SessionsConfig {
    /// Reads the variables of the session service.
    ///
    /// # Errors
    ///
    /// All variables that are missing or invalid.
    pub fn read(variables: &Environment) -> Result<Self, InvalidConfiguration> {
        let mut reader = common::reader(variables);
        let table = common::table(&mut reader);
        let metrics_namespace = common::metrics_namespace(&mut reader);
        let shards = common::shards(&mut reader);
        let retention = common::retention(&mut reader);
        let scopes = common::scope_names(&mut reader);
        let cors_origin = common::cors_origin(&mut reader);
        reader.finish(|| {
            Some(Self {
                table: table?,
                metrics_namespace,
                shards,
                retention,
                scopes,
                cors_origin,
            })
        })
    }
}
