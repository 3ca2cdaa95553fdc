//! Settings that map claims: the standard names, those of the identity providers, and a few that are more unusual.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use session_token::keys::{KeySet, Keys, VerifyingKey};
use session_token::{
    AudienceRule, ClaimMapping, ClaimName, RequiredClaim, TokenRules, TokenVerifier, media_type,
};

use crate::token::{LEEWAY, SECRET};

/// Settings, a verifier that has them, and a token that it accepts.
#[derive(Debug)]
pub struct Mapping {
    /// Name, for messages.
    pub name: String,
    /// Header of a valid token.
    pub header: Value,
    /// Claims of a valid token.
    pub claims: Value,
    pub(crate) settings: Settings,
    pub(crate) verifier: TokenVerifier,
}

/// The settings, as the variables of the authorizer express them.
#[derive(Debug)]
pub(crate) struct Settings {
    pub issuer: String,
    /// `None` if the audience is not checked.
    pub audiences: Option<Vec<String>>,
    pub audience: String,
    pub user: String,
    pub session: String,
    pub token_id: Option<String>,
    pub scope: String,
    pub auth_time: String,
    pub client: String,
    pub types: Vec<String>,
    pub required: Vec<(String, String)>,
}

/// A valid token, and the settings that accept it.
#[derive(Deserialize)]
struct Example {
    name: String,
    header: Map<String, Value>,
    claims: Value,
    settings: BTreeMap<String, String>,
}

/// All mappings, the one with the standard names first.
#[must_use]
pub fn mappings() -> &'static [Mapping] {
    static MAPPINGS: OnceLock<Vec<Mapping>> = OnceLock::new();
    MAPPINGS.get_or_init(|| {
        let providers = include_str!("../../vectors/identity_providers.json");
        let providers: Vec<Example> = serde_json::from_str(providers).expect("the fixture");
        let mut all: Vec<Example> = serde_json::from_value(unusual()).expect("the examples");
        all.splice(1..1, providers);
        all.into_iter().map(Mapping::of).collect()
    })
}

/// The standard names, and mappings that no provider of the fixture needs.
fn unusual() -> Value {
    json!([
        {
            "name": "the standard names",
            "header": {},
            "claims": {
                "iss": "https://issuer.example", "aud": "api", "sub": "ann", "sid": "s", "jti": "j",
                "exp": 1_800_000_060,
            },
            "settings": { "JWT_ISSUER": "https://issuer.example", "JWT_AUDIENCE": "api" },
        },
        {
            "name": "several audiences and types",
            "header": { "typ": "application/at+jwt" },
            "claims": {
                "iss": "i", "aud": ["other", "b"], "sub": 7, "sid": -7, "jti": 1, "exp": 1_800_000_060,
                "scope": ["a", "b"],
            },
            "settings": {
                "JWT_ISSUER": "i", "JWT_AUDIENCE": "a, b,c", "JWT_TYPE": "JWT, AT+jwt",
            },
        },
        {
            "name": "JSON Pointers only",
            "header": { "typ": "JWT" },
            "claims": {
                "iss": "i", "exp": 1_800_000_060.5, "amr": [{ "timestamp": 1_799_999_000.5 }],
                "ext": {
                    "user": { "id": 7 }, "sessions": [{ "id": "s" }], "a/b": "j", "c~d": ["api"],
                    "scopes": ["a", "b"], "tenant": 7, "admin": false, "": "client",
                },
            },
            "settings": {
                "JWT_ISSUER": "i", "JWT_AUDIENCE": "api", "JWT_AUDIENCE_CLAIM": "/ext/c~0d",
                "JWT_USER_CLAIM": "/ext/user/id", "JWT_SESSION_CLAIM": "/ext/sessions/0/id",
                "JWT_TOKEN_ID_CLAIM": "/ext/a~1b", "JWT_SCOPE_CLAIM": "/ext/scopes",
                "JWT_AUTH_TIME_CLAIM": "/amr/0/timestamp", "JWT_CLIENT_CLAIM": "/ext/",
                "JWT_REQUIRED_CLAIMS": "/ext/tenant=7,/ext/admin=false",
            },
        },
        {
            "name": "kinds that are configured",
            "header": { "typ": "JWT" },
            "claims": {
                "iss": "i", "azp": "web", "sub": "u", "sid": "s", "typ": "ID", "token_type": "refresh",
                "exp": 1_800_000_060,
            },
            "settings": {
                "JWT_ISSUER": "i", "JWT_AUDIENCE_CLAIM": "none", "JWT_TOKEN_ID_CLAIM": "none",
                "JWT_REQUIRED_CLAIMS": "typ=ID,token_type=refresh,azp=web",
            },
        },
    ])
}

