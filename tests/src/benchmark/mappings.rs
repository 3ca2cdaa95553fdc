//! Mappings of claims whose cost is measured, and a token that is valid with each of them.

use std::sync::Arc;

use serde_json::{Value, json};
use session_functions::config::AuthorizerConfig;
use session_functions::environment::Environment;
use session_token::TokenVerifier;
use session_token::keys::{KeySet, Keys};

use crate::token_factory::{Signer, usual};

/// Names and values of settings.
pub type Settings = &'static [(&'static str, &'static str)];

/// The standard names, and settings as hosted issuers need them.
pub const MAPPINGS: [(&str, Settings); 3] = [
    ("standard", &[]),
    (
        "names",
        &[
            ("JWT_SESSION_CLAIM", "origin_jti"),
            ("JWT_AUDIENCE_CLAIM", "client_id"),
            ("JWT_REQUIRED_CLAIMS", "token_use=access"),
        ],
    ),
    (
        "pointers",
        &[
            ("JWT_SESSION_CLAIM", "/ext/sid"),
            ("JWT_TOKEN_ID_CLAIM", "/ext/jti"),
            ("JWT_SCOPE_CLAIM", "/ext/scopes"),
            ("JWT_AUTH_TIME_CLAIM", "/amr/0/timestamp"),
            ("JWT_CLIENT_CLAIM", "azp"),
            ("JWT_AUDIENCE_CLAIM", "none"),
            ("JWT_REQUIRED_CLAIMS", "azp=web,/ext/tenant=7"),
            ("JWT_TYPE", "JWT, at+jwt"),
        ],
    ),
];

/// A token that is valid with each of [`MAPPINGS`], and for an authorizer that has no settings for claims. `claims` are
/// those with standard names.
#[must_use]
pub fn token_for_mappings(signer: &Signer, claims: &Value) -> String {
    let mut claims = claims.clone();
    claims["origin_jti"] = claims["sid"].clone();
    claims["client_id"] = claims["aud"].clone();
    claims["azp"] = json!("web");
    claims["token_use"] = json!("access");
    claims["amr"] = json!([{ "method": "password", "timestamp": 1_799_999_940 }]);
    claims["ext"] = json!({
        "sid": claims["sid"], "jti": claims["jti"], "tenant": 7,
        "scopes": ["orders:read", "sessions:read"],
    });
    let header = json!({ "alg": signer.algorithm, "typ": "at+jwt" });
    signer.sign(header.to_string(), claims.to_string())
}

/// A verifier with these settings and the default issuer and audience.
#[must_use]
pub fn verifier_with(signer: &Signer, settings: Settings) -> TokenVerifier {
    let variables = [
        ("TABLE_NAME", "sessions".to_owned()),
        ("JWT_ALGORITHM", format!("{:?}", signer.algorithm)),
        (signer.variable, signer.public.clone()),
        ("JWT_ISSUER", usual("JWT_ISSUER")),
        ("JWT_AUDIENCE", usual("JWT_AUDIENCE")),
    ];
    let settings = settings.iter().map(|it| (it.0, it.1.to_owned()));
    let variables: Environment = variables.into_iter().chain(settings).collect();
    let config = AuthorizerConfig::read(&variables).expect("valid settings");
    let keys = KeySet::Any(vec![signer.verifying_key()]);
    TokenVerifier::new(config.tokens, Keys::Fixed(Arc::new(keys)))
}
