//! Lambda function for the statistics, the list of reports, the monitoring page and the description
//! of the API.
//!
//! It also runs on a schedule, and records in metrics whether the scheduled cleanup is late.

mod page;
mod recent;
mod report_list;

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use lambda_http::http::Method;
use lambda_http::{Body, Request, RequestExt as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use session_domain::{CleanupReport, Days, Shards, Statistics};
use session_functions::config::StatsConfig;
use session_functions::http::{
    AllowedOrigin, ApiError, Caller, RawBody, Scope, ScopeNames, authorize, query, respond,
    respond_raw,
};
use session_functions::metrics::Metrics;
use session_functions::reports;
use session_functions::schedule::{Schedule, ScheduledRuns};
use session_functions::statistics::{self, Coverage};
use session_lifecycle::dynamodb::Table;
use session_lifecycle::ports::{DescribeTable as _, ReadReports as _, StoreError};
use tokio::time::timeout;

use self::recent::Recent;
use self::report_list::ReportQuery;

/// The Lambda function.
#[derive(Debug)]
pub struct Stats {
    table: Table,
    shards: Shards,
    report_retention: Days,
    schedule: Schedule,
    statistics: Recent<(Statistics, ScheduledRuns)>,
    coverage: Recent<Option<Coverage>>,
    scopes: ScopeNames,
    cors_origin: Option<AllowedOrigin>,
    stack_name: Option<String>,
    metrics: Metrics,
}

/// The statistics, as the API returns them.
#[derive(Debug, Serialize)]
struct StatsBody {
    #[serde(flatten)]
    statistics: Statistics,
    /// Newest report of a run that was not a dry run.
    last_cleanup: Option<CleanupReport>,
    /// Schedule of the cleanup, as an expression of `EventBridge`.
    schedule: String,
    /// Due time of the next scheduled cleanup. It is in the past if the cleanup is late. `None` if it
    /// is unknown.
    next_cleanup: Option<String>,
    /// Approximate number of items in the table, up to six hours old. `None` if the table could not be
    /// described.
    table_items: Option<u64>,
    /// Approximate number of items, without the reports, that are not in the due index. The cleanup
    /// and these statistics do not see them.
    unindexed_items: Option<u64>,
    caller: CallerBody,
    /// `STACK_NAME`.
    stack: Option<String>,
}

/// The caller of this request, as the API returns it. Never cached.
#[derive(Debug, Serialize)]
struct CallerBody {
    user_id: String,
    session_id: Option<String>,
    /// Whether the token has the admin scope.
    is_admin: bool,
}

/// Cache lifetime of the statistics.
const STATISTICS_TTL: TimeDelta = TimeDelta::seconds(5);

/// Cache lifetime of the comparison with the table. `DynamoDB` updates its item counts about every six
/// hours.
const COVERAGE_TTL: TimeDelta = TimeDelta::minutes(10);

/// Timeout of the comparison with the table. The statistics are useful without it.
const COVERAGE_TIMEOUT: Duration = Duration::from_secs(3);

/// Description of the API (`OpenAPI` 3.1).
const DESCRIPTION: &str = include_str!("../openapi.json");

/// Whether an event is a scheduled event of `EventBridge`, not a request of `API Gateway`.
#[must_use]
pub fn is_scheduled(event: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Event {
        #[serde(rename = "detail-type")]
        detail_type: Option<String>,
    }
    let event: Result<Event, _> = serde_json::from_str(event.get());
    event.is_ok_and(|event| event.detail_type.as_deref() == Some("Scheduled Event"))
}

/// Route of a request.
#[derive(Clone, Copy)]
enum Route {
    Page,
    Description,
    Stats,
    Reports,
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        // A custom domain may add a prefix to the path. API Gateway accepts paths with and without
        // a slash at the end.
        let (_, route) = path.trim_end_matches('/').rsplit_once("/monitoring")?;
        match route {
            "" => Some(Self::Page),
            "/openapi.json" => Some(Self::Description),
            "/sessions/stats" => Some(Self::Stats),
            "/sessions/cleanups" => Some(Self::Reports),
            _ => None,
        }
    }
}

#[derive(Debug)]
enum ResponseBody {
    Stats(Box<StatsBody>),
    Reports(reports::Page),
    Raw(RawBody),
}

impl Stats {
    /// Creates the function.
    #[must_use]
    pub fn new(config: StatsConfig, client: Client, metrics: Metrics) -> Self {
        let StatsConfig {
            table,
            shards,
            report_retention,
            schedule,
            scopes,
            cors_origin,
            stack_name,
            ..
        } = config;
        Self {
            table: Table::new(client, table.name, shards),
            shards,
            report_retention,
            schedule,
            statistics: Recent::with_ttl(STATISTICS_TTL),
            coverage: Recent::with_ttl(COVERAGE_TTL),
            scopes,
            cors_origin,
            stack_name,
            metrics,
        }
    }

