//! A JWK Set (RFC 7517 §5) of an identity provider: which of its keys may verify tokens.

use std::collections::HashMap;
use std::fmt::Write as _;

use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::key::kind;
use super::{KeySet, VerifyingKey};
use crate::json::read_object;

/// The most keys of a set that are read. Each is checked, which takes time for which a request waits.
const MAX_KEYS: usize = 500;

/// The most keys that a line of the log names.
const MAX_LOGGED_KEYS: usize = 20;

/// The most characters of a `kid` that a line of the log repeats.
const MAX_KID_CHARS: usize = 64;

/// The members of a JWK that only a private or a symmetric key has (RFC 7518 §6.2.2, §6.3.2, §6.4).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Why a document is not read as a JWK Set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJwks {
    /// It has another form.
    #[error("not a JWK Set: no JSON object with the array \"keys\", or a name stands twice in it")]
    Malformed,
    /// It has too many keys.
    #[error("the JWK Set has {0} keys, and no more than {MAX_KEYS} are read")]
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
    if PRIVATE_MEMBERS.iter().any(|name| key.get(name).is_some()) {
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
