//! Responses that the proxy makes itself, in DynamoDB's own form.

use axum::body::Body;
use axum::http::Response;
use axum::http::header::CONTENT_TYPE;
use serde_json::{Value, json};

/// The message of each injected error.
const MESSAGE: &str = "injected by the test";

const DYNAMODB_JSON: &str = "application/x-amz-json-1.0";

/// The body of an error response.
pub(super) fn error(code: &str) -> Value {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{code}");
    json!({ "__type": kind, "message": MESSAGE })
}

/// The result of a failed statement in a `BatchExecuteStatement` response.
pub(super) fn statement_error(code: &str) -> Value {
    json!({ "Error": { "Code": code, "Message": MESSAGE } })
}

/// A response in DynamoDB's JSON.
pub(super) fn json_response(status: u16, body: &Value) -> Response<Body> {
    response(status, DYNAMODB_JSON, body.to_string())
}

/// A response of any content type.
pub(super) fn response(status: u16, content_type: &str, body: String) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, content_type)
        .body(Body::from(body))
        .expect("a valid response")
}