impl Mapping {
    fn of(example: Example) -> Self {
        let Example {
            name,
            mut header,
            claims,
            settings,
        } = example;
        header.insert("alg".to_owned(), json!("HS256"));
        let settings = Settings::of(&settings);
        let key = VerifyingKey::from_secret(Algorithm::HS256, SECRET).expect("a secret");
        let keys = Keys::Fixed(Arc::new(KeySet::Any(vec![key])));
        let verifier = TokenVerifier::new(settings.rules(), keys);
        Self {
            name,
            header: header.into(),
            claims,
            settings,
            verifier,
        }
    }
}

impl Settings {
    fn of(variables: &BTreeMap<String, String>) -> Self {
        let of = |name: &str, default: &str| {
            let value = variables.get(name).map_or(default, String::as_str);
            value.to_owned()
        };
        let list = |name: &str| {
            let value = of(name, "");
            let items = value.split(',').map(str::trim);
            let items = items.filter(|it| !it.is_empty()).map(str::to_owned);
            items.collect::<Vec<_>>()
        };
        let unless_none = |name: String| (name != "none").then_some(name);
        let pair = |pair: String| {
            let (name, value) = pair.split_once('=').expect("name=value");
            (name.to_owned(), value.to_owned())
        };
        let audience = unless_none(of("JWT_AUDIENCE_CLAIM", "aud"));
        Self {
            issuer: of("JWT_ISSUER", ""),
            audiences: audience.is_some().then(|| list("JWT_AUDIENCE")),
            audience: audience.unwrap_or_default(),
            user: of("JWT_USER_CLAIM", "sub"),
            session: of("JWT_SESSION_CLAIM", "sid"),
            token_id: unless_none(of("JWT_TOKEN_ID_CLAIM", "jti")),
            scope: of("JWT_SCOPE_CLAIM", "scope"),
            auth_time: of("JWT_AUTH_TIME_CLAIM", "auth_time"),
            client: of("JWT_CLIENT_CLAIM", "client_id"),
            types: list("JWT_TYPE"),
            required: list("JWT_REQUIRED_CLAIMS").into_iter().map(pair).collect(),
        }
    }

    fn rules(&self) -> TokenRules {
        let name = |name: &String| ClaimName::parse(name).expect("a claim's name");
        let mut rules = TokenRules::new(Algorithm::HS256, &self.issuer, "");
        rules.audience = self.audiences.as_ref().map(|accepted| {
            let mut rule = AudienceRule::new(accepted);
            rule.claim = name(&self.audience);
            rule
        });
        rules.claims = ClaimMapping {
            user: name(&self.user),
            session: name(&self.session),
            token_id: self.token_id.as_ref().map(name),
            scope: name(&self.scope),
            auth_time: name(&self.auth_time),
            client: name(&self.client),
        };
        rules.types = self.types.iter().map(|it| media_type(it)).collect();
        let required = self.required.iter().map(|(claim, value)| RequiredClaim {
            claim: name(claim),
            value: value.clone(),
        });
        rules.required = required.collect();
        rules.leeway_seconds = LEEWAY;
        rules
    }

    /// All names of claims that the settings read.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names = vec![
            self.user.as_str(),
            &self.session,
            &self.scope,
            &self.auth_time,
            &self.client,
        ];
        names.extend(self.token_id.as_deref());
        names.extend(self.audiences.as_ref().map(|_| self.audience.as_str()));
        names.extend(self.required.iter().map(|(name, _)| name.as_str()));
        names
    }
}

/// The claim with this name: a member, or what a JSON Pointer (RFC 6901) points to.
pub(crate) fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let Some(path) = name.strip_prefix('/') else {
        return claims.get(name);
    };
    let mut parts = path
        .split('/')
        .map(|it| it.replace("~1", "/").replace("~0", "~"));
    let mut value = claims.get(&parts.next()?)?;
    for part in parts {
        value = match value {
            Value::Object(members) => members.get(&part)?,
            Value::Array(elements) => {
                let is_index = part.bytes().all(|it| it.is_ascii_digit());
                let is_plain = part == "0" || !part.starts_with('0');
                elements.get(
                    part.parse::<usize>()
                        .ok()
                        .filter(|_| is_index && is_plain)?,
                )?
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
        };
    }
    Some(value)
}
