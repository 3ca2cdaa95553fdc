//! A local API Gateway for a REST API.
//!
//! A request becomes an authorizer event, then a proxy event; the function's answer becomes the
//! response. Routes and gateway responses come from the template.

mod events;
mod responses;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::http::header::HOST;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use chrono::{DateTime, Utc};
use serde_json::Value;
use session_lifecycle::clock;
use uuid::Uuid;

use self::events::Call;
use self::responses::{GatewayResponseType, gateway_response, response};
use crate::functions::Functions;
use crate::template::{FunctionName, GatewayResponse, Route};

/// An HTTP request.
#[derive(Debug, Clone)]
pub struct ApiRequest {
    /// HTTP method.
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, if there is one.
    pub body: Option<String>,
}

/// An HTTP response.
#[derive(Debug, Clone)]
pub struct ApiResponse {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: String,
}

/// The API: routes, and the functions behind them.
#[derive(Debug)]
pub struct Gateway {
    functions: Arc<Functions>,
    routes: Vec<Route>,
    responses: BTreeMap<String, GatewayResponse>,
}

impl Gateway {
    /// Makes an API with these routes and gateway responses.
    #[must_use]
    pub const fn new(
        functions: Arc<Functions>,
        routes: Vec<Route>,
        responses: BTreeMap<String, GatewayResponse>,
    ) -> Self {
        Self {
            functions,
            routes,
            responses,
        }
    }

    /// Serves a request now.
    pub async fn serve(&self, request: &ApiRequest) -> ApiResponse {
        self.serve_at(request, clock::now()).await
    }

    /// The response to a request whose body is too large.
    #[must_use]
    pub fn too_large(&self) -> ApiResponse {
        self.gateway_response(GatewayResponseType::RequestTooLarge, &Value::Null)
    }

    /// Serves a request at `now`.
    pub async fn serve_at(&self, request: &ApiRequest, now: DateTime<Utc>) -> ApiResponse {
        if request.headers.get(HOST).is_some_and(|host| !is_host(host)) {
            return self.gateway_response(GatewayResponseType::BadRequest, &Value::Null);
        }
        let Some((route, path_parameters)) = self.find_route(request) else {
            return self.gateway_response(
                GatewayResponseType::MissingAuthenticationToken,
                &Value::Null,
            );
        };
        let call = Call {
            request,
            route,
            path_parameters,
            now,
            id: Uuid::new_v4(),
        };
        let authorizer = if route.authorized {
            match self.ask_authorizer(&call).await {
                Ok(context) => context,
                Err(answer) => return answer,
            }
        } else {
            Value::Null
        };
        let answered = self
            .functions
            .invoke(route.function, &call.proxy_event(authorizer), now)
            .await;
        answered
            .ok()
            .and_then(|answer| response(&answer))
            .unwrap_or_else(|| {
                self.gateway_response(GatewayResponseType::HandlerFailure, &Value::Null)
            })
    }

    /// The route of a request and its path parameters. API Gateway prefers fixed segments of a path, and then
    /// looks for the method.
    fn find_route(&self, request: &ApiRequest) -> Option<(&Route, BTreeMap<String, String>)> {
        let matching = self.routes.iter().filter_map(|route| {
            let parameters = match_path(route, request)?;
            Some((route, parameters))
        });
        let matching: Vec<_> = matching.collect();
        let fewest = matching
            .iter()
            .map(|(_, parameters)| parameters.len())
            .min()?;
        matching.into_iter().find(|(route, parameters)| {
            parameters.len() == fewest && route.method == request.method.as_str()
        })
    }

    /// The authorizer's context if it allows the request, or else the gateway response.
    async fn ask_authorizer(&self, call: &Call<'_>) -> Result<Value, ApiResponse> {
        let header = call.request.headers.get("authorization");
        if header.is_none_or(HeaderValue::is_empty) {
            return Err(self.gateway_response(GatewayResponseType::Unauthorized, &Value::Null));
        }
        let asked = self
            .functions
            .invoke(FunctionName::Authorizer, &call.authorizer_event(), call.now)
            .await;
        let policy = asked.map_err(|_| {
            self.gateway_response(GatewayResponseType::AuthorizerFailure, &Value::Null)
        })?;
        if !allows(&policy, &call.method_arn()) {
            return Err(
                self.gateway_response(GatewayResponseType::AccessDenied, &policy["context"])
            );
        }
        let mut context = policy["context"].as_object().cloned().unwrap_or_default();
        context.insert("principalId".to_owned(), policy["principalId"].clone());
        context.insert("integrationLatency".to_owned(), 1.into());
        Ok(context.into())
    }

    fn gateway_response(&self, case: GatewayResponseType, context: &Value) -> ApiResponse {
        gateway_response(&self.responses, case, context)
    }
}

/// The path parameters of a request that matches a route, as the client sent them. A trailing slash is ignored,
/// as in API Gateway.
fn match_path(route: &Route, request: &ApiRequest) -> Option<BTreeMap<String, String>> {
    let path = request.uri.path();
    let path = path.strip_suffix('/').unwrap_or(path);
    let (expected, sent) = (route.path.split('/'), path.split('/'));
    if expected.clone().count() != sent.clone().count() {
        return None;
    }
    let mut parameters = BTreeMap::new();
    for (expected, sent) in expected.zip(sent) {
        let name = expected
            .strip_prefix('{')
            .and_then(|it| it.strip_suffix('}'));
        match name {
            Some(name) if !sent.is_empty() => {
                parameters.insert(name.to_owned(), sent.to_owned());
            }
            _ if expected == sent => {}
            _ => return None,
        }
    }
    Some(parameters)
}

/// Whether a `Host` header is a valid host, with or without a port.
fn is_host(host: &HeaderValue) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b".-:".contains(byte);
    host.as_bytes().iter().all(allowed)
}

/// Evaluates a policy as IAM does: a statement must allow the method, and none may deny it.
fn allows(policy: &Value, method_arn: &str) -> bool {
    let statements = policy["policyDocument"]["Statement"]
        .as_array()
        .into_iter()
        .flatten();
    let effects: BTreeSet<&str> = statements
        .filter(|statement| {
            let resources = statement["Resource"].as_array().into_iter().flatten();
            resources.filter_map(Value::as_str).any(|resource| {
                resource
                    .strip_suffix('*')
                    .map_or(resource == method_arn, |prefix| {
                        method_arn.starts_with(prefix)
                    })
            })
        })
        .filter_map(|statement| statement["Effect"].as_str())
        .collect();
    effects.contains("Allow") && !effects.contains("Deny")
}
