//! What the handlers of the monitoring API share: who calls, with what scope, and the answers.
//!
//! Events become requests in `lambda_http`. It panics over two kinds that API Gateway does not
//! send: a body that is marked as base64 and is none, for API Gateway encodes it itself, and a
//! query above 64 KB, for API Gateway takes 10,240 bytes of request line and headers. Whoever may
//! invoke a function can send them. The runtime makes an error of that invocation, and serves the
//! next one.

use std::borrow::Cow;
use std::collections::HashMap;

use lambda_http::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_TYPE, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use lambda_http::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt as _, Response};
use serde::Serialize;
use serde_json::{Value, json};

use session_lifecycle::ports::StoreError;

/// What a call needs to be allowed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `sessions:read`, or `sessions:admin`.
    Read,
    /// `sessions:admin`.
    Admin,
}

impl Scope {
    fn is_granted_by(self, scope: &str) -> bool {
        scope.split(' ').any(|name| match self {
            Self::Read => matches!(name, "sessions:read" | "sessions:admin"),
            Self::Admin => name == "sessions:admin",
        })
    }
}

/// The user that the authorizer let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Their user id.
    pub user_id: String,
}

/// The answer to a call that cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// 400: the request is wrong; the sentence says how.
    #[error("{0}")]
    BadRequest(String),
    /// 403: the caller lacks the scope.
    #[error("Forbidden")]
    Forbidden,
    /// 404: there is no such call.
    #[error("Not found")]
    NotFound,
    /// 405: the path knows this method alone.
    #[error("Method not allowed")]
    MethodNotAllowed(Method),
    /// 500: our fault; the log says more.
    #[error("Internal server error")]
    Internal,
}

impl ApiError {
    const fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Logs what the store says; the caller is only told that something failed.
    #[must_use]
    pub fn from_store(error: &StoreError) -> Self {
        tracing::error!(error = error.error_chain(), "the request failed");
        Self::Internal
    }
}

/// Lets a caller with the scope pass.
///
/// # Errors
///
/// [`ApiError::Forbidden`] without the scope, or where no authorizer let the caller in.
pub fn authorize(request: &Request, scope: Scope) -> Result<Caller, ApiError> {
    let context = request.request_context_ref().ok_or(ApiError::Forbidden)?;
    let fields = match context {
        RequestContext::ApiGatewayV1(rest) => Some(&rest.authorizer.fields),
        RequestContext::ApiGatewayV2(http) => http.authorizer.as_ref().map(|it| &it.fields),
        _ => None,
    };
    let text = |name: &str| {
        fields
            .and_then(|fields| fields.get(name))
            .and_then(Value::as_str)
    };
    match (text("user_id"), text("scope")) {
        (Some(user_id), Some(granted)) if scope.is_granted_by(granted) => Ok(Caller {
            user_id: user_id.to_owned(),
        }),
        _ => Err(ApiError::Forbidden),
    }
}

/// The query's parameters, which must be among `known`, each once: an option that is misspelt or
/// contradicted must not be taken for absent.
///
/// # Errors
///
/// [`ApiError::BadRequest`] that names the parameter.
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

/// The pages whose browsers may read the answers: `CORS_ORIGIN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedOrigin(HeaderValue);

impl AllowedOrigin {
    /// `*`, or an origin as browsers write it: scheme and host, and a port where it is not the
    /// scheme's own (RFC 6454 §7).
    #[must_use]
    pub fn parse(origin: &str) -> Option<Self> {
        let is_one = || {
            let uri: Uri = origin.parse().ok()?;
            let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
            let whole = format!("{scheme}://{authority}");
            let plain = matches!(scheme, "http" | "https") && !authority.as_str().contains('@');
            (plain && whole == origin).then_some(())
        };
        if origin != "*" {
            is_one()?;
        }
        HeaderValue::from_str(origin).ok().map(Self)
    }
}

/// The answer as HTTP, for browsers of `origin` too.
#[must_use]
pub fn respond<T: Serialize>(
    answer: Result<T, ApiError>,
    origin: Option<&AllowedOrigin>,
) -> Response<Body> {
    let body = answer.and_then(|data| {
        serde_json::to_value(&data).map_err(|error| {
            tracing::error!(%error, "the answer cannot be written as JSON");
            ApiError::Internal
        })
    });
    let (body, error) = match body {
        Ok(data) => (json!({ "success": true, "data": data }), None),
        Err(error) => (json!({ "error": error.to_string() }), Some(error)),
    };
    let mut document = RawBody::new("application/json", body.to_string());
    if let Some(ApiError::MethodNotAllowed(method)) = &error {
        let allow = HeaderValue::from_str(method.as_str());
        document.headers.extend(allow.ok().map(|it| (ALLOW, it)));
    }
    let mut response = respond_raw(document, origin);
    *response.status_mut() = error.map_or(StatusCode::OK, |it| it.status());
    response
}

/// What is answered as it is: a page, a table, a description.
#[derive(Debug)]
pub struct RawBody {
    /// Its media type.
    pub content_type: HeaderValue,
    /// Who may store it, and for how long (RFC 9111 §5.2.2).
    pub cache_control: HeaderValue,
    /// Headers of its own.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The text.
    pub text: Cow<'static, str>,
}

impl RawBody {
    /// A document that nobody may store, without headers of its own.
    #[must_use]
    pub fn new(content_type: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            content_type: HeaderValue::from_static(content_type),
            cache_control: const { HeaderValue::from_static("no-store") },
            headers: Vec::new(),
            text: text.into(),
        }
    }

    /// A document that is the same for everybody until the next deployment. Browsers and caches
    /// may store it for five minutes, so a new one is not late by more than that.
    #[must_use]
    pub fn public(content_type: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            cache_control: const { HeaderValue::from_static("public, max-age=300") },
            ..Self::new(content_type, text)
        }
    }
}

/// The document as HTTP, for browsers of `origin` too.
#[must_use]
pub fn respond_raw(document: RawBody, origin: Option<&AllowedOrigin>) -> Response<Body> {
    let mut response = Response::new(Body::Text(document.text.into_owned()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, document.content_type);
    headers.insert(CACHE_CONTROL, document.cache_control);
    // For this host alone: the names below it are not the API's to speak for (RFC 6797 §6.1).
    headers.insert(
        STRICT_TRANSPORT_SECURITY,
        const { HeaderValue::from_static("max-age=31536000") },
    );
    // Nothing here is to be taken for anything but what its type says.
    headers.insert(
        X_CONTENT_TYPE_OPTIONS,
        const { HeaderValue::from_static("nosniff") },
    );
    if let Some(AllowedOrigin(origin)) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    headers.extend(document.headers);
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

    #[test]
    fn admin_scope_includes_read_and_other_scopes_grant_nothing() {
        for (granted, read, admin) in [
            ("sessions:read", true, false),
            ("sessions:admin", true, true),
            ("profile sessions:read email", true, false),
            ("sessions:administrator", false, false),
            ("sessions:read,sessions:admin", false, false),
            ("SESSIONS:ADMIN", false, false),
            ("", false, false),
        ] {
            assert_eq!(Scope::Read.is_granted_by(granted), read, "{granted:?}");
            assert_eq!(Scope::Admin.is_granted_by(granted), admin, "{granted:?}");
        }
    }
}
