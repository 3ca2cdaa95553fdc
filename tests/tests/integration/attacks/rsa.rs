//! Attacks on RSA (RFC 8017 §8): a signature is a number below the modulus, and all bytes of the
//! encoded message are compared.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::Algorithm;
use num_bigint::BigUint;
use serde_json::json;
use session_cleanup_tests::token_factory::{
    Signer, Target, claims_with, decoded, encoded, good_claims,
};
use session_token::InvalidToken;
use sha2::{Digest, Sha256};

use super::target_of_set;

/// Length of the modulus in bytes.
const LENGTH: usize = 256;

/// Modulus and private exponent of the test key.
struct PrivateKey {
    n: BigUint,
    d: BigUint,
}

impl PrivateKey {
    fn read() -> Self {
        let pem = include_str!("../../../keys/rsa.pem");
        let lines: Vec<_> = pem.lines().filter(|it| !it.starts_with('-')).collect();
        let der = STANDARD.decode(lines.concat()).unwrap();
        // PKCS #8 (RFC 5208 §5): version, algorithm, and an octet string with the structure of RFC
        // 8017 A.1.2: version, n, e, d.
        let info = elements(elements(&der)[0]);
        let key = elements(elements(info[2])[0]);
        let number = |at: usize| BigUint::from_bytes_be(key[at]);
        Self {
            n: number(1),
            d: number(3),
        }
    }

    /// Signs any encoded message.
    fn signature(&self, encoded_message: &[u8]) -> Vec<u8> {
        let number = BigUint::from_bytes_be(encoded_message);
        fixed(&number.modpow(&self.d, &self.n))
    }
}

/// The contents of consecutive DER elements.
fn elements(mut der: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let [_, length, rest @ ..] = der {
        let (length, rest) = match length {
            short @ ..0x80 => (usize::from(*short), rest),
            long => {
                let (length, rest) = rest.split_at(usize::from(long & 0x7f));
                let bytes = length.iter().map(|byte| usize::from(*byte));
                (bytes.fold(0, |all, byte| all << 8 | byte), rest)
            }
        };
        let (content, rest) = rest.split_at(length);
        found.push(content);
        der = rest;
    }
    found
}

fn fixed(number: &BigUint) -> Vec<u8> {
    let bytes = number.to_bytes_be();
    [vec![0; LENGTH - bytes.len()], bytes].concat()
}

fn message(signer: &Signer) -> String {
    let token = signer.good_token();
    token.rsplit_once('.').unwrap().0.to_owned()
}

fn token(message: &str, signature: &[u8]) -> String {
    format!("{message}.{}", encoded(signature))
}

async fn target(algorithm: Algorithm) -> (Signer, Target) {
    let signer = Signer::of(algorithm);
    let target = signer.target().await;
    (signer, target)
}

/// RFC 8017 §5.2.2: the number must be less than the modulus. Adding the modulus gives an
/// equivalent number.
#[tokio::test]
async fn rejects_signature_not_below_modulus() {
    let n = PrivateKey::read().n;
    let limit = BigUint::from(1_u8) << (8 * LENGTH);
    for algorithm in [Algorithm::RS256, Algorithm::PS256] {
        let (signer, target) = target(algorithm).await;
        // For some messages the signature is small enough for the sum to fit.
        let (message, number) = (0..)
            .find_map(|n_th: u32| {
                let claims = claims_with("scope", n_th.to_string()).to_string();
                let token = signer.sign(signer.header(), claims);
                let (message, signature) = token.rsplit_once('.').unwrap();
                let number = BigUint::from_bytes_be(&decoded(signature));
                (&number + &n < limit).then(|| (message.to_owned(), number))
            })
            .unwrap();
        for other in [&number + &n, n.clone(), &n - &number, &limit - 1_u8] {
            let token = token(&message, &fixed(&other));
            target.rejects(&token, InvalidToken::Signature).await;
        }
        for small in [BigUint::ZERO, BigUint::from(1_u8), &n - 1_u8, &n + 1_u8] {
            let token = token(&message, &fixed(&small));
            target.rejects(&token, InvalidToken::Signature).await;
        }
        target.allows(&token(&message, &fixed(&number))).await;
    }
}

