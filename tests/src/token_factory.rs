//! Tokens with any header, claims and signature, as an issuer or an attacker makes them, and an
//! authorizer that receives them.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use serde_json::{Value, json};
use session_cleanup_local::tokens::Tokens;
use session_domain::Timestamp;
use session_token::keys::{KeySet, Keys, VerifyingKey};
use session_token::{ClaimRole, Claims, InvalidToken, NotVerified, TokenRules, TokenVerifier};

use crate::authorizing::{STAGE, authorize, rest_request};
use crate::{HOUR, NOW, World};

pub const ALGORITHMS: [Algorithm; 12] = [
    Algorithm::HS256,
    Algorithm::HS384,
    Algorithm::HS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// The key pair in these files.
macro_rules! pair {
    ($algorithm:expr, $read:expr, $name:literal) => {
        Signer {
            algorithm: $algorithm,
            variable: "JWT_PUBLIC_KEY",
            public: include_str!(concat!("../keys/", $name, ".pub.pem")).to_owned(),
            key: $read(include_bytes!(concat!("../keys/", $name, ".pem"))).expect("a private key"),
        }
    };
}

/// A key pair or secret that signs tokens. The keys are for these tests only.
pub struct Signer {
    pub algorithm: Algorithm,
    /// Environment variable for the public key or the secret.
    pub variable: &'static str,
    /// Public key in PEM, or the secret.
    pub public: String,
    key: EncodingKey,
}

impl Signer {
    /// The issuer's keys for an algorithm.
    #[must_use]
    pub fn of(algorithm: Algorithm) -> Self {
        match algorithm.family() {
            AlgorithmFamily::Hmac => Self::with_secret(algorithm, "s".repeat(64)),
            AlgorithmFamily::Rsa => pair!(algorithm, EncodingKey::from_rsa_pem, "rsa"),
            AlgorithmFamily::Ec if algorithm == Algorithm::ES256 => {
                pair!(algorithm, EncodingKey::from_ec_pem, "p256")
            }
            AlgorithmFamily::Ec => pair!(algorithm, EncodingKey::from_ec_pem, "p384"),
            AlgorithmFamily::Ed => pair!(algorithm, EncodingKey::from_ed_pem, "ed25519"),
        }
    }

    /// Keys for an algorithm that no authorizer trusts.
    #[must_use]
    pub fn stranger(algorithm: Algorithm) -> Self {
        match algorithm.family() {
            AlgorithmFamily::Hmac => Self::with_secret(algorithm, "x".repeat(64)),
            AlgorithmFamily::Rsa => pair!(algorithm, EncodingKey::from_rsa_pem, "stranger-rsa"),
            AlgorithmFamily::Ec if algorithm == Algorithm::ES256 => {
                pair!(algorithm, EncodingKey::from_ec_pem, "stranger-p256")
            }
            AlgorithmFamily::Ec => pair!(algorithm, EncodingKey::from_ec_pem, "stranger-p384"),
            AlgorithmFamily::Ed => pair!(algorithm, EncodingKey::from_ed_pem, "stranger-ed25519"),
        }
    }

    /// An issuer with this secret.
    #[must_use]
    pub fn with_secret(algorithm: Algorithm, secret: impl AsRef<[u8]>) -> Self {
        let secret = secret.as_ref();
        Self {
            algorithm,
            variable: "JWT_SECRET",
            public: String::from_utf8_lossy(secret).into_owned(),
            key: EncodingKey::from_secret(secret),
        }
    }

    /// Signs a message.
    #[must_use]
    pub fn signature(&self, message: &str) -> Vec<u8> {
        let signed = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm);
        decoded(&signed.expect("a key for the algorithm"))
    }

    /// Signs a token with any header and any payload.
    #[must_use]
    pub fn sign(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        let message = format!("{}.{}", encoded(header), encoded(payload));
        let signature = self.signature(&message);
        format!("{message}.{}", encoded(signature))
    }

    /// A header with the algorithm only.
    #[must_use]
    pub fn header(&self) -> String {
        json!({ "alg": self.algorithm }).to_string()
    }

    /// A valid token.
    #[must_use]
    pub fn good_token(&self) -> String {
        self.sign(self.header(), good_claims().to_string())
    }

    /// The key that verifies these tokens.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        let key = match self.variable {
            "JWT_SECRET" => VerifyingKey::from_secret(self.algorithm, &self.public),
            _ => VerifyingKey::from_pem(self.algorithm, &self.public),
        };
        key.expect("a key for the algorithm")
    }

    /// The public key as a JWK.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let pem = self.public.as_bytes();
        let key = match self.algorithm.family() {
            AlgorithmFamily::Hmac => panic!("a secret has no public key"),
            AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem),
            AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem),
            AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem),
        };
        let key = key.expect("a public key");
        let jwk = Jwk::from_decoding_key(&key, None).expect("a public key");
        serde_json::to_value(jwk).expect("a JWK is JSON")
    }

    /// A verifier of these tokens, with the default issuer and audience.
    #[must_use]
    pub fn verifier(&self) -> TokenVerifier {
        verifier(self.algorithm, KeySet::Any(vec![self.verifying_key()]))
    }

    /// An authorizer with this key.
    pub async fn target(&self) -> Target {
        let algorithm = format!("{:?}", self.algorithm);
        let variables = [
            ("JWT_ALGORITHM", algorithm.as_str()),
            ("JWT_SECRET", ""),
            (self.variable, self.public.as_str()),
        ];
        Target::new(variables, self.verifier()).await
    }
}

