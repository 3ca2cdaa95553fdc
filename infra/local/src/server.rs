//! The HTTP server: the gateway, Lambda's path for invoking a function, and the path for tokens.

use std::sync::Arc;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Deserialize as _;
use serde::de::value::StrDeserializer;
use serde_json::json;
use serde_json::value::RawValue;
use session_domain::error_chain;
use session_lifecycle::clock;
use tokio::net::TcpListener;

use crate::functions::Functions;
use crate::gateway::{ApiRequest, ApiResponse, Gateway};
use crate::issue::{self, NotIssued, TokenDesk};
use crate::template::FunctionName;

/// API Gateway's limit of a request body: 10 MB.
const MAX_BODY: usize = 10 * 1024 * 1024;

/// Serves until `stop` resolves. With a `desk`, it issues tokens, too.
///
/// # Errors
///
/// The server fails.
pub async fn serve(
    listener: TcpListener,
    gateway: Arc<Gateway>,
    functions: Arc<Functions>,
    desk: Option<Arc<TokenDesk>>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let mut without_token = Router::new()
        .route("/2015-03-31/functions/{function}/invocations", post(invoke))
        .with_state(functions);
    if let Some(desk) = desk {
        let tokens = Router::new().route(issue::PATH, post(issue_token));
        without_token = without_token.merge(tokens.with_state(desk));
    }
    let router = Router::new()
        .fallback(through_the_gateway)
        .with_state(gateway)
        .merge(without_token.route_layer(from_fn(for_this_machine_alone)));
    axum::serve(listener, router)
        .with_graceful_shutdown(stop)
        .await
}

async fn through_the_gateway(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return gateway.too_large().into_response();
    };
    let body = (!body.is_empty()).then(|| String::from_utf8_lossy(&body).into_owned());
    let request = ApiRequest {
        method: parts.method,
        uri: parts.uri,
        headers: parts.headers,
        body,
    };
    gateway.serve(&request).await.into_response()
}

impl IntoResponse for ApiResponse {
    fn into_response(self) -> Response {
        (self.status, self.headers, self.body).into_response()
    }
}

/// Rejects requests of web pages. These paths need no token, so a page in a browser must not reach
/// them: neither from its own origin, nor through DNS rebinding, by a host name that resolves to
/// this address.
async fn for_this_machine_alone(request: Request, next: Next) -> Response {
    let headers = request.headers();
    if headers.contains_key(ORIGIN) || !headers.get(HOST).is_some_and(is_loopback) {
        return failure(StatusCode::FORBIDDEN, "web pages must not call this path");
    }
    next.run(request).await
}

/// Whether a `Host` header names this machine, with or without a port.
fn is_loopback(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else {
        return false;
    };
    let without_port = host.rsplit_once(':').map_or(host, |(name, port)| {
        let is_port = !port.is_empty() && port.bytes().all(|it| it.is_ascii_digit());
        if is_port { name } else { host }
    });
    ["127.0.0.1", "localhost", "[::1]"]
        .iter()
        .any(|name| without_port.eq_ignore_ascii_case(name))
}

/// Invokes a function as the Lambda API's `Invoke` does, for `curl` and the AWS CLI.
async fn invoke(
    State(functions): State<Arc<Functions>>,
    Path(name): Path<String>,
    payload: Bytes,
) -> Response {
    let deserializer: StrDeserializer<'_, serde::de::value::Error> = StrDeserializer::new(&name);
    let Ok(function) = FunctionName::deserialize(deserializer) else {
        return failure(
            StatusCode::NOT_FOUND,
            &format!("Function not found: {name}"),
        );
    };
    // As on Lambda, an empty payload is null.
    let payload = if payload.is_empty() {
        &b"null"[..]
    } else {
        &payload[..]
    };
    let event: &RawValue = match serde_json::from_slice(payload) {
        Ok(event) => event,
        Err(error) => return failure(StatusCode::BAD_REQUEST, &format!("not JSON: {error}")),
    };
    let invoked = functions.invoke_with_text(function, event.get(), clock::now());
    match invoked.await {
        Ok(answer) => (json_headers(), answer.to_string()).into_response(),
        Err(error) => {
            let mut headers = json_headers();
            headers.insert(
                "x-amz-function-error",
                HeaderValue::from_static("Unhandled"),
            );
            let body = json!({ "errorType": "Error", "errorMessage": error.to_string() });
            (headers, body.to_string()).into_response()
        }
    }
}

/// Creates a session and signs a token for it.
async fn issue_token(State(desk): State<Arc<TokenDesk>>, body: Bytes) -> Response {
    let asked = match serde_json::from_slice(&body) {
        Ok(asked) => asked,
        Err(error) => return failure(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    match desk.issue(asked).await {
        Ok(issued) => (json_headers(), json!(issued).to_string()).into_response(),
        Err(error) => {
            let status = match error {
                NotIssued::Request(_) | NotIssued::Id(_) => StatusCode::BAD_REQUEST,
                NotIssued::Session(_) | NotIssued::Table(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            failure(status, &error_chain(&error))
        }
    }
}

fn failure(status: StatusCode, message: &str) -> Response {
    (
        status,
        json_headers(),
        json!({ "message": message }).to_string(),
    )
        .into_response()
}

fn json_headers() -> HeaderMap {
    HeaderMap::from_iter([(
        axum::http::header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    )])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detects_loopback_host_names() {
        let is = |host: &'static str| is_loopback(&HeaderValue::from_static(host));
        for valid in [
            "127.0.0.1",
            "127.0.0.1:8080",
            "localhost:1",
            "LocalHost",
            "[::1]:8080",
        ] {
            assert!(is(valid), "{valid}");
        }
        for invalid in [
            "",
            ":",
            "page.example",
            "127.0.0.1.page.example:8080",
            "localhost.:x",
        ] {
            assert!(!is(invalid), "{invalid}");
        }
    }
}