    /// Handles a request.
    pub async fn handle(&self, request: &Request, now: DateTime<Utc>) -> Response<Body> {
        self.metrics.record_invocation(now);
        let origin = self.cors_origin.as_ref();
        match self.route(request, now).await {
            Ok(ResponseBody::Stats(body)) => respond(Ok(body), origin),
            Ok(ResponseBody::Reports(page)) => respond(Ok(page), origin),
            Ok(ResponseBody::Raw(document)) => respond_raw(document, origin),
            Err(error) => respond::<()>(Err(error), origin),
        }
    }

    async fn route(&self, request: &Request, now: DateTime<Utc>) -> Result<ResponseBody, ApiError> {
        let route = Route::of(request.raw_http_path()).ok_or(ApiError::NotFound)?;
        if request.method() != Method::GET {
            return Err(ApiError::MethodNotAllowed(Method::GET));
        }
        match route {
            // Public, because they contain no data, and a browser has no token when it opens the page.
            Route::Page => page::document().map(ResponseBody::Raw),
            Route::Description => {
                let description = RawBody::public("application/json", DESCRIPTION);
                Ok(ResponseBody::Raw(description))
            }
            Route::Stats => {
                let caller = authorize(request, &self.scopes, Scope::Read)?;
                query(request, &[])?;
                // Boxed, because this future is large and the other routes do not need it.
                let body = Box::pin(self.stats(caller, now)).await?;
                Ok(ResponseBody::Stats(Box::new(body)))
            }
            Route::Reports => {
                authorize(request, &self.scopes, Scope::Read)?;
                self.reports(request).await
            }
        }
    }

    async fn stats(&self, caller: Caller, now: DateTime<Utc>) -> Result<StatsBody, ApiError> {
        let from_store = |error| ApiError::from_store(&error);
        // Read before the count, so that the next request counts again after a cleanup during the
        // count.
        let last_cleanup = self.table.last_cleanup().await.map_err(from_store)?;
        let run = last_cleanup.as_ref().map(|report| report.run_id);
        let coverage = self.coverage(now).await;
        let created = coverage.and_then(|it| it.table_created);
        let begin = self.reports_begin(created, now);
        let count = async {
            let statistics = statistics::count(&self.table, self.shards, now.into()).await?;
            Ok((statistics, ScheduledRuns::read(&self.table, begin).await?))
        };
        let counted = self.statistics.get(run, count, now).await;
        let (statistics, runs) = counted.map_err(from_store)?;
        let next = runs.next(&self.schedule);
        Ok(StatsBody {
            statistics,
            last_cleanup,
            schedule: self.schedule.to_string(),
            next_cleanup: next.map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true)),
            table_items: coverage.map(|it| it.table_items),
            unindexed_items: coverage.and_then(|it| it.unindexed_items),
            caller: CallerBody {
                is_admin: caller.has(&self.scopes, Scope::Admin),
                user_id: caller.user_id,
                session_id: caller.session_id,
            },
            stack: self.stack_name.clone(),
        })
    }

    /// Compares the table with the due index. `None` if that fails or times out, which is cached, too.
    async fn coverage(&self, now: DateTime<Utc>) -> Option<Coverage> {
        let compare = async {
            let compared = timeout(COVERAGE_TIMEOUT, statistics::coverage(&self.table)).await;
            let error = match compared {
                Ok(Ok(coverage)) => return Ok(Some(coverage)),
                Ok(Err(error)) => error.error_chain(),
                Err(_) => "timed out".to_owned(),
            };
            tracing::warn!(error, "the table could not be compared with its index");
            Ok(None)
        };
        // A cleanup does not invalidate it, because DynamoDB updates its counts independently.
        self.coverage
            .get(None, compare, now)
            .await
            .unwrap_or_default()
    }

    /// A time before which there are no reports: the table did not exist, or they have expired.
    fn reports_begin(
        &self,
        table_created: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let kept_since = now - TimeDelta::days(self.report_retention.0.into());
        Some(table_created?.max(kept_since))
    }

    /// Records in metrics how late the scheduled cleanup is, and the results of the last runs.
    ///
    /// # Errors
    ///
    /// The table cannot be described, or the reports cannot be read.
    pub async fn watch(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.metrics.record_invocation(now);
        let begin = self.reports_begin(self.table.describe().await?.created_at, now);
        let runs = ScheduledRuns::read(&self.table, begin).await?;
        let overdue = runs.overdue(&self.schedule, now);
        self.metrics.record_scheduled_runs(&runs, overdue, now);
        let schedule = &self.schedule;
        match overdue {
            Some(late) if late.is_zero() => {}
            Some(late) => {
                let seconds = late.num_seconds();
                tracing::warn!(seconds, %schedule, "the scheduled cleanup is overdue");
            }
            None => tracing::warn!(%schedule, "when the next cleanup is due is not known"),
        }
        Ok(())
    }

    async fn reports(&self, request: &Request) -> Result<ResponseBody, ApiError> {
        let report_query = ReportQuery::read(request)?;
        let ReportQuery { filter, limit, .. } = &report_query;
        let page = reports::list(&self.table, filter, *limit, report_query.cursor.as_ref())
            .await
            .map_err(|error| ApiError::from_store(&error))?;
        if report_query.csv {
            return report_list::csv(page).map(ResponseBody::Raw);
        }
        Ok(ResponseBody::Reports(page))
    }
}
