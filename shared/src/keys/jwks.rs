//! A JWK Set (RFC 7517 §5) that an identity provider serves, and rotates.

use std::collections::HashMap;
use std::fmt::Write as _;
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
use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::key::kind;
use super::{FetchError, FetchKeys, Fetched, KeySet, VerifyingKey};
use crate::domain::Timestamp;
use crate::json::read_object;
use crate::ports::causes;

/// The largest document that is read, in bytes.
const LARGEST: usize = 256 * 1024;

/// The most keys of a set that are read. Each is checked, which takes time for which a request waits.
const MOST_KEYS: usize = 500;

/// The most keys that a line of the log names.
const MOST_NAMED: usize = 20;

/// For how long a set is believed where its server says nothing of it.
const USUAL_FRESH_SECONDS: i64 = 300;

/// For how long at the most, whatever its server says.
const LONGEST_FRESH_SECONDS: i64 = 3_600;

/// For how long where its server forbids to keep it at all: a fetch for each request would be slow,
/// and hard on the server.
const LEAST_FRESH_SECONDS: i64 = 30;

/// The most characters of a `kid` that a line of the log repeats.
const LONGEST_NAME: usize = 64;

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

/// Why a document is not read as a JWK Set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJwks {
    /// It has another form.
    #[error("not a JWK Set: no JSON object with the array \"keys\", or a name stands twice in it")]
    Form,
    /// It has too many keys.
    #[error("the JWK Set has {0} keys, and no more than {MOST_KEYS} are read")]
    TooManyKeys(usize),
}

