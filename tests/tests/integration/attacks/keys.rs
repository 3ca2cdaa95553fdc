//! Attacks with unsuitable keys in a JWK Set, next to a valid one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::Algorithm;
use num_bigint::BigUint;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use session_cleanup_tests::log::LogGuard;
use session_cleanup_tests::token_factory::{Signer, decoded, encoded, good_claims};
use session_token::InvalidToken;
use session_token::keys::{InvalidJwks, MAX_TRIED_KEYS, VerifyingKey, read_jwks};

use super::target_of_set;

/// A JWK with these members set, or removed if null.
fn with(jwk: &Value, members: Value) -> Value {
    let mut jwk = jwk.clone();
    let Value::Object(members) = members else {
        unreachable!("the members are an object")
    };
    for (name, value) in members {
        jwk[name] = value;
    }
    jwk.as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    jwk
}

fn number(jwk: &Value, name: &str) -> Vec<u8> {
    decoded(jwk[name].as_str().unwrap())
}

/// The issuer signs the tokens: if the authorizer accepted the key, it would allow them.
async fn each_is_refused(algorithm: Algorithm, bad: Vec<Value>) {
    let issuer = Signer::of(algorithm);
    let good = with(&issuer.jwk(), json!({ "kid": "good" }));
    let mut set = vec![good];
    for (n, jwk) in bad.iter().enumerate() {
        set.push(with(jwk, json!({ "kid": format!("bad {n}") })));
    }
    let (target, _server) = target_of_set(algorithm, &json!({ "keys": set })).await;
    for n in 0..bad.len() {
        let header = json!({ "alg": algorithm, "kid": format!("bad {n}") }).to_string();
        let token = issuer.sign(header, good_claims().to_string());
        target.rejects(&token, InvalidToken::UnknownKey).await;
    }
    let header = json!({ "alg": algorithm, "kid": "good" }).to_string();
    let token = issuer.sign(header, good_claims().to_string());
    target.allows(&token).await;
}

/// Invalid members of a key of any type.
fn for_something_else(jwk: &Value) -> Vec<Value> {
    [
        json!({ "use": "enc" }),
        json!({ "use": "SIG" }),
        json!({ "use": "" }),
        json!({ "use": "sig", "key_ops": ["sign"] }),
        json!({ "key_ops": [] }),
        json!({ "key_ops": ["sign"] }),
        json!({ "key_ops": ["encrypt", "wrapKey", "deriveKey"] }),
        json!({ "key_ops": "verify" }),
        json!({ "alg": "none" }),
        json!({ "alg": "HS256" }),
        json!({ "alg": "ES512" }),
        json!({ "alg": "RSA-OAEP" }),
        json!({ "alg": "" }),
        json!({ "kty": "oct" }),
        json!({ "kty": "" }),
        json!({ "kty": null }),
    ]
    .map(|members| with(jwk, members))
    .into()
}

/// Private keys, complete or in part, and secrets.
fn private(jwk: &Value) -> Vec<Value> {
    [
        json!({ "d": encoded([7; 32]) }),
        json!({ "d": "" }),
        json!({ "d": [] }),
        json!({ "p": encoded([7; 128]) }),
        json!({ "oth": [] }),
        json!({ "k": encoded([7; 64]) }),
        json!({ "k": "" }),
        json!({ "kty": "oct", "k": "" }),
    ]
    .map(|members| with(jwk, members))
    .into()
}

