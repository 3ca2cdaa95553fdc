//! The gateway on a port, and beside it Lambda's own path to invoke a function.

use std::sync::Arc;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Deserialize as _;
use serde::de::value::StrDeserializer;
use serde_json::json;
use serde_json::value::RawValue;
use session_lifecycle::clock;
use tokio::net::TcpListener;

use crate::functions::Functions;
use crate::gateway::{ApiRequest, ApiResponse, Gateway};
use crate::template::FunctionName;

/// API Gateway takes 10 MB.
const LARGEST_BODY: usize = 10 * 1024 * 1024;

/// Serves until `stop` resolves.
///
/// # Errors
///
/// The system's.
pub async fn serve(
    listener: TcpListener,
    gateway: Arc<Gateway>,
    functions: Arc<Functions>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new()
        .fallback(through_the_gateway)
        .with_state(gateway)
        .merge(
            Router::new()
                .route("/2015-03-31/functions/{function}/invocations", post(invoke))
                .with_state(functions),
        );
    axum::serve(listener, router)
        .with_graceful_shutdown(stop)
        .await
}

async fn through_the_gateway(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
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

/// Invokes a function as the Lambda API does (Invoke), so that `curl` and the AWS CLI can.
async fn invoke(
    State(functions): State<Arc<Functions>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    payload: Bytes,
) -> Response {
    // Nobody has to show a token here: a page in a browser must not be able to.
    if headers.contains_key(ORIGIN) {
        return failure(StatusCode::FORBIDDEN, "not for pages of a browser");
    }
    let deserializer: StrDeserializer<'_, serde::de::value::Error> = StrDeserializer::new(&name);
    let Ok(function) = FunctionName::deserialize(deserializer) else {
        return failure(
            StatusCode::NOT_FOUND,
            &format!("Function not found: {name}"),
        );
    };
    // The API takes no payload for null.
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
