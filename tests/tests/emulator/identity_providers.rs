//! Tokens of identity providers, with the settings of docs/setup/identity-providers.md in the authorizer's environment.

use serde_json::{Value, json};
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::emulator::Emulator;
use session_cleanup_tests::events::event_with_token;
use session_cleanup_tests::identity_providers::{Provider, provider, remove_claim};
use session_cleanup_tests::key_server::KeyServer;
use session_cleanup_tests::{HOUR, World, inactive_session};

use crate::{AUTHORIZER_EVENTS, now};

const PROVIDERS: [&str; 6] = [
    "Cognito access token",
    "Auth0, default profile",
    "Keycloak",
    "Supabase, signing keys",
    "Supabase, legacy secret",
    "Entra ID v2",
];

const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The release binary with a provider's settings.
struct Running {
    authorizer: Emulator,
    _keys: Option<KeyServer>,
}

impl Running {
    async fn start(world: &World, provider: &Provider) -> Self {
        let keys = provider.key_server().await;
        let url = keys.as_ref().map(KeyServer::url).unwrap_or_default();
        let variables = provider.variables(&provider.settings, &url);
        let variables = variables.each_ref().map(|it| (it.0, it.1.as_str()));
        let authorizer = Emulator::start(world, FunctionName::Authorizer, variables).await;
        Self {
            authorizer,
            _keys: keys,
        }
    }

    /// Whether the authorizer allows the token, and its context. The same for each gateway.
    async fn ask(&self, token: &str) -> (bool, Value) {
        let mut answers = Vec::new();
        for (name, stage) in AUTHORIZER_EVENTS {
            let event = event_with_token(FunctionName::Authorizer, name, token);
            let answer = self.authorizer.invoke(&event).await.unwrap();
            let is_allowed = match stage {
                Some(_) => answer["policyDocument"]["Statement"][0]["Effect"] == "Allow",
                None => answer["isAuthorized"] == true,
            };
            answers.push((is_allowed, answer["context"].clone()));
        }
        assert!(answers.iter().all(|it| *it == answers[0]), "{answers:?}");
        answers.remove(0)
    }

    /// The last line about a denied token.
    fn denied(&self) -> Value {
        let mut log = self.authorizer.log();
        log.retain(|line| line["message"] == "denied");
        log.pop().unwrap()
    }
}

fn denied_as(error: &str) -> (bool, Value) {
    (false, json!({ "error": error }))
}

fn expected_context(provider: &Provider) -> Value {
    let mut context = json!({
        "user_id": provider.user,
        "session_id": provider.session,
        "scope": provider.scope,
    });
    if let Some(time) = provider.auth_time {
        context["auth_time"] = json!(time.to_string());
    }
    if let Some(client) = &provider.client_id {
        context["client_id"] = json!(client);
    }
    context
}

/// Tokens that the provider signs with the same key for other purposes.
fn other_tokens(provider: &Provider) -> Vec<(&'static str, String)> {
    let with = |members: Value| {
        let mut claims = provider.claims();
        let Value::Object(members) = members else {
            unreachable!("an object");
        };
        claims.as_object_mut().unwrap().extend(members);
        provider.sign(&provider.header(), &claims)
    };
    let typed = |typ: &str| {
        let mut header = provider.header();
        header["typ"] = json!(typ);
        provider.sign(&header, &provider.claims())
    };
    let mut others = vec![
        (
            "a logout token",
            with(json!({ "events": { LOGOUT_EVENT: {} } })),
        ),
        ("a typed logout token", typed("logout+jwt")),
        ("a security event", typed("secevent+jwt")),
        ("a DPoP proof", typed("dpop+jwt")),
    ];
    let times = json!({ "iat": now(), "exp": now() + HOUR });
    others.extend(match provider.name.as_str() {
        "Cognito access token" => {
            let id = self::provider("Cognito ID token").issued_at(now());
            vec![
                ("an ID token", id.token()),
                (
                    "an ID token with the client",
                    with(json!({ "token_use": "id" })),
                ),
                // Encrypted.
                ("a refresh token", "eyJjdHkiOiJKV1QifQ.a.b.c.d".to_owned()),
            ]
        }
        "Auth0, default profile" | "Entra ID v2" => vec![
            (
                "an ID token",
                with(json!({ "aud": "client", "nonce": "n" })),
            ),
            (
                "a token for another API",
                with(json!({ "aud": ["https://other.example"] })),
            ),
            ("a refresh token", "0.AXkAopaque".to_owned()),
        ],
        "Keycloak" => ["ID", "Refresh", "Offline", "Logout", "Serialized-ID"]
            .map(|typ| ("of another kind", with(json!({ "typ": typ }))))
            .into(),
        _ => ["anon", "service_role"]
            .map(|role| {
                let mut claims = times.clone();
                claims["iss"] = provider.claims()["iss"].clone();
                claims["role"] = json!(role);
                claims["aud"] = json!("authenticated");
                claims["sub"] = json!(provider.user);
                ("an API key", provider.sign(&provider.header(), &claims))
            })
            .into(),
    });
    others
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn accepts_only_access_tokens_of_live_sessions_of_each_provider() {
    for name in PROVIDERS {
        let provider = provider(name).issued_at(now());
        let world = World::new().await;
        let running = Running::start(&world, &provider).await;
        let answer = running.ask(&provider.token()).await;
        assert_eq!(answer, denied_as("Session not found"), "{name}");

        world
            .open(&provider.user, &provider.session, now() + HOUR)
            .await;
        let answer = running.ask(&provider.token()).await;
        assert_eq!(answer, (true, expected_context(&provider)), "{name}");

        for (what, token) in other_tokens(&provider) {
            let answer = running.ask(&token).await;
            assert_eq!(answer, denied_as("Invalid token"), "{name}: {what}");
        }
        world
            .put(inactive_session(&provider.user, &provider.session, now()))
            .await;
        let answer = running.ask(&provider.token()).await;
        assert_eq!(answer, denied_as("Session inactive"), "{name}");
    }
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn log_names_claim_and_setting_of_each_missing_claim() {
    for name in PROVIDERS {
        let provider = provider(name).issued_at(now());
        let world = World::new().await;
        world
            .open(&provider.user, &provider.session, now() + HOUR)
            .await;
        let running = Running::start(&world, &provider).await;
        let needed = provider.needed_claims();
        for missing in &needed {
            let mut claims = provider.claims();
            let claim = missing.name.as_str();
            assert!(remove_claim(&mut claims, &missing.name), "{name}: {claim}");
            let token = provider.sign(&provider.header(), &claims);
            let answer = running.ask(&token).await;
            assert_eq!(answer, denied_as("Invalid token"), "{name}: {claim}");
            let line = running.denied();
            assert_eq!(line["claim"], claim, "{name}: {line}");
            let uses = needed.iter().filter(|it| it.name == missing.name);
            let settings: Vec<_> = uses.map(|it| json!(it.setting)).collect();
            assert!(settings.contains(&line["setting"]), "{name}: {line}");
        }
        assert!(running.ask(&provider.token()).await.0, "{name}");
    }
}