/// Anyone who reads the set can sign with a private key in it.
#[tokio::test]
async fn rejects_public_key_whose_private_key_is_in_jwks() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let (issuer, stranger) = (Signer::of(algorithm), Signer::stranger(algorithm));
        for published in private(&stranger.jwk()) {
            let set = json!({ "keys": [
                with(&issuer.jwk(), json!({ "kid": "good" })),
                with(&issuer.jwk(), json!({ "kid": "private" })),
                with(&stranger.jwk(), json!({ "kid": "public" })),
                with(&published, json!({ "kid": "private" })),
            ] });
            let (target, _server) = target_of_set(algorithm, &set).await;
            for (signer, kid) in [
                (&stranger, "public"),
                (&stranger, "private"),
                (&issuer, "private"),
            ] {
                let header = json!({ "alg": algorithm, "kid": kid }).to_string();
                let token = signer.sign(header, good_claims().to_string());
                target.rejects(&token, InvalidToken::UnknownKey).await;
            }
            let header = json!({ "alg": algorithm, "kid": "good" }).to_string();
            target
                .allows(&issuer.sign(header, good_claims().to_string()))
                .await;
        }
    }
}

#[tokio::test]
async fn rejects_key_for_other_use_or_private_key() {
    for algorithm in [
        Algorithm::RS256,
        Algorithm::PS256,
        Algorithm::ES256,
        Algorithm::EdDSA,
    ] {
        let jwk = Signer::of(algorithm).jwk();
        let mut bad = for_something_else(&jwk);
        for other in ["RS384", "PS256", "ES256", "ES384", "EdDSA"] {
            if other != format!("{algorithm:?}") {
                bad.push(with(&jwk, json!({ "alg": other })));
            }
        }
        each_is_refused(algorithm, bad).await;
    }
}

#[tokio::test]
async fn accepts_key_declared_for_verification() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let issuer = Signer::of(algorithm);
        for members in [
            json!({}),
            json!({ "use": "sig", "alg": algorithm, "key_ops": ["verify"] }),
            json!({ "key_ops": ["sign", "verify"], "ext": true, "x5t": "AA", "unknown": {} }),
        ] {
            let jwk = with(&issuer.jwk(), members);
            let (target, _server) = target_of_set(algorithm, &json!({ "keys": [jwk] })).await;
            target.allows(&issuer.good_token()).await;
        }
    }
}

#[tokio::test]
async fn rejects_unsuitable_rsa_key_in_jwks() {
    let jwk = Signer::of(Algorithm::RS256).jwk();
    let n = number(&jwk, "n");
    let small = decoded_pem(include_str!("../../../keys/rsa-1024.pub.pem"));
    let short = &small[small.len() - 128 - 5..small.len() - 5];
    let mut bad: Vec<_> = [
        // e: 1, even, zero, missing.
        json!({ "e": encoded([1]) }),
        json!({ "e": encoded([0, 0, 1]) }),
        json!({ "e": encoded([2]) }),
        json!({ "e": encoded([1, 0, 0]) }),
        json!({ "e": encoded([0]) }),
        json!({ "e": "" }),
        json!({ "e": null }),
        json!({ "e": 65_537 }),
        json!({ "e": "AQ~B" }),
        // n: 1,024 bits, 2,047 bits, 8,200 bits, zero, missing.
        json!({ "n": encoded(short) }),
        json!({ "n": encoded([&[0x7f], &n[1..]].concat()) }),
        json!({ "n": encoded([&vec![0xff; 769], &n[..]].concat()) }),
        json!({ "n": encoded([0; 256]) }),
        json!({ "n": encoded([&[0; 128], &n[..128]].concat()) }),
        json!({ "n": "" }),
        json!({ "n": null }),
    ]
    .map(|members| with(&jwk, members))
    .into();
    bad.push(Signer::of(Algorithm::ES256).jwk());
    each_is_refused(Algorithm::RS256, bad).await;
}

fn decoded_pem(pem: &str) -> Vec<u8> {
    let lines: Vec<_> = pem.lines().filter(|it| !it.starts_with('-')).collect();
    STANDARD.decode(lines.concat()).unwrap()
}

