//! JSON Web Tokens: form, signature and claims. Whether the token's time is over is not decided
//! here, for an expired token still leads to its session.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny};

use crate::domain::{SessionId, Timestamp, TokenId, UserId};

/// The longest token that is looked at, in bytes.
const LONGEST: usize = 8 * 1024;

/// What a token says of its bearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `sub`.
    pub user: UserId,
    /// `sid`.
    pub session: SessionId,
    /// `jti`.
    pub token: TokenId,
    /// `exp`.
    pub expires_at: Timestamp,
    /// `scope`: names, separated by spaces; empty where there is none.
    pub scope: String,
}

/// Which check a token failed. For the log: the caller is only told that the token is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// More than 8 KiB.
    #[error("the token is too long")]
    TooLong,
    /// Not three parts, or not base64url without padding (RFC 7515 §2).
    #[error("the token is not three parts of base64url")]
    Form,
    /// Not a JSON object with an `alg` (RFC 7515 §4.1.1).
    #[error("the header is malformed")]
    Header,
    /// Another algorithm than the configured one.
    #[error("the algorithm is not the configured one")]
    Algorithm,
    /// It has extensions that must be understood (RFC 7515 §4.1.11).
    #[error("the header lists critical extensions")]
    Critical,
    /// The signature is not the key's.
    #[error("the signature does not verify")]
    Signature,
    /// Not a JSON object with the required claims, each of its type.
    #[error("a claim is missing or malformed")]
    Claims,
    /// `iss` is not the configured issuer.
    #[error("the issuer is not the configured one")]
    Issuer,
    /// `aud` does not name the configured audience.
    #[error("the audience is not the configured one")]
    Audience,
    /// `nbf` or `iat` lies ahead.
    #[error("the token is not yet valid")]
    NotYetValid,
}

/// A key that cannot verify tokens of the configured algorithm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnfitKey(String);

/// The key material as it is configured.
pub enum KeyMaterial {
    /// A shared secret, for the HS algorithms.
    Secret(String),
    /// A public key in PEM, for the others.
    PublicKey(String),
}

/// Verifies tokens of one algorithm, key, issuer and audience.
pub struct TokenVerifier {
    algorithm: Algorithm,
    key: DecodingKey,
    issuer: String,
    audience: String,
    leeway_seconds: i64,
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenVerifier")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// The JOSE header's members that matter here (RFC 7515 §4.1); all others are ignored, those that
/// carry or point to keys among them.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default, deserialize_with = "is_there")]
    crit: bool,
}

fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

#[derive(Deserialize)]
struct Payload {
    iss: String,
    aud: Audience,
    sub: String,
    sid: String,
    jti: String,
    exp: f64,
    #[serde(default, deserialize_with = "number")]
    nbf: Option<f64>,
    #[serde(default, deserialize_with = "number")]
    iat: Option<f64>,
    #[serde(default)]
    scope: String,
}

/// A claim that may be left out, but not be null.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    f64::deserialize(deserializer).map(Some)
}

/// One audience or several (RFC 7519 §4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn names(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Several(several) => several.iter().any(|one| one == audience),
        }
    }
}

impl TokenVerifier {
    /// A verifier of tokens that are signed by `algorithm`, issued by `issuer` for `audience`.
    /// `leeway_seconds` is the clock skew allowed for `nbf` and `iat`, never for `exp`.
    ///
    /// # Errors
    ///
    /// A key that does not fit the algorithm, or a secret shorter than its hash.
    pub fn new(
        algorithm: Algorithm,
        key: KeyMaterial,
        issuer: String,
        audience: String,
        leeway_seconds: u32,
    ) -> Result<Self, UnfitKey> {
        let key = decoding_key(algorithm, key)?;
        Ok(Self {
            algorithm,
            key,
            issuer,
            audience,
            leeway_seconds: leeway_seconds.into(),
        })
    }

