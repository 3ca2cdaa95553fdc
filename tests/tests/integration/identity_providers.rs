//! Tokens as identity providers make them, the settings that accept them, and the log line if one of these
//! settings is missing.

use std::collections::BTreeMap;

use jsonwebtoken::{Algorithm, AlgorithmFamily};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use session_cleanup_tests::authorizing::{authorize, denial, rest_request};
use session_cleanup_tests::key_server::{Answer, KeyServer};
use session_cleanup_tests::token_factory::Signer;
use session_cleanup_tests::{HOUR, NOW, World};

/// A provider's token, with the settings of docs/setup/identity-providers.md.
#[derive(Deserialize)]
struct Provider {
    name: String,
    algorithm: String,
    header: Map<String, Value>,
    claims: Map<String, Value>,
    settings: BTreeMap<String, String>,
    /// Settings without which the token is denied, and the setting that the log names then.
    needed: BTreeMap<String, String>,
    user: String,
    session: String,
    scope: String,
    auth_time: Option<i64>,
    client_id: Option<String>,
    /// Members of the published key.
    #[serde(default)]
    jwk: Map<String, Value>,
    /// Other published keys with the same `kid`.
    #[serde(default)]
    other_keys: Vec<Map<String, Value>>,
}

fn providers() -> Vec<Provider> {
    serde_json::from_str(include_str!("../../vectors/identity_providers.json")).unwrap()
}

impl Provider {
    fn signer(&self) -> Signer {
        Signer::of(self.algorithm.parse::<Algorithm>().unwrap())
    }

    fn token(&self) -> String {
        let mut header = self.header.clone();
        header.insert("alg".to_owned(), json!(self.algorithm));
        self.token_with(&Value::Object(header), &Value::Object(self.claims.clone()))
    }

    fn token_with(&self, header: &Value, claims: &Value) -> String {
        self.signer().sign(header.to_string(), claims.to_string())
    }

    fn published_keys(&self) -> Vec<Value> {
        let signer = self.signer();
        let with = |jwk: Value, members: &Map<String, Value>| {
            let mut jwk = jwk;
            let object = jwk.as_object_mut().unwrap();
            object.extend(members.clone());
            object.insert("kid".to_owned(), self.header["kid"].clone());
            jwk
        };
        let mut keys = vec![with(signer.jwk(), &self.jwk)];
        for other in &self.other_keys {
            keys.push(with(Signer::stranger(signer.algorithm).jwk(), other));
        }
        keys
    }

    /// An authorizer with these settings, and the session that the token names.
    async fn world(&self, settings: &BTreeMap<String, String>) -> (World, Option<KeyServer>) {
        let signer = self.signer();
        let is_symmetric = signer.algorithm.family() == AlgorithmFamily::Hmac;
        let server = if is_symmetric {
            None
        } else {
            Some(KeyServer::start(Answer::keys(&self.published_keys())).await)
        };
        let url = server.as_ref().map(KeyServer::url).unwrap_or_default();
        let secret = if is_symmetric {
            signer.public.as_str()
        } else {
            ""
        };
        let setting = |name: &str| settings.get(name).map_or("", String::as_str);
        let variables = [
            ("JWT_ALGORITHM", self.algorithm.as_str()),
            ("JWT_SECRET", secret),
            ("JWKS_URL", url.as_str()),
            ("JWT_ISSUER", setting("JWT_ISSUER")),
            ("JWT_AUDIENCE", setting("JWT_AUDIENCE")),
            ("JWT_AUDIENCE_CLAIM", setting("JWT_AUDIENCE_CLAIM")),
            ("JWT_USER_CLAIM", setting("JWT_USER_CLAIM")),
            ("JWT_SESSION_CLAIM", setting("JWT_SESSION_CLAIM")),
            ("JWT_TOKEN_ID_CLAIM", setting("JWT_TOKEN_ID_CLAIM")),
            ("JWT_SCOPE_CLAIM", setting("JWT_SCOPE_CLAIM")),
            ("JWT_AUTH_TIME_CLAIM", setting("JWT_AUTH_TIME_CLAIM")),
            ("JWT_CLIENT_CLAIM", setting("JWT_CLIENT_CLAIM")),
            ("JWT_TYPE", setting("JWT_TYPE")),
            ("JWT_REQUIRED_CLAIMS", setting("JWT_REQUIRED_CLAIMS")),
        ];
        let world = World::with(variables).await;
        world.open(&self.user, &self.session, NOW + HOUR).await;
        (world, server)
    }
}

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
        let mut header = provider.header.clone();
        header.insert("alg".to_owned(), json!(provider.algorithm));
        for claim in ["iss", distinguishing] {
            for value in [Some(json!("other")), Some(Value::Null), None] {
                let mut claims = provider.claims.clone();
                claims.remove(claim);
                claims.extend(value.clone().map(|value| (claim.to_owned(), value)));
                let token = provider.token_with(&Value::Object(header.clone()), &claims.into());
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
        let mut providers = providers().into_iter();
        let mut provider = providers.find(|it| it.name == issued.provider).unwrap();
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
