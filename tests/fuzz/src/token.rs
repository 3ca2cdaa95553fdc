//! Fuzz target for tokens: raw ones, and validly signed ones with the fuzzer's header and claims.

use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Map, Value};
use session_domain::Timestamp;
use session_token::keys::{KeySet, Keys, VerifyingKey};
use session_token::{Claims, InvalidToken, NotVerified, TokenRules, TokenVerifier};

use crate::names::are_ambiguous;

const NOW: i64 = 1_800_000_000;
const LEEWAY: u32 = 5;
const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "api";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Maximum length of an accepted token.
const MAX_TOKEN_BYTES: usize = 10 * 1024;

/// Separator of header and claims in an input, a byte that no JSON contains.
const BETWEEN: u8 = 0xff;

/// Valid claims.
const GOOD: &str = r#"{"iss":"https://issuer.example","aud":"api","sub":"ann","sid":"s","jti":"j","exp":1800000060}"#;

/// Verifies an input as a token. If it contains a byte 0xff, also as header and claims of a validly
/// signed token.
pub fn token(input: &[u8]) {
    let verifier = verifier();
    if let Ok(text) = std::str::from_utf8(input)
        && verify(verifier, text).is_ok()
    {
        assert_eq!(text, good_token(), "an unsigned token is accepted");
    }
    let Some(between) = input.iter().position(|byte| *byte == BETWEEN) else {
        return;
    };
    let (header, payload) = (&input[..between], &input[between + 1..]);
    let token = sign(header, payload);
    let outcome = verify(verifier, &token);
    let header = object(header);
    let claims = object(payload);
    let expected = header.as_ref().is_some_and(header_is_good)
        && claims.as_ref().is_some_and(claims_are_good)
        && token.len() <= MAX_TOKEN_BYTES;
    match outcome {
        Ok(read) => {
            assert!(expected, "accepted, but invalid: {header:?} {claims:?}");
            are_read_right(&read, &claims.unwrap_or_default());
        }
        Err(why) => {
            assert!(!expected, "{why}: {header:?} {claims:?}");
            let impossible = [InvalidToken::Encoding, InvalidToken::Signature];
            assert!(
                !impossible.contains(&why),
                "{why}: the token is validly signed"
            );
        }
    }
}

fn verifier() -> &'static TokenVerifier {
    static VERIFIER: OnceLock<TokenVerifier> = OnceLock::new();
    VERIFIER.get_or_init(|| {
        let key = VerifyingKey::from_secret(Algorithm::HS256, SECRET).unwrap();
        let mut rules = TokenRules::new(Algorithm::HS256, ISSUER, AUDIENCE);
        rules.leeway_seconds = LEEWAY;
        TokenVerifier::new(rules, Keys::Fixed(Arc::new(KeySet::Any(vec![key]))))
    })
}

