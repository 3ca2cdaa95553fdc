//! Tokens as identity providers make them, and the settings of docs/setup/identity-providers.md that accept them.

use std::collections::BTreeMap;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, AlgorithmFamily};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use session_functions::config::AuthorizerConfig;
use session_functions::environment::Environment;
use session_functions::key_sources::KeySource;
use session_token::keys::{KeySet, Keys, read_jwks};
use session_token::{ClaimName, TokenRules, TokenVerifier};

use crate::key_server::{Answer, KeyServer};
use crate::token_factory::{Signer, Target};
use crate::{HOUR, NOW, World};

/// The variables about tokens, of which a provider needs some.
const VARIABLES: [&str; 14] = [
    "JWT_ALGORITHM",
    "JWT_SECRET",
    "JWKS_URL",
    "JWT_ISSUER",
    "JWT_AUDIENCE",
    "JWT_AUDIENCE_CLAIM",
    "JWT_USER_CLAIM",
    "JWT_SESSION_CLAIM",
    "JWT_TOKEN_ID_CLAIM",
    "JWT_SCOPE_CLAIM",
    "JWT_AUTH_TIME_CLAIM",
    "JWT_CLIENT_CLAIM",
    "JWT_TYPE",
    "JWT_REQUIRED_CLAIMS",
];

/// A provider's token, with the settings that accept it.
#[derive(Clone, Deserialize)]
pub struct Provider {
    pub name: String,
    algorithm: String,
    header: Map<String, Value>,
    claims: Map<String, Value>,
    pub settings: BTreeMap<String, String>,
    /// Settings without which the token is denied, and the setting that the log names then.
    pub needed: BTreeMap<String, String>,
    pub user: String,
    pub session: String,
    pub scope: String,
    pub auth_time: Option<i64>,
    pub client_id: Option<String>,
    /// Members of the published key.
    #[serde(default)]
    jwk: Map<String, Value>,
    /// Other published keys with the same `kid`.
    #[serde(default)]
    other_keys: Vec<Map<String, Value>>,
}

/// A claim that a token must have, and the setting that the log names if it is missing.
pub struct NeededClaim {
    pub name: ClaimName,
    pub setting: Option<&'static str>,
}

/// All providers.
#[must_use]
pub fn providers() -> Vec<Provider> {
    serde_json::from_str(include_str!("../vectors/identity_providers.json")).expect("the fixture")
}

/// The provider with this name.
#[must_use]
pub fn provider(name: &str) -> Provider {
    let found = providers().into_iter().find(|it| it.name == name);
    found.unwrap_or_else(|| panic!("{name} is no provider"))
}

