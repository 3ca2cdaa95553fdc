//! Requests and responses of the monitoring API: caller, scope, query parameters, JSON.
//!
//! `lambda_http` converts events to requests. It panics on two kinds of events:
//!
//! - a body that is marked as base64 but is not base64. API Gateway never sends one, because it
//!   encodes the body itself.
//! - a query above 64 KB. API Gateway never sends one, because it accepts at most 10,240 bytes of
//!   request line and headers.
//!
//! A principal that may invoke the function directly can send both. Such an invocation fails with an
//! error; the next one works.

mod caller;

use std::borrow::Cow;
use std::collections::HashMap;

use lambda_http::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_TYPE, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use lambda_http::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use lambda_http::{Body, Request, RequestExt as _, Response};
use serde::Serialize;
use serde_json::json;

pub use self::caller::{Caller, Scope, ScopeNames, authorize, caller};
use session_lifecycle::ports::StoreError;

/// Error response. Its message is the `error` of the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// 400: the request is invalid. The message says why.
    #[error("{0}")]
    BadRequest(String),
    /// 403: the caller does not have the scope.
    #[error("Forbidden")]
    Forbidden,
    /// 404: the path does not exist.
    #[error("Not found")]
    NotFound,
    /// 404: the user has no such session.
    #[error("Session not found")]
    SessionNotFound,
    /// 405: the path supports only this method.
    #[error("Method not allowed")]
    MethodNotAllowed(Method),
    /// 500: the call failed. The cause is in the log only.
    #[error("Internal server error")]
    Internal,
}

impl ApiError {
    const fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound | Self::SessionNotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Logs an error of the store. The response does not contain it.
    #[must_use]
    pub fn from_store(error: &StoreError) -> Self {
        tracing::error!(error = error.error_chain(), "the request failed");
        Self::Internal
    }
}

/// Returns the query parameters.
///
/// Unknown and duplicate parameters are rejected, so that a misspelt option is not ignored.
///
/// # Errors
///
/// [`ApiError::BadRequest`] with the name of a parameter that is not in `known`, or that is given
/// twice.
pub fn query(request: &Request, known: &[&str]) -> Result<HashMap<String, String>, ApiError> {
    let mut parameters = HashMap::new();
    for (name, value) in request
        .query_string_parameters_ref()
        .into_iter()
        .flat_map(|it| it.iter())
    {
        if !known.contains(&name) {
            return Err(ApiError::BadRequest(format!(
                "Unknown query parameter {name:?}"
            )));
        }
        if parameters
            .insert(name.to_owned(), value.to_owned())
            .is_some()
        {
            return Err(ApiError::BadRequest(format!(
                "Query parameter {name:?} is given twice"
            )));
        }
    }
    Ok(parameters)
}

/// Whether a body is empty, or what some clients send instead of none.
#[must_use]
pub fn is_empty_body(body: &[u8]) -> bool {
    matches!(body.trim_ascii(), b"" | b"{}" | b"null")
}

/// Origin whose pages may read the responses in a browser: `CORS_ORIGIN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedOrigin(HeaderValue);

impl AllowedOrigin {
    /// Parses `*` or an origin in the form that browsers send: scheme and host, and the port unless
    /// it is the default of the scheme (RFC 6454 §7).
    #[must_use]
    pub fn parse(origin: &str) -> Option<Self> {
        let is_origin = || {
            let uri: Uri = origin.parse().ok()?;
            let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
            let whole = format!("{scheme}://{authority}");
            let is_plain = matches!(scheme, "http" | "https") && !authority.as_str().contains('@');
            (is_plain && whole == origin).then_some(())
        };
        if origin != "*" {
            is_origin()?;
        }
        HeaderValue::from_str(origin).ok().map(Self)
    }
}

/// Builds a JSON response: `data` or an `error`. Pages of `origin` may read it.
#[must_use]
pub fn respond<T: Serialize>(
    result: Result<T, ApiError>,
    origin: Option<&AllowedOrigin>,
) -> Response<Body> {
    let body = result.and_then(|data| {
        serde_json::to_value(&data).map_err(|error| {
            tracing::error!(%error, "could not serialize the response as JSON");
            ApiError::Internal
        })
    });
    let (body, error) = match body {
        Ok(data) => (json!({ "success": true, "data": data }), None),
        Err(error) => (json!({ "error": error.to_string() }), Some(error)),
    };
    let mut raw = RawBody::new("application/json", body.to_string());
    if let Some(ApiError::MethodNotAllowed(method)) = &error {
        let allow = HeaderValue::from_str(method.as_str());
        raw.headers.extend(allow.ok().map(|it| (ALLOW, it)));
    }
    let mut response = respond_raw(raw, origin);
    *response.status_mut() = error.map_or(StatusCode::OK, |it| it.status());
    response
}

/// Body of a response that is not `data` or `error`: the page, CSV, the API description.
#[derive(Debug)]
pub struct RawBody {
    /// Media type.
    pub content_type: HeaderValue,
    /// Which caches may store it, and for how long (RFC 9111 §5.2.2).
    pub cache_control: HeaderValue,
    /// Additional headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Content.
    pub text: Cow<'static, str>,
}

impl RawBody {
    /// A body that no cache may store, without additional headers.
    #[must_use]
    pub fn new(content_type: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            content_type: HeaderValue::from_static(content_type),
            cache_control: const { HeaderValue::from_static("no-store") },
            headers: Vec::new(),
            text: text.into(),
        }
    }

    /// A body that is the same for all callers until the next deployment. Browsers and caches may
    /// store it for five minutes, so they have a new version at most five minutes late.
    #[must_use]
    pub fn public(content_type: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            cache_control: const { HeaderValue::from_static("public, max-age=300") },
            ..Self::new(content_type, text)
        }
    }
}

/// Builds a response from a raw body. Pages of `origin` may read it.
#[must_use]
pub fn respond_raw(body: RawBody, origin: Option<&AllowedOrigin>) -> Response<Body> {
    let mut response = Response::new(Body::Text(body.text.into_owned()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, body.content_type);
    headers.insert(CACHE_CONTROL, body.cache_control);
    // Without includeSubDomains, because subdomains do not belong to the API (RFC 6797 §6.1).
    headers.insert(
        STRICT_TRANSPORT_SECURITY,
        const { HeaderValue::from_static("max-age=31536000") },
    );
    // Prevents MIME sniffing.
    headers.insert(
        X_CONTENT_TYPE_OPTIONS,
        const { HeaderValue::from_static("nosniff") },
    );
    if let Some(AllowedOrigin(origin)) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    headers.extend(body.headers);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_origin_of_scheme_and_host_only() {
        for origin in ["*", "https://a.example", "http://127.0.0.1:8080"] {
            assert!(AllowedOrigin::parse(origin).is_some(), "{origin}");
        }
        for wrong in [
            "",
            "a.example",
            "https://a.example/",
            "https://a.example/path",
            "https://me@a.example",
            "https://a.example, https://b.example",
            "ftp://a.example",
            "https://",
            "null",
            "* ",
        ] {
            assert!(AllowedOrigin::parse(wrong).is_none(), "{wrong}");
        }
    }
}