#[tokio::test]
async fn rejects_elliptic_key_off_its_curve_or_of_other_curve() {
    for (algorithm, other, length) in [
        (Algorithm::ES256, Algorithm::ES384, 32),
        (Algorithm::ES384, Algorithm::ES256, 48),
    ] {
        let jwk = Signer::of(algorithm).jwk();
        let (x, y) = (number(&jwk, "x"), number(&jwk, "y"));
        assert_eq!((x.len(), y.len()), (length, length));
        let flipped = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes[length - 1] ^= 1;
            encoded(bytes)
        };
        let mut bad: Vec<_> = [
            json!({ "x": flipped(&x) }),
            json!({ "y": flipped(&y) }),
            json!({ "x": encoded(&y), "y": encoded(&x) }),
            json!({ "x": encoded(vec![0; length]), "y": encoded(vec![0; length]) }),
            json!({ "x": encoded(vec![0xff; length]), "y": encoded(vec![0xff; length]) }),
            json!({ "x": encoded(vec![0; length]) }),
            // The coordinates have the curve's length (RFC 7518 §6.2.1.2).
            json!({ "x": encoded([&[0], &x[..]].concat()) }),
            json!({ "y": encoded([&[0], &y[..]].concat()) }),
            json!({ "x": encoded(&x[1..]) }),
            json!({ "x": encoded([&x[..], &y[..1]].concat()), "y": encoded(&y[1..]) }),
            json!({ "x": encoded(&x[..31]), "y": encoded([&x[31..], &y[..]].concat()) }),
            json!({ "x": encoded([&[4], &x[..], &y[..]].concat()), "y": "" }),
            json!({ "y": "" }),
            json!({ "y": null }),
            json!({ "y": true }),
            json!({ "x": "", "y": "" }),
            json!({ "crv": "P-521" }),
            json!({ "crv": "secp256k1" }),
            json!({ "crv": "Ed25519" }),
            json!({ "crv": "p-256" }),
            json!({ "crv": "" }),
            json!({ "crv": null }),
            json!({ "crv": Signer::of(other).jwk()["crv"] }),
            json!({ "kty": "OKP" }),
            json!({ "kty": "RSA" }),
        ]
        .map(|members| with(&jwk, members))
        .into();
        bad.push(Signer::of(other).jwk());
        each_is_refused(algorithm, bad).await;
    }
}

#[tokio::test]
async fn rejects_edwards_key_of_other_curve_or_type() {
    let jwk = Signer::of(Algorithm::EdDSA).jwk();
    let bad = [
        json!({ "crv": "X25519" }),
        json!({ "crv": "Ed448" }),
        json!({ "crv": "P-256" }),
        json!({ "crv": null }),
        json!({ "kty": "EC" }),
        json!({ "kty": "EC", "y": jwk["x"] }),
        json!({ "x": null }),
        json!({ "x": "" }),
        json!({ "x": encoded([&[0x40], &number(&jwk, "x")[..]].concat()) }),
    ];
    let bad = bad.map(|members| with(&jwk, members));
    each_is_refused(Algorithm::EdDSA, bad.into()).await;
}

/// It is unknown which of them signed.
#[tokio::test]
async fn rejects_different_keys_for_same_purpose_that_share_kid() {
    let algorithm = Algorithm::EdDSA;
    let (issuer, stranger) = (Signer::of(algorithm), Signer::stranger(algorithm));
    let escaped = with(&stranger.jwk(), json!({ "kid": "tw\u{6f}" }));
    let set = json!({ "keys": [
        with(&issuer.jwk(), json!({ "kid": "two" })),
        escaped,
        with(&issuer.jwk(), json!({ "kid": "good" })),
    ] });
    let (target, _server) = target_of_set(algorithm, &set).await;
    let header = json!({ "alg": algorithm, "kid": "two" }).to_string();
    for signer in [&issuer, &stranger] {
        let token = signer.sign(&header, good_claims().to_string());
        target.rejects(&token, InvalidToken::UnknownKey).await;
    }
    let header = json!({ "alg": algorithm, "kid": "good" }).to_string();
    let token = issuer.sign(header, good_claims().to_string());
    target.allows(&token).await;
}

