//! Authorizer requests and their answers.

use std::collections::BTreeMap;

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use session_cleanup_local::template::FunctionName;

use crate::log::{forbid_headers, forbid_in_log};
use crate::{NOW, World, at};

pub const METHOD: &str = "arn:aws:execute-api:eu-west-1:111122223333:abc123/prod/GET/orders/7";
pub const STAGE: &str = "arn:aws:execute-api:eu-west-1:111122223333:abc123/prod/*";

pub async fn authorize(world: &World, event: &Value) -> Value {
    // Boxed, because the nested futures exceed the compiler's limit for the layout of a type.
    Box::pin(authorize_at(world, event, NOW)).await
}

/// Authorizes a request at `now`, in epoch seconds.
pub async fn authorize_at(world: &World, event: &Value, now: i64) -> Value {
    forbid_headers(event);
    world
        .functions
        .invoke(FunctionName::Authorizer, event, at(now))
        .await
        .unwrap()
}

#[must_use]
pub fn rest_request(token: &str) -> Value {
    json!({
        "type": "REQUEST",
        "methodArn": METHOD,
        "headers": { "Host": "api.example", "authorization": format!("Bearer {token}") },
        "multiValueHeaders": {
            "Host": ["api.example"],
            "authorization": [format!("Bearer {token}")],
        },
    })
}

/// The error of a Deny policy, or `None` for an Allow policy.
#[must_use]
pub fn denial(policy: &Value) -> Option<&str> {
    let statement = &policy["policyDocument"]["Statement"][0];
    match statement["Effect"].as_str().unwrap() {
        "Allow" => None,
        _ => Some(policy["context"]["error"].as_str().unwrap()),
    }
}

/// Signs claims with the world's secret, after adding the default issuer and audience.
#[must_use]
pub fn sign(world: &World, claims: Value) -> String {
    let secret = &world.tokens.variables()[1].1;
    let key = EncodingKey::from_secret(secret.as_bytes());
    let token = encode(&Header::default(), &issued(world, claims), &key).unwrap();
    forbid_in_log(&token);
    token
}

/// Adds the default issuer and audience to claims that have none.
#[must_use]
pub fn issued(world: &World, mut claims: Value) -> Value {
    let variables: BTreeMap<_, _> = world.tokens.variables().into_iter().collect();
    for (claim, variable) in [("iss", "JWT_ISSUER"), ("aud", "JWT_AUDIENCE")] {
        if claims.get(claim).is_none() {
            claims[claim] = variables[variable].clone().into();
        }
    }
    claims
}
