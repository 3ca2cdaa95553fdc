//! The known attacks on tokens, each against an authorizer that is configured for the attacked
//! algorithm and has a live session. Each test also has a valid token that differs in nothing else
//! and is allowed.

mod algorithm;
mod claims;
mod edwards;
mod elliptic;
mod embedded;
mod form;
mod header;
mod keys;
mod kinds;
mod mappings;
mod rsa;

use jsonwebtoken::Algorithm;
use serde_json::Value;
use session_cleanup_tests::key_server::{Answer, KeyServer};
use session_cleanup_tests::token_factory::{Target, verifier};
use session_token::keys::read_jwks;

/// An authorizer that fetches this JWK Set, and the server of the set.
async fn target_of_set(algorithm: Algorithm, set: &Value) -> (Target, KeyServer) {
    let server = KeyServer::start(Answer::body(set.to_string())).await;
    let keys = read_jwks(set.to_string().as_bytes(), algorithm)
        .unwrap()
        .keys;
    let name = format!("{algorithm:?}");
    let variables = [
        ("JWT_ALGORITHM", name.as_str()),
        ("JWT_SECRET", ""),
        ("JWKS_URL", &server.url()),
    ];
    let target = Target::new(variables, verifier(algorithm, keys)).await;
    (target, server)
}
