//! A key that verifies signatures, parsed once.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use curve25519_dalek::edwards::CompressedEdwardsY;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey};

use super::roca;

/// A key that verifies signatures of one algorithm.
#[derive(Clone)]
pub struct VerifyingKey(Verification);

#[derive(Clone)]
enum Verification {
    /// Boxed, because it is twenty times larger than the other variant.
    Hmac(Box<hmac::Key>),
    PublicKey(ParsedPublicKey),
}

/// Error of a key that the algorithm cannot use. The name of the key's source precedes the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} for {algorithm:?}")]
pub struct UnsuitableKey {
    problem: String,
    algorithm: Algorithm,
}

/// What is wrong with the parameters of a public key, as the end of a sentence about "the key".
pub(super) type Flaw = &'static str;

/// Verification method of an algorithm.
enum Method {
    Hmac(hmac::Algorithm),
    Rsa(&'static RsaParameters),
    /// A curve, and the length of its coordinates in bytes.
    Ec(&'static dyn VerificationAlgorithm, EllipticCurve, usize),
    Ed,
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Verification::Hmac(_) => "VerifyingKey(HMAC)",
            Verification::PublicKey(_) => "VerifyingKey(public key)",
        })
    }
}

impl VerifyingKey {
    /// Creates a key from a shared secret, which may be text or bytes.
    ///
    /// # Errors
    ///
    /// The algorithm does not use a secret. Or the secret is shorter than the algorithm's hash (RFC 7518
    /// §3.2). Or the secret is a public key, with which anyone could sign.
    pub fn from_secret(
        algorithm: Algorithm,
        secret: impl AsRef<[u8]>,
    ) -> Result<Self, UnsuitableKey> {
        const PUBLIC: [&[u8]; 2] = [b"PUBLIC KEY-----", b"CERTIFICATE-----"];
        let secret = secret.as_ref();
        let unsuitable = |problem: &str| UnsuitableKey::new(problem, algorithm);
        let Some(Method::Hmac(hash)) = method(algorithm) else {
            return Err(unsuitable("is a secret, and a public key is needed"));
        };
        let bytes = hash.digest_algorithm().output_len();
        if secret.len() < bytes {
            return Err(unsuitable(&format!("must have {bytes} bytes or more")));
        }
        let contains = |part: &[u8]| secret.windows(part.len()).any(|it| it == part);
        if PUBLIC.into_iter().any(contains) {
            return Err(unsuitable("holds a public key, and a secret is needed"));
        }
        let key = hmac::Key::new(hash, secret);
        Ok(Self(Verification::Hmac(Box::new(key))))
    }

    /// Creates a key from a public key in PEM (RFC 7468 §13).
    ///
    /// # Errors
    ///
    /// The algorithm does not use a public key, or the text is not a public key for the algorithm.
    pub fn from_pem(algorithm: Algorithm, pem: &str) -> Result<Self, UnsuitableKey> {
        let unsuitable = |problem: &str| UnsuitableKey::new(problem, algorithm);
        if pem.contains("PRIVATE KEY") {
            return Err(unsuitable(
                "holds a private key, and the public one is needed",
            ));
        }
        let pem = pem.as_bytes();
        let key = match method(algorithm) {
            None | Some(Method::Hmac(_)) => {
                return Err(unsuitable("is a public key, and a secret is needed"));
            }
            Some(Method::Rsa(_)) => DecodingKey::from_rsa_pem(pem),
            Some(Method::Ec(..)) => DecodingKey::from_ec_pem(pem),
            Some(Method::Ed) => DecodingKey::from_ed_pem(pem),
        };
        let jwk = key
            .and_then(|key| Jwk::from_decoding_key(&key, None))
            .map_err(|_| unsuitable("must be the PEM of a public key"))?;
        Self::from_parameters(algorithm, &jwk.algorithm)
            .map_err(|flaw| unsuitable(&format!("{flaw}, and cannot serve")))
    }

