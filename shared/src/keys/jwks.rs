//! A JWK Set (RFC 7517 §5) that an identity provider serves, and rotates.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use http::Uri;
use http_body_util::{BodyExt as _, Limited};
use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::{FetchError, FetchKeys, Fetched, KeySet, VerifyingKey};
use crate::domain::Timestamp;
use crate::json::read_object;
use crate::ports::causes;

/// How long a fetch may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// The largest document that is read, in bytes.
const LARGEST: usize = 256 * 1024;

/// For how long a set is believed where its server says nothing of it.
const USUAL_FRESH_SECONDS: i64 = 300;

/// For how long at the most, whatever its server says.
const LONGEST_FRESH_SECONDS: i64 = 3_600;

/// For how long where its server forbids to keep it at all: a fetch for each request would be slow,
/// and hard on the server.
const LEAST_FRESH_SECONDS: i64 = 30;

/// The members of a JWK that only a private or a symmetric key has (RFC 7518 §6.2.2, §6.3.2, §6.4).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

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

/// Why a document is no JWK Set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a JWK Set: no JSON object with the array \"keys\", or a name stands twice in it")]
pub struct InvalidJwks;

/// Reads the keys of a JWK Set that may verify tokens of `algorithm`. Keys for something else are
/// passed over (RFC 7517 §5). Private and symmetric ones, and those that share their `kid` with
/// another, are refused: whoever publishes them has lost control of them.
///
/// # Errors
///
/// What is no JWK Set.
pub fn read_jwks(document: &[u8], algorithm: Algorithm) -> Result<KeySet, InvalidJwks> {
    let mut document: Map<String, Value> = read_object(document).ok_or(InvalidJwks)?;
    let Some(Value::Array(keys)) = document.remove("keys") else {
        return Err(InvalidJwks);
    };
    let kid_of = |key: &Value| Some(key.get("kid")?.as_str()?.to_owned());
    let mut sharing = HashMap::<_, u32>::new();
    for key in &keys {
        *sharing.entry(kid_of(key)).or_default() += 1;
    }
    let mut named = Vec::new();
    for key in keys {
        let kid = kid_of(&key);
        let refused = if PRIVATE.iter().any(|name| key.get(name).is_some()) {
            "it is private or symmetric"
        } else if sharing.get(&kid).is_some_and(|keys| *keys > 1) {
            "it shares its kid with another"
        } else {
            let Some(jwk) = fitting(key, algorithm) else {
                continue;
            };
            match VerifyingKey::from_parameters(algorithm, &jwk.algorithm) {
                Some(key) => {
                    named.push((jwk.common.key_id, key));
                    continue;
                }
                None => "it is no sound key for the algorithm",
            }
        };
        tracing::warn!(kid, why = refused, "a key of the JWK Set is refused");
    }
    if named.is_empty() {
        tracing::error!(?algorithm, "the JWK Set has no key for the algorithm");
    }
    Ok(KeySet::Named(named))
}

/// The key, if all that it says of its purpose (RFC 7517 §4.2 to §4.4) suits the algorithm.
fn fitting(key: Value, algorithm: Algorithm) -> Option<Jwk> {
    let jwk = Jwk::deserialize(key).ok()?;
    let says = &jwk.common;
    let signs = says.public_key_use.as_ref();
    let verifies = says.key_operations.as_ref();
    let fits = says
        .key_algorithm
        .is_none_or(|it| it == KeyAlgorithm::from(algorithm))
        && signs.is_none_or(|it| *it == PublicKeyUse::Signature)
        && verifies.is_none_or(|it| it.contains(&KeyOperations::Verify));
    fits.then_some(jwk)
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

    async fn fetch_set(&self) -> Result<Fetched, FetchError> {
        let unavailable = |why: &str| FetchError::Unavailable(format!("{}: {why}", self.url.0));
        let fetched = tokio::time::timeout(PATIENCE, self.document()).await;
        let (document, fresh_seconds) = fetched
            .map_err(|_| unavailable("no answer in time"))?
            .map_err(|why| unavailable(&why))?;
        let keys =
            read_jwks(&document, self.algorithm).map_err(|it| unavailable(&it.to_string()))?;
        Ok(Fetched {
            keys,
            fresh_seconds,
        })
    }

    /// The document, and for how many seconds it may be kept.
    async fn document(&self) -> Result<(Vec<u8>, i64), String> {
        let mut request = HttpRequest::get(self.url.0.to_string()).map_err(|it| it.to_string())?;
        request.headers_mut().insert("accept", "application/json");
        let response = self.connector.call(request).await;
        let response = response.map_err(|error| causes(&error))?;
        // A redirect, too: where it leads to is not what was configured.
        if response.status().as_u16() != 200 {
            return Err(format!("the status is {}", response.status().as_u16()));
        }
        let fresh_seconds = fresh_seconds(&response);
        let body = Limited::new(response.into_body(), LARGEST).collect().await;
        let body = body.map_err(|error| error.to_string())?;
        Ok((body.to_bytes().into(), fresh_seconds))
    }
}

impl FetchKeys for JwksEndpoint {
    fn fetch(
        &self,
        _: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<Fetched, FetchError>> + Send + '_>> {
        Box::pin(self.fetch_set())
    }
}

/// For how long an answer is fresh (RFC 9111 §4.2, §5.2.2), within our own limits.
fn fresh_seconds(response: &HttpResponse) -> i64 {
    let headers = response.headers();
    let mut said = None;
    for directive in headers
        .get_all("cache-control")
        .flat_map(|it| it.split(','))
    {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return LEAST_FRESH_SECONDS,
            "max-age" => said = value.trim().trim_matches('"').parse::<u32>().ok(),
            _ => {}
        }
    }
    let age = headers
        .get("age")
        .and_then(|age| age.trim().parse::<u32>().ok());
    match said {
        None => USUAL_FRESH_SECONDS,
        Some(max_age) => match i64::from(max_age) - i64::from(age.unwrap_or(0)) {
            ..=0 => LEAST_FRESH_SECONDS,
            left => left.min(LONGEST_FRESH_SECONDS),
        },
    }
}
