//! Attacks on Ed25519 (RFC 8032 §5.1): one signature per message, and keys of the large prime
//! order.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curve25519_dalek::EdwardsPoint;
use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::CompressedEdwardsY;
use jsonwebtoken::{Algorithm, DecodingKey};
use num_bigint::BigUint;
use serde_json::json;
use session_cleanup_tests::token_factory::{Signer, decoded, encoded, good_claims};
use session_token::InvalidToken;
use session_token::keys::{VerifyingKey, read_jwks};

use super::target_of_set;

/// The order of the base point, L (RFC 8032 §5.1).
fn order() -> BigUint {
    let digits = b"1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed";
    BigUint::parse_bytes(digits, 16).unwrap()
}

/// RFC 8032 §5.1.7: S must be less than L. Otherwise S + L would be valid, too.
#[tokio::test]
async fn rejects_signature_scalar_beyond_group_order() {
    let signer = Signer::of(Algorithm::EdDSA);
    let target = signer.target().await;
    let token = signer.good_token();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = decoded(signature);
    let (point, number) = signature.split_at(32);
    let number = BigUint::from_bytes_le(number);
    let with = |number: &BigUint| {
        let mut bytes = number.to_bytes_le();
        bytes.resize(32, 0);
        format!("{message}.{}", encoded([point, &bytes].concat()))
    };
    let limit = BigUint::from(1_u8) << 256;
    let mut larger = &number + order();
    let mut tried = 0;
    while larger < limit {
        target
            .rejects(&with(&larger), InvalidToken::Signature)
            .await;
        larger += order();
        tried += 1;
    }
    assert!(tried >= 14, "{tried}");
    for other in [BigUint::ZERO, order(), order() - &number, &limit - 1_u8] {
        target.rejects(&with(&other), InvalidToken::Signature).await;
    }
    target.allows(&with(&number)).await;
}

#[tokio::test]
async fn rejects_signature_of_other_length() {
    let signer = Signer::of(Algorithm::EdDSA);
    let target = signer.target().await;
    let token = signer.good_token();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = decoded(signature);
    for changed in [
        vec![],
        vec![0; 64],
        signature[..63].to_vec(),
        signature[1..].to_vec(),
        signature[..32].to_vec(),
        [&signature[..], &[0]].concat(),
        [&[0], &signature[..]].concat(),
        [&signature[..], &signature[..]].concat(),
        [&signature[32..], &signature[..32]].concat(),
    ] {
        let token = format!("{message}.{}", encoded(changed));
        target.rejects(&token, InvalidToken::Signature).await;
    }
    target.allows(&token).await;
}

/// A public key in both formats: JWK and PEM (RFC 8410 §4).
fn forms(point: &[u8]) -> (serde_json::Value, String) {
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": encoded(point) });
    let prefix = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
    let der = STANDARD.encode([&prefix[..], point].concat());
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n");
    (jwk, pem)
}

fn is_taken(point: &[u8]) -> bool {
    let (jwk, pem) = forms(point);
    let set = json!({ "keys": [jwk] }).to_string();
    let keys = read_jwks(set.as_bytes(), Algorithm::EdDSA).unwrap().keys;
    let of_jwk = keys.of(None).next().is_some();
    let of_pem = VerifyingKey::from_pem(Algorithm::EdDSA, &pem).is_ok();
    assert_eq!(of_jwk, of_pem, "{point:02x?}");
    of_jwk
}

/// Encodes a point: y, and the sign of x.
fn encoding(y: &BigUint, sign: u8) -> [u8; 32] {
    let mut bytes = y.to_bytes_le();
    bytes.resize(32, 0);
    bytes[31] |= sign << 7;
    bytes.try_into().unwrap()
}

/// All encodings of points of small order, including those that RFC 8032 §5.1.3 forbids.
fn of_small_order() -> Vec<[u8; 32]> {
    let p = (BigUint::from(1_u8) << 255) - 19_u8;
    let mut all: Vec<_> = EIGHT_TORSION.map(|it| it.compress().to_bytes()).into();
    for sign in [0, 1] {
        all.push(encoding(&p, sign));
        all.push(encoding(&(&p + 1_u8), sign));
    }
    // With x = 0 and a negative sign.
    all.push(encoding(&BigUint::from(1_u8), 1));
    all.push(encoding(&(&p - 1_u8), 1));
    all
}

#[test]
fn rejects_key_of_small_order_in_any_encoding() {
    let all = of_small_order();
    assert_eq!(all.len(), 14);
    for point in all {
        assert!(!is_taken(&point), "{point:02x?}");
    }
}

/// The danger of such a key: this one signature is valid for at least half of all messages, and
/// needs no secret.
#[tokio::test]
async fn rejects_forged_signature_under_key_of_small_order() {
    let identity = [&[1][..], &[0; 31]].concat();
    let signature = [&identity[..], &[0; 32]].concat();
    let point = EIGHT_TORSION[0].compress().to_bytes();
    let header = json!({ "alg": "EdDSA", "kid": "k" }).to_string();
    let message = format!("{}.{}", encoded(header), encoded(good_claims().to_string()));
    let token = format!("{message}.{}", encoded(&signature));

    let careless = DecodingKey::from_ed_components(&encoded(point)).unwrap();
    let (signature, bytes) = (encoded(&signature), message.as_bytes());
    let verifies = jsonwebtoken::crypto::verify(&signature, bytes, &careless, Algorithm::EdDSA);
    assert!(verifies.unwrap(), "it verifies if the key is not checked");

    let (mut small, _) = forms(&point);
    small["kid"] = json!("k");
    let mut good = Signer::of(Algorithm::EdDSA).jwk();
    good["kid"] = json!("good");
    let (target, _server) =
        target_of_set(Algorithm::EdDSA, &json!({ "keys": [small, good] })).await;
    target.rejects(&token, InvalidToken::UnknownKey).await;
    let header = json!({ "alg": "EdDSA", "kid": "good" }).to_string();
    let token = Signer::of(Algorithm::EdDSA).sign(header, good_claims().to_string());
    target.allows(&token).await;
}

/// A valid key plus a point of small order: its owner can make signatures that only some
/// implementations accept.
#[test]
fn rejects_key_of_mixed_order() {
    let good = decoded(Signer::of(Algorithm::EdDSA).jwk()["x"].as_str().unwrap());
    let key = CompressedEdwardsY::from_slice(&good).unwrap();
    let points: [EdwardsPoint; 2] = [key.decompress().unwrap(), ED25519_BASEPOINT_POINT];
    for point in points {
        assert!(is_taken(point.compress().as_bytes()));
        for torsion in &EIGHT_TORSION[1..] {
            let mixed = (point + torsion).compress();
            assert!(!is_taken(mixed.as_bytes()), "{mixed:?}");
        }
    }
}

#[test]
fn rejects_invalid_or_non_canonical_point_encoding() {
    let p = (BigUint::from(1_u8) << 255) - 19_u8;
    for more in 0..19_u8 {
        for sign in [0, 1] {
            assert!(!is_taken(&encoding(&(&p + more), sign)), "p + {more}");
        }
    }
    let good = decoded(Signer::of(Algorithm::EdDSA).jwk()["x"].as_str().unwrap());
    assert!(is_taken(&good));
    for other in [
        vec![],
        good[..31].to_vec(),
        [&good[..], &[0]].concat(),
        vec![2; 32],
    ] {
        assert!(!is_taken(&other), "{other:02x?}");
    }
}