    /// Creates a key from the parameters of a JWK (RFC 7518 §6, RFC 8037 §2) for the algorithm.
    pub(super) fn from_parameters(
        algorithm: Algorithm,
        parameters: &AlgorithmParameters,
    ) -> Result<Self, Flaw> {
        const OTHER_TYPE: Flaw = "is of another type or lacks a member";
        const OTHER_CURVE: Flaw = "is of another curve";
        const NO_POINT: Flaw = "is no point of the algorithm's curve";
        let decode = |text: &str| {
            let number = URL_SAFE_NO_PAD.decode(text);
            number.map_err(|_| "has a number that is not base64url")
        };
        let parsed = match (method(algorithm).ok_or(OTHER_TYPE)?, parameters) {
            (Method::Rsa(method), AlgorithmParameters::RSA(key)) => {
                let (n, e) = (decode(&key.n)?, decode(&key.e)?);
                let key = PublicKeyComponents {
                    n: without_leading_zeros(&n),
                    e: without_leading_zeros(&e),
                };
                check_rsa_key(&key)?;
                let parsed = key.to_parsed_public_key(method);
                parsed.map_err(|_| "is not a valid RSA key")?
            }
            (Method::Ec(method, curve, bytes), AlgorithmParameters::EllipticCurve(key)) => {
                let (x, y) = (decode(&key.x)?, decode(&key.y)?);
                if key.curve != curve {
                    return Err(OTHER_CURVE);
                }
                if x.len() != bytes || y.len() != bytes {
                    return Err("has coordinates of another length than its curve's");
                }
                // Uncompressed point (SEC 1 §2.3.3). The constructor checks that it is on the curve.
                let parsed = ParsedPublicKey::new(method, [&[4], &*x, &*y].concat());
                parsed.map_err(|_| NO_POINT)?
            }
            (Method::Ed, AlgorithmParameters::OctetKeyPair(key)) => {
                let point = decode(&key.x)?;
                if key.curve != EllipticCurve::Ed25519 {
                    return Err(OTHER_CURVE);
                }
                if !has_prime_order(&point) {
                    return Err("is no point of the prime order");
                }
                ParsedPublicKey::new(&ED25519, point).map_err(|_| NO_POINT)?
            }
            _ => return Err(OTHER_TYPE),
        };
        Ok(Self(Verification::PublicKey(parsed)))
    }

    /// Whether this key verifies the signature of the message.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.0 {
            Verification::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
            Verification::PublicKey(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

impl UnsuitableKey {
    pub(super) fn new(problem: &str, algorithm: Algorithm) -> Self {
        Self {
            problem: problem.to_owned(),
            algorithm,
        }
    }
}

fn method(algorithm: Algorithm) -> Option<Method> {
    Some(match algorithm {
        Algorithm::HS256 => Method::Hmac(hmac::HMAC_SHA256),
        Algorithm::HS384 => Method::Hmac(hmac::HMAC_SHA384),
        Algorithm::HS512 => Method::Hmac(hmac::HMAC_SHA512),
        Algorithm::RS256 => Method::Rsa(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Method::Rsa(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Method::Rsa(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Method::Rsa(&RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Method::Rsa(&RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Method::Rsa(&RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 => Method::Ec(&ECDSA_P256_SHA256_FIXED, EllipticCurve::P256, 32),
        Algorithm::ES384 => Method::Ec(&ECDSA_P384_SHA384_FIXED, EllipticCurve::P384, 48),
        Algorithm::EdDSA => Method::Ed,
        _ => return None,
    })
}

/// `kty` and `crv` of a JWK for the algorithm (RFC 7518 §6, RFC 8037 §2).
pub(super) fn kind(algorithm: Algorithm) -> (&'static str, Option<&'static str>) {
    match method(algorithm) {
        None | Some(Method::Hmac(_)) => ("oct", None),
        Some(Method::Rsa(_)) => ("RSA", None),
        Some(Method::Ec(.., 32)) => ("EC", Some("P-256")),
        Some(Method::Ec(..)) => ("EC", Some("P-384")),
        Some(Method::Ed) => ("OKP", Some("Ed25519")),
    }
}

/// Checks that an RSA key is secure: a modulus of 2,048 to 8,192 bits (RFC 7518 §3.3), an exponent
/// for which a signature differs from the message, and no ROCA weakness. The parser checks none of
/// these.
fn check_rsa_key(key: &PublicKeyComponents<&[u8]>) -> Result<(), Flaw> {
    let bits = match key.n {
        [first, rest @ ..] => rest.len() * 8 + (u8::BITS - first.leading_zeros()) as usize,
        [] => 0,
    };
    if !(2_048..=8_192).contains(&bits) {
        return Err("has an RSA modulus of less than 2,048 or more than 8,192 bits");
    }
    let odd = key.e.last().is_some_and(|last| last % 2 == 1);
    if !odd || key.e == [1] {
        return Err("has an RSA exponent that is even or 1");
    }
    if roca::has_fingerprint(key.n) {
        return Err("has an RSA modulus of the weak generator ROCA (CVE-2017-15361)");
    }
    Ok(())
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// Whether this is the canonical encoding of a point of the large prime order. For a key of small
/// order, anyone can forge signatures of any message (RFC 8032 §5.1.7 does not check the order).
fn has_prime_order(point: &[u8]) -> bool {
    CompressedEdwardsY::from_slice(point).is_ok_and(|encoded| {
        encoded.decompress().is_some_and(|point| {
            point.compress() == encoded && !point.is_small_order() && point.is_torsion_free()
        })
    })
}
