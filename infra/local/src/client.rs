//! An HTTP client for JSON, for the demo and the tests.

use axum::body::Bytes;
use axum::http::header::AUTHORIZATION;
use axum::http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// An HTTP client for JSON.
#[derive(Debug, Clone)]
pub struct JsonClient(Client<HttpConnector, Full<Bytes>>);

impl Default for JsonClient {
    fn default() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }
}

impl JsonClient {
    /// Sends a request, with a bearer token if given. Returns status and body.
    ///
    /// # Errors
    ///
    /// The server cannot be reached, or its response is not JSON.
    pub async fn call(
        &self,
        method: Method,
        url: &str,
        token: Option<&str>,
        body: impl Into<Bytes>,
    ) -> Result<(u16, Value), Box<dyn std::error::Error + Send + Sync>> {
        let mut request = Request::builder().method(method).uri(url);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let response = self
            .0
            .request(request.body(Full::new(body.into()))?)
            .await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, serde_json::from_slice(&body)?))
    }
}
