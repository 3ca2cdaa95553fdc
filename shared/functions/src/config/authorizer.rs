//! Configuration of the authorizer.

use session_domain::{SessionLifetime, Shards};
use session_token::TokenRules;

use super::common::{self, TableConfig};
use super::{lifetime, tokens};
use crate::environment::{Environment, InvalidConfiguration};
use crate::key_sources::KeySource;
use crate::metrics::Namespace;

/// Configuration of the authorizer.
#[derive(Debug)]
pub struct AuthorizerConfig {
    /// `TABLE_NAME`, `STRICT_TABLE_CHECK`.
    pub table: TableConfig,
    /// `METRICS_NAMESPACE`.
    pub metrics_namespace: Namespace,
    /// `DUE_SHARDS`.
    pub shards: Shards,
    /// `SESSION_RETENTION_DAYS`, `OPEN_SESSIONS`, `SESSION_MAX_HOURS`, `SESSION_IDLE_MINUTES`.
    pub lifetime: SessionLifetime,
    /// `JWT_ALGORITHM`, `JWT_ISSUER`, `JWT_AUDIENCE`, `JWT_LEEWAY_SECONDS`.
    pub tokens: TokenRules,
    /// One of `JWT_SECRET`, `JWT_SECRET_ARN`, `JWT_PUBLIC_KEY`, `JWKS_URL`.
    pub keys: KeySource,
}

impl AuthorizerConfig {
    /// Reads the variables of the authorizer.
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
        let lifetime = lifetime::read(&mut reader, retention);
        let (tokens, keys) = tokens::read(&mut reader);
        if let Some(tokens) = &tokens {
            lifetime::check_claims(&mut reader, &lifetime, &tokens.claims);
        }
        reader.finish(|| {
            Some(Self {
                table: table?,
                metrics_namespace,
                shards,
                lifetime,
                tokens: tokens?,
                keys: keys?,
            })
        })
    }
}
