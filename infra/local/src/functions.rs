//! The functions, invoked with JSON as on Lambda.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use authorizer::Authorizer;
use aws_sdk_dynamodb::Client;
use chrono::{DateTime, Utc};
use cleanup::Cleanup;
use force_cleanup::ForceCleanup;
use futures_util::FutureExt as _;
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Body, Request, Response, Service, service_fn};
use lambda_runtime::{Context, Error, LambdaEvent};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use session_domain::error_chain;
use session_functions::authorize::TimeLimits;
use session_functions::config::{
    AuthorizerConfig, CleanupConfig, ForceCleanupConfig, SessionsConfig, StatsConfig,
};
use session_functions::environment::{Environment, InvalidConfiguration};
use session_functions::metrics::{Metrics, Namespace};
use session_token::keys::FetchError;
use sessions::UserSessions;
use stats::Stats;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::template::FunctionName;

/// The functions of the stack.
#[derive(Debug)]
pub struct Functions {
    authorizer: Authorizer,
    cleanup: Cleanup,
    stats: Stats,
    force_cleanup: ForceCleanup,
    sessions: UserSessions,
    timeouts: BTreeMap<FunctionName, Duration>,
}

/// Error of a function's init.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The environment variables are invalid.
    #[error(transparent)]
    Configuration(#[from] InvalidConfiguration),
    /// The authorizer's keys cannot be loaded.
    #[error(transparent)]
    Keys(#[from] FetchError),
}

impl Functions {
    /// Starts the functions at `now` with these variables. `limits` are the authorizer's timeouts.
    ///
    /// # Errors
    ///
    /// The variables are invalid, or the keys cannot be loaded.
    pub async fn start(
        variables: &Environment,
        client: &Client,
        timeouts: BTreeMap<FunctionName, Duration>,
        now: DateTime<Utc>,
        limits: TimeLimits,
    ) -> Result<Self, StartError> {
        // Nothing reads the metrics here.
        let metrics = |function| Metrics::new(Namespace::default(), function, |_| {});
        let client = || client.clone();
        let authorizer = AuthorizerConfig::read(variables)?;
        let cleanup = CleanupConfig::read(variables)?;
        let stats = StatsConfig::read(variables)?;
        let force_cleanup = ForceCleanupConfig::read(variables)?;
        let sessions = SessionsConfig::read(variables)?;
        let of_authorizer = metrics("authorizer");
        Ok(Self {
            authorizer: Authorizer::start(authorizer, client(), of_authorizer, now, limits).await?,
            cleanup: Cleanup::new(cleanup, client(), metrics("cleanup")),
            stats: Stats::new(stats, client(), metrics("stats")),
            force_cleanup: ForceCleanup::new(force_cleanup, client(), metrics("force-cleanup")),
            sessions: UserSessions::new(sessions, client(), metrics("sessions")),
            timeouts,
        })
    }

    /// Invokes a function at `now`.
    ///
    /// # Errors
    ///
    /// The function's error, for instance if it cannot read the event.
    pub async fn invoke(
        &self,
        function: FunctionName,
        event: &Value,
        now: DateTime<Utc>,
    ) -> Result<Value, Error> {
        self.invoke_with_text(function, &event.to_string(), now)
            .await
    }

    /// Invokes a function at `now` with the text of an event, which may have duplicate members.
    ///
    /// # Errors
    ///
    /// The function's error, for instance if it cannot read the event.
    pub async fn invoke_with_text(
        &self,
        function: FunctionName,
        event: &str,
        now: DateTime<Utc>,
    ) -> Result<Value, Error> {
        let request_id = Uuid::new_v4().to_string();
        // A span with the name of the Lambda runtime's span.
        let span = tracing::info_span!(
            target: "lambda_runtime::layers::trace",
            "Lambda runtime invoke",
            requestId = request_id,
            function = function.as_str()
        );
        let run = async {
            // As in the Lambda runtime, a panic fails this invocation only.
            let answer = AssertUnwindSafe(self.dispatch(function, event, now))
                .catch_unwind()
                .await;
            let answer = answer.unwrap_or_else(|_| Err("the function panicked".into()));
            // As in the Lambda runtime, an error is text: the message and its sources.
            answer.map_err(|error| {
                let error = error_chain(&*error);
                tracing::error!(error, "the invocation failed");
                Error::from(error)
            })
        };
        run.instrument(span).await
    }

    async fn dispatch(
        &self,
        function: FunctionName,
        event: &str,
        now: DateTime<Utc>,
    ) -> Result<Value, Error> {
        let left = self
            .timeouts
            .get(&function)
            .copied()
            .unwrap_or(Duration::from_secs(3));
        match function {
            FunctionName::Authorizer => {
                let event = received(event)?;
                let answer = self.authorizer.handle(&event, now).await?;
                Ok(serde_json::to_value(answer)?)
            }
            FunctionName::Cleanup => {
                let event: Box<RawValue> = received(event)?;
                let report = self.cleanup.handle(&event, now, left).await?;
                Ok(serde_json::to_value(report)?)
            }
            FunctionName::Stats if stats::is_scheduled(&received::<Box<RawValue>>(event)?) => {
                self.stats.watch(now).await?;
                Ok(Value::Null)
            }
            FunctionName::Stats => {
                over_http(event, |request| async move {
                    self.stats.handle(&request, now).await
                })
                .await
            }
            FunctionName::ForceCleanup => {
                over_http(event, |request| async move {
                    self.force_cleanup.handle(&request, now, left).await
                })
                .await
            }
            FunctionName::Sessions => {
                over_http(event, |request| async move {
                    self.sessions.handle(&request, now).await
                })
                .await
            }
        }
    }
}

/// Invokes an HTTP handler through the adapter that `lambda_http::run` uses.
async fn over_http<F: Future<Output = Response<Body>> + Send>(
    event: &str,
    handle: impl Fn(Request) -> F,
) -> Result<Value, Error> {
    let service = service_fn(|request| {
        let answer = handle(request);
        async move { Ok::<_, Error>(answer.await) }
    });
    let event = LambdaEvent::new(received::<LambdaRequest>(event)?, Context::default());
    Ok(serde_json::to_value(
        Adapter::from(service).call(event).await?,
    )?)
}

/// Parses an event into the function's own type.
fn received<T: DeserializeOwned>(event: &str) -> Result<T, Error> {
    Ok(serde_json::from_str(event)?)
}
