//! What the handlers of the monitoring API share: who calls, with what scope, and the answers.

use std::collections::HashMap;

use lambda_http::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE};
use lambda_http::http::{HeaderValue, StatusCode};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt as _, Response};
use serde::Serialize;
use serde_json::{Value, json};

use crate::ports::StoreError;

/// What a call needs to be allowed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `sessions:read`, or `sessions:admin`.
    Read,
    /// `sessions:admin`.
    Admin,
}

impl Scope {
    fn is_within(self, scope: &str) -> bool {
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
pub enum Failure {
    /// 400: the request is wrong; the sentence says how.
    #[error("{0}")]
    BadRequest(String),
    /// 403: the caller lacks the scope.
    #[error("Forbidden")]
    Forbidden,
    /// 404: there is no such call.
    #[error("Not found")]
    NotFound,
    /// 405: the path knows other methods.
    #[error("Method not allowed")]
    MethodNotAllowed,
    /// 500: our fault; the log says more.
    #[error("Internal server error")]
    Internal,
}

impl Failure {
    const fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Logs what the store says; the caller is only told that something failed.
    #[must_use]
    pub fn from_store(error: &StoreError) -> Self {
        tracing::error!(error = error.causes(), "the request failed");
        Self::Internal
    }
}

/// Lets a caller with the scope pass.
///
/// # Errors
///
/// [`Failure::Forbidden`] without the scope, or where no authorizer let the caller in.
pub fn authorize(request: &Request, scope: Scope) -> Result<Caller, Failure> {
    let context = request.request_context_ref().ok_or(Failure::Forbidden)?;
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
        (Some(user_id), Some(granted)) if scope.is_within(granted) => Ok(Caller {
            user_id: user_id.to_owned(),
        }),
        _ => Err(Failure::Forbidden),
    }
}

/// The query's parameters, which must be among `known`, each once: an option that is misspelt or
/// contradicted must not be taken for absent.
///
/// # Errors
///
/// [`Failure::BadRequest`] that names the parameter.
pub fn query(request: &Request, known: &[&str]) -> Result<HashMap<String, String>, Failure> {
    let mut parameters = HashMap::new();
    for (name, value) in request
        .query_string_parameters_ref()
        .into_iter()
        .flat_map(|it| it.iter())
    {
        if !known.contains(&name) {
            return Err(Failure::BadRequest(format!(
                "Unknown query parameter {name:?}"
            )));
        }
        if parameters
            .insert(name.to_owned(), value.to_owned())
            .is_some()
        {
            return Err(Failure::BadRequest(format!(
                "Query parameter {name:?} is given twice"
            )));
        }
    }
    Ok(parameters)
}

/// The origin whose pages may read the answers in a browser; `*` is any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorsOrigin(HeaderValue);

impl CorsOrigin {
    /// Reads an origin as browsers send it, `https://admin.example.com`: a scheme, a host and perhaps
    /// a port (RFC 6454 §6.2).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let host = ["https://", "http://"]
            .into_iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".:[]-".contains(&byte);
        if text != "*" && !host.is_some_and(|it| !it.is_empty() && it.bytes().all(allowed)) {
            return None;
        }
        HeaderValue::from_str(text).ok().map(Self)
    }
}

/// The answer as HTTP, for pages of `origin` among others.
#[must_use]
pub fn respond<T: Serialize>(
    answer: Result<T, Failure>,
    origin: Option<&CorsOrigin>,
) -> Response<Body> {
    let body = answer.and_then(|data| {
        serde_json::to_value(&data).map_err(|error| {
            tracing::error!(%error, "the answer cannot be written as JSON");
            Failure::Internal
        })
    });
    let (status, body) = match body {
        Ok(data) => (StatusCode::OK, json!({ "success": true, "data": data })),
        Err(failure) => (failure.status(), json!({ "error": failure.to_string() })),
    };
    let mut response = Response::new(Body::Text(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, const { header("application/json") });
    headers.insert(CACHE_CONTROL, const { header("no-store") });
    if let Some(CorsOrigin(origin)) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    response
}

const fn header(value: &'static str) -> HeaderValue {
    HeaderValue::from_static(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_perhaps_a_port_or_any() {
        for origin in [
            "*",
            "https://admin.example.com",
            "http://localhost:5173",
            "http://[::1]:80",
        ] {
            assert!(CorsOrigin::parse(origin).is_some(), "{origin:?}");
        }
        for other in [
            "",
            "null",
            "admin.example.com",
            "https://",
            "https://a.example/",
            "https://*",
            "https://a.example, https://b.example",
            "https://a.example\r\nx: y",
        ] {
            assert_eq!(CorsOrigin::parse(other), None, "{other:?}");
        }
    }

    #[test]
    fn admin_may_all_that_read_may_and_other_names_nothing() {
        for (granted, read, admin) in [
            ("sessions:read", true, false),
            ("sessions:admin", true, true),
            ("profile sessions:read email", true, false),
            ("sessions:administrator", false, false),
            ("sessions:read,sessions:admin", false, false),
            ("SESSIONS:ADMIN", false, false),
            ("", false, false),
        ] {
            assert_eq!(Scope::Read.is_within(granted), read, "{granted:?}");
            assert_eq!(Scope::Admin.is_within(granted), admin, "{granted:?}");
        }
    }
}