#[tokio::test]
async fn rejects_signature_of_other_length() {
    for algorithm in [Algorithm::RS256, Algorithm::PS256] {
        let (signer, target) = target(algorithm).await;
        // A signature that starts with a zero byte, which could be omitted.
        let (message, signature) = (0..)
            .find_map(|n_th: u32| {
                let claims = claims_with("scope", n_th.to_string()).to_string();
                let token = signer.sign(signer.header(), claims);
                let (message, signature) = token.rsplit_once('.').unwrap();
                let signature = decoded(signature);
                (signature[0] == 0).then(|| (message.to_owned(), signature))
            })
            .unwrap();
        for changed in [
            vec![],
            vec![0],
            vec![0; LENGTH],
            vec![0xff; LENGTH],
            signature[1..].to_vec(),
            signature[..LENGTH - 1].to_vec(),
            [&[0], &signature[..]].concat(),
            [&[0; 16], &signature[..]].concat(),
            [&signature[..], &[0]].concat(),
            [&signature[..], &signature[..]].concat(),
            signature[..LENGTH / 2].to_vec(),
        ] {
            let token = token(&message, &changed);
            target.rejects(&token, InvalidToken::Signature).await;
        }
        target.allows(&token(&message, &signature)).await;
    }
}

/// DER prefix of a SHA-256 hash (RFC 8017 §9.2, note 1).
const SHA_256: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20,
];

/// 0, the block type, the padding and 0, followed by `rest`.
fn padded(kind: u8, padding: u8, rest: &[u8]) -> Vec<u8> {
    let padding = vec![padding; LENGTH - 3 - rest.len()];
    [&[0, kind], &padding[..], &[0], rest].concat()
}

/// Encodings of PKCS #1 v1.5 that pass if an implementation parses instead of comparing
/// (CVE-2006-4339 and its many successors). The issuer's own key signs them here.
#[tokio::test]
async fn rejects_signature_over_wrong_padding() {
    let (signer, target) = target(Algorithm::RS256).await;
    let key = PrivateKey::read();
    let message = message(&signer);
    let hash = Sha256::digest(&message);
    let info = [&SHA_256[..], &hash].concat();
    let right = padded(1, 0xff, &info);
    let other = |hash: &[u8], name: &[u8]| padded(1, 0xff, &[name, hash].concat());
    let changed = |at: usize, byte: u8| {
        let mut changed = right.clone();
        changed[at] = byte;
        changed
    };
    // Eight bytes of padding, the minimum, and then arbitrary bytes.
    let room = LENGTH - 11 - info.len();
    let short = [&[0, 1], &[0xff; 8][..], &[0], &info].concat();
    for wrong in [
        [&short[..], &vec![0; room]].concat(),
        [&short[..], &vec![0xa5; room]].concat(),
        [&[0, 1, 0][..], &info, &vec![0; LENGTH - 3 - info.len()]].concat(),
        padded(1, 0xff, &[&info[..], &[0; 7]].concat()),
        padded(0, 0, &info),
        padded(2, 0xff, &info),
        padded(1, 0xfe, &info),
        changed(2, 0),
        changed(100, 0),
        changed(100, 0xfe),
        changed(0, 0x80),
        changed(LENGTH - 33, 0x21),
        // Without a prefix; with that of SHA-1, SHA-384 and SHA-512; without parameters; with other
        // parameters; with lengths in two bytes.
        padded(1, 0xff, &hash),
        other(
            &hash,
            &[
                0x30, 0x2d, 0x30, 9, 6, 5, 0x2b, 0x0e, 3, 2, 0x1a, 5, 0, 4, 0x20,
            ],
        ),
        changed(LENGTH - 37, 2),
        changed(LENGTH - 37, 3),
        other(
            &hash,
            &[
                0x30, 0x2f, 0x30, 0x0b, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 4, 0x20,
            ],
        ),
        changed(LENGTH - 36, 4),
        other(&hash, &[&[0x30, 0x81][..], &SHA_256[1..]].concat()),
        other(&hash, &[&SHA_256[..18], &[0x81, 0x20]].concat()),
        // The hash of another message, and half of this message's hash.
        other(&Sha256::digest("x"), &SHA_256),
        other(&[&hash[..16], &[0; 16]].concat(), &SHA_256),
    ] {
        assert_eq!(wrong.len(), LENGTH);
        assert_ne!(wrong, right);
        let token = token(&message, &key.signature(&wrong));
        target.rejects(&token, InvalidToken::Signature).await;
    }
    target
        .allows(&token(&message, &key.signature(&right)))
        .await;
}