/// A verifier with the default issuer and audience.
#[must_use]
pub fn verifier(algorithm: Algorithm, keys: KeySet) -> TokenVerifier {
    let rules = TokenRules::new(algorithm, usual("JWT_ISSUER"), usual("JWT_AUDIENCE"));
    TokenVerifier::new(rules, Keys::Fixed(Arc::new(keys)))
}

/// What a claim with this standard name is used for.
#[must_use]
pub fn role(name: &str) -> ClaimRole {
    match name {
        "iss" => ClaimRole::Issuer,
        "aud" => ClaimRole::Audience,
        "sub" => ClaimRole::User,
        "sid" => ClaimRole::Session,
        "jti" => ClaimRole::TokenId,
        "exp" => ClaimRole::Expiry,
        "nbf" => ClaimRole::NotBefore,
        "iat" => ClaimRole::IssuedAt,
        other => panic!("{other} has no role"),
    }
}

/// Valid claims of user ann and session s.
#[must_use]
pub fn good_claims() -> Value {
    json!({
        "iss": usual("JWT_ISSUER"), "aud": usual("JWT_AUDIENCE"),
        "sub": "ann", "sid": "s", "jti": "j", "exp": NOW + 60, "scope": "x",
    })
}

/// Valid claims with one claim replaced.
#[must_use]
pub fn claims_with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = good_claims();
    claims[name] = value.into();
    claims
}

/// The value of an environment variable in all worlds.
#[must_use]
pub fn usual(variable: &str) -> String {
    let variables: BTreeMap<_, _> = Tokens::new().variables().into_iter().collect();
    variables[variable].clone()
}

/// Encodes as base64url without padding.
#[must_use]
pub fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes base64url without padding.
#[must_use]
pub fn decoded(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).expect("base64url")
}

/// Header, claims and signature of a token, still encoded.
#[must_use]
pub fn parts(token: &str) -> [&str; 3] {
    let parts: Vec<_> = token.split('.').collect();
    parts.try_into().expect("three parts")
}

/// Verifies a token at [`NOW`]. Returns its claims.
///
/// # Errors
///
/// The token is invalid.
pub async fn verify(verifier: &TokenVerifier, token: &str) -> Result<Claims, InvalidToken> {
    let claims = verifier.verify(token, Timestamp::from_seconds(NOW)).await;
    claims.map_err(|error| match error {
        NotVerified::Invalid(why) => why,
        NotVerified::Keys(error) => panic!("{error}"),
    })
}

/// An authorizer, and a table with a live session.
pub struct Target {
    pub world: World,
    verifier: TokenVerifier,
    user: String,
    session: String,
}

impl Target {
    /// Starts an authorizer with these variables, and ann's live session s. `verifier` has the same keys and returns the
    /// reason of a deny, which the authorizer does not reveal.
    pub async fn new<const N: usize>(
        variables: [(&'static str, &str); N],
        verifier: TokenVerifier,
    ) -> Self {
        let world = World::with(variables).await;
        world.open("ann", "s", NOW + HOUR).await;
        Self::of_session(world, verifier, "ann", "s")
    }

    /// An authorizer whose table has this session. `verifier` has the same rules and keys.
    #[must_use]
    pub fn of_session(world: World, verifier: TokenVerifier, user: &str, session: &str) -> Self {
        Self {
            world,
            verifier,
            user: user.to_owned(),
            session: session.to_owned(),
        }
    }

    /// Asserts that the token is rejected for this reason, and that the answer reveals only that it
    /// is invalid.
    pub async fn rejects(&self, token: &str, why: InvalidToken) {
        let verified = verify(&self.verifier, token).await;
        assert_eq!(verified, Err(why), "{token}");
        assert_eq!(
            authorize(&self.world, &rest_request(token)).await,
            deny("Invalid token"),
            "{token}"
        );
    }

    /// Asserts that the authorizer allows the token for the session.
    pub async fn allows(&self, token: &str) {
        let answer = authorize(&self.world, &rest_request(token)).await;
        let statement = &answer["policyDocument"]["Statement"][0];
        assert_eq!(statement["Effect"], "Allow", "{token}: {answer}");
        assert_eq!(answer["context"]["user_id"], self.user, "{token}");
        assert_eq!(answer["context"]["session_id"], self.session, "{token}");
    }

    /// Asserts that the authorizer denies a validly signed token with this error.
    pub async fn answers(&self, token: &str, error: &str) {
        let answer = authorize(&self.world, &rest_request(token)).await;
        assert_eq!(answer, deny(error), "{token}");
    }
}

/// The complete answer to a denied request.
fn deny(error: &str) -> Value {
    json!({
        "principalId": "anonymous",
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Deny",
                "Action": ["execute-api:Invoke"],
                "Resource": [STAGE],
            }],
        },
        "context": { "error": error },
        "usageIdentifierKey": null,
    })
}
