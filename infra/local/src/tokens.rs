//! Tokens for the local stack, signed with a secret of its own.

use chrono::{DateTime, Utc};
use jsonwebtoken::{EncodingKey, Header, encode};
use rand::RngExt as _;
use rand::distr::Alphanumeric;
use serde_json::json;
use uuid::Uuid;

const ISSUER: &str = "https://local.example";
const AUDIENCE: &str = "session-cleanup";

/// Signs tokens.
pub struct Tokens {
    secret: String,
}

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

impl Default for Tokens {
    fn default() -> Self {
        Self::new()
    }
}

impl Tokens {
    /// With a new secret.
    #[must_use]
    pub fn new() -> Self {
        let secret = rand::rng()
            .sample_iter(Alphanumeric)
            .take(48)
            .map(char::from)
            .collect();
        Self { secret }
    }

    /// The variables that make an authorizer take these tokens.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("JWT_ALGORITHM", "HS256".to_owned()),
            ("JWT_SECRET", self.secret.clone()),
            ("JWT_ISSUER", ISSUER.to_owned()),
            ("JWT_AUDIENCE", AUDIENCE.to_owned()),
        ]
    }

    /// Signs a token, with a new `jti`.
    #[must_use]
    pub fn sign(&self, bearer: Bearer<'_>) -> String {
        let Bearer {
            user,
            session,
            scope,
            expires_at,
        } = bearer;
        let claims = json!({
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user,
            "sid": session,
            "jti": Uuid::new_v4().to_string(),
            "exp": expires_at.timestamp(),
            "scope": scope,
        });
        let key = EncodingKey::from_secret(self.secret.as_bytes());
        // A JSON object and an HMAC key: there is nothing that could fail.
        encode(&Header::default(), &claims, &key).unwrap_or_default()
    }
}
