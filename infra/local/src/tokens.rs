//! Tokens for the local stack, signed with a secret.

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rand::RngExt as _;
use rand::distr::Alphanumeric;
use serde_json::{Value, json};

/// `iss` where nobody says otherwise.
pub const ISSUER: &str = "https://local.example";
/// `aud` where nobody says otherwise.
pub const AUDIENCE: &str = "session-cleanup";

/// What a token says.
#[derive(Debug, Clone, Copy)]
pub struct Bearer<'a> {
    /// `sub`.
    pub user: &'a str,
    /// `sid`.
    pub session: &'a str,
    /// `scope`.
    pub scope: &'a str,
    /// `exp`.
    pub expires_at: DateTime<Utc>,
}

/// What all tokens that an authorizer takes have in common.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// The algorithm of their signatures.
    pub algorithm: Algorithm,
    /// `iss`.
    pub name: String,
    /// `aud`.
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
    /// With a new secret.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Issuer::default(), random_secret())
    }

    /// With this secret, which is that of an HMAC algorithm.
    #[must_use]
    pub const fn with(issuer: Issuer, secret: String) -> Self {
        Self { issuer, secret }
    }

    /// The variables that make an authorizer take these tokens.
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
        // A JSON object and an HMAC key: there is nothing that could fail.
        encode(&Header::new(self.issuer.algorithm), claims, &key).unwrap_or_default()
    }
}

/// A new secret, long enough for each HMAC algorithm.
#[must_use]
pub fn random_secret() -> String {
    random_text(SECRET_LENGTH)
}

/// Letters and digits, almost six bits each.
fn random_text(length: usize) -> String {
    let letters = rand::rng().sample_iter(Alphanumeric);
    letters.take(length).map(char::from).collect()
}

/// The characters of a new secret: HS512 takes none that is shorter (RFC 7518 §3.2).
pub const SECRET_LENGTH: usize = 64;
