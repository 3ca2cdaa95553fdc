//! Source of keys: a JWK Set (RFC 7517 §5) that an identity provider serves.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::HttpError;
use http::Uri;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use jsonwebtoken::Algorithm;
use session_domain::Timestamp;
use session_lifecycle::clock::Deadline;
use session_token::keys::{
    BoxError, Fetch, FetchError, FetchKeys, Fetched, InvalidJwks, JwkSet, UnusedKeys, read_jwks,
};

/// Maximum size of a document.
const MAX_DOCUMENT_BYTES: usize = 256 * 1024;

/// Cache lifetime of a set if the server specifies none.
const DEFAULT_TTL_SECONDS: i64 = 300;

/// Maximum cache lifetime, whatever the server says.
const MAX_TTL_SECONDS: i64 = 3_600;

/// Minimum cache lifetime, even if the server forbids caching: a fetch for each request would be slow,
/// and would overload the server.
const MIN_TTL_SECONDS: i64 = 30;

/// URL of a JWK Set: over HTTPS, or on loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwksUrl(Uri);

impl JwksUrl {
    /// Parses a URL. Plain HTTP is accepted on loopback only, because anyone who can change the
    /// response can sign tokens.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let url: Uri = text.parse().ok()?;
        // Credentials would be logged.
        if url.authority()?.as_str().contains('@') {
            return None;
        }
        let host = url.host().filter(|host| !host.is_empty())?;
        let address = host.trim_start_matches('[').trim_end_matches(']');
        let loopback = host.eq_ignore_ascii_case("localhost")
            || address.parse().is_ok_and(|it: IpAddr| it.is_loopback());
        match url.scheme_str() {
            Some("https") => Some(Self(url)),
            Some("http") if loopback => Some(Self(url)),
            _ => None,
        }
    }
}

/// A server that publishes a JWK Set.
#[derive(Debug)]
pub struct JwksEndpoint {
    connector: Connector,
    url: JwksUrl,
    algorithm: Algorithm,
    /// The keys that the log has named as unused, so that it names them once and not at each fetch.
    logged: Mutex<UnusedKeys>,
}

impl JwksEndpoint {
    /// A server at `url` that publishes keys for `algorithm`.
    #[must_use]
    pub fn new(url: JwksUrl, algorithm: Algorithm) -> Self {
        let connector = Connector::builder();
        let connector = if url.0.scheme_str() == Some("https") {
            let tls = Provider::Rustls(CryptoMode::AwsLc);
            connector.tls_provider(tls).build()
        } else {
            connector.build_http()
        };
        Self {
            connector,
            url,
            algorithm,
            logged: Mutex::default(),
        }
    }

    async fn fetch_set(&self, deadline: Deadline) -> Result<Fetched, FetchError> {
        let fetched = tokio::time::timeout(deadline.remaining(), self.keys()).await;
        fetched.unwrap_or(Err(Cause::Timeout)).map_err(|source| {
            let url = self.url.0.clone();
            FetchError::transient(JwksError { url, source })
        })
    }

    /// The keys, with their cache lifetime.
    async fn keys(&self) -> Result<Fetched, Cause> {
        let (document, ttl_seconds) = self.document().await?;
        let JwkSet { keys, unused } = read_jwks(&document, self.algorithm)?;
        self.log_changes(unused);
        // A provider that serves no keys for a moment must not invalidate all tokens.
        if keys.is_empty() {
            return Err(Cause::NoUsableKey(self.algorithm));
        }
        Ok(Fetched { keys, ttl_seconds })
    }

    fn log_changes(&self, unused: UnusedKeys) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if *logged != unused {
            unused.log();
            *logged = unused;
        }
    }

    /// The document, and its cache lifetime in seconds.
    async fn document(&self) -> Result<(Vec<u8>, i64), Cause> {
        let mut request = HttpRequest::get(self.url.0.to_string())?;
        request.headers_mut().insert("accept", "application/json");
        request.headers_mut().insert("accept-encoding", "identity");
        let response = self.connector.call(request).await?;
        // Redirects are errors, too: their target is not the configured URL.
        if response.status().as_u16() != 200 {
            return Err(Cause::Status(response.status().as_u16()));
        }
        let coding = response.headers().get("content-encoding");
        if let Some(coding) = coding.filter(|it| !it.eq_ignore_ascii_case("identity")) {
            return Err(Cause::Compressed(coding.to_owned()));
        }
        let ttl_seconds = freshness_lifetime(&response);
        let body = Limited::new(response.into_body(), MAX_DOCUMENT_BYTES)
            .collect()
            .await
            .map_err(|error| {
                if error.is::<LengthLimitError>() {
                    Cause::TooLarge
                } else {
                    Cause::Body(error)
                }
            })?;
        Ok((body.to_bytes().into(), ttl_seconds))
    }
}

/// Error of fetching a JWK Set.
#[derive(Debug, thiserror::Error)]
#[error("no JWK Set from {url}")]
struct JwksError {
    url: Uri,
    source: Cause,
}

/// What was wrong with the server or its response.
#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("no answer in time")]
    Timeout,
    #[error("the request is invalid")]
    Request(#[from] HttpError),
    #[error("the server could not be reached")]
    Connection(#[from] ConnectorError),
    #[error("the status is {0}")]
    Status(u16),
    #[error("the document is compressed (content-encoding: {0}), although that was not asked for")]
    Compressed(String),
    #[error("the document is larger than {} KiB", MAX_DOCUMENT_BYTES / 1024)]
    TooLarge,
    #[error("the document could not be read")]
    Body(#[source] BoxError),
    #[error(transparent)]
    Invalid(#[from] InvalidJwks),
    #[error("the JWK Set has no usable key for {0:?}")]
    NoUsableKey(Algorithm),
}

impl FetchKeys for JwksEndpoint {
    fn fetch(
        &self,
        _: Timestamp,
        timeout: Duration,
    ) -> Pin<Box<dyn Future<Output = Fetch> + Send + '_>> {
        super::measured(timeout, |deadline| self.fetch_set(deadline))
    }
}

/// Freshness lifetime of a response in seconds (RFC 9111 §4.2, §5.2.2), within our own limits.
fn freshness_lifetime(response: &HttpResponse) -> i64 {
    let headers = response.headers();
    let mut lifetime = None;
    for directive in headers
        .get_all("cache-control")
        .flat_map(|it| it.split(','))
    {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return MIN_TTL_SECONDS,
            "max-age" => lifetime = value.trim().trim_matches('"').parse::<u32>().ok(),
            _ => {}
        }
    }
    let age = headers
        .get("age")
        .and_then(|age| age.trim().parse::<u32>().ok());
    match lifetime {
        None => DEFAULT_TTL_SECONDS,
        Some(max_age) => match i64::from(max_age) - i64::from(age.unwrap_or(0)) {
            ..=0 => MIN_TTL_SECONDS,
            left => left.min(MAX_TTL_SECONDS),
        },
    }
}
