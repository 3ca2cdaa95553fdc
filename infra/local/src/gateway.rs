//! API Gateway's part, for a REST API: a request becomes an authorizer event, then a proxy event;
//! the answers of the functions become a response. The routes and the gateway's own answers are
//! the template's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::http::header::HOST;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use session_lifecycle::clock;
use uuid::Uuid;

use crate::functions::Functions;
use crate::template::{FunctionName, GatewayResponse, Route};

const API: &str = "arn:aws:execute-api:us-east-1:000000000000:local/local";

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct ApiRequest {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, where there is one.
    pub body: Option<String>,
}

/// A response as it goes out.
#[derive(Debug, Clone)]
pub struct ApiResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
}

/// The cases in which the gateway answers itself, with the names and statuses that it gives them.
#[derive(Clone, Copy)]
enum GatewayResponseType {
    /// No such method on no such path.
    MissingAuthenticationToken,
    /// The header that the authorizer needs is not there; the authorizer is not asked.
    Unauthorized,
    /// The authorizer refused.
    AccessDenied,
    /// The authorizer failed.
    AuthorizerFailure,
    /// The handler failed.
    HandlerFailure,
    /// The request is no HTTP that the gateway would pass on.
    BadRequest,
    /// The body is larger than the gateway takes.
    RequestTooLarge,
}

impl GatewayResponseType {
    const fn parts(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::MissingAuthenticationToken => (
                "MISSING_AUTHENTICATION_TOKEN",
                403,
                "Missing Authentication Token",
            ),
            Self::Unauthorized => ("UNAUTHORIZED", 401, "Unauthorized"),
            Self::AccessDenied => (
                "ACCESS_DENIED",
                403,
                "User is not authorized to access this resource with an explicit deny",
            ),
            Self::AuthorizerFailure => ("AUTHORIZER_FAILURE", 500, "Internal server error"),
            Self::BadRequest => ("DEFAULT_4XX", 400, "Bad Request"),
            Self::RequestTooLarge => ("REQUEST_TOO_LARGE", 413, "Request Entity Too Large"),
            Self::HandlerFailure => ("DEFAULT_5XX", 502, "Internal server error"),
        }
    }
}

/// The API.
#[derive(Debug)]
pub struct Gateway {
    functions: Arc<Functions>,
    routes: Vec<Route>,
    responses: BTreeMap<String, GatewayResponse>,
}

impl Gateway {
    /// The API with the template's routes and answers.
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

    /// Answers a request whose body is larger than the gateway takes.
    #[must_use]
    pub fn too_large(&self) -> ApiResponse {
        self.gateway_response(GatewayResponseType::RequestTooLarge, &Value::Null)
    }

    /// Serves a request at `now`.
    pub async fn serve_at(&self, request: &ApiRequest, now: DateTime<Utc>) -> ApiResponse {
        if request.headers.get(HOST).is_some_and(|host| !is_host(host)) {
            return self.gateway_response(GatewayResponseType::BadRequest, &Value::Null);
        }
        let route = self.routes.iter().find(|route| matches(route, request));
        let Some(route) = route else {
            return self.gateway_response(
                GatewayResponseType::MissingAuthenticationToken,
                &Value::Null,
            );
        };
        let call = Call {
            request,
            route,
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

    /// What the authorizer says about a caller whom it lets in; or the answer to another.
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

    /// The gateway's own answer, as the template words it.
    fn gateway_response(&self, case: GatewayResponseType, context: &Value) -> ApiResponse {
        let (kind, status, message) = case.parts();
        let default = if status < 500 {
            "DEFAULT_4XX"
        } else {
            "DEFAULT_5XX"
        };
        let configured = self
            .responses
            .get(kind)
            .or_else(|| self.responses.get(default));
        let status = configured.and_then(|it| it.status).unwrap_or(status);
        let template = configured
            .and_then(|it| it.body.as_deref())
            .unwrap_or(r#"{"message":$context.error.messageString}"#);
        // The gateway substitutes variables and nothing else; only its own message is quoted.
        let refusal = context["error"].as_str().unwrap_or_default();
        let body = template
            .replace("$context.error.messageString", &json!(message).to_string())
            .replace("$context.authorizer.error", refusal);
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        let own_headers = configured.into_iter().flat_map(|it| &it.headers);
        headers.extend(own_headers.filter_map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value).ok()?))
        }));
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        ApiResponse {
            status,
            headers,
            body,
        }
    }
}

/// One request on its way.
struct Call<'a> {
    request: &'a ApiRequest,
    route: &'a Route,
    now: DateTime<Utc>,
    id: Uuid,
}

