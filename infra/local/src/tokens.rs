//! Signing of the local stack's tokens with a secret.

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rand::RngExt as _;
use rand::distr::Alphanumeric;
use serde_json::{Value, json};
use session_token::{ClaimName, TokenRules};

/// Default of the claim `iss`.
pub const ISSUER: &str = "https://local.example";
/// Default of the claim `aud`.
pub const AUDIENCE: &str = "session-cleanup";

/// The claims that differ between tokens.
#[derive(Debug, Clone, Copy)]
pub struct Bearer<'a> {
    /// User ID.
    pub user: &'a str,
    /// Session ID.
    pub session: &'a str,
    /// Scopes.
    pub scope: &'a str,
    /// Expiry time.
    pub expires_at: DateTime<Utc>,
}

/// Makes tokens that an authorizer with these rules accepts.
#[derive(Debug, Clone)]
pub struct Issuer {
    rules: TokenRules,
}

impl Default for Issuer {
    fn default() -> Self {
        Self::new(TokenRules::new(Algorithm::HS256, ISSUER, AUDIENCE))
    }
}

impl Issuer {
    /// An issuer of tokens that these rules accept.
    #[must_use]
    pub const fn new(rules: TokenRules) -> Self {
        Self { rules }
    }

    /// The rules.
    #[must_use]
    pub const fn rules(&self) -> &TokenRules {
        &self.rules
    }

    /// The first accepted audience, if the audience is checked.
    #[must_use]
    pub fn audience(&self) -> Option<&str> {
        let rule = self.rules.audience.as_ref()?;
        rule.accepted.first().map(String::as_str)
    }

    /// The header of all tokens.
    fn header(&self) -> Header {
        let mut header = Header::new(self.rules.algorithm);
        if let Some(typ) = self.rules.types.first() {
            header.typ = Some(typ.clone());
        }
        header
    }

    /// All claims of a token, with a new token ID.
    #[must_use]
    pub fn claims(&self, bearer: Bearer<'_>) -> Value {
        let Bearer {
            user,
            session,
            scope,
            expires_at,
        } = bearer;
        let rules = &self.rules;
        let mut claims = json!({ "iss": rules.issuer });
        let mut set = |name: &ClaimName, value: Value| name.set(&mut claims, value);
        if let (Some(rule), Some(audience)) = (&rules.audience, self.audience()) {
            set(&rule.claim, audience.into());
        }
        set(&rules.claims.user, user.into());
        set(&rules.claims.session, session.into());
        if let Some(token_id) = &rules.claims.token_id {
            set(token_id, random_text(22).into());
        }
        set(&rules.claims.scope, scope.into());
        for required in &rules.required {
            set(&required.claim, required.value.clone().into());
        }
        claims["exp"] = expires_at.timestamp().into();
        claims
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
        let rules = self.issuer.rules();
        let audience = self.issuer.audience().unwrap_or_default();
        [
            ("JWT_ALGORITHM", format!("{:?}", rules.algorithm)),
            ("JWT_SECRET", self.secret.clone()),
            ("JWT_ISSUER", rules.issuer.clone()),
            ("JWT_AUDIENCE", audience.to_owned()),
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
        encode(&self.issuer.header(), claims, &key).unwrap_or_default()
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