/// A forged token without `kid` must not cost a verification for each of hundreds of keys.
#[tokio::test]
async fn tries_at_most_20_keys_for_one_token() {
    let algorithm = Algorithm::RS256;
    let issuer = Signer::of(algorithm);
    let mut rng = StdRng::seed_from_u64(13);
    let unnamed: Vec<_> = (0..100).map(|_| random_rsa_key(&mut rng)).collect();
    let name = |(kid, jwk)| with(jwk, json!({ "kid": format!("key {kid}") }));
    let named: Vec<_> = unnamed.iter().enumerate().map(name).collect();
    let of_issuer = with(&issuer.jwk(), json!({ "kid": "k" }));
    let without_kid = issuer.good_token();
    let header = json!({ "alg": algorithm, "kid": "k" }).to_string();
    let with_kid = issuer.sign(header, good_claims().to_string());
    for others in [&named, &unnamed] {
        for (place, is_tried) in [(0, true), (19, true), (20, false), (100, false)] {
            let mut keys = others.clone();
            keys.insert(place, of_issuer.clone());
            let set = json!({ "keys": keys });
            let read = read_jwks(set.to_string().as_bytes(), algorithm).unwrap();
            assert_eq!(read.keys.of(None).count(), MAX_TRIED_KEYS);
            let log = LogGuard::start();
            read.unused.log();
            let lines = log.about("more keys than a token without kid is verified with");
            assert_eq!(lines[0]["count"], 101, "{lines:?}");
            assert_eq!(lines[0]["tried"], MAX_TRIED_KEYS, "{lines:?}");
            let (target, _server) = target_of_set(algorithm, &set).await;
            if is_tried {
                target.allows(&without_kid).await;
            } else {
                target.rejects(&without_kid, InvalidToken::Signature).await;
            }
            // A `kid` names its key at any place, also next to many without `kid`.
            target.allows(&with_kid).await;
            assert!(read.keys.of(Some("k")).count() <= MAX_TRIED_KEYS);
        }
    }
    let set = json!({ "keys": named[..MAX_TRIED_KEYS] }).to_string();
    let read = read_jwks(set.as_bytes(), algorithm).unwrap();
    let log = LogGuard::start();
    read.unused.log();
    assert!(log.about("more keys").is_empty(), "all keys are tried");
}

/// RFC 7517 §4.5 allows it for keys that are equivalent or have another type.
#[tokio::test]
async fn accepts_key_that_shares_kid_with_key_for_other_purpose() {
    let algorithm = Algorithm::RS256;
    let (issuer, stranger) = (Signer::of(algorithm), Signer::stranger(algorithm));
    let padded = issuer.jwk()["n"]
        .as_str()
        .unwrap()
        .replace('-', "+")
        .replace('_', "/")
        + "==";
    for other in [
        Signer::of(Algorithm::EdDSA).jwk(),
        with(&stranger.jwk(), json!({ "use": "enc" })),
        with(&stranger.jwk(), json!({ "alg": "PS256" })),
        with(&stranger.jwk(), json!({ "alg": "RSA-OAEP" })),
        json!({}),
        // The same key again, as it is, for another algorithm, and in another encoding.
        issuer.jwk(),
        with(&issuer.jwk(), json!({ "alg": "PS256" })),
        with(&issuer.jwk(), json!({ "n": padded, "x5c": ["AA=="] })),
    ] {
        let other = with(&other, json!({ "kid": "k" }));
        let key = with(&issuer.jwk(), json!({ "kid": "k", "alg": "RS256" }));
        for keys in [json!([key, other]), json!([other, key])] {
            let (target, _server) = target_of_set(algorithm, &json!({ "keys": keys })).await;
            let header = json!({ "alg": algorithm, "kid": "k" }).to_string();
            let claims = good_claims().to_string();
            target.allows(&issuer.sign(&header, &claims)).await;
            let forged = stranger.sign(&header, &claims);
            target.rejects(&forged, InvalidToken::Signature).await;
        }
    }
}

