//! Fuzz target for JWK Sets: each accepted key is in the set, public, and of the right type.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::Value;
use session_token::keys::{KeySet, read_jwks};

use crate::names::are_ambiguous;

/// Algorithms with the key type and the curve of their keys.
const ALGORITHMS: [(Algorithm, &str, Option<&str>); 8] = [
    (Algorithm::HS256, "", None),
    (Algorithm::RS256, "RSA", None),
    (Algorithm::RS512, "RSA", None),
    (Algorithm::PS256, "RSA", None),
    (Algorithm::PS384, "RSA", None),
    (Algorithm::ES256, "EC", Some("P-256")),
    (Algorithm::ES384, "EC", Some("P-384")),
    (Algorithm::EdDSA, "OKP", Some("Ed25519")),
];

/// Parses an input as a JWK Set for each algorithm, and checks the accepted keys.
pub fn key_set(input: &[u8]) {
    for (algorithm, kind, curve) in ALGORITHMS {
        let Ok(set) = read_jwks(input, algorithm) else {
            continue;
        };
        let KeySet::Named(taken) = set.keys else {
            panic!("a set has keys by key ID");
        };
        assert!(
            !are_ambiguous(input),
            "an accepted set has a duplicate name"
        );
        let document: Value = serde_json::from_slice(input).unwrap();
        let keys = document["keys"].as_array().unwrap();
        for (index, (kid, key)) in taken.iter().enumerate() {
            let has_kid = |it: &&Value| kid_of(it) == *kid;
            let fits = |it: &&Value| {
                it["kty"] == kind
                    && it["crv"].as_str().filter(|_| curve.is_some()) == curve
                    && is_public_and_fits(it, algorithm)
            };
            let said = keys.iter().find(|it| has_kid(it) && fits(it));
            let said = said.unwrap_or_else(|| panic!("{algorithm:?}: {kid:?} is no key that fits"));
            let same_kid = |(other, _): &(Option<String>, _)| kid.is_some() && other == kid;
            assert!(
                !taken[..index].iter().any(same_kid),
                "{algorithm:?}: {kid:?} is the ID of several keys"
            );
            let length = if kind == "RSA" { bytes(said, "n") } else { 64 };
            for signature in [vec![0; length], vec![0xff; length], vec![1; 96], vec![]] {
                assert!(!key.verifies(b"x", &signature), "{algorithm:?}: {said}");
            }
        }
    }
}

/// The `kid` of a key. A number is its digits; `null` and the empty string are none.
fn kid_of(key: &Value) -> Option<String> {
    let kid = &key["kid"];
    if kid.is_number() {
        return Some(kid.to_string());
    }
    kid.as_str().filter(|it| !it.is_empty()).map(str::to_owned)
}

fn is_public_and_fits(key: &Value, algorithm: Algorithm) -> bool {
    let name = format!("{algorithm:?}");
    let says =
        |member: &str, value: &str| key.get(member).is_none_or(|it| it.is_null() || it == value);
    let says_alg = says("alg", &name) || algorithm == Algorithm::EdDSA && says("alg", "Ed25519");
    let private = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
    let verifies = match key.get("key_ops") {
        None | Some(Value::Null) => true,
        Some(operations) => operations
            .as_array()
            .is_some_and(|it| it.contains(&Value::from("verify"))),
    };
    let strong = key["kty"] != "RSA" || (256..=1_024).contains(&bytes(key, "n"));
    private.iter().all(|member| key.get(*member).is_none())
        && says("use", "sig")
        && says_alg
        && verifies
        && strong
}

/// Length of a number in bytes.
fn bytes(key: &Value, member: &str) -> usize {
    // Padding and the alphabet of base64 are accepted, too.
    let number = key[member].as_str().unwrap().trim_end_matches('=');
    let number = number.replace('+', "-").replace('/', "_");
    let Ok(number) = URL_SAFE_NO_PAD.decode(number) else {
        return 0;
    };
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.len() - zeros
}