impl Call<'_> {
    fn method_arn(&self) -> String {
        format!("{API}/{}{}", self.request.method, self.route.path)
    }

    fn authorizer_event(&self) -> Value {
        let mut event = self.common(Map::new());
        event["type"] = "REQUEST".into();
        event["methodArn"] = self.method_arn().into();
        event
    }

    fn proxy_event(&self, authorizer: Value) -> Value {
        let more = (!authorizer.is_null()).then(|| ("authorizer".to_owned(), authorizer));
        let mut event = self.common(Map::from_iter(more));
        event["body"] = self.request.body.clone().into();
        event["isBase64Encoded"] = false.into();
        event
    }

    /// What both events have.
    fn common(&self, more_context: Map<String, Value>) -> Value {
        let (method, resource) = (self.request.method.as_str(), &self.route.path);
        let path = self.request.uri.path();
        let (headers, multi_value_headers) = self.headers();
        let (query, multi_value_query) = self.query();
        let text = |name: &str| headers.get(name).cloned().unwrap_or_default();
        let mut context = json!({
            "accountId": "000000000000",
            "apiId": "local",
            "domainName": text("host"),
            "httpMethod": method,
            "identity": { "sourceIp": "127.0.0.1", "userAgent": text("user-agent") },
            "path": format!("/local{path}"),
            "protocol": "HTTP/1.1",
            "requestId": self.id.to_string(),
            "requestTime": self.now.format("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "requestTimeEpoch": self.now.timestamp_millis(),
            "resourceId": "local",
            "resourcePath": resource,
            "stage": "local",
        });
        if let Some(context) = context.as_object_mut() {
            context.extend(more_context);
        }
        json!({
            "resource": resource,
            "path": path,
            "httpMethod": method,
            "headers": headers,
            "multiValueHeaders": multi_value_headers,
            "queryStringParameters": query,
            "multiValueQueryStringParameters": multi_value_query,
            "pathParameters": null,
            "stageVariables": null,
            "requestContext": context,
        })
    }

    /// The headers as the gateway passes them on, once with the last value of each and once with all of them.
    fn headers(&self) -> (BTreeMap<String, String>, BTreeMap<String, Vec<String>>) {
        // The gateway says itself how the request came.
        let came_by = [("x-forwarded-proto".to_owned(), "http".to_owned())];
        let sent = self
            .request
            .headers
            .iter()
            .filter(|(name, _)| *name != "x-forwarded-proto");
        let pairs = sent.map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        });
        single_and_multi(pairs.chain(came_by).collect())
    }

    /// The query's parameters likewise; null where there are none.
    fn query(&self) -> (Value, Value) {
        let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&self.request.uri);
        let pairs = query.map(|query| query.0).unwrap_or_default();
        if pairs.is_empty() {
            return (Value::Null, Value::Null);
        }
        let (single, multi) = single_and_multi(pairs);
        (json!(single), json!(multi))
    }
}

/// Whether a route is for a request. API Gateway takes a path with one more slash at its end, too.
fn matches(route: &Route, request: &ApiRequest) -> bool {
    let path = request.uri.path();
    let path = path.strip_suffix('/').unwrap_or(path);
    route.path == path && route.method == request.method.as_str()
}

fn single_and_multi(
    pairs: Vec<(String, String)>,
) -> (BTreeMap<String, String>, BTreeMap<String, Vec<String>>) {
    let (mut single, mut multi) = (BTreeMap::new(), BTreeMap::<_, Vec<_>>::new());
    for (name, value) in pairs {
        multi.entry(name.clone()).or_default().push(value.clone());
        single.insert(name, value);
    }
    (single, multi)
}

/// Whether a header names a host, with or without a port.
fn is_host(host: &HeaderValue) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b".-:".contains(byte);
    host.as_bytes().iter().all(allowed)
}

/// Evaluates a policy as IAM does: something must allow the method, and nothing deny it.
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

/// A proxy answer as a response; nothing where it is none.
fn response(answer: &Value) -> Option<ApiResponse> {
    let status = u16::try_from(answer["statusCode"].as_u64()?).ok()?;
    let mut headers = HeaderMap::new();
    for map in ["headers", "multiValueHeaders"] {
        for (name, values) in answer[map].as_object().into_iter().flatten() {
            let one = std::slice::from_ref(values);
            for value in values.as_array().map_or(one, Vec::as_slice) {
                headers.append(
                    HeaderName::from_bytes(name.as_bytes()).ok()?,
                    HeaderValue::from_str(value.as_str()?).ok()?,
                );
            }
        }
    }
    Some(ApiResponse {
        status: StatusCode::from_u16(status).ok()?,
        headers,
        body: answer["body"].as_str().unwrap_or_default().to_owned(),
    })
}