/// RFC 9864 has a name of its own for `EdDSA` with the curve Ed25519.
#[tokio::test]
async fn accepts_ed25519_as_name_of_eddsa() {
    let issuer = Signer::of(Algorithm::EdDSA);
    for of_key in ["EdDSA", "Ed25519"] {
        let jwk = with(&issuer.jwk(), json!({ "alg": of_key, "kid": "k" }));
        let (target, _server) = target_of_set(Algorithm::EdDSA, &json!({ "keys": [jwk] })).await;
        for of_token in ["EdDSA", "Ed25519"] {
            let header = json!({ "alg": of_token, "kid": "k" }).to_string();
            target
                .allows(&issuer.sign(header, good_claims().to_string()))
                .await;
        }
        let header = json!({ "alg": "Ed448", "kid": "k" }).to_string();
        let token = issuer.sign(header, good_claims().to_string());
        target.rejects(&token, InvalidToken::Algorithm).await;
    }
}

#[test]
fn rejects_document_that_is_no_jwks_or_has_duplicate_names() {
    let jwk = Signer::of(Algorithm::EdDSA).jwk();
    let doubled = |jwk: &Value, name: &str| {
        let jwk = jwk.to_string();
        format!("{},\"{name}\":\"x\"}}", jwk.trim_end_matches('}'))
    };
    for document in [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        jwk.to_string(),
        json!([jwk]).to_string(),
        json!({ "Keys": [jwk] }).to_string(),
        json!({ "keys": jwk }).to_string(),
        json!({ "keys": jwk.to_string() }).to_string(),
        json!({ "keys": null }).to_string(),
        format!(r#"{{"keys":[{jwk}],"keys":[]}}"#),
        format!(r#"{{"keys":[],"k\u0065ys":[{jwk}]}}"#),
        format!(r#"{{"keys":[{}]}}"#, doubled(&jwk, "x")),
        format!(r#"{{"keys":[{}]}}"#, doubled(&jwk, r"\u0078")),
        format!(r#"{{"keys":[{}]}}"#, doubled(&jwk, "crv")),
        format!(r#"{{"keys":[{jwk}]}} x"#),
        format!("\u{feff}{{\"keys\":[{jwk}]}}"),
        // A text that the JSON library would parse as JSON, with duplicate names.
        json!({ "keys": [{ "$serde_json::private::RawValue": doubled(&jwk, "x") }] }).to_string(),
    ] {
        let read = read_jwks(document.as_bytes(), Algorithm::EdDSA);
        assert_eq!(read.unwrap_err(), InvalidJwks::Malformed, "{document}");
    }
    for (keys, found) in [
        (json!([]), 0),
        (json!([null, 1, "x", [], {}, [jwk]]), 0),
        (json!([null, 1, "x", [], jwk]), 1),
        (json!([jwk]), 1),
    ] {
        let document = json!({ "keys": keys, "more": { "keys": [jwk] } }).to_string();
        let read = read_jwks(document.as_bytes(), Algorithm::EdDSA)
            .unwrap()
            .keys;
        assert_eq!(read.of(None).count(), found, "{document}");
    }
}

/// With the exponent 1, every message is its own signature.
#[test]
fn rejects_unsuitable_rsa_key_in_pem() {
    let jwk = Signer::of(Algorithm::RS256).jwk();
    let n = number(&jwk, "n");
    let tagged = |tag: u8, bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], &length[..], bytes].concat()
    };
    let pem = |n: &[u8], e: &[u8]| {
        let numbers = [
            tagged(2, &[&[0], n].concat()),
            vec![2, u8::try_from(e.len()).unwrap()],
            e.to_vec(),
        ];
        let key = tagged(0x30, &numbers.concat());
        // rsaEncryption without parameters (RFC 3279 §2.3.1).
        let name = [
            0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0,
        ];
        let der = tagged(
            0x30,
            &[&name[..], &tagged(3, &[&[0], &key[..]].concat())].concat(),
        );
        let der = STANDARD.encode(der);
        format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
    };
    let read = |pem: &str| VerifyingKey::from_pem(Algorithm::RS256, pem);
    assert!(read(&pem(&n, &[1, 0, 1])).is_ok());
    for e in [&[1][..], &[2], &[0], &[1, 0, 0]] {
        assert!(read(&pem(&n, e)).is_err(), "{e:?}");
    }
    assert!(read(&pem(&[&[0x7f], &n[1..]].concat(), &[1, 0, 1])).is_err());
    assert!(read(&pem(&[0xff], &[1, 0, 1])).is_err());
    let error = read(&pem(&roca_modulus(), &[1, 0, 1])).unwrap_err();
    assert!(error.to_string().contains("CVE-2017-15361"), "{error}");
}

/// The product of the first primes.
fn primorial(primes: usize) -> BigUint {
    let is_prime = |number: &u32| !(2..*number).any(|divisor| number.is_multiple_of(divisor));
    (2_u32..).filter(is_prime).take(primes).product()
}

/// A number of 1,024 bits with the structure of the weak generator's primes: k·M + 65537^a mod M,
/// where M is the product of the first 126 primes. It is not prime, but a test of the modulus
/// cannot notice that.
fn roca_factor(power: u32) -> BigUint {
    let product = primorial(126);
    let start = BigUint::from(65_537_u32).modpow(&power.into(), &product);
    let k = (BigUint::from(3_u32) << 1_022_u32) / &product;
    k * product + start
}

fn roca_modulus() -> Vec<u8> {
    let modulus = roca_factor(1_234_567) * roca_factor(7_654_321);
    assert_eq!(modulus.bits(), 2_048);
    modulus.to_bytes_be()
}

#[tokio::test]
async fn rejects_rsa_key_of_weak_generator() {
    let jwk = Signer::of(Algorithm::RS256).jwk();
    let weak = with(&jwk, json!({ "n": encoded(roca_modulus()), "kid": "weak" }));
    for algorithm in [Algorithm::RS256, Algorithm::PS512] {
        each_is_refused(algorithm, vec![weak.clone()]).await;
        let set = json!({ "keys": [weak] }).to_string();
        let log = LogGuard::start();
        assert!({
            let read = read_jwks(set.as_bytes(), algorithm).unwrap();
            read.unused.log();
            read.keys.is_empty()
        });
        let lines = log.about("the key \\\"weak\\\" has an RSA modulus of the weak generator ROCA");
        assert!(!lines.is_empty(), "{:?}", log.lines());
    }
}

/// A key of 2,048 bits. Its private key is unknown.
fn random_rsa_key(rng: &mut StdRng) -> Value {
    let mut n: [u8; 256] = rng.random();
    (n[0], n[255]) = (n[0] | 0x80, n[255] | 1);
    let jwk = Signer::of(Algorithm::RS256).jwk();
    with(&jwk, json!({ "n": encoded(n) }))
}

/// One of 2^28 other moduli looks like a weak one.
#[test]
fn accepts_rsa_moduli_of_other_generators() {
    let jwk = Signer::of(Algorithm::RS256).jwk();
    let mut rng = StdRng::seed_from_u64(12);
    let keys: Vec<_> = (0..500)
        .map(|kid| with(&random_rsa_key(&mut rng), json!({ "kid": kid.to_string() })))
        .collect();
    let set = json!({ "keys": keys }).to_string();
    let read = read_jwks(set.as_bytes(), Algorithm::RS256).unwrap().keys;
    let taken = (0..500).filter(|kid| read.of(Some(&kid.to_string())).next().is_some());
    assert_eq!(taken.count(), 500);
    // Both factors must be powers of the generator.
    let half = roca_factor(5) * (roca_factor(6) + 2_u32);
    let half = with(&jwk, json!({ "n": encoded(half.to_bytes_be()) }));
    let set = json!({ "keys": [half] }).to_string();
    let read = read_jwks(set.as_bytes(), Algorithm::RS256).unwrap().keys;
    assert_eq!(read.of(None).count(), 1);
}

#[test]
fn rejects_jwks_of_more_than_500_keys_with_its_size() {
    let jwk = Signer::of(Algorithm::EdDSA).jwk();
    let set = |empty: usize| {
        let mut keys = vec![json!({}); empty];
        keys.push(with(&jwk, json!({ "kid": "good" })));
        json!({ "keys": keys }).to_string()
    };
    let read = read_jwks(set(499).as_bytes(), Algorithm::EdDSA)
        .unwrap()
        .keys;
    assert_eq!(read.of(Some("good")).count(), 1);
    let error = read_jwks(set(60_000).as_bytes(), Algorithm::EdDSA).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the JWK Set has 60001 keys, and no more than 500 are read"
    );
}

#[test]
fn logs_one_line_per_kind_of_unused_keys() {
    let jwk = Signer::of(Algorithm::EdDSA).jwk();
    let rsa = Signer::of(Algorithm::RS256).jwk();
    let stranger = Signer::stranger(Algorithm::EdDSA).jwk();
    let named = |jwk: &Value, kid: &str| with(jwk, json!({ "kid": kid }));
    let mut keys = vec![
        named(&rsa, "one-rsa"),
        with(&jwk, json!({ "kid": "one-enc", "use": "enc" })),
        with(&jwk, json!({ "kid": "one-alg", "alg": "ES256" })),
        with(&jwk, json!({ "kid": "one-ops", "key_ops": ["sign"] })),
        with(&jwk, json!({ "kid": "one-crv", "crv": "X25519" })),
        with(&stranger, json!({ "kid": "one-private", "d": "AA" })),
        with(&jwk, json!({ "kid": "one-coded", "x": "~~~" })),
        with(&jwk, json!({ "kid": "one-no-x", "x": null })),
        with(&jwk, json!({ "kid": [7] })),
        named(&jwk, "one-good"),
    ];
    let passed_over = [
        "the key \"one-rsa\" has another kty, or none",
        "the key \"one-enc\" has another use than sig",
        "the key \"one-alg\" has another alg",
        "the key \"one-ops\" has key_ops without verify",
        "the key \"one-crv\" has another crv, or none",
    ];
    let refused = [
        "the key \"one-private\" is private or symmetric",
        "the key \"one-coded\" has a number that is not base64url",
        "the key \"one-no-x\" is of another type or lacks a member",
        "the key without kid has a kid that is neither text nor a whole number",
    ];
    let log = LogGuard::start();
    let set = json!({ "keys": keys }).to_string();
    let set = read_jwks(set.as_bytes(), Algorithm::EdDSA).unwrap();
    assert_eq!(set.keys.of(Some("one-good")).count(), 1);
    set.unused.log();
    let lines = log.about("one-");
    let told: Vec<_> = lines.iter().map(|it| (&it["level"], &it["keys"])).collect();
    let expected = [
        ("INFO", passed_over.join("; ")),
        ("WARN", refused.join("; ")),
    ];
    assert_eq!(told.len(), 2, "{lines:?}");
    for ((level, keys), expected) in told.into_iter().zip(expected) {
        assert_eq!(
            (level.as_str(), keys.as_str()),
            (Some(expected.0), Some(&*expected.1))
        );
    }

    keys.extend(vec![json!({ "kid": "many".repeat(1_000) }); 400]);
    let log = LogGuard::start();
    let set = json!({ "keys": keys }).to_string();
    read_jwks(set.as_bytes(), Algorithm::EdDSA)
        .unwrap()
        .unused
        .log();
    let lines = log.about("manymany");
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["count"], 405);
    assert!(
        lines[0]["keys"].as_str().unwrap().len() < 4_000,
        "{lines:?}"
    );
}
