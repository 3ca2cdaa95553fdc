//! The statistics and the list of reports, over HTTP.

mod audit;

use aws_sdk_dynamodb::Client;
use chrono::{DateTime, Utc};
use lambda_http::http::Method;
use lambda_http::{Body, Request, RequestExt as _, Response};
use serde::Serialize;
use session_lifecycle::config::StatsConfig;
use session_lifecycle::domain::{CleanupReport, Shards, Statistics};
use session_lifecycle::dynamodb::Table;
use session_lifecycle::http::{
    AllowedOrigin, Csv, Failure, Scope, authorize, query, respond, respond_csv,
};
use session_lifecycle::metrics::Metrics;
use session_lifecycle::ports::ReadReports as _;
use session_lifecycle::reports;
use session_lifecycle::statistics;

use self::audit::Question;

/// The function.
#[derive(Debug)]
pub struct Stats {
    table: Table,
    shards: Shards,
    cors_origin: Option<AllowedOrigin>,
    metrics: Metrics,
}

/// The statistics as the API gives them.
#[derive(Debug, Serialize)]
struct StatsAnswer {
    #[serde(flatten)]
    statistics: Statistics,
    /// The newest report of a run that was not a dry one.
    last_cleanup: Option<CleanupReport>,
}

/// An answer to one of the two calls.
#[derive(Debug)]
enum Answer {
    Stats(Box<StatsAnswer>),
    Reports(reports::Page),
    Csv(Csv),
}

impl Stats {
    /// The function as configured.
    #[must_use]
    pub fn new(config: StatsConfig, client: Client, metrics: Metrics) -> Self {
        let StatsConfig {
            table_name,
            shards,
            cors_origin,
            ..
        } = config;
        Self {
            table: Table::new(client, table_name, shards),
            shards,
            cors_origin,
            metrics,
        }
    }

    /// Answers one request.
    pub async fn handle(&self, request: &Request, now: DateTime<Utc>) -> Response<Body> {
        self.metrics.event(now);
        let origin = self.cors_origin.as_ref();
        match self.answer(request, now).await {
            Ok(Answer::Stats(answer)) => respond(Ok(answer), origin),
            Ok(Answer::Reports(page)) => respond(Ok(page), origin),
            Ok(Answer::Csv(page)) => respond_csv(page, origin),
            Err(failure) => respond::<()>(Err(failure), origin),
        }
    }

    async fn answer(&self, request: &Request, now: DateTime<Utc>) -> Result<Answer, Failure> {
        // An API's own domain may put something before the path.
        let path = request.raw_http_path().trim_end_matches('/');
        let stats = path.ends_with("/monitoring/sessions/stats");
        if !stats && !path.ends_with("/monitoring/sessions/cleanups") {
            return Err(Failure::NotFound);
        }
        if request.method() != Method::GET {
            return Err(Failure::MethodNotAllowed);
        }
        authorize(request, Scope::Read)?;
        if stats {
            query(request, &[])?;
            self.stats(now)
                .await
                .map(|answer| Answer::Stats(Box::new(answer)))
        } else {
            self.reports(request).await
        }
    }

    async fn stats(&self, now: DateTime<Utc>) -> Result<StatsAnswer, Failure> {
        let statistics = statistics::count(&self.table, self.shards, now.into());
        let (statistics, last_cleanup) = tokio::try_join!(statistics, self.table.last_cleanup())
            .map_err(|error| Failure::from_store(&error))?;
        Ok(StatsAnswer {
            statistics,
            last_cleanup,
        })
    }

    async fn reports(&self, request: &Request) -> Result<Answer, Failure> {
        let question = Question::read(request)?;
        let Question { filter, limit, .. } = &question;
        let page = reports::list(&self.table, filter, *limit, question.cursor.as_ref())
            .await
            .map_err(|error| Failure::from_store(&error))?;
        if question.csv {
            let text = audit::csv(&page.reports)?;
            let next = page.next;
            return Ok(Answer::Csv(Csv { text, next }));
        }
        Ok(Answer::Reports(page))
    }
}
