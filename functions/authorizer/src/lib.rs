//! The authorizer: an API Gateway authorizer event becomes a decision, and that an answer.

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
use session_functions::telemetry::diagnostic;
use session_lifecycle::dynamodb::Table;
use session_token::TokenVerifier;
use session_token::keys::FetchError;

pub use event::{AuthorizerEvent, Gateway, UnknownEvent};

/// What goes to the handlers behind the authorizer, or why a request is refused.
type Context = BTreeMap<String, String>;

/// The answer, in the form that the asking gateway understands.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum AuthorizerAnswer {
    /// To REST APIs, and to HTTP APIs with payload 1.0.
    Policy(ApiGatewayCustomAuthorizerResponse<Context>),
    /// To HTTP APIs with payload 2.0.
    Simple(ApiGatewayV2CustomAuthorizerSimpleResponse<Context>),
}

/// The function.
#[derive(Debug)]
pub struct Authorizer {
    authorize: Authorize<Table>,
    metrics: Metrics,
}

impl Authorizer {
    /// The function as configured, with its keys. It takes no longer than `limits`.
    ///
    /// # Errors
    ///
    /// Keys that cannot be had before somebody acts, in a sentence.
    pub async fn start(
        config: AuthorizerConfig,
        client: Client,
        metrics: Metrics,
        now: DateTime<Utc>,
        limits: TimeLimits,
    ) -> Result<Self, FetchError> {
        let algorithm = config.tokens.algorithm;
        let keys = config.keys.load(algorithm, now.into(), limits.keys).await?;
        let table = Table::new(client, config.table_name, config.shards);
        let verifier = TokenVerifier::new(config.tokens, keys);
        let limit = limits.decision;
        Ok(Self {
            authorize: Authorize::new(table, verifier, config.retention, limit),
            metrics,
        })
    }

    /// Makes ready in init what the first request would wait for otherwise.
    pub async fn warm_up(&self) {
        self.authorize.warm_up().await;
    }

    /// Answers one event.
    ///
    /// # Errors
    ///
    /// An event of no gateway, or a store or keys that cannot be asked: API Gateway answers 500,
    /// and nobody is let in.
    pub async fn handle(
        &self,
        event: &AuthorizerEvent,
        now: DateTime<Utc>,
    ) -> Result<AuthorizerAnswer, AuthorizerError> {
        self.metrics.record_invocation(now);
        let gateway = event.gateway()?;
        let decision = self.authorize.decide(event.authorization(), now).await;
        self.metrics.record_validation(&decision, now);
        Ok(answer(&gateway, decision?))
    }
}

/// Why there is no decision.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizerError {
    /// The event comes from no gateway: whoever invoked must act.
    #[error(transparent)]
    Event(#[from] UnknownEvent),
    /// The table or the keys could not be had, or understood.
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

fn answer(gateway: &Gateway, decision: Decision) -> AuthorizerAnswer {
    let (effect, principal, context) = match decision {
        Decision::Allow(claims) => (
            IamPolicyEffect::Allow,
            claims.user.to_string(),
            Context::from([
                ("user_id".to_owned(), claims.user.to_string()),
                ("session_id".to_owned(), claims.session.to_string()),
                ("scope".to_owned(), claims.scope),
            ]),
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
            AuthorizerAnswer::Simple(response)
        }
        Gateway::Policy { stage_arn } => {
            let mut statement = IamPolicyStatement::default();
            statement.action = vec!["execute-api:Invoke".to_owned()];
            statement.effect = effect;
            // The whole stage: with a single method, a policy that a gateway caches would keep
            // its user from every other method.
            statement.resource = vec![format!("{stage_arn}/*")];
            let mut response = ApiGatewayCustomAuthorizerResponse::default();
            response.principal_id = Some(principal);
            response.policy_document.version = Some("2012-10-17".to_owned());
            response.policy_document.statement = vec![statement];
            response.context = context;
            AuthorizerAnswer::Policy(response)
        }
    }
}
