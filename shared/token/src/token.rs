//! JSON Web Tokens: form, signature and claims. Whether the token's time is over is not decided
//! here, for an expired token still leads to its session.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use serde_json::{Map, Value};

use crate::json::read_object;
use crate::keys::{Keys, KeysUnavailable};
use session_domain::{SessionId, Timestamp, TokenId, UserId};

/// The longest token that is looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

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
    Encoding,
    /// Not a JSON object with an `alg` (RFC 7515 §4.1.1).
    #[error("the header is malformed")]
    Header,
    /// Another algorithm than the configured one.
    #[error("the algorithm is not the configured one")]
    Algorithm,
    /// It has extensions that must be understood (RFC 7515 §4.1.11), or a payload that is said not
    /// to be encoded, which that of a JWT always is (RFC 7797 §7).
    #[error("the header lists critical extensions")]
    Critical,
    /// There is no key of the name that the token gives (RFC 7515 §4.1.4).
    #[error("there is no key with the token's kid")]
    UnknownKey,
    /// The signature is not the key's.
    #[error("the signature does not verify")]
    Signature,
    /// The payload is not JSON, or not an object in which each name stands once.
    #[error("the payload is no JSON object in which each name stands once")]
    Payload,
    /// A required claim is not there. This is its name.
    #[error("the claim {0} is missing")]
    MissingClaim(&'static str),
    /// A claim has another type than it must have, or is too long, or is no time. This is its name;
    /// its value stays out of the log.
    #[error("the claim {0} is malformed")]
    MalformedClaim(&'static str),
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

/// Why a token was not verified.
#[derive(Debug, thiserror::Error)]
pub enum NotVerified {
    /// It failed a check.
    #[error(transparent)]
    Invalid(#[from] InvalidToken),
    /// There is nothing to check it with, for now.
    #[error(transparent)]
    Keys(#[from] KeysUnavailable),
}

/// What tokens are taken, whatever their keys.
#[derive(Debug, Clone)]
pub struct TokenRules {
    /// The one algorithm.
    pub algorithm: Algorithm,
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must name.
    pub audience: String,
    /// The clock skew allowed for `nbf` and `iat`, never for `exp`.
    pub leeway_seconds: u32,
}

/// Verifies tokens.
#[derive(Debug)]
pub struct TokenVerifier {
    rules: TokenRules,
    keys: Keys,
}

/// The JOSE header's members that matter here (RFC 7515 §4.1); all others are ignored, those that
/// carry or point to keys among them.
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

/// What may be left out, but not be null.
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
    /// A verifier by these rules and keys.
    #[must_use]
    pub const fn new(rules: TokenRules, keys: Keys) -> Self {
        Self { rules, keys }
    }

    /// Checks everything of a token but whether it has expired or was revoked.
    ///
    /// # Errors
    ///
    /// The first check that it fails; or that there are no keys to check it with.
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
            // Another key may have signed, one that could not be fetched.
            set.complete()?;
            return Err(InvalidToken::Signature.into());
        }
        Ok(self.rules.claims(&decode(payload)?, now)?)
    }
}

impl TokenRules {
    /// Reads the claims of a token whose signature is good.
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

/// Why claims could not be read. Only a refused token is read a second time for this.
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