impl Provider {
    #[must_use]
    pub fn signer(&self) -> Signer {
        Signer::of(self.algorithm())
    }

    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm.parse().expect("an algorithm")
    }

    /// The header of its tokens.
    #[must_use]
    pub fn header(&self) -> Value {
        let mut header = self.header.clone();
        header.insert("alg".to_owned(), json!(self.algorithm));
        header.into()
    }

    /// The claims of its tokens.
    #[must_use]
    pub fn claims(&self) -> Value {
        self.claims.clone().into()
    }

    /// The same token with its times moved, as if it had been issued at this time instead of [`NOW`].
    #[must_use]
    pub fn issued_at(mut self, now: i64) -> Self {
        let move_time = |time: Option<&mut Value>| {
            if let Some(time) = time
                && let Some(seconds) = time.as_i64()
            {
                *time = json!(seconds - NOW + now);
            }
        };
        for name in ["exp", "iat", "nbf", "auth_time"] {
            move_time(self.claims.get_mut(name));
        }
        let method = self.claims.get_mut("amr").and_then(|it| it.get_mut(0));
        move_time(method.and_then(|it| it.get_mut("timestamp")));
        self.auth_time = self.auth_time.map(|time| time - NOW + now);
        self
    }

    /// Its access token.
    #[must_use]
    pub fn token(&self) -> String {
        self.sign(&self.header(), &self.claims())
    }

    /// A token with this header and these claims, validly signed.
    #[must_use]
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        self.signer().sign(header.to_string(), claims.to_string())
    }

    /// Whether it signs with a shared secret.
    #[must_use]
    pub fn has_secret(&self) -> bool {
        self.algorithm().family() == AlgorithmFamily::Hmac
    }

    /// The keys of its JWK Set.
    #[must_use]
    pub fn published_keys(&self) -> Vec<Value> {
        let signer = self.signer();
        let with = |mut jwk: Value, members: &Map<String, Value>| {
            let object = jwk.as_object_mut().expect("an object");
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

    /// The environment variables of an authorizer with these settings, whose keys are at `url` unless they are a
    /// secret. Variables without a value are empty, as the template sets them.
    #[must_use]
    pub fn variables(
        &self,
        settings: &BTreeMap<String, String>,
        url: &str,
    ) -> [(&'static str, String); 14] {
        VARIABLES.map(|name| {
            let value = match name {
                "JWT_ALGORITHM" => Some(self.algorithm.clone()),
                "JWT_SECRET" => self.has_secret().then(|| self.signer().public),
                "JWKS_URL" => (!self.has_secret()).then(|| url.to_owned()),
                setting => settings.get(setting).cloned(),
            };
            (name, value.unwrap_or_default())
        })
    }

    /// A verifier with its settings and keys.
    #[must_use]
    pub fn verifier(&self) -> TokenVerifier {
        let (rules, keys) = self.rules_and_keys();
        TokenVerifier::new(rules, Keys::Fixed(Arc::new(keys)))
    }

    fn rules_and_keys(&self) -> (TokenRules, KeySet) {
        let url = "https://issuer.example/keys";
        let variables = self.variables(&self.settings, url).into_iter();
        let variables: Environment = variables
            .chain([("TABLE_NAME", "sessions".to_owned())])
            .collect();
        let config = AuthorizerConfig::read(&variables).expect("valid settings");
        let keys = match config.keys {
            KeySource::Configured(key) => KeySet::Any(vec![key]),
            KeySource::Jwks(_) | KeySource::StoredSecret(_) => {
                let set = json!({ "keys": self.published_keys() }).to_string();
                let set = read_jwks(set.as_bytes(), self.algorithm());
                set.expect("a JWK Set").keys
            }
        };
        (config.tokens, keys)
    }

    /// The claims that its settings need, without those that are only passed on.
    #[must_use]
    pub fn needed_claims(&self) -> Vec<NeededClaim> {
        let needed = |name: &str, setting| NeededClaim {
            name: ClaimName::parse(name).expect("a claim's name"),
            setting,
        };
        let (rules, _) = self.rules_and_keys();
        let mut all = vec![
            needed("iss", Some("JWT_ISSUER")),
            needed("exp", None),
            needed(rules.claims.user.as_str(), Some("JWT_USER_CLAIM")),
            needed(rules.claims.session.as_str(), Some("JWT_SESSION_CLAIM")),
        ];
        if let Some(token_id) = &rules.claims.token_id {
            all.push(needed(token_id.as_str(), Some("JWT_TOKEN_ID_CLAIM")));
        }
        if let Some(audience) = &rules.audience {
            all.push(needed(audience.claim.as_str(), Some("JWT_AUDIENCE_CLAIM")));
        }
        let required = rules.required.iter();
        all.extend(required.map(|it| needed(it.claim.as_str(), Some("JWT_REQUIRED_CLAIMS"))));
        all
    }

    /// An authorizer with these settings, and the session that the token names.
    pub async fn world(&self, settings: &BTreeMap<String, String>) -> (World, Option<KeyServer>) {
        let server = self.key_server().await;
        let url = server.as_ref().map(KeyServer::url).unwrap_or_default();
        let variables = self.variables(settings, &url);
        let variables = variables.each_ref().map(|it| (it.0, it.1.as_str()));
        let world = World::with(variables).await;
        world.open(&self.user, &self.session, NOW + HOUR).await;
        (world, server)
    }

    /// A server of its keys, unless it signs with a secret.
    pub async fn key_server(&self) -> Option<KeyServer> {
        if self.has_secret() {
            return None;
        }
        Some(KeyServer::start(Answer::keys(&self.published_keys())).await)
    }

    /// An authorizer with its settings, for attacks.
    pub async fn target(&self) -> (Target, Option<KeyServer>) {
        let (world, server) = self.world(&self.settings).await;
        let target = Target::of_session(world, self.verifier(), &self.user, &self.session);
        (target, server)
    }
}

/// Removes a claim from a payload. Returns whether it was there.
pub fn remove_claim(payload: &mut Value, name: &ClaimName) -> bool {
    let name = name.as_str();
    let Some((parent, member)) = name.rsplit_once('/').filter(|_| name.starts_with('/')) else {
        let claims = payload.as_object_mut().expect("an object");
        return claims.remove(name).is_some();
    };
    let member = member.replace("~1", "/").replace("~0", "~");
    match payload.pointer_mut(parent) {
        Some(Value::Object(claims)) => claims.remove(&member).is_some(),
        _ => false,
    }
}
