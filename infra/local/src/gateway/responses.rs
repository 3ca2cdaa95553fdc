//! The responses of the gateway: its own, and those of the functions.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::ApiResponse;
use crate::template::GatewayResponse;

/// The gateway responses, the cases in which API Gateway itself responds.
#[derive(Clone, Copy)]
pub(super) enum GatewayResponseType {
    /// No route has this method and path.
    MissingAuthenticationToken,
    /// The header that the authorizer needs is missing. The authorizer is not invoked.
    Unauthorized,
    /// The authorizer denied the request.
    AccessDenied,
    /// The authorizer failed.
    AuthorizerFailure,
    /// The function of the route failed.
    HandlerFailure,
    /// The request is malformed HTTP.
    BadRequest,
    /// The body exceeds the gateway's limit.
    RequestTooLarge,
}

impl GatewayResponseType {
    /// Name, default status and default message, as in API Gateway.
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

/// A gateway response, as the template configures it.
pub(super) fn gateway_response(
    responses: &BTreeMap<String, GatewayResponse>,
    case: GatewayResponseType,
    context: &Value,
) -> ApiResponse {
    let (kind, status, message) = case.parts();
    let default = if status < 500 {
        "DEFAULT_4XX"
    } else {
        "DEFAULT_5XX"
    };
    let configured = responses.get(kind).or_else(|| responses.get(default));
    let status = configured.and_then(|it| it.status).unwrap_or(status);
    let template = configured
        .and_then(|it| it.body.as_deref())
        .unwrap_or(r#"{"message":$context.error.messageString}"#);
    // API Gateway substitutes variables only, and quotes only its own message.
    let denial = context["error"].as_str().unwrap_or_default();
    let body = template
        .replace("$context.error.messageString", &json!(message).to_string())
        .replace("$context.authorizer.error", denial);
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

/// The response of a function, or `None` if it is not a valid proxy response.
pub(super) fn response(answer: &Value) -> Option<ApiResponse> {
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