fn good_token() -> &'static str {
    static TOKEN: OnceLock<String> = OnceLock::new();
    TOKEN.get_or_init(|| sign(br#"{"alg":"HS256"}"#, GOOD.as_bytes()))
}

fn sign(header: &[u8], payload: &[u8]) -> String {
    static KEY: OnceLock<EncodingKey> = OnceLock::new();
    let key = KEY.get_or_init(|| EncodingKey::from_secret(SECRET.as_bytes()));
    let part = |bytes| URL_SAFE_NO_PAD.encode(bytes);
    let message = format!("{}.{}", part(header), part(payload));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

fn verify(verifier: &TokenVerifier, token: &str) -> Result<Claims, InvalidToken> {
    let claims = verifier.verify(token, Timestamp::from_seconds(NOW));
    // The keys are static, so verification never waits.
    claims.now_or_never().unwrap().map_err(|error| match error {
        NotVerified::Invalid(why) => why,
        NotVerified::Keys(error) => panic!("{error}"),
    })
}

/// An object without duplicate names.
fn object(json: &[u8]) -> Option<Map<String, Value>> {
    let Value::Object(object) = serde_json::from_slice(json).ok()? else {
        return None;
    };
    (!are_ambiguous(json)).then_some(object)
}

fn header_is_good(header: &Map<String, Value>) -> bool {
    header.get("alg").and_then(Value::as_str) == Some("HS256")
        && header.get("kid").is_none_or(is_kid)
        && header.get("typ").is_none_or(is_type_of_access_token)
        && header
            .get("b64")
            .is_none_or(|it| it.as_bool() == Some(true))
        && !header.contains_key("crit")
}

fn is_kid(kid: &Value) -> bool {
    kid.is_null() || kid.is_string() || is_whole_number(kid)
}

fn is_whole_number(value: &Value) -> bool {
    value.is_i64() || value.is_u64()
}

fn is_type_of_access_token(typ: &Value) -> bool {
    typ.as_str().is_some_and(|typ| {
        let typ = typ.trim().to_lowercase();
        let name = typ.strip_prefix("application/").unwrap_or(&typ);
        !["logout+jwt", "secevent+jwt", "dpop+jwt"].contains(&name)
    })
}

/// Whether the claims say that the token is an ID, refresh, logout or other token.
fn are_of_other_kind(claims: &Map<String, Value>) -> bool {
    let others = [
        "id",
        "id_token",
        "refresh",
        "refresh_token",
        "offline",
        "logout",
        "registrationaccesstoken",
        "initialaccesstoken",
        "sliding",
    ];
    let marks = |name: &&str| {
        let kind = claims.get(*name).and_then(Value::as_str);
        kind.is_some_and(|kind| others.contains(&&*kind.to_ascii_lowercase()))
    };
    claims.contains_key("events") || ["typ", "token_use", "token_type"].iter().any(marks)
}

fn claims_are_good(claims: &Map<String, Value>) -> bool {
    let for_us = match claims.get("aud") {
        Some(Value::String(one)) => one == AUDIENCE,
        Some(Value::Array(several)) => {
            several.iter().all(Value::is_string) && several.contains(&Value::from(AUDIENCE))
        }
        _ => false,
    };
    let valid = |name| match claims.get(name) {
        None => true,
        Some(date) => seconds(date).is_some_and(|it| it <= NOW + i64::from(LEEWAY)),
    };
    for_us
        && claims.get("iss").and_then(Value::as_str) == Some(ISSUER)
        && ["sub", "sid", "jti"]
            .iter()
            .all(|name| claims.get(*name).is_some_and(is_identifier))
        && claims
            .get("exp")
            .is_some_and(|date| seconds(date).is_some())
        && valid("nbf")
        && valid("iat")
        && !are_of_other_kind(claims)
}

fn is_identifier(value: &Value) -> bool {
    is_whole_number(value)
        || value.as_str().is_some_and(|text| {
            (1..=256).contains(&text.chars().count())
                && text.len() <= 1_000
                && !text.contains(char::is_control)
        })
}

/// A date before the year 10000, rounded up to whole seconds.
fn seconds(date: &Value) -> Option<i64> {
    let date = date.as_f64()?.ceil();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a date in the distant past saturates"
    )]
    (date <= 253_402_300_799.0).then_some(date as i64)
}

fn are_read_right(read: &Claims, claims: &Map<String, Value>) {
    assert_eq!(text(&claims["sub"]), read.user.as_str());
    assert_eq!(text(&claims["sid"]), read.session.as_str());
    let token = read.token.as_ref().expect("the mapping has a token ID");
    assert_eq!(text(&claims["jti"]), token.as_str());
    assert_eq!(seconds(&claims["exp"]), Some(read.expires_at.seconds()));
    let scope = match claims.get("scope") {
        Some(Value::String(scope)) => scope.clone(),
        Some(Value::Array(names)) if names.iter().all(Value::is_string) => {
            let names = names.iter().filter_map(Value::as_str);
            let names = names.filter(|it| !it.is_empty() && !it.contains(char::is_whitespace));
            names.collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    };
    assert_eq!(scope, read.scope);
}

/// The text of an ID: a string, or the digits of a whole number.
fn text(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}
