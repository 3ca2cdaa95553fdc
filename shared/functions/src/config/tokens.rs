//! Variables for the verification of tokens: rules and keys.

use jsonwebtoken::{Algorithm, AlgorithmFamily};
use session_token::keys::{UnsuitableKey, VerifyingKey};
use session_token::{
    AudienceRule, ClaimMapping, ClaimName, ClaimRole, InvalidToken, RequiredClaim, TokenRules,
    media_type, parse_algorithm,
};

use crate::environment::Reader;
use crate::key_sources::{JwksUrl, KeySource, SecretReference};

/// The variables that set the source of the keys. Exactly one of them must be set.
const KEY_VARIABLES: [&str; 4] = ["JWT_SECRET", "JWT_SECRET_ARN", "JWT_PUBLIC_KEY", "JWKS_URL"];

/// Value of a claim variable that turns its check off.
const NONE: &str = "none";

/// Claims that have the same value in the access tokens of all APIs of an issuer: the issuer, and those that
/// mark the kind of a token.
const SHARED_CLAIMS: [&str; 5] = ["iss", "token_use", "token_type", "typ", "tty"];

pub(super) fn read(reader: &mut Reader<'_>) -> (Option<TokenRules>, Option<KeySource>) {
    let algorithm = algorithm(reader);
    let keys = key_source(reader, algorithm);
    let issuer = reader.required("JWT_ISSUER", "the `iss` of the tokens", |value| {
        Some(value.to_owned())
    });
    let required = required_claims(reader);
    let audience = audience(reader, &required);
    let claims = claims(reader);
    let types = types(reader);
    let leeway_seconds = reader.number("JWT_LEEWAY_SECONDS", 0, 0..=120);
    let rules = || {
        let mut rules = TokenRules::new(algorithm?, issuer?, "");
        rules.audience = audience;
        rules.claims = claims;
        rules.types = types;
        rules.required = required;
        rules.leeway_seconds = leeway_seconds;
        Some(rules)
    };
    (rules(), keys)
}

/// The variable that a failed check depends on, for the log.
#[must_use]
pub const fn token_setting(why: InvalidToken) -> Option<&'static str> {
    match why {
        InvalidToken::Algorithm => Some("JWT_ALGORITHM"),
        InvalidToken::Type => Some("JWT_TYPE"),
        InvalidToken::Issuer => Some("JWT_ISSUER"),
        InvalidToken::Audience => Some("JWT_AUDIENCE"),
        InvalidToken::RequiredClaim(_) | InvalidToken::OtherKind => Some("JWT_REQUIRED_CLAIMS"),
        InvalidToken::NotYetValid(_) => Some("JWT_LEEWAY_SECONDS"),
        InvalidToken::MissingClaim(role) | InvalidToken::MalformedClaim(role) => match role {
            ClaimRole::Issuer => Some("JWT_ISSUER"),
            ClaimRole::Audience => Some("JWT_AUDIENCE_CLAIM"),
            ClaimRole::User => Some("JWT_USER_CLAIM"),
            ClaimRole::Session => Some("JWT_SESSION_CLAIM"),
            ClaimRole::TokenId => Some("JWT_TOKEN_ID_CLAIM"),
            ClaimRole::Expiry | ClaimRole::NotBefore | ClaimRole::IssuedAt => None,
        },
        InvalidToken::TooLong
        | InvalidToken::Encoding
        | InvalidToken::Header
        | InvalidToken::Critical
        | InvalidToken::UnknownKey
        | InvalidToken::Signature
        | InvalidToken::Payload => None,
    }
}

/// Reads which claim means what.
fn claims(reader: &mut Reader<'_>) -> ClaimMapping {
    let default = ClaimMapping::default();
    let mut name = |variable, default| claim_name(reader, variable).unwrap_or(default);
    ClaimMapping {
        user: name("JWT_USER_CLAIM", default.user),
        session: name("JWT_SESSION_CLAIM", default.session),
        scope: name("JWT_SCOPE_CLAIM", default.scope),
        auth_time: name("JWT_AUTH_TIME_CLAIM", default.auth_time),
        client: name("JWT_CLIENT_CLAIM", default.client),
        token_id: if reader.get("JWT_TOKEN_ID_CLAIM") == Some(NONE) {
            None
        } else {
            claim_name(reader, "JWT_TOKEN_ID_CLAIM").or(default.token_id)
        },
    }
}

fn claim_name(reader: &mut Reader<'_>, variable: &str) -> Option<ClaimName> {
    let expected = "a claim's name, or a JSON Pointer that begins with /";
    reader.optional(variable, expected, |name| ClaimName::parse(name).ok())
}

