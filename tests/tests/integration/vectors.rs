//! Test vectors of the standards: their signatures are valid, and no signature that differs in one
//! bit is.
//!
//! The vectors sign other payloads than our claims. Therefore the key must accept the signature,
//! and the token must be rejected for its claims only.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use session_cleanup_tests::token_factory::{
    ALGORITHMS, Signer, decoded, encoded, parts, verifier, verify,
};
use session_token::InvalidToken;
use session_token::keys::{KeySet, VerifyingKey, read_jwks};

/// An example of RFC 7515 (appendix A), RFC 7520 (§4), RFC 7797 (§4.1) or RFC 8037 (appendix A).
struct Vector {
    source: String,
    algorithm: String,
    key: Value,
    token: String,
}

fn vectors() -> Vec<Vector> {
    let vectors: Value = serde_json::from_str(include_str!("../../vectors/jws.json")).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let vector = |it: &Value| Vector {
        source: text(&it["source"]),
        algorithm: text(&it["alg"]),
        key: it["key"].clone(),
        token: text(&it["token"]),
    };
    vectors.as_array().unwrap().iter().map(vector).collect()
}

/// The vectors of the supported algorithms, and the others.
fn supported() -> (Vec<(Algorithm, Vector)>, Vec<Vector>) {
    let mut here = Vec::new();
    let mut others = Vec::new();
    for vector in vectors() {
        match vector.algorithm.parse() {
            Ok(algorithm) => here.push((algorithm, vector)),
            Err(_) => others.push(vector),
        }
    }
    (here, others)
}

fn keys(algorithm: Algorithm, jwk: &Value) -> KeySet {
    match jwk["k"].as_str() {
        // Not as a JWK Set, because a set with a secret is rejected.
        Some(secret) => KeySet::Any(vec![
            VerifyingKey::from_secret(algorithm, decoded(secret)).unwrap(),
        ]),
        None => {
            read_jwks(json!({ "keys": [jwk] }).to_string().as_bytes(), algorithm)
                .unwrap()
                .keys
        }
    }
}

/// All values that differ from `bytes` in one bit.
fn one_bit_off(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len() * 8).map(|bit| {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        changed
    })
}

#[test]
fn each_algorithm_family_has_published_signature() {
    let (here, _) = supported();
    for family in ["HS", "RS", "PS", "ES", "Ed"] {
        let covers = |vector: &Vector| vector.algorithm.starts_with(family);
        assert!(here.iter().any(|(_, it)| covers(it)), "{family}");
    }
    assert_eq!(here.len(), 8);
}

#[test]
fn verifies_published_signature_and_rejects_any_changed_bit() {
    let (here, _) = supported();
    for (algorithm, vector) in here {
        let (message, signature) = vector.token.rsplit_once('.').unwrap();
        let (message, signature) = (message.as_bytes(), decoded(signature));
        let keys = keys(algorithm, &vector.key);
        let key = keys.of(vector.key["kid"].as_str()).next().unwrap();
        assert!(key.verifies(message, &signature), "{}", vector.source);
        for changed in one_bit_off(&signature) {
            assert!(!key.verifies(message, &changed), "{}", vector.source);
        }
        for changed in one_bit_off(message) {
            assert!(!key.verifies(&changed, &signature), "{}", vector.source);
        }
    }
}

/// Whether only the payload is invalid, because it is a text or has other claims.
const fn is_about_claims(why: InvalidToken) -> bool {
    matches!(
        why,
        InvalidToken::Payload
            | InvalidToken::Issuer
            | InvalidToken::MissingClaim(_)
            | InvalidToken::MalformedClaim(_)
    )
}

#[tokio::test]
async fn accepts_published_token_and_rejects_any_changed_bit() {
    let (here, _) = supported();
    for (algorithm, vector) in here {
        let verifier = verifier(algorithm, keys(algorithm, &vector.key));
        let claims = verify(&verifier, &vector.token).await;
        let why = claims.unwrap_err();
        assert!(is_about_claims(why), "{}: {why}", vector.source);

        let [header, payload, signature] = parts(&vector.token);
        for changed in one_bit_off(&decoded(payload)) {
            let token = format!("{header}.{}.{signature}", encoded(changed));
            let claims = verify(&verifier, &token).await;
            assert_eq!(claims, Err(InvalidToken::Signature), "{}", vector.source);
        }
        for changed in one_bit_off(&decoded(signature)) {
            let token = format!("{header}.{payload}.{}", encoded(changed));
            let claims = verify(&verifier, &token).await;
            assert_eq!(claims, Err(InvalidToken::Signature), "{}", vector.source);
        }
        for changed in one_bit_off(&decoded(header)) {
            let token = format!("{}.{payload}.{signature}", encoded(changed));
            let why = verify(&verifier, &token).await.unwrap_err();
            assert!(!is_about_claims(why), "{}: {token}", vector.source);
        }
    }
}

/// RFC 7520 §4.5 detaches the payload from the token. This is not supported.
#[tokio::test]
async fn rejects_published_token_without_its_payload() {
    let (here, _) = supported();
    for (algorithm, vector) in here {
        let verifier = verifier(algorithm, keys(algorithm, &vector.key));
        let [header, _, signature] = parts(&vector.token);
        let claims = verify(&verifier, &format!("{header}..{signature}")).await;
        assert_eq!(claims, Err(InvalidToken::Signature), "{}", vector.source);
    }
}

/// ES512 and `none` (RFC 7515 A.4 and A.5, RFC 7520 §4.3).
#[tokio::test]
async fn rejects_published_token_of_unsupported_algorithm() {
    let (_, others) = supported();
    assert_eq!(others.len(), 3);
    for vector in others {
        for algorithm in ALGORITHMS {
            let claims = verify(&Signer::of(algorithm).verifier(), &vector.token).await;
            let source = &vector.source;
            assert_eq!(claims, Err(InvalidToken::Algorithm), "{source}");
            let set = json!({ "keys": [vector.key] }).to_string();
            let keys = read_jwks(set.as_bytes(), algorithm).unwrap().keys;
            let kid = vector.key["kid"].as_str();
            assert!(keys.of(kid).next().is_none(), "{source} {algorithm:?}");
        }
    }
}
