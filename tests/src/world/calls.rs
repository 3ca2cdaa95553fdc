//! Invoking the functions of a world, directly and through the gateway.

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;
use session_cleanup_local::gateway::ApiRequest;
use session_cleanup_local::template::FunctionName;
use session_cleanup_local::tokens::Bearer;

use super::World;
use crate::clock::{HOUR, NOW, at};
use crate::log;

/// Paths of the monitoring API.
pub const STATS: &str = "/api/v1/monitoring/sessions/stats";
pub const CLEANUP: &str = "/api/v1/monitoring/sessions/cleanup";
pub const CLEANUPS: &str = "/api/v1/monitoring/sessions/cleanups";

impl World {
    /// Invokes the cleanup at `now`.
    pub async fn clean_up(&self, event: Value, now: i64) -> Value {
        self.functions
            .invoke(FunctionName::Cleanup, &event, at(now))
            .await
            .expect("the cleanup succeeds")
    }

    /// Signs a token that is valid for an hour after [`NOW`].
    #[must_use]
    pub fn token(&self, user: &str, session: &str, scope: &str) -> String {
        self.tokens.sign(Bearer {
            user,
            session,
            scope,
            expires_at: at(NOW + HOUR),
        })
    }

    /// Creates a live session and signs a token for it.
    pub async fn login(&self, user: &str, scope: &str) -> String {
        self.open(user, "login", NOW + HOUR).await;
        self.token(user, "login", scope)
    }

    /// Calls the API at [`NOW`] through gateway and authorizer. Returns status and body.
    pub async fn call(&self, method: Method, path: &str, token: Option<&str>) -> (u16, Value) {
        let headers = token.map(bearer).unwrap_or_default();
        self.call_with(method, path, headers).await
    }

    /// Sends a body to the API at [`NOW`]. Returns status and body.
    pub async fn post(&self, path: &str, token: &str, body: &str) -> (u16, Value) {
        let (headers, body) = (bearer(token), Some(body.to_owned()));
        self.send(Method::POST, path, headers, body).await
    }

    /// Calls the API at [`NOW`] with these headers. Returns status and body.
    pub async fn call_with(&self, method: Method, path: &str, headers: HeaderMap) -> (u16, Value) {
        self.send(method, path, headers, None).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Option<String>,
    ) -> (u16, Value) {
        let values = headers.values().filter_map(|it| it.to_str().ok());
        values.for_each(log::forbid_header_value);
        let uri = path.parse().expect("a path");
        let request = ApiRequest {
            method,
            uri,
            headers,
            body,
        };
        let response = self.gateway.serve_at(&request, at(NOW)).await;
        let body = serde_json::from_str(&response.body).expect("the body is JSON");
        (response.status.as_u16(), body)
    }
}

/// The header `Authorization` with a token.
fn bearer(token: &str) -> HeaderMap {
    let value = HeaderValue::try_from(format!("Bearer {token}")).expect("a header value");
    [(AUTHORIZATION, value)].into_iter().collect()
}
