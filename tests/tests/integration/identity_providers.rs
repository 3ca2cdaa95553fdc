//! Tokens as identity providers make them, the settings that accept them, and the log line if one of these
//! settings is missing.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use session_cleanup_tests::authorizing::{authorize, denial, rest_request};
use session_cleanup_tests::identity_providers::{provider, providers, remove_claim};
use session_cleanup_tests::key_server::Answer;
use session_cleanup_tests::token_factory::verify;

#[tokio::test]
async fn accepts_token_of_each_provider_with_documented_settings() {
    let providers = providers();
    assert!(providers.len() >= 14);
    for provider in providers {
        let name = &provider.name;
        let (world, _server) = provider.world(&provider.settings).await;
        let policy = authorize(&world, &rest_request(&provider.token())).await;
        assert_eq!(denial(&policy), None, "{name}: {:?}", world.log.lines());
        let mut expected = json!({
            "user_id": provider.user,
            "session_id": provider.session,
            "scope": provider.scope,
        });
        if let Some(time) = provider.auth_time {
            expected["auth_time"] = json!(time.to_string());
        }
        if let Some(client) = &provider.client_id {
            expected["client_id"] = json!(client);
        }
        assert_eq!(policy["context"], expected, "{name}");
    }
}

#[tokio::test]
async fn denies_token_without_needed_setting_and_logs_that_setting() {
    for provider in providers() {
        for (missing, logged) in &provider.needed {
            let name = format!("{} without {missing}", provider.name);
            let mut settings = provider.settings.clone();
            assert!(settings.remove(missing).is_some(), "{name}");
            let (world, _server) = provider.world(&settings).await;
            let policy = authorize(&world, &rest_request(&provider.token())).await;
            assert_eq!(denial(&policy), Some("Invalid token"), "{name}");
            let lines = world.log.about("denied");
            assert_eq!(lines[0]["setting"], logged.as_str(), "{name}: {lines:?}");
        }
    }
}

#[tokio::test]
async fn denies_each_provider_token_for_other_audience_or_issuer() {
    for provider in providers() {
        let (world, _server) = provider.world(&provider.settings).await;
        let audience = provider
            .settings
            .get("JWT_AUDIENCE_CLAIM")
            .map_or("aud", String::as_str);
        let required = provider.settings.get("JWT_REQUIRED_CLAIMS");
        let distinguishing = match (audience, required) {
            ("none", Some(required)) => required.split_once('=').unwrap().0,
            (claim, _) => claim,
        };
        for claim in ["iss", distinguishing] {
            for value in [Some(json!("other")), Some(Value::Null), None] {
                let mut claims = provider.claims();
                claims.as_object_mut().unwrap().remove(claim);
                if let Some(value) = &value {
                    claims[claim] = value.clone();
                }
                let token = provider.sign(&provider.header(), &claims);
                let policy = authorize(&world, &rest_request(&token)).await;
                let name = &provider.name;
                assert_eq!(
                    denial(&policy),
                    Some("Invalid token"),
                    "{name}: {claim} {value:?}"
                );
            }
        }
    }
}

/// Every claim in turn: the token is denied exactly if the settings need the claim.
#[tokio::test]
async fn denies_token_without_needed_claim_and_logs_claim_and_setting() {
    for provider in providers() {
        let (target, _server) = provider.target().await;
        let needed = provider.needed_claims();
        for it in &needed {
            let mut claims = provider.claims();
            let name = format!("{} without {}", provider.name, it.name.as_str());
            assert!(remove_claim(&mut claims, &it.name), "{name}");
            let token = provider.sign(&provider.header(), &claims);
            let already = target.world.log.about("denied").len();
            target.answers(&token, "Invalid token").await;
            let line = &target.world.log.about("denied")[already];
            // Of several uses of one claim, the log names the first that fails.
            let settings = needed.iter().filter(|other| other.name == it.name);
            let settings: Vec<_> = settings.map(|it| json!(it.setting)).collect();
            let setting = line.get("setting").cloned().unwrap_or_default();
            assert!(settings.contains(&setting), "{name}: {line}");
            assert_eq!(line["claim"], it.name.as_str(), "{name}: {line}");
        }
        let is_needed = |claim: &str| {
            let top = |it: &str| it.trim_start_matches('/').split('/').next() == Some(claim);
            let of = |name: &str| name == claim || name.starts_with('/') && top(name);
            needed.iter().any(|it| of(it.name.as_str()))
        };
        let claims = provider.claims();
        let others = claims.as_object().unwrap().keys();
        for other in others.filter(|name| !is_needed(name)) {
            let mut claims = claims.clone();
            claims.as_object_mut().unwrap().remove(other);
            target
                .allows(&provider.sign(&provider.header(), &claims))
                .await;
        }
    }
}

/// All providers of an algorithm sign with the same key here, as if one key had leaked to all: only the rules keep
/// their tokens apart.
#[tokio::test]
async fn denies_tokens_of_each_other_provider() {
    let providers = providers();
    let mut accepted = Vec::new();
    for here in &providers {
        let verifier = here.verifier();
        for other in &providers {
            if verify(&verifier, &other.token()).await.is_ok() && here.name != other.name {
                accepted.push((here.name.as_str(), other.name.as_str()));
            }
        }
        assert!(verify(&verifier, &here.token()).await.is_ok());
    }
    // The same issuer, and access tokens for the same API.
    let same = ("Auth0, default profile", "Auth0, RFC 9068 profile");
    assert_eq!(accepted, [same]);
}

/// Tokens that the issuers' own software made.
#[derive(Deserialize)]
struct IssuedTokens {
    made_by: String,
    /// Name of the provider whose settings apply.
    provider: String,
    secret: Option<String>,
    jwks: Option<Value>,
    user: String,
    session: String,
    access: String,
    /// Tokens of other kinds.
    others: BTreeMap<String, String>,
}

#[tokio::test]
async fn accepts_access_tokens_that_issuers_made_and_denies_their_other_tokens() {
    let issued: Vec<IssuedTokens> =
        serde_json::from_str(include_str!("../../vectors/issued_tokens.json")).unwrap();
    for issued in issued {
        let name = &issued.made_by;
        let mut provider = provider(&issued.provider);
        provider.user.clone_from(&issued.user);
        provider.session.clone_from(&issued.session);
        // The fixture signs with the same secret.
        assert!(
            issued
                .secret
                .is_none_or(|it| it == provider.signer().public)
        );
        let (world, server) = provider.world(&provider.settings).await;
        if let (Some(server), Some(jwks)) = (&server, &issued.jwks) {
            // The unknown `kid` of the token makes the authorizer fetch these keys.
            server.set(Answer::body(jwks.to_string()));
        }
        let policy = authorize(&world, &rest_request(&issued.access)).await;
        assert_eq!(denial(&policy), None, "{name}: {:?}", world.log.lines());
        assert_eq!(policy["context"]["session_id"], issued.session, "{name}");
        for (kind, token) in &issued.others {
            let policy = authorize(&world, &rest_request(token)).await;
            assert_eq!(denial(&policy), Some("Invalid token"), "{name}: {kind}");
        }
        // Also without the setting that names the kind: the token says itself what it is.
        provider.settings.remove("JWT_REQUIRED_CLAIMS");
        let (world, _server) = provider.world(&provider.settings).await;
        for (kind, token) in &issued.others {
            let policy = authorize(&world, &rest_request(token)).await;
            assert_eq!(denial(&policy), Some("Invalid token"), "{name}: {kind}");
        }
    }
}
