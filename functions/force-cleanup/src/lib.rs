//! Lambda function for the cleanup over HTTP: `POST /api/v1/monitoring/sessions/cleanup`.
//!
//! It runs [`session_functions::clean_up`] without sweep grace, so it deletes due records without
//! waiting for native TTL. The caller needs the admin scope.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use chrono::{DateTime, Utc};
use lambda_http::http::Method;
use lambda_http::{Body, Request, RequestExt as _, Response};
use session_domain::{CleanupReport, Hours, Trigger, error_chain};
use session_functions::clean_up::{
    CleanupFailed, CleanupRequest, CleanupSettings, clean_up, time_limit,
};
use session_functions::config::ForceCleanupConfig;
use session_functions::http::{
    AllowedOrigin, ApiError, Scope, ScopeNames, authorize, is_empty_body, query, respond,
};
use session_functions::metrics::Metrics;
use session_lifecycle::dynamodb::Table;
use uuid::Uuid;

/// The Lambda function.
#[derive(Debug)]
pub struct ForceCleanup {
    table: Table,
    settings: CleanupSettings,
    scopes: ScopeNames,
    cors_origin: Option<AllowedOrigin>,
    metrics: Metrics,
}

impl ForceCleanup {
    /// Creates the function.
    #[must_use]
    pub fn new(config: ForceCleanupConfig, client: Client, metrics: Metrics) -> Self {
        let ForceCleanupConfig {
            table,
            settings,
            scopes,
            cors_origin,
            ..
        } = config;
        Self {
            table: Table::new(client, table.name, settings.shards),
            settings,
            scopes,
            cors_origin,
            metrics,
        }
    }

    /// Handles a request. The invocation times out in `left`. If there is more work than fits in
    /// that time, the report is not complete.
    pub async fn handle(
        &self,
        request: &Request,
        now: DateTime<Utc>,
        left: Duration,
    ) -> Response<Body> {
        self.metrics.record_invocation(now);
        let result = self.run(request, now, left).await;
        respond(result, self.cors_origin.as_ref())
    }

    async fn run(
        &self,
        request: &Request,
        now: DateTime<Utc>,
        left: Duration,
    ) -> Result<CleanupReport, ApiError> {
        // A custom domain may add a prefix to the path.
        let path = request.raw_http_path().trim_end_matches('/');
        if !path.ends_with("/monitoring/sessions/cleanup") {
            return Err(ApiError::NotFound);
        }
        if request.method() != Method::POST {
            return Err(ApiError::MethodNotAllowed(Method::POST));
        }
        let caller = authorize(request, &self.scopes, Scope::Admin)?;
        let parameters = query(request, &["dry_run"])?;
        // Any other body is rejected, so that an option in it is not ignored.
        if !is_empty_body(request.body()) {
            return Err(ApiError::BadRequest(
                "There must be no body; dry_run is a query parameter".to_owned(),
            ));
        }
        let dry_run = match parameters.get("dry_run").map(String::as_str) {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                return Err(ApiError::BadRequest(
                    "dry_run must be true or false".to_owned(),
                ));
            }
        };
        let cleanup_request = CleanupRequest {
            run_id: Uuid::new_v4(),
            trigger: Trigger::Api,
            requested_by: Some(caller.user_id),
            dry_run,
            adopt: false,
            revoke: None,
            sweep_grace: Hours(0),
            started_at: now,
            time_limit: time_limit(left),
        };
        let done = clean_up(&self.table, &self.settings, &cleanup_request).await;
        self.metrics.record_run(CleanupFailed::report(&done));
        done.map_err(|failed| {
            tracing::error!(error = error_chain(&failed), "the cleanup failed");
            ApiError::Internal
        })
    }
}
