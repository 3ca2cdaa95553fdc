//! Parser of JWK Sets (RFC 7517 §5), which selects the keys that may verify tokens.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, KeyOperations, PublicKeyUse};
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::key::kind;
use super::{KeySet, MAX_TRIED_KEYS, VerifyingKey};
use crate::json::read_object;
use crate::token::{Kid, parse_algorithm};

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

/// The usable keys of a JWK Set, and why the others are not used.
#[derive(Debug)]
pub struct JwkSet {
    /// The keys that may verify tokens.
    pub keys: KeySet,
    /// The keys that are not used.
    pub unused: UnusedKeys,
}

/// Keys of a JWK Set that are not used, as text for the log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct UnusedKeys {
    skipped: Vec<(Option<String>, &'static str)>,
    rejected: Vec<(Option<String>, &'static str)>,
    /// Number of usable keys, if that is more than [`MAX_TRIED_KEYS`].
    too_many: Option<usize>,
}

impl UnusedKeys {
    /// Logs the keys for another purpose, the keys that must not be used, and whether there are too many for
    /// a token without `kid`.
    pub fn log(&self) {
        if !self.skipped.is_empty() {
            let (count, keys) = (self.skipped.len(), list(&self.skipped));
            tracing::info!(count, keys, "keys of the JWK Set are skipped");
        }
        if !self.rejected.is_empty() {
            let (count, keys) = (self.rejected.len(), list(&self.rejected));
            tracing::warn!(count, keys, "keys of the JWK Set are rejected");
        }
        if let Some(count) = self.too_many {
            tracing::warn!(
                count,
                tried = MAX_TRIED_KEYS,
                "the JWK Set has more keys than a token without kid is verified with"
            );
        }
    }
}

/// Reads the keys of a JWK Set that may verify tokens of `algorithm`. Keys for another purpose are
/// skipped (RFC 7517 §5). Private and symmetric keys are rejected because their confidentiality is lost,
/// and so are different keys for the same purpose that share a `kid`.
///
/// # Errors
///
/// The document is no JWK Set, or has more than 500 keys.
pub fn read_jwks(document: &[u8], algorithm: Algorithm) -> Result<JwkSet, InvalidJwks> {
    let mut document: Map<String, Value> = read_object(document).ok_or(InvalidJwks::Malformed)?;
    let Some(Value::Array(keys)) = document.remove("keys") else {
        return Err(InvalidJwks::Malformed);
    };
    if keys.len() > MAX_KEYS {
        return Err(InvalidJwks::TooManyKeys(keys.len()));
    }
    let exposed = Exposed::of(&keys);
    let mut unused = UnusedKeys::default();
    let mut usable: Vec<UsableKey> = Vec::new();
    for key in keys {
        let kid = key.get("kid").and_then(Kid::read).unwrap_or_default().0;
        let is_exposed = exposed.contains(&key, kid.as_deref());
        match read_key(key, is_exposed, algorithm) {
            Ok((parameters, key)) => {
                // A key may be listed twice, for instance once per algorithm (RFC 7517 §4.5).
                let is_same = |it: &UsableKey| it.kid == kid && it.parameters == parameters;
                if !usable.iter().any(is_same) {
                    usable.push(UsableKey {
                        kid,
                        parameters,
                        key,
                    });
                }
            }
            Err(Unused::Skipped(why)) => unused.skipped.push((kid, why)),
            Err(Unused::Rejected(why)) => unused.rejected.push((kid, why)),
        }
    }
    let mut by_kid = HashMap::<_, u32>::new();
    for key in &usable {
        *by_kid.entry(key.kid.clone()).or_default() += 1;
    }
    let mut named = Vec::with_capacity(usable.len());
    for UsableKey { kid, key, .. } in usable {
        // Keys without a `kid` are all tried. A `kid` must name one key.
        if kid.is_some() && by_kid.get(&kid).is_some_and(|keys| *keys > 1) {
            unused.rejected.push((kid, "shares its kid with another"));
        } else {
            named.push((kid, key));
        }
    }
    unused.too_many = Some(named.len()).filter(|count| *count > MAX_TRIED_KEYS);
    Ok(JwkSet {
        keys: KeySet::Named(named),
        unused,
    })
}

/// A key that fits the algorithm.
struct UsableKey {
    kid: Option<String>,
    /// What tells two keys apart.
    parameters: AlgorithmParameters,
    key: VerifyingKey,
}

/// Why a key of a set is not used. The text follows "the key".
enum Unused {
    /// It has another purpose.
    Skipped(&'static str),
    /// It has this purpose and must not be used, or its confidentiality is lost.
    Rejected(&'static str),
}

/// Reads a key if everything that it says about its purpose (RFC 7517 §4.1 to §4.4) fits the algorithm.
fn read_key(
    mut key: Value,
    is_exposed: bool,
    algorithm: Algorithm,
) -> Result<(AlgorithmParameters, VerifyingKey), Unused> {
    use Unused::{Rejected, Skipped};

    let member = |name| key.get(name).and_then(Value::as_str);
    if is_private(&key) {
        return Err(Rejected("is private or symmetric"));
    }
    if is_exposed {
        return Err(Rejected("shares its kid or its numbers with a private key"));
    }
    let (kty, crv) = kind(algorithm);
    if member("kty") != Some(kty) {
        return Err(Skipped("has another kty, or none"));
    }
    if crv.is_some() && member("crv") != crv {
        return Err(Skipped("has another crv, or none"));
    }
    if let Some(alg) = member("alg")
        && parse_algorithm(alg) != Some(algorithm)
    {
        return Err(Skipped("has another alg"));
    }
    if key.get("kid").is_some_and(|kid| Kid::read(kid).is_none()) {
        return Err(Rejected(
            "has a kid that is neither text nor a whole number",
        ));
    }
    if let Some(members) = key.as_object_mut() {
        // Both are read above: `Jwk` knows neither `Ed25519` (RFC 9864) nor a number as `kid`.
        members.remove("alg");
        members.remove("kid");
        for name in ["n", "e", "x", "y"] {
            if let Some(Value::String(number)) = members.get_mut(name) {
                *number = base64url(number);
            }
        }
    }
    let jwk =
        Jwk::deserialize(key).map_err(|_| Rejected("lacks a member or has a malformed one"))?;
    let common = &jwk.common;
    let key_use = common.public_key_use.as_ref();
    if key_use.is_some_and(|it| *it != PublicKeyUse::Signature) {
        return Err(Skipped("has another use than sig"));
    }
    let operations = common.key_operations.as_ref();
    if operations.is_some_and(|it| !it.contains(&KeyOperations::Verify)) {
        return Err(Skipped("has key_ops without verify"));
    }
    let key = VerifyingKey::from_parameters(algorithm, &jwk.algorithm).map_err(Rejected)?;
    Ok((jwk.algorithm, key))
}

/// What the private and symmetric keys of a set expose. Anyone who reads the set can sign with them, so
/// their public keys must not verify tokens.
struct Exposed {
    kids: HashSet<String>,
    numbers: HashSet<String>,
}

impl Exposed {
    fn of(keys: &[Value]) -> Self {
        let private = || keys.iter().filter(|key| is_private(key));
        let kid = |key: &Value| key.get("kid").and_then(Kid::read).unwrap_or_default().0;
        Self {
            kids: private().filter_map(kid).collect(),
            numbers: private().filter_map(public_number).collect(),
        }
    }

    fn contains(&self, key: &Value, kid: Option<&str>) -> bool {
        kid.is_some_and(|kid| self.kids.contains(kid))
            || public_number(key).is_some_and(|number| self.numbers.contains(&number))
    }
}

fn is_private(key: &Value) -> bool {
    PRIVATE_MEMBERS.iter().any(|name| key.get(name).is_some())
}

/// The number of a public key that no other key has.
fn public_number(key: &Value) -> Option<String> {
    let number = key.get("n").or_else(|| key.get("x"))?;
    number.as_str().map(base64url)
}

/// A number of a key as base64url without padding (RFC 7518 §2). Some issuers publish it as base64, or
/// padded: the number is the same.
fn base64url(number: &str) -> String {
    let number = number.trim_end_matches('=');
    number.replace('+', "-").replace('/', "_")
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
