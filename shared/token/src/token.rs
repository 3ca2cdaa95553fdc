//! Verification of JSON Web Tokens: form, signature and claims. The expiry is not checked here,
//! because an expired token still names its session.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use serde_json::{Map, Value};

use crate::json::read_object;
use crate::keys::{Keys, KeysUnavailable};
use session_domain::{SessionId, Timestamp, TokenId, UserId};

/// Maximum length of a token in bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Claims of a verified token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `sub`: ID of the user.
    pub user: UserId,
    /// `sid`: ID of the session.
    pub session: SessionId,
    /// `jti`: ID of the token.
    pub token: TokenId,
    /// `exp`: expiry time of the token.
    pub expires_at: Timestamp,
    /// `scope`: names separated by spaces. Empty if the token has none.
    pub scope: String,
}

/// The check that a token failed. It is logged; the caller only learns that the token is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// The token is longer than 8 KiB.
    #[error("the token is too long")]
    TooLong,
    /// It is not three parts of base64url without padding (RFC 7515 §2).
    #[error("the token is not three parts of base64url")]
    Encoding,
    /// The header is not a JSON object with an `alg` (RFC 7515 §4.1.1).
    #[error("the header is malformed")]
    Header,
    /// `alg` is not the configured algorithm.
    #[error("the algorithm is not the configured one")]
    Algorithm,
    /// The header has critical extensions (RFC 7515 §4.1.11), or declares an unencoded payload, which a
    /// JWT must not have (RFC 7797 §7).
    #[error("the header lists critical extensions")]
    Critical,
    /// No key has the token's `kid` (RFC 7515 §4.1.4).
    #[error("there is no key with the token's kid")]
    UnknownKey,
    /// No key verifies the signature.
    #[error("the signature does not verify")]
    Signature,
    /// The payload is not a JSON object with unique names.
    #[error("the payload is not a JSON object with unique names")]
    Payload,
    /// This required claim is missing.
    #[error("the claim {0} is missing")]
    MissingClaim(&'static str),
    /// This claim has the wrong type, is too long or is not a time. Its value is not logged.
    #[error("the claim {0} is malformed")]
    MalformedClaim(&'static str),
    /// `iss` is not the configured issuer.
    #[error("the issuer is not the configured one")]
    Issuer,
    /// `aud` does not name the configured audience.
    #[error("the audience is not the configured one")]
    Audience,
    /// `nbf` or `iat` is in the future.
    #[error("the token is not yet valid")]
    NotYetValid,
}

/// Error of a verification.
#[derive(Debug, thiserror::Error)]
pub enum NotVerified {
    /// The token failed a check.
    #[error(transparent)]
    Invalid(#[from] InvalidToken),
    /// No keys can verify the token at the moment.
    #[error(transparent)]
    Keys(#[from] KeysUnavailable),
}

/// Rules that a token must meet, apart from its signature.
#[derive(Debug, Clone)]
pub struct TokenRules {
    /// The only accepted algorithm.
    pub algorithm: Algorithm,
    /// Required `iss`.
    pub issuer: String,
    /// Required audience: `aud` must contain it.
    pub audience: String,
    /// Allowed clock skew for `nbf` and `iat`. It does not apply to `exp`.
    pub leeway_seconds: u32,
}

/// Verifier of tokens.
#[derive(Debug)]
pub struct TokenVerifier {
    rules: TokenRules,
    keys: Keys,
}

/// Members of the JOSE header that are used (RFC 7515 §4.1). All others are ignored, including those
/// that contain or reference keys.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default, deserialize_with = "non_null")]
    kid: Option<String>,
    #[serde(default, deserialize_with = "is_present")]
    crit: bool,
    #[serde(default, deserialize_with = "non_null")]
    b64: Option<bool>,
}

fn is_present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
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
    #[serde(default, deserialize_with = "non_null")]
    nbf: Option<f64>,
    #[serde(default, deserialize_with = "non_null")]
    iat: Option<f64>,
    #[serde(default)]
    scope: String,
}

/// Deserializes a member that may be missing, but must not be null.
fn non_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
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
    /// Creates a verifier.
    #[must_use]
    pub const fn new(rules: TokenRules, keys: Keys) -> Self {
        Self { rules, keys }
    }

    /// Verifies a token, except for its expiry and revocation.
    ///
    /// # Errors
    ///
    /// The first check that the token fails, or [`NotVerified::Keys`].
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, NotVerified> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(InvalidToken::TooLong.into());
        }
        let (message, signature) = token.rsplit_once('.').ok_or(InvalidToken::Encoding)?;
        let (header, payload) = message.split_once('.').ok_or(InvalidToken::Encoding)?;
        let signature = decode(signature)?;

        let header: Header = read_object(&decode(header)?).ok_or(InvalidToken::Header)?;
        if header.alg.parse() != Ok(self.rules.algorithm) {
            return Err(InvalidToken::Algorithm.into());
        }
        if header.crit || header.b64 == Some(false) {
            return Err(InvalidToken::Critical.into());
        }
        let kid = header.kid.as_deref();
        let set = self.keys.at(now, kid).await?;
        let mut keys = set.of(kid).peekable();
        if keys.peek().is_none() {
            return Err(InvalidToken::UnknownKey.into());
        }
        if !keys.any(|key| key.verifies(message.as_bytes(), &signature)) {
            // A key that could not be fetched may have signed.
            set.complete()?;
            return Err(InvalidToken::Signature.into());
        }
        Ok(self.rules.claims(&decode(payload)?, now)?)
    }
}

