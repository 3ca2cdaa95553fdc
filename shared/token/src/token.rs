//! Verification of a token: form, signature and claims. Expiry is not checked here because an expired
//! token still names its session.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use serde_json::Value;

use crate::claims::{ClaimRole, Claims};
use crate::json::read_object;
use crate::keys::{Keys, KeysUnavailable};
use crate::rules::TokenRules;
use session_domain::Timestamp;

/// Maximum length of a token in bytes: what API Gateway accepts as the size of all headers.
pub const MAX_TOKEN_BYTES: usize = 10 * 1024;

/// The check that a token failed. It is for the log: the caller learns only that the token is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error("the token is longer than {} KiB", MAX_TOKEN_BYTES / 1024)]
    TooLong,
    /// Not three parts, or not base64url without padding (RFC 7515 §2).
    #[error("the token is not three parts of base64url")]
    Encoding,
    /// Not a JSON object with an `alg` (RFC 7515 §4.1.1).
    #[error("the header is malformed")]
    Header,
    /// Another algorithm than the configured one.
    #[error("the header's alg is not the configured algorithm")]
    Algorithm,
    /// Extensions that must be understood (RFC 7515 §4.1.11), or an unencoded payload, which a JWT must
    /// not have (RFC 7797 §7).
    #[error("the header lists critical extensions")]
    Critical,
    /// The header's `typ` (RFC 7515 §4.1.9) names another kind of JWT, or none of the configured types.
    #[error("the header's typ is not one of an access token")]
    Type,
    /// No key has the token's `kid` (RFC 7515 §4.1.4).
    #[error("there is no key with the token's kid")]
    UnknownKey,
    /// No key verifies the signature.
    #[error("the signature does not verify")]
    Signature,
    /// The payload is not a JSON object with unique names.
    #[error("the payload is not a JSON object with unique names")]
    Payload,
    /// A claim says that this is an ID, refresh, logout or other token, not an access token.
    #[error("a claim says that the token is not an access token")]
    OtherKind,
    /// A claim that must have a configured value has not.
    #[error("a required claim is missing or has another value")]
    RequiredClaim(RequiredClaimIndex),
    /// A claim is missing.
    #[error("a claim is missing")]
    MissingClaim(ClaimRole),
    /// A claim has the wrong type, is too long, or is not a valid time.
    #[error("a claim is malformed")]
    MalformedClaim(ClaimRole),
    /// `iss` is not the configured issuer.
    #[error("the issuer is not the configured one")]
    Issuer,
    /// The token names no configured audience.
    #[error("the audience is not a configured one")]
    Audience,
    /// `nbf` or `iat` is in the future.
    #[error("the token is not valid yet")]
    NotYetValid(ClaimRole),
}

/// Which of [`TokenRules::required`] does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequiredClaimIndex(pub(crate) usize);

/// Why a token was not verified.
#[derive(Debug, thiserror::Error)]
pub enum NotVerified {
    /// The token failed a check.
    #[error(transparent)]
    Invalid(#[from] InvalidToken),
    /// No key is available to check the token with.
    #[error(transparent)]
    Keys(#[from] KeysUnavailable),
}

/// Verifies tokens.
#[derive(Debug)]
pub struct TokenVerifier {
    rules: TokenRules,
    keys: Keys,
}

/// The members of the JOSE header (RFC 7515 §4.1) that are used. All others are ignored, including
/// those that contain or point to keys.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Kid,
    #[serde(default, deserialize_with = "non_null")]
    typ: Option<String>,
    #[serde(default, deserialize_with = "is_present")]
    crit: bool,
    #[serde(default, deserialize_with = "non_null")]
    b64: Option<bool>,
}

/// A `kid`, as tokens and keys have it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Kid(pub(crate) Option<String>);

impl<'de> Deserialize<'de> for Kid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(&Value::deserialize(deserializer)?).ok_or_else(|| {
            serde::de::Error::custom("a kid that is neither text nor a whole number")
        })
    }
}

impl Kid {
    /// Reads a `kid`. It should be a string (RFC 7515 §4.1.4), but some issuers number their keys: a
    /// whole number is its digits. `null` and the empty string mean that there is none.
    pub(crate) fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(Self(None)),
            Value::String(kid) => Some(Self(Some(kid.clone()).filter(|kid| !kid.is_empty()))),
            Value::Number(kid) if !kid.is_f64() => Some(Self(Some(kid.to_string()))),
            Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

fn is_present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// A member that may be absent, but not `null`.
fn non_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl TokenVerifier {
    /// A verifier with these rules and keys.
    #[must_use]
    pub const fn new(rules: TokenRules, keys: Keys) -> Self {
        Self { rules, keys }
    }

    /// The rules.
    #[must_use]
    pub const fn rules(&self) -> &TokenRules {
        &self.rules
    }

    /// Checks everything about a token except its expiry and its revocation.
    ///
    /// # Errors
    ///
    /// The first check that failed, or no key was available.
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, NotVerified> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(InvalidToken::TooLong.into());
        }
        let (message, signature) = token.rsplit_once('.').ok_or(InvalidToken::Encoding)?;
        let (header, payload) = message.split_once('.').ok_or(InvalidToken::Encoding)?;
        let signature = decode(signature)?;

        let header: Header = read_object(&decode(header)?).ok_or(InvalidToken::Header)?;
        if parse_algorithm(&header.alg) != Some(self.rules.algorithm) {
            return Err(InvalidToken::Algorithm.into());
        }
        if header.crit || header.b64 == Some(false) {
            return Err(InvalidToken::Critical.into());
        }
        self.rules.check_type(header.typ.as_deref())?;
        let kid = header.kid.0.as_deref();
        let set = self.keys.at(now, kid).await?;
        let mut keys = set.of(kid).peekable();
        if keys.peek().is_none() {
            return Err(InvalidToken::UnknownKey.into());
        }
        if !keys.any(|key| key.verifies(message.as_bytes(), &signature)) {
            // The key that signed may be one that could not be fetched.
            set.complete()?;
            return Err(InvalidToken::Signature.into());
        }
        Ok(self.rules.read_claims(&decode(payload)?, now)?)
    }
}

/// Parses the name of an algorithm (RFC 7518 §3.1, RFC 8037 §3.1). `Ed25519` (RFC 9864 §2.2) is `EdDSA`
/// with the only curve that is accepted here.
#[must_use]
pub fn parse_algorithm(name: &str) -> Option<Algorithm> {
    match name {
        "Ed25519" => Some(Algorithm::EdDSA),
        name => name.parse().ok(),
    }
}

fn decode(part: &str) -> Result<Vec<u8>, InvalidToken> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| InvalidToken::Encoding)
}
