//! Variables for the verification of tokens: rules and keys.

use jsonwebtoken::{Algorithm, AlgorithmFamily};
use session_token::TokenRules;
use session_token::keys::{UnsuitableKey, VerifyingKey};

use crate::environment::Reader;
use crate::key_sources::{JwksUrl, KeySource, SecretReference};

/// The variables that set the source of the keys. Exactly one of them must be set.
const KEY_VARIABLES: [&str; 4] = ["JWT_SECRET", "JWT_SECRET_ARN", "JWT_PUBLIC_KEY", "JWKS_URL"];

pub(super) fn read(reader: &mut Reader<'_>) -> (Option<TokenRules>, Option<KeySource>) {
    let algorithm = algorithm(reader);
    let keys = key_source(reader, algorithm);
    let text = |value: &str| Some(value.to_owned());
    let issuer = reader.required("JWT_ISSUER", "the `iss` of the tokens", text);
    let expected = "the name of this API in the `aud` of the tokens";
    let audience = reader.required("JWT_AUDIENCE", expected, text);
    let leeway_seconds = reader.number("JWT_LEEWAY_SECONDS", 0, 0..=120);
    let rules = || {
        Some(TokenRules {
            algorithm: algorithm?,
            issuer: issuer?,
            audience: audience?,
            leeway_seconds,
        })
    };
    (rules(), keys)
}

fn algorithm(reader: &mut Reader<'_>) -> Option<Algorithm> {
    const EXPECTED: &str = "HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, \
                            ES256, ES384 or EdDSA";
    reader.required("JWT_ALGORITHM", EXPECTED, |name| name.parse().ok())
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
