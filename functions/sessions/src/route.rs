//! Routes of the session service.
//!
//! A route is found by the end of the path, because a custom domain or another API may have its own prefix.

use std::borrow::Cow;

use lambda_http::http::Method;
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt as _};
use percent_encoding::percent_decode_str;
use session_functions::http::ApiError;

/// Whose sessions a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner<'a> {
    /// The caller.
    Caller,
    /// The user with the ID in the path.
    User(Cow<'a, str>),
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action<'a> {
    /// `GET …/sessions`.
    List,
    /// `DELETE …/sessions/{session_id}`.
    Close(Cow<'a, str>),
    /// `POST …/sessions/revoke`.
    Revoke,
}

/// The route of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route<'a> {
    pub(crate) owner: Owner<'a>,
    pub(crate) action: Action<'a>,
}

impl<'a> Route<'a> {
    /// Finds the route of a request.
    pub(crate) fn of(request: &'a Request) -> Result<Self, ApiError> {
        // A REST API passes the path as the client sent it. An HTTP API decodes it.
        let is_decoded = matches!(
            request.request_context_ref(),
            Some(RequestContext::ApiGatewayV2(_))
        );
        Self::find(request.method(), request.raw_http_path(), is_decoded)
    }

    fn find(method: &Method, path: &'a str, is_decoded: bool) -> Result<Self, ApiError> {
        // API Gateway accepts paths with and without a slash at the end.
        let path = path.strip_suffix('/').unwrap_or(path);
        let segments: Vec<_> = path.split('/').collect();
        let id = |segment: &'a str| {
            if is_decoded {
                return Ok(Cow::Borrowed(segment));
            }
            let decoded = percent_decode_str(segment).decode_utf8();
            decoded.map_err(|_| ApiError::NotFound)
        };
        let user = |segment| id(segment).map(Owner::User);
        let (owner, action) = match (method, segments.as_slice()) {
            (&Method::GET, [.., "users", of, "sessions"]) => (user(of)?, Action::List),
            (&Method::GET, [.., "sessions"]) => (Owner::Caller, Action::List),
            (&Method::POST, [.., "users", of, "sessions", "revoke"]) => (user(of)?, Action::Revoke),
            (&Method::POST, [.., "sessions", "revoke"]) => (Owner::Caller, Action::Revoke),
            (&Method::DELETE, [.., "users", of, "sessions", session]) => {
                (user(of)?, Action::Close(id(session)?))
            }
            (&Method::DELETE, [.., "sessions", session]) => {
                (Owner::Caller, Action::Close(id(session)?))
            }
            (_, [.., "sessions"]) => return Err(ApiError::MethodNotAllowed(Method::GET)),
            (_, [.., "sessions", "revoke"]) => {
                return Err(ApiError::MethodNotAllowed(Method::POST));
            }
            (_, [.., "sessions", _]) => return Err(ApiError::MethodNotAllowed(Method::DELETE)),
            _ => return Err(ApiError::NotFound),
        };
        Ok(Self { owner, action })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(method: &Method, path: &str) -> Result<String, ApiError> {
        Route::find(method, path, false).map(|route| format!("{route:?}"))
    }

    fn route(owner: Owner<'_>, action: Action<'_>) -> String {
        format!("{:?}", Route { owner, action })
    }

    #[test]
    fn finds_each_route_below_any_prefix() {
        for prefix in ["/api/v1", "/prefix/api/v1", "/account", ""] {
            let ann = || Owner::User("ann".into());
            let of = format!("{prefix}/monitoring/users/ann/sessions");
            for (method, path, owner, action) in [
                (Method::GET, of.clone(), ann(), Action::List),
                (Method::GET, format!("{of}/"), ann(), Action::List),
                (
                    Method::DELETE,
                    format!("{of}/s1"),
                    ann(),
                    Action::Close("s1".into()),
                ),
                (Method::POST, format!("{of}/revoke"), ann(), Action::Revoke),
                (
                    Method::GET,
                    format!("{prefix}/sessions"),
                    Owner::Caller,
                    Action::List,
                ),
                (
                    Method::DELETE,
                    format!("{prefix}/sessions/s1"),
                    Owner::Caller,
                    Action::Close("s1".into()),
                ),
                (
                    Method::POST,
                    format!("{prefix}/sessions/revoke"),
                    Owner::Caller,
                    Action::Revoke,
                ),
            ] {
                assert_eq!(found(&method, &path), Ok(route(owner, action)), "{path}");
            }
        }
    }

    #[test]
    fn decodes_ids_once() {
        for (encoded, id) in [
            ("a%2Fb", "a/b"),
            ("%23", "#"),
            ("%F0%9F%98%80", "😀"),
            ("a+b", "a+b"),
            ("%2541", "%41"),
            ("100%", "100%"),
            ("sessions", "sessions"),
            ("revoke", "revoke"),
        ] {
            let path = format!("/api/v1/monitoring/users/{encoded}/sessions/{encoded}");
            let expected = route(Owner::User(id.into()), Action::Close(id.into()));
            assert_eq!(found(&Method::DELETE, &path), Ok(expected), "{path}");
            let path = format!("/api/v1/sessions/{encoded}");
            let expected = route(Owner::Caller, Action::Close(id.into()));
            assert_eq!(found(&Method::DELETE, &path), Ok(expected), "{path}");
        }
        let not_utf_8 = found(&Method::DELETE, "/api/v1/sessions/%FF");
        assert_eq!(not_utf_8, Err(ApiError::NotFound));
        let of_http_api = Route::find(&Method::DELETE, "/sessions/%41", true);
        let action = of_http_api.map(|it| it.action);
        assert_eq!(action, Ok(Action::Close("%41".into())));
    }

    #[test]
    fn rejects_other_methods_and_paths() {
        for (path, allowed) in [
            ("/api/v1/sessions", Method::GET),
            ("/api/v1/monitoring/users/ann/sessions", Method::GET),
            ("/api/v1/sessions/revoke", Method::POST),
            ("/api/v1/monitoring/users/ann/sessions/revoke", Method::POST),
            ("/api/v1/sessions/s1", Method::DELETE),
        ] {
            let error = ApiError::MethodNotAllowed(allowed);
            for method in [Method::HEAD, Method::PUT, Method::PATCH] {
                assert_eq!(found(&method, path), Err(error.clone()), "{path}");
            }
        }
        for path in ["/", "/api/v1/monitoring/users/ann", "/sessions/s1/more"] {
            assert_eq!(found(&Method::GET, path), Err(ApiError::NotFound), "{path}");
        }
    }
}
