//! The endpoint of a JWK Set (RFC 7517 §5) that an identity provider serves, and rotates.

use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use http::Uri;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use jsonwebtoken::Algorithm;
use session_domain::{Timestamp, error_chain};
use session_lifecycle::clock::Deadline;
use session_token::keys::{Fetch, FetchError, FetchKeys, Fetched, read_jwks};

/// The largest document that is read, in bytes.
const MAX_DOCUMENT_BYTES: usize = 256 * 1024;

/// For how long a set is believed where its server says nothing of it.
const DEFAULT_TTL_SECONDS: i64 = 300;

/// For how long at the most, whatever its server says.
const MAX_TTL_SECONDS: i64 = 3_600;

/// For how long where its server forbids to keep it at all: a fetch for each request would be slow,
/// and hard on the server.
const MIN_TTL_SECONDS: i64 = 30;

/// Where a JWK Set is served: over HTTPS, or on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwksUrl(Uri);

impl JwksUrl {
    /// Reads a URL. Plain HTTP is for loopback alone, for whoever can change the answer can sign.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let url: Uri = text.parse().ok()?;
        // Credentials would stand in the log.
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

/// The server of a JWK Set.
#[derive(Debug)]
pub struct JwksEndpoint {
    connector: Connector,
    url: JwksUrl,
    algorithm: Algorithm,
}

impl JwksEndpoint {
    /// The server at `url`, of keys for `algorithm`.
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
        }
    }

    async fn fetch_set(&self, timeout: Duration) -> Result<Fetched, FetchError> {
        let transient = |why: &str| FetchError::Transient(format!("{}: {why}", self.url.0));
        let fetched = tokio::time::timeout(timeout, self.document()).await;
        let (document, ttl_seconds) = fetched
            .map_err(|_| transient("no answer in time"))?
            .map_err(|why| transient(&why))?;
        let keys = read_jwks(&document, self.algorithm).map_err(|it| transient(&it.to_string()))?;
        // A provider that loses its keys for a moment must not log everybody out.
        if keys.is_empty() {
            let why = format!("the JWK Set has no usable key for {:?}", self.algorithm);
            return Err(transient(&why));
        }
        Ok(Fetched { keys, ttl_seconds })
    }

    /// The document, and for how many seconds it may be kept.
    async fn document(&self) -> Result<(Vec<u8>, i64), String> {
        let mut request = HttpRequest::get(self.url.0.to_string()).map_err(|it| it.to_string())?;
        request.headers_mut().insert("accept", "application/json");
        request.headers_mut().insert("accept-encoding", "identity");
        let response = self.connector.call(request).await;
        let response = response.map_err(|error| error_chain(&error))?;
        // A redirect, too: where it leads to is not what was configured.
        if response.status().as_u16() != 200 {
            return Err(format!("the status is {}", response.status().as_u16()));
        }
        let coding = response.headers().get("content-encoding");
        if let Some(coding) = coding.filter(|it| !it.eq_ignore_ascii_case("identity")) {
            return Err(format!(
                "the document is compressed (content-encoding: {coding}), although that was not asked for"
            ));
        }
        let ttl_seconds = freshness_lifetime(&response);
        let body = Limited::new(response.into_body(), MAX_DOCUMENT_BYTES)
            .collect()
            .await;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                format!(
                    "the document is larger than {} KiB",
                    MAX_DOCUMENT_BYTES / 1024
                )
            } else {
                error_chain(&*error)
            }
        })?;
        Ok((body.to_bytes().into(), ttl_seconds))
    }
}

impl FetchKeys for JwksEndpoint {
    fn fetch(
        &self,
        _: Timestamp,
        timeout: Duration,
    ) -> Pin<Box<dyn Future<Output = Fetch> + Send + '_>> {
        Box::pin(async move {
            let deadline = Deadline::after(timeout);
            let outcome = self.fetch_set(timeout).await;
            let took = deadline.elapsed();
            Fetch { outcome, took }
        })
    }
}

/// For how long an answer is fresh (RFC 9111 §4.2, §5.2.2), within our own limits.
fn freshness_lifetime(response: &HttpResponse) -> i64 {
    let headers = response.headers();
    let mut said = None;
    for directive in headers
        .get_all("cache-control")
        .flat_map(|it| it.split(','))
    {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return MIN_TTL_SECONDS,
            "max-age" => said = value.trim().trim_matches('"').parse::<u32>().ok(),
            _ => {}
        }
    }
    let age = headers
        .get("age")
        .and_then(|age| age.trim().parse::<u32>().ok());
    match said {
        None => DEFAULT_TTL_SECONDS,
        Some(max_age) => match i64::from(max_age) - i64::from(age.unwrap_or(0)) {
            ..=0 => MIN_TTL_SECONDS,
            left => left.min(MAX_TTL_SECONDS),
        },
    }
}