/// Reads the accepted audiences. `None` if the audience is not checked, or after a problem.
fn audience(reader: &mut Reader<'_>, required: &[RequiredClaim]) -> Option<AudienceRule> {
    if reader.get("JWT_AUDIENCE_CLAIM") == Some(NONE) {
        let tells_apis_apart = |it: &RequiredClaim| {
            let name = it.claim.as_str();
            // As a JSON Pointer, it is the same claim.
            !SHARED_CLAIMS.contains(&name.strip_prefix('/').unwrap_or(name))
        };
        if !required.iter().any(tells_apis_apart) {
            reader.problem(
                "JWT_AUDIENCE_CLAIM is \"none\", which accepts the tokens of every other API of the \
                 issuer: JWT_REQUIRED_CLAIMS must name a claim that only tokens of this API have, \
                 such as client_id=… or azp=…"
                    .to_owned(),
            );
        }
        return None;
    }
    let expected =
        "the name of this API in the `aud` of the tokens, or several separated by commas";
    let accepted = reader.required("JWT_AUDIENCE", expected, list);
    let claim = claim_name(reader, "JWT_AUDIENCE_CLAIM");
    let mut rule = AudienceRule::new(accepted?);
    if let Some(claim) = claim {
        rule.claim = claim;
    }
    Some(rule)
}

fn types(reader: &mut Reader<'_>) -> Vec<String> {
    let expected = "values of the header `typ`, such as at+jwt, separated by commas";
    reader
        .optional("JWT_TYPE", expected, list)
        .unwrap_or_default()
        .iter()
        .map(|typ| media_type(typ))
        .collect()
}

fn required_claims(reader: &mut Reader<'_>) -> Vec<RequiredClaim> {
    let expected = "name=value pairs separated by commas, such as token_use=access";
    let parse = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let claim = ClaimName::parse(name.trim()).ok()?;
        let value = value.trim().to_owned();
        (!value.is_empty()).then_some(RequiredClaim { claim, value })
    };
    reader
        .optional("JWT_REQUIRED_CLAIMS", expected, |value| {
            list(value)?.iter().map(|pair| parse(pair)).collect()
        })
        .unwrap_or_default()
}

/// Texts separated by commas, none of them empty.
fn list(value: &str) -> Option<Vec<String>> {
    let items = value.split(',').map(str::trim);
    items
        .map(|item| (!item.is_empty()).then(|| item.to_owned()))
        .collect()
}

fn algorithm(reader: &mut Reader<'_>) -> Option<Algorithm> {
    const EXPECTED: &str = "HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, \
                            ES256, ES384 or EdDSA";
    reader.required("JWT_ALGORITHM", EXPECTED, parse_algorithm)
}

/// Reads the source of the keys. `algorithm` is `None` if it is missing or invalid.
///
/// A configured key is checked against the algorithm here, so that its problem is reported with
/// all others.
fn key_source(reader: &mut Reader<'_>, algorithm: Option<Algorithm>) -> Option<KeySource> {
    let (name, value) = only_key_variable(reader)?;
    let algorithm = algorithm?;
    let is_symmetric = algorithm.family() == AlgorithmFamily::Hmac;
    if is_symmetric != name.starts_with("JWT_SECRET") {
        let (symmetric, asymmetric) = KEY_VARIABLES.split_at(2);
        let needed = if is_symmetric { symmetric } else { asymmetric };
        let needed = needed.join(" or ");
        reader.problem(format!(
            "{name} is set, and {needed} is needed for {algorithm:?}"
        ));
        return None;
    }
    match name {
        "JWT_SECRET" => {
            let key = VerifyingKey::from_secret(algorithm, value);
            configured_key(reader, name, key)
        }
        "JWT_PUBLIC_KEY" => {
            // Line breaks are often written as "\n" in variables that hold a single line.
            let pem = value.replace("\\n", "\n");
            let key = VerifyingKey::from_pem(algorithm, &pem);
            configured_key(reader, name, key)
        }
        "JWT_SECRET_ARN" => {
            let expected = "the ARN of a secret in Secrets Manager, followed by :json-key:: \
                            if the secret is JSON";
            reader
                .required(name, expected, SecretReference::parse)
                .map(KeySource::StoredSecret)
        }
        _ => {
            let url = JwksUrl::parse(value);
            if url.is_none() {
                // The value is not quoted: it may contain credentials.
                reader.problem(format!(
                    "{name} must be an https URL without credentials (http on loopback only)"
                ));
            }
            url.map(KeySource::Jwks)
        }
    }
}

/// Returns the name and value of the variable that sets the source of the keys.
fn only_key_variable<'a>(reader: &mut Reader<'a>) -> Option<(&'static str, &'a str)> {
    let set: Vec<_> = KEY_VARIABLES
        .into_iter()
        .filter_map(|name| Some((name, reader.get(name)?)))
        .collect();
    if let [only] = set[..] {
        return Some(only);
    }
    let names: Vec<_> = set.iter().map(|(name, _)| *name).collect();
    reader.problem(if names.is_empty() {
        let all = enumeration(&KEY_VARIABLES, "or");
        format!("{all} is missing (one of them)")
    } else {
        let set = enumeration(&names, "and");
        format!("{set} are set (one of them)")
    });
    None
}

/// Joins names as in "a, b or c".
fn enumeration(names: &[&str], conjunction: &str) -> String {
    match names {
        [first @ .., last] => format!("{} {conjunction} {last}", first.join(", ")),
        [] => String::new(),
    }
}

fn configured_key(
    reader: &mut Reader<'_>,
    name: &str,
    key: Result<VerifyingKey, UnsuitableKey>,
) -> Option<KeySource> {
    match key {
        Ok(key) => Some(KeySource::Configured(key)),
        Err(unsuitable) => {
            reader.problem(format!("{name} {unsuitable}"));
            None
        }
    }
}