impl TokenRules {
    /// Parses and checks the claims of a token whose signature is valid.
    fn claims(&self, payload: &[u8], now: Timestamp) -> Result<Claims, InvalidToken> {
        let payload: Payload = read_object(payload).ok_or_else(|| unreadable(payload))?;
        if payload.iss != self.issuer {
            return Err(InvalidToken::Issuer);
        }
        if !payload.aud.names(&self.audience) {
            return Err(InvalidToken::Audience);
        }
        let malformed = InvalidToken::MalformedClaim;
        for (name, date) in [("nbf", payload.nbf), ("iat", payload.iat)] {
            let Some(date) = date else { continue };
            let valid_from =
                Timestamp::start_from_numeric_date(date).ok_or_else(|| malformed(name))?;
            if valid_from.minus(self.leeway_seconds.into()) > now {
                return Err(InvalidToken::NotYetValid);
            }
        }
        let expires_at = Timestamp::end_from_numeric_date(payload.exp);
        Ok(Claims {
            user: UserId::parse(payload.sub).map_err(|_| malformed("sub"))?,
            session: SessionId::parse(payload.sid).map_err(|_| malformed("sid"))?,
            token: TokenId::parse(payload.jti).map_err(|_| malformed("jti"))?,
            expires_at: expires_at.ok_or_else(|| malformed("exp"))?,
            scope: payload.scope,
        })
    }
}

/// Finds out why the claims could not be parsed. Only invalid tokens are parsed a second time.
fn unreadable(payload: &[u8]) -> InvalidToken {
    type Fits = fn(&Value) -> bool;
    const CLAIMS: [(&str, bool, Fits); 9] = [
        ("iss", true, Value::is_string),
        ("aud", true, |aud| Audience::deserialize(aud).is_ok()),
        ("sub", true, Value::is_string),
        ("sid", true, Value::is_string),
        ("jti", true, Value::is_string),
        ("exp", true, Value::is_number),
        ("nbf", false, Value::is_number),
        ("iat", false, Value::is_number),
        ("scope", false, Value::is_string),
    ];
    let Some(claims) = read_object::<Map<String, Value>>(payload) else {
        return InvalidToken::Payload;
    };
    let wrong = |(name, required, fits): (&'static str, bool, Fits)| match claims.get(name) {
        None => required.then_some(InvalidToken::MissingClaim(name)),
        Some(value) => (!fits(value)).then_some(InvalidToken::MalformedClaim(name)),
    };
    let mut wrongs = CLAIMS.into_iter().filter_map(wrong);
    wrongs.next().unwrap_or(InvalidToken::Payload)
}

fn decode(part: &str) -> Result<Vec<u8>, InvalidToken> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| InvalidToken::Encoding)
}
