//! Lambda authorizer for API Gateway.
//!
//! It accepts REQUEST and TOKEN events of REST APIs and the events of HTTP APIs with payload 1.0 and
//! 2.0, decides with [`session_functions::authorize`], and responds with a policy or a simple
//! response. A denial contains the reason as `error` in its context.

mod event;

use std::collections::BTreeMap;

use aws_lambda_events::apigw::{
    ApiGatewayCustomAuthorizerResponse, ApiGatewayV2CustomAuthorizerSimpleResponse,
};
use aws_lambda_events::iam::{IamPolicyEffect, IamPolicyStatement};
use aws_sdk_dynamodb::Client;
use chrono::{DateTime, Utc};
use lambda_runtime::Diagnostic;
use serde::Serialize;
use session_functions::authorize::{Authorize, AuthorizeError, Decision, TimeLimits};
use session_functions::config::AuthorizerConfig;
use session_functions::metrics::Metrics;
use session_functions::table_check::UnfitTable;
use session_functions::telemetry::diagnostic;
use session_lifecycle::dynamodb::Table;
use session_token::keys::FetchError;
use session_token::{Claims, TokenVerifier};

pub use event::{AuthorizerEvent, Gateway, UnknownEvent};

/// Context of a response: the caller for the API, or the deny reason.
type Context = BTreeMap<String, String>;

/// Response, in the form that the gateway expects.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum AuthorizerResponse {
    /// For REST APIs, and for HTTP APIs with payload 1.0.
    Policy(ApiGatewayCustomAuthorizerResponse<Context>),
    /// For HTTP APIs with payload 2.0.
    Simple(ApiGatewayV2CustomAuthorizerSimpleResponse<Context>),
}

/// The Lambda function.
#[derive(Debug)]
pub struct Authorizer {
    authorize: Authorize<Table>,
    metrics: Metrics,
}

impl Authorizer {
    /// Creates the function and loads its keys, within `limits`.
    ///
    /// # Errors
    ///
    /// The keys cannot be loaded, and a retry cannot help.
    pub async fn start(
        config: AuthorizerConfig,
        client: Client,
        metrics: Metrics,
        now: DateTime<Utc>,
        limits: TimeLimits,
    ) -> Result<Self, FetchError> {
        let algorithm = config.tokens.algorithm;
        let keys = config.keys.load(algorithm, now.into(), limits.keys).await?;
        let table = Table::new(client, config.table.name, config.shards);
        let verifier = TokenVerifier::new(config.tokens, keys);
        let limit = limits.decision;
        Ok(Self {
            authorize: Authorize::new(table, verifier, config.lifetime, limit),
            metrics,
        })
    }

    /// Connects to the table during init, so that the first request need not wait for it. Checks the
    /// table meanwhile.
    ///
    /// # Errors
    ///
    /// The table is not fit. If it only cannot be reached, that is logged.
    pub async fn warm_up(
        &self,
        check: impl Future<Output = Result<(), UnfitTable>>,
    ) -> Result<(), UnfitTable> {
        let (checked, connected) = tokio::join!(check, self.authorize.warm_up());
        checked?;
        if let Err(error) = connected {
            let error = error.error_chain();
            let message = "could not connect to the table before the first request";
            tracing::warn!(error, "{message}");
        }
        Ok(())
    }

    /// Handles an event.
    ///
    /// # Errors
    ///
    /// The event is not one of API Gateway, or the keys or the session cannot be read. API Gateway
    /// then responds with 500, and does not allow the request.
    pub async fn handle(
        &self,
        event: &AuthorizerEvent,
        now: DateTime<Utc>,
    ) -> Result<AuthorizerResponse, AuthorizerError> {
        self.metrics.record_invocation(now);
        let gateway = event.gateway()?;
        let decision = self.authorize.decide(event.authorization(), now).await;
        self.metrics.record_validation(&decision, now);
        Ok(respond(&gateway, decision?))
    }
}

/// Error that prevents a decision.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizerError {
    /// The event is not one of API Gateway. The caller must change it.
    #[error(transparent)]
    Event(#[from] UnknownEvent),
    /// The keys or the session cannot be read.
    #[error(transparent)]
    Authorize(#[from] AuthorizeError),
}

impl From<AuthorizerError> for Diagnostic {
    fn from(error: AuthorizerError) -> Self {
        let error_type = match error {
            AuthorizerError::Event(_) => "UnknownEvent",
            AuthorizerError::Authorize(AuthorizeError::Store(_)) => "StoreError",
            AuthorizerError::Authorize(AuthorizeError::Keys(_)) => "KeysUnavailable",
        };
        diagnostic(error_type, &error)
    }
}

/// What the handlers behind the authorizer learn about the caller. API Gateway passes on strings only.
fn allowed_context(claims: Claims) -> Context {
    let known = [
        ("user_id", Some(claims.user.to_string())),
        ("session_id", Some(claims.session.to_string())),
        ("scope", Some(claims.scope)),
        ("auth_time", claims.auth_time.map(|time| time.to_string())),
        ("client_id", claims.client),
    ];
    known
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

fn respond(gateway: &Gateway, decision: Decision) -> AuthorizerResponse {
    let (effect, principal, context) = match decision {
        Decision::Allow(claims) => (
            IamPolicyEffect::Allow,
            claims.user.to_string(),
            allowed_context(claims),
        ),
        Decision::Deny { reason, .. } => (
            IamPolicyEffect::Deny,
            "anonymous".to_owned(),
            Context::from([("error".to_owned(), reason.to_string())]),
        ),
    };
    match gateway {
        Gateway::Simple => {
            let mut response = ApiGatewayV2CustomAuthorizerSimpleResponse::default();
            response.is_authorized = effect == IamPolicyEffect::Allow;
            response.context = context;
            AuthorizerResponse::Simple(response)
        }
        Gateway::Policy { stage_arn } => {
            let mut statement = IamPolicyStatement::default();
            statement.action = vec!["execute-api:Invoke".to_owned()];
            statement.effect = effect;
            // The whole stage. API Gateway may cache the policy and apply it to other methods, which
            // a policy for a single method would deny.
            statement.resource = vec![format!("{stage_arn}/*")];
            let mut response = ApiGatewayCustomAuthorizerResponse::default();
            response.principal_id = Some(principal);
            response.policy_document.version = Some("2012-10-17".to_owned());
            response.policy_document.statement = vec![statement];
            response.context = context;
            AuthorizerResponse::Policy(response)
        }
    }
}
