//! The cleanup over HTTP: at once, and without waiting for native TTL.

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
use session_functions::http::{AllowedOrigin, ApiError, Scope, authorize, query, respond};
use session_functions::metrics::Metrics;
use session_lifecycle::dynamodb::Table;
use uuid::Uuid;

/// The function.
#[derive(Debug)]
pub struct ForceCleanup {
    table: Table,
    settings: CleanupSettings,
    cors_origin: Option<AllowedOrigin>,
    metrics: Metrics,
}

impl ForceCleanup {
    /// The function as configured.
    #[must_use]
    pub fn new(config: ForceCleanupConfig, client: Client, metrics: Metrics) -> Self {
        let ForceCleanupConfig {
            table_name,
            settings,
            cors_origin,
            ..
        } = config;
        Self {
            table: Table::new(client, table_name, settings.shards),
            settings,
            cors_origin,
            metrics,
        }
    }

    /// Answers one request, whose invocation ends in `left`. A long list is worked off as far as
    /// that allows; the report says then that it is not complete.
    pub async fn handle(
        &self,
        request: &Request,
        now: DateTime<Utc>,
        left: Duration,
    ) -> Response<Body> {
        self.metrics.record_invocation(now);
        let answer = self.answer(request, now, left).await;
        respond(answer, self.cors_origin.as_ref())
    }

    async fn answer(
        &self,
        request: &Request,
        now: DateTime<Utc>,
        left: Duration,
    ) -> Result<CleanupReport, ApiError> {
        // An API's own domain may put something before the path.
        let path = request.raw_http_path().trim_end_matches('/');
        if !path.ends_with("/monitoring/sessions/cleanup") {
            return Err(ApiError::NotFound);
        }
        if request.method() != Method::POST {
            return Err(ApiError::MethodNotAllowed(Method::POST));
        }
        let caller = authorize(request, Scope::Admin)?;
        let parameters = query(request, &["dry_run"])?;
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

/// Whether a body is empty, or what clients send for want of one. Whoever puts an option there
/// must not get a cleanup without it.
fn is_empty_body(body: &[u8]) -> bool {
    matches!(body.trim_ascii(), b"" | b"{}" | b"null")
}