/// Bleichenbacher's forgery of 2006: with the exponent 3, the cube root of a number that starts
/// like the padding is a valid signature, unless the end is checked. It needs no private key.
#[tokio::test]
async fn rejects_forged_cube_root_under_key_with_exponent_3() {
    let issuer = Signer::of(Algorithm::RS256);
    let mut three = issuer.jwk();
    three["e"] = json!(encoded([3]));
    three["kid"] = json!("three");
    let mut usual = issuer.jwk();
    usual["kid"] = json!("usual");
    let set = json!({ "keys": [three, usual] });
    let (target, _server) = target_of_set(Algorithm::RS256, &set).await;

    let header = json!({ "alg": "RS256", "kid": "three" }).to_string();
    let message = format!("{}.{}", encoded(header), encoded(good_claims().to_string()));
    let hash = Sha256::digest(&message);
    for padding in [8, 16, 32] {
        let begin = [&[1], &vec![0xff; padding][..], &[0], &SHA_256, &hash].concat();
        let begin = BigUint::from_bytes_be(&begin);
        let rest = 8 * (LENGTH - 1) - 8 * (2 + padding + SHA_256.len() + hash.len());
        let root = (&begin << rest).cbrt() + 1_u8;
        let cube = &root * &root * &root;
        assert_eq!(cube >> rest, begin, "it starts like a signature");
        let forged = token(&message, &fixed(&root));
        target.rejects(&forged, InvalidToken::Signature).await;
    }
    let header = json!({ "alg": "RS256", "kid": "usual" }).to_string();
    target
        .allows(&issuer.sign(header, good_claims().to_string()))
        .await;
}

/// EMSA-PSS-ENCODE (RFC 8017 §9.1.1) for 2,048 bits, with this salt and this last byte.
fn pss(message: &str, salt: &[u8], trailer: u8) -> Vec<u8> {
    let hashed = Sha256::new_with_prefix([0; 8])
        .chain_update(Sha256::digest(message))
        .chain_update(salt)
        .finalize();
    let length = LENGTH - hashed.len() - 1;
    let zeros = vec![0; length - salt.len() - 1];
    let mask = (0_u32..).flat_map(|counter| {
        Sha256::new_with_prefix(hashed)
            .chain_update(counter.to_be_bytes())
            .finalize()
    });
    let data = [&zeros[..], &[1], salt].concat();
    let mut masked: Vec<_> = data.iter().zip(mask).map(|(it, mask)| it ^ mask).collect();
    masked[0] &= 0x7f;
    [&masked[..], &hashed, &[trailer]].concat()
}

/// RFC 7518 §3.5: the salt has the length of the hash.
#[tokio::test]
async fn rejects_signature_with_salt_of_other_length() {
    let (signer, target) = target(Algorithm::PS256).await;
    let key = PrivateKey::read();
    let message = message(&signer);
    let salt = [0x5a; 222];
    for length in [0, 1, 20, 31, 33, 48, 64, 222] {
        let signature = key.signature(&pss(&message, &salt[..length], 0xbc));
        target
            .rejects(&token(&message, &signature), InvalidToken::Signature)
            .await;
    }
    let signature = key.signature(&pss(&message, &salt[..32], 0xcc));
    target
        .rejects(&token(&message, &signature), InvalidToken::Signature)
        .await;
    let signature = key.signature(&pss(&message, &salt[..32], 0xbc));
    target.allows(&token(&message, &signature)).await;
}
