//! Signing of the local stack's tokens with a secret.

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rand::RngExt as _;
use rand::distr::Alphanumeric;
use serde_json::{Value, json};

/// Default of the claim `iss`.
pub const ISSUER: &str = "https://local.example";
/// Default of the claim `aud`.
pub const AUDIENCE: &str = "session-cleanup";

/// The claims that differ between tokens.
#[derive(Debug, Clone, Copy)]
pub struct Bearer<'a> {
    /// User ID, the claim `sub`.
    pub user: &'a str,
    /// Session ID, the claim `sid`.
    pub session: &'a str,
    /// Scopes, the claim `scope`.
    pub scope: &'a str,
    /// Expiry time, the claim `exp`.
    pub expires_at: DateTime<Utc>,
}

/// Algorithm and claims that all tokens of an authorizer have in common.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Algorithm of the signatures.
    pub algorithm: Algorithm,
    /// Issuer, the claim `iss`.
    pub name: String,
    /// Audience, the claim `aud`.
    pub audience: String,
}

impl Default for Issuer {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::HS256,
            name: ISSUER.to_owned(),
            audience: AUDIENCE.to_owned(),
        }
    }
}

impl Issuer {
    /// All claims of a token, with a new `jti`.
    #[must_use]
    pub fn claims(&self, bearer: Bearer<'_>) -> Value {
        let Bearer {
            user,
            session,
            scope,
            expires_at,
        } = bearer;
        json!({
            "iss": self.name,
            "aud": self.audience,
            "sub": user,
            "sid": session,
            "jti": random_text(22),
            "exp": expires_at.timestamp(),
            "scope": scope,
        })
    }
}

/// Signs tokens.
#[derive(Clone)]
pub struct Tokens {
    issuer: Issuer,
    secret: String,
}

impl Default for Tokens {
    fn default() -> Self {
        Self::new()
    }
}

impl Tokens {
    /// Signs with a new random secret.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Issuer::default(), random_secret())
    }

    /// Signs with this secret of an HMAC algorithm.
    #[must_use]
    pub const fn with(issuer: Issuer, secret: String) -> Self {
        Self { issuer, secret }
    }

    /// The environment variables of an authorizer that accepts these tokens.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, String); 4] {
        let Issuer {
            algorithm,
            name,
            audience,
        } = &self.issuer;
        [
            ("JWT_ALGORITHM", format!("{algorithm:?}")),
            ("JWT_SECRET", self.secret.clone()),
            ("JWT_ISSUER", name.clone()),
            ("JWT_AUDIENCE", audience.clone()),
        ]
    }

    /// Signs a token, with a new `jti`.
    #[must_use]
    pub fn sign(&self, bearer: Bearer<'_>) -> String {
        self.sign_claims(&self.issuer.claims(bearer))
    }

    /// Signs a token with these claims.
    #[must_use]
    pub fn sign_claims(&self, claims: &Value) -> String {
        let key = EncodingKey::from_secret(self.secret.as_bytes());
        // Signing a JSON object with an HMAC key cannot fail.
        encode(&Header::new(self.issuer.algorithm), claims, &key).unwrap_or_default()
    }
}

/// A random secret, long enough for each HMAC algorithm.
#[must_use]
pub fn random_secret() -> String {
    random_text(SECRET_LENGTH)
}

/// Random letters and digits, almost six bits each.
fn random_text(length: usize) -> String {
    let letters = rand::rng().sample_iter(Alphanumeric);
    letters.take(length).map(char::from).collect()
}

/// Length of a new secret, the minimum for HS512 (RFC 7518 §3.2).
pub const SECRET_LENGTH: usize = 64;