/// Reads the keys of a JWK Set that may verify tokens of `algorithm`. Keys for something else are
/// passed over (RFC 7517 §5). Private and symmetric ones, and those that share their `kid` with
/// another, are refused: whoever publishes them has lost control of them. The log names both kinds
/// and says why, in a line each.
///
/// # Errors
///
/// What is no JWK Set, or a set of more than 500 keys.
pub fn read_jwks(document: &[u8], algorithm: Algorithm) -> Result<KeySet, InvalidJwks> {
    let mut document: Map<String, Value> = read_object(document).ok_or(InvalidJwks::Form)?;
    let Some(Value::Array(keys)) = document.remove("keys") else {
        return Err(InvalidJwks::Form);
    };
    if keys.len() > MOST_KEYS {
        return Err(InvalidJwks::TooManyKeys(keys.len()));
    }
    let kid_of = |key: &Value| Some(key.get("kid")?.as_str()?.to_owned());
    let mut sharing = HashMap::<_, u32>::new();
    for key in &keys {
        *sharing.entry(kid_of(key)).or_default() += 1;
    }
    let (mut named, mut passed_over, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for key in keys {
        let kid = kid_of(&key);
        let shared = sharing.get(&kid).is_some_and(|keys| *keys > 1);
        match read_key(key, shared, algorithm) {
            Ok(key) => named.push(key),
            Err(Unused::PassedOver(why)) => passed_over.push((kid, why)),
            Err(Unused::Refused(why)) => refused.push((kid, why)),
        }
    }
    if !passed_over.is_empty() {
        let (count, keys) = (passed_over.len(), list(&passed_over));
        tracing::info!(count, keys, "keys of the JWK Set are passed over");
    }
    if !refused.is_empty() {
        let (count, keys) = (refused.len(), list(&refused));
        tracing::warn!(count, keys, "keys of the JWK Set are refused");
    }
    Ok(KeySet::Named(named))
}

/// Why a key of a set is not used; the words follow "the key".
enum Unused {
    /// It is for something else.
    PassedOver(&'static str),
    /// It is for this, and must not be used; or its publisher has lost control of it.
    Refused(&'static str),
}

/// Reads a key, if all that it says of its purpose (RFC 7517 §4.1 to §4.4) suits the algorithm.
fn read_key(
    key: Value,
    shared: bool,
    algorithm: Algorithm,
) -> Result<(Option<String>, VerifyingKey), Unused> {
    use Unused::{PassedOver, Refused};

    let member = |name| key.get(name).and_then(Value::as_str);
    if PRIVATE.iter().any(|name| key.get(name).is_some()) {
        return Err(Refused("is private or symmetric"));
    }
    if shared {
        return Err(Refused("shares its kid with another"));
    }
    let (kty, crv) = kind(algorithm);
    if member("kty") != Some(kty) {
        return Err(PassedOver("has another kty, or none"));
    }
    if crv.is_some() && member("crv") != crv {
        return Err(PassedOver("has another crv, or none"));
    }
    if key
        .get("kid")
        .is_some_and(|kid| !kid.is_string() && !kid.is_null())
    {
        return Err(Refused("has a kid that is no string"));
    }
    let jwk =
        Jwk::deserialize(key).map_err(|_| Refused("lacks a member or has a malformed one"))?;
    let says = &jwk.common;
    let alg = KeyAlgorithm::from(algorithm);
    if says.key_algorithm.is_some_and(|it| it != alg) {
        return Err(PassedOver("has another alg"));
    }
    let signs = says.public_key_use.as_ref();
    if signs.is_some_and(|it| *it != PublicKeyUse::Signature) {
        return Err(PassedOver("has another use than sig"));
    }
    let verifies = says.key_operations.as_ref();
    if verifies.is_some_and(|it| !it.contains(&KeyOperations::Verify)) {
        return Err(PassedOver("has key_ops without verify"));
    }
    let key = VerifyingKey::from_parameters(algorithm, &jwk.algorithm).map_err(Refused)?;
    Ok((jwk.common.key_id, key))
}

/// The first of these keys, each with its `kid` and why it is not used.
fn list(keys: &[(Option<String>, &str)]) -> String {
    let mut list = String::new();
    for (kid, why) in keys.iter().take(MOST_NAMED) {
        let separator = if list.is_empty() { "" } else { "; " };
        // Writing to a string cannot fail.
        let _ = match kid {
            Some(kid) => {
                let kid: String = kid.chars().take(LONGEST_NAME).collect();
                write!(list, "{separator}the key {kid:?} {why}")
            }
            None => write!(list, "{separator}the key without kid {why}"),
        };
    }
    list
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

    async fn fetch_set(&self, patience: Duration) -> Result<Fetched, FetchError> {
        let unavailable = |why: &str| FetchError::Unavailable(format!("{}: {why}", self.url.0));
        let fetched = tokio::time::timeout(patience, self.document()).await;
        let (document, fresh_seconds) = fetched
            .map_err(|_| unavailable("no answer in time"))?
            .map_err(|why| unavailable(&why))?;
        let keys =
            read_jwks(&document, self.algorithm).map_err(|it| unavailable(&it.to_string()))?;
        // A provider that loses its keys for a moment must not log everybody out.
        if keys.is_empty() {
            let why = format!("the JWK Set has no usable key for {:?}", self.algorithm);
            return Err(unavailable(&why));
        }
        Ok(Fetched {
            keys,
            fresh_seconds,
        })
    }

    /// The document, and for how many seconds it may be kept.
    async fn document(&self) -> Result<(Vec<u8>, i64), String> {
        let mut request = HttpRequest::get(self.url.0.to_string()).map_err(|it| it.to_string())?;
        request.headers_mut().insert("accept", "application/json");
        request.headers_mut().insert("accept-encoding", "identity");
        let response = self.connector.call(request).await;
        let response = response.map_err(|error| causes(&error))?;
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
        let fresh_seconds = fresh_seconds(&response);
        let body = Limited::new(response.into_body(), LARGEST).collect().await;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                format!("the document is larger than {} KiB", LARGEST / 1024)
            } else {
                causes(&*error)
            }
        })?;
        Ok((body.to_bytes().into(), fresh_seconds))
    }
}

impl FetchKeys for JwksEndpoint {
    fn fetch(
        &self,
        _: Timestamp,
        patience: Duration,
    ) -> Pin<Box<dyn Future<Output = Result<Fetched, FetchError>> + Send + '_>> {
        Box::pin(self.fetch_set(patience))
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