    /// Checks everything of a token but whether it has expired or was revoked.
    ///
    /// # Errors
    ///
    /// The first check that it fails.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, InvalidToken> {
        if token.len() > LONGEST {
            return Err(InvalidToken::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(InvalidToken::Form)?;
        let (header, payload) = message.split_once('.').ok_or(InvalidToken::Form)?;

        let header: Header = read_object(&decode(header)?).ok_or(InvalidToken::Header)?;
        if header.alg.parse() != Ok(self.algorithm) {
            return Err(InvalidToken::Algorithm);
        }
        if header.crit {
            return Err(InvalidToken::Critical);
        }
        let verified =
            jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.key, self.algorithm);
        if !matches!(verified, Ok(true)) {
            return Err(InvalidToken::Signature);
        }

        let payload: Payload = read_object(&decode(payload)?).ok_or(InvalidToken::Claims)?;
        if payload.iss != self.issuer {
            return Err(InvalidToken::Issuer);
        }
        if !payload.aud.names(&self.audience) {
            return Err(InvalidToken::Audience);
        }
        for date in [payload.nbf, payload.iat].into_iter().flatten() {
            let valid_from = Timestamp::from_numeric_date(date).ok_or(InvalidToken::Claims)?;
            if valid_from.minus(self.leeway_seconds) > now {
                return Err(InvalidToken::NotYetValid);
            }
        }
        Ok(Claims {
            user: UserId::parse(payload.sub).map_err(|_| InvalidToken::Claims)?,
            session: SessionId::parse(payload.sid).map_err(|_| InvalidToken::Claims)?,
            token: TokenId::parse(payload.jti).map_err(|_| InvalidToken::Claims)?,
            expires_at: Timestamp::from_numeric_date(payload.exp).ok_or(InvalidToken::Claims)?,
            scope: payload.scope,
        })
    }
}

fn decode(part: &str) -> Result<Vec<u8>, InvalidToken> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| InvalidToken::Form)
}

/// Reads a JSON object. A struct would be read from an array, too.
fn read_object<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    json.trim_ascii_start()
        .starts_with(b"{")
        .then(|| serde_json::from_slice(json).ok())?
}

fn decoding_key(algorithm: Algorithm, key: KeyMaterial) -> Result<DecodingKey, UnfitKey> {
    use Algorithm::{
        ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512,
    };
    let unfit = |what: &str| UnfitKey(format!("{what} for {algorithm:?}"));
    // RFC 7518 §3.2: an HMAC key is at least as long as the hash.
    let secret_bytes = [(HS256, 32), (HS384, 48), (HS512, 64)]
        .into_iter()
        .find_map(|(hmac, bytes)| (hmac == algorithm).then_some(bytes));
    match key {
        KeyMaterial::Secret(secret) => match secret_bytes {
            None => Err(unfit("JWT_SECRET is set, and JWT_PUBLIC_KEY is needed")),
            Some(bytes) if secret.len() < bytes => Err(unfit(&format!(
                "JWT_SECRET must have {bytes} bytes or more"
            ))),
            Some(_) => Ok(DecodingKey::from_secret(secret.as_bytes())),
        },
        KeyMaterial::PublicKey(pem) if pem.contains("PRIVATE KEY") => Err(unfit(
            "JWT_PUBLIC_KEY holds a private key, and the public one is needed",
        )),
        KeyMaterial::PublicKey(pem) => {
            let pem = pem.as_bytes();
            let (key, verification): (_, &dyn VerificationAlgorithm) = match algorithm {
                HS256 | HS384 | HS512 => {
                    return Err(unfit("JWT_PUBLIC_KEY is set, and JWT_SECRET is needed"));
                }
                RS256 | RS384 | RS512 | PS256 | PS384 | PS512 => {
                    (DecodingKey::from_rsa_pem(pem), &RSA_PKCS1_2048_8192_SHA256)
                }
                ES256 => (DecodingKey::from_ec_pem(pem), &ECDSA_P256_SHA256_FIXED),
                ES384 => (DecodingKey::from_ec_pem(pem), &ECDSA_P384_SHA384_FIXED),
                EdDSA => (DecodingKey::from_ed_pem(pem), &ED25519),
                _ => return Err(unfit("there is no verification")),
            };
            // Reading a PEM says little of its key: one on another curve would be taken, and verify
            // nothing. So would an RSA key below 2,048 bits (RFC 7518 §3.3), whose modulus alone
            // takes 256 bytes.
            let least_bytes = if algorithm.family() == AlgorithmFamily::Rsa {
                256
            } else {
                0
            };
            let verifies = |bytes: &[u8]| {
                bytes.len() > least_bytes && ParsedPublicKey::new(verification, bytes).is_ok()
            };
            key.ok()
                .filter(|key| key.try_get_as_bytes().is_ok_and(verifies))
                .ok_or_else(|| unfit("JWT_PUBLIC_KEY must be the PEM of a public key"))
        }
    }
}
