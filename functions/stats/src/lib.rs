//! The statistics and the list of reports, over HTTP; the page that shows them, and the API's
//! description.

mod audit;
mod page;
mod recent;

use aws_sdk_dynamodb::Client;
use chrono::{DateTime, Utc};
use lambda_http::http::Method;
use lambda_http::{Body, Request, RequestExt as _, Response};
use serde::Serialize;
use session_lifecycle::config::StatsConfig;
use session_lifecycle::domain::{CleanupReport, Shards, Statistics};
use session_lifecycle::dynamodb::Table;
use session_lifecycle::http::{
    AllowedOrigin, Document, Failure, Scope, authorize, query, respond, respond_document,
};
use session_lifecycle::metrics::Metrics;
use session_lifecycle::ports::ReadReports as _;
use session_lifecycle::reports;
use session_lifecycle::statistics;

use self::audit::Question;
use self::recent::Recent;

/// The function.
#[derive(Debug)]
pub struct Stats {
    table: Table,
    shards: Shards,
    recent: Recent,
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

/// The description of the API (`OpenAPI` 3.1).
const DESCRIPTION: &str = include_str!("../openapi.json");

/// What can be asked for.
#[derive(Clone, Copy)]
enum Call {
    Page,
    Description,
    Stats,
    Reports,
}

impl Call {
    fn of(path: &str) -> Option<Self> {
        // An API's own domain may put something before the path, and the gateway takes it with a
        // slash at its end and without.
        let (_, call) = path.trim_end_matches('/').rsplit_once("/monitoring")?;
        match call {
            "" => Some(Self::Page),
            "/openapi.json" => Some(Self::Description),
            "/sessions/stats" => Some(Self::Stats),
            "/sessions/cleanups" => Some(Self::Reports),
            _ => None,
        }
    }
}

#[derive(Debug)]
enum Answer {
    Stats(Box<StatsAnswer>),
    Reports(reports::Page),
    Document(Document),
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
            recent: Recent::default(),
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
            Ok(Answer::Document(document)) => respond_document(document, origin),
            Err(failure) => respond::<()>(Err(failure), origin),
        }
    }

    async fn answer(&self, request: &Request, now: DateTime<Utc>) -> Result<Answer, Failure> {
        let call = Call::of(request.raw_http_path()).ok_or(Failure::NotFound)?;
        if request.method() != Method::GET {
            return Err(Failure::MethodNotAllowed(Method::GET));
        }
        match call {
            // They hold nothing of the table, and a browser has no token yet.
            Call::Page => page::document().map(Answer::Document),
            Call::Description => {
                let description = Document::public("application/json", DESCRIPTION);
                Ok(Answer::Document(description))
            }
            Call::Stats => {
                authorize(request, Scope::Read)?;
                query(request, &[])?;
                let answer = self.stats(now).await?;
                Ok(Answer::Stats(Box::new(answer)))
            }
            Call::Reports => {
                authorize(request, Scope::Read)?;
                self.reports(request).await
            }
        }
    }

    async fn stats(&self, now: DateTime<Utc>) -> Result<StatsAnswer, Failure> {
        let count = statistics::count(&self.table, self.shards, now.into());
        let (statistics, last_cleanup) = self
            .recent
            .get(self.table.last_cleanup(), count, now)
            .await
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
            return audit::csv(page).map(Answer::Document);
        }
        Ok(Answer::Reports(page))
    }
}
