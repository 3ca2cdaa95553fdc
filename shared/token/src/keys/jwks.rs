//! Parser of JWK Sets (RFC 7517 §5), which selects the keys that may verify tokens.

use std::collections::HashMap;
use std::fmt::Write as _;

use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::key::kind;
use super::{KeySet, VerifyingKey};
use crate::json::read_object;

/// Maximum number of keys in a set. A request waits while each of them is checked.
const MAX_KEYS: usize = 500;

/// Maximum number of keys in a log line.
const MAX_LOGGED_KEYS: usize = 20;

/// Maximum number of characters of a `kid` in a log line.
const MAX_KID_CHARS: usize = 64;

/// Members of a JWK that only private and symmetric keys have (RFC 7518 §6.2.2, §6.3.2, §6.4).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Error of a document that is not a valid JWK Set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJwks {
    /// It is not a JSON object with an array `keys`, or it has duplicate names.
    #[error("not a JWK Set: not a JSON object with an array \"keys\", or it has duplicate names")]
    Malformed,
    /// It has more than 500 keys.
    #[error("the JWK Set has {0} keys, and no more than {MAX_KEYS} are read")]
    TooManyKeys(usize),
}

/// Parses a JWK Set, and returns the keys that may verify tokens of `algorithm`.
///
/// Keys for another purpose are skipped (RFC 7517 §5). Private and symmetric keys are rejected,
/// because their confidentiality is already compromised, and so are keys that share a `kid`, and
/// malformed ones. One log line lists the skipped keys and one the rejected keys, each with the
/// reason.
///
/// # Errors
///
/// The document is not a JWK Set, or has more than 500 keys.
pub fn read_jwks(document: &[u8], algorithm: Algorithm) -> Result<KeySet, InvalidJwks> {
    let mut document: Map<String, Value> = read_object(document).ok_or(InvalidJwks::Malformed)?;
    let Some(Value::Array(keys)) = document.remove("keys") else {
        return Err(InvalidJwks::Malformed);
    };
    if keys.len() > MAX_KEYS {
        return Err(InvalidJwks::TooManyKeys(keys.len()));
    }
    let kid_of = |key: &Value| Some(key.get("kid")?.as_str()?.to_owned());
    let mut sharing = HashMap::<_, u32>::new();
    for key in &keys {
        *sharing.entry(kid_of(key)).or_default() += 1;
    }
    let (mut named, mut skipped, mut rejected) = (Vec::new(), Vec::new(), Vec::new());
    for key in keys {
        let kid = kid_of(&key);
        let shared = sharing.get(&kid).is_some_and(|keys| *keys > 1);
        match read_key(key, shared, algorithm) {
            Ok(key) => named.push(key),
            Err(Unused::Skipped(why)) => skipped.push((kid, why)),
            Err(Unused::Rejected(why)) => rejected.push((kid, why)),
        }
    }
    if !skipped.is_empty() {
        let (count, keys) = (skipped.len(), list(&skipped));
        tracing::info!(count, keys, "keys of the JWK Set are skipped");
    }
    if !rejected.is_empty() {
        let (count, keys) = (rejected.len(), list(&rejected));
        tracing::warn!(count, keys, "keys of the JWK Set are rejected");
    }
    Ok(KeySet::Named(named))
}

/// Why a key of a set is not used, as the end of a sentence about "the key".
enum Unused {
    /// It is for another purpose.
    Skipped(&'static str),
    /// It must not be used: it is malformed, ambiguous or compromised.
    Rejected(&'static str),
}

/// Parses a key, if every parameter of its purpose (RFC 7517 §4.1 to §4.4) matches the algorithm.
fn read_key(
    key: Value,
    shared: bool,
    algorithm: Algorithm,
) -> Result<(Option<String>, VerifyingKey), Unused> {
    use Unused::{Rejected, Skipped};

    let member = |name| key.get(name).and_then(Value::as_str);
    if PRIVATE_MEMBERS.iter().any(|name| key.get(name).is_some()) {
        return Err(Rejected("is private or symmetric"));
    }
    if shared {
        return Err(Rejected("shares its kid with another"));
    }
    let (kty, crv) = kind(algorithm);
    if member("kty") != Some(kty) {
        return Err(Skipped("has another kty, or none"));
    }
    if crv.is_some() && member("crv") != crv {
        return Err(Skipped("has another crv, or none"));
    }
    if key
        .get("kid")
        .is_some_and(|kid| !kid.is_string() && !kid.is_null())
    {
        return Err(Rejected("has a kid that is no string"));
    }
    let jwk =
        Jwk::deserialize(key).map_err(|_| Rejected("lacks a member or has a malformed one"))?;
    let common = &jwk.common;
    let alg = KeyAlgorithm::from(algorithm);
    if common.key_algorithm.is_some_and(|it| it != alg) {
        return Err(Skipped("has another alg"));
    }
    let key_use = common.public_key_use.as_ref();
    if key_use.is_some_and(|it| *it != PublicKeyUse::Signature) {
        return Err(Skipped("has another use than sig"));
    }
    let operations = common.key_operations.as_ref();
    if operations.is_some_and(|it| !it.contains(&KeyOperations::Verify)) {
        return Err(Skipped("has key_ops without verify"));
    }
    let key = VerifyingKey::from_parameters(algorithm, &jwk.algorithm).map_err(Rejected)?;
    Ok((jwk.common.key_id, key))
}

/// Text that lists the first keys with their `kid` and the reason.
fn list(keys: &[(Option<String>, &str)]) -> String {
    let mut list = String::new();
    for (kid, why) in keys.iter().take(MAX_LOGGED_KEYS) {
        let separator = if list.is_empty() { "" } else { "; " };
        // Writing to a string cannot fail.
        let _ = match kid {
            Some(kid) => {
                let kid: String = kid.chars().take(MAX_KID_CHARS).collect();
                write!(list, "{separator}the key {kid:?} {why}")
            }
            None => write!(list, "{separator}the key without kid {why}"),
        };
    }
    list
}
