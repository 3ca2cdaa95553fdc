//! Fuzz target for tokens: raw ones, and validly signed ones with the fuzzer's header and claims.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Map, Value};
use session_domain::{Timestamp, TokenId};
use session_token::{Claims, InvalidToken, NotVerified, TokenVerifier};

use crate::mapping::{Mapping, Settings, find, mappings};
use crate::names::are_ambiguous;

const NOW: i64 = 1_800_000_000;
pub(crate) const LEEWAY: u32 = 5;
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Maximum length of an accepted token.
const MAX_TOKEN_BYTES: usize = 10 * 1024;

/// Separator of header, claims and mapping in an input, a byte that no JSON contains.
pub const BETWEEN: u8 = 0xff;

/// Verifies an input as a token. If it contains a byte 0xff, also as header and claims of a validly signed token:
/// with the mapping whose number follows a second such byte, or with the standard names.
///
/// Returns whether the signed token is accepted.
#[must_use]
pub fn token(input: &[u8]) -> bool {
    let standard = &mappings()[0];
    if let Ok(text) = std::str::from_utf8(input)
        && verify(&standard.verifier, text).is_ok()
    {
        assert_eq!(text, good_token(), "an unsigned token is accepted");
    }
    let Some(between) = input.iter().position(|byte| *byte == BETWEEN) else {
        return false;
    };
    let (header, rest) = (&input[..between], &input[between + 1..]);
    let (payload, mapping) = match rest {
        [payload @ .., BETWEEN, number] => (
            payload,
            &mappings()[usize::from(*number) % mappings().len()],
        ),
        payload => (payload, standard),
    };
    signed(header, payload, mapping)
}

fn signed(header: &[u8], payload: &[u8], mapping: &Mapping) -> bool {
    let Mapping { name, settings, .. } = mapping;
    let token = sign(header, payload);
    let outcome = verify(&mapping.verifier, &token);
    let header = object(header);
    let claims = object(payload);
    let expected = header
        .as_ref()
        .is_some_and(|it| header_is_good(it, settings))
        && claims
            .as_ref()
            .is_some_and(|it| claims_are_good(it, settings))
        && token.len() <= MAX_TOKEN_BYTES;
    match outcome {
        Ok(read) => {
            assert!(
                expected,
                "{name}: accepted, but invalid: {header:?} {claims:?}"
            );
            are_read_right(&read, &claims.unwrap_or_default(), settings);
            true
        }
        Err(why) => {
            assert!(!expected, "{name}: {why}: {header:?} {claims:?}");
            let impossible = [InvalidToken::Encoding, InvalidToken::Signature];
            assert!(
                !impossible.contains(&why),
                "{name}: {why}: the token is validly signed"
            );
            false
        }
    }
}

fn good_token() -> &'static str {
    static TOKEN: OnceLock<String> = OnceLock::new();
    TOKEN.get_or_init(|| {
        // The order of the stored seed.
        let claims = r#"{"iss":"https://issuer.example","aud":"api","sub":"ann","sid":"s","jti":"j","exp":1800000060}"#;
        sign(br#"{"alg":"HS256"}"#, claims.as_bytes())
    })
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

fn header_is_good(header: &Map<String, Value>, settings: &Settings) -> bool {
    header.get("alg").and_then(Value::as_str) == Some("HS256")
        && header.get("kid").is_none_or(is_kid)
        && type_is_good(header.get("typ"), settings)
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

fn type_is_good(typ: Option<&Value>, settings: &Settings) -> bool {
    let name = |typ: &str| {
        let typ = typ.trim().to_ascii_lowercase();
        let short = typ.strip_prefix("application/");
        short
            .filter(|it| !it.contains('/'))
            .unwrap_or(&typ)
            .to_owned()
    };
    let Some(typ) = typ else {
        return settings.types.is_empty();
    };
    typ.as_str().map(name).is_some_and(|typ| {
        let accepted = settings.types.is_empty() || settings.types.iter().any(|it| name(it) == typ);
        accepted && !["logout+jwt", "secevent+jwt", "dpop+jwt"].contains(&typ.as_str())
    })
}

/// Whether the claims say that the token is an ID, refresh, logout or other token.
fn are_of_other_kind(claims: &Map<String, Value>, settings: &Settings) -> bool {
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
    let is_required = |name: &&&str| settings.required.iter().any(|(it, _)| it == **name);
    let mut names = ["typ", "token_use", "token_type"].iter();
    claims.contains_key("events") || names.any(|name| !is_required(&name) && marks(name))
}

fn claims_are_good(claims: &Map<String, Value>, settings: &Settings) -> bool {
    let for_us = |audiences: &Vec<String>| match find(claims, &settings.audience) {
        Some(Value::String(one)) => audiences.contains(one),
        Some(Value::Array(several)) => {
            let ours = |it: &Value| audiences.iter().any(|audience| it == audience);
            several.iter().all(Value::is_string) && several.iter().any(ours)
        }
        _ => false,
    };
    let holds = |(name, value): &(String, String)| match find(claims, name) {
        Some(Value::String(text)) => text == value,
        Some(scalar @ (Value::Number(_) | Value::Bool(_))) => {
            let text = scalar.to_string();
            text == *value
        }
        _ => false,
    };
    let latest = NOW + i64::from(LEEWAY);
    let valid = |name| match claims.get(name) {
        None => true,
        Some(date) => seconds(date, f64::floor).is_some_and(|it| it <= latest),
    };
    let ids = [Some(&settings.user), Some(&settings.session)];
    let mut ids = ids
        .into_iter()
        .chain([settings.token_id.as_ref()])
        .flatten();
    settings.audiences.as_ref().is_none_or(for_us)
        && claims.get("iss").and_then(Value::as_str) == Some(&settings.issuer)
        && settings.required.iter().all(holds)
        && ids.all(|name| find(claims, name).is_some_and(is_identifier))
        && claims
            .get("exp")
            .is_some_and(|date| seconds(date, f64::ceil).is_some())
        && valid("nbf")
        && valid("iat")
        && !are_of_other_kind(claims, settings)
}

fn is_identifier(value: &Value) -> bool {
    is_whole_number(value)
        || value.as_str().is_some_and(|text| {
            (1..=256).contains(&text.chars().count())
                && text.len() <= 1_000
                && !text.contains(char::is_control)
        })
}

/// A date before the year 10000 in whole seconds.
fn seconds(date: &Value, round: fn(f64) -> f64) -> Option<i64> {
    let date = round(date.as_f64()?);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a date in the distant past saturates"
    )]
    (date <= 253_402_300_799.0).then_some(date as i64)
}

fn are_read_right(read: &Claims, claims: &Map<String, Value>, settings: &Settings) {
    let claim = |name: &str| find(claims, name);
    let id = |name: &str| text(claim(name).expect("the claim"));
    assert_eq!(id(&settings.user), read.user.as_str());
    assert_eq!(id(&settings.session), read.session.as_str());
    let token_id = settings.token_id.as_ref().map(|name| id(name));
    assert_eq!(
        token_id.as_deref(),
        read.token.as_ref().map(TokenId::as_str)
    );
    let expires_at = seconds(&claims["exp"], f64::ceil);
    assert_eq!(expires_at, Some(read.expires_at.seconds()));
    let scope = match claim(&settings.scope) {
        Some(Value::String(scope)) => scope.clone(),
        Some(Value::Array(names)) if names.iter().all(Value::is_string) => {
            let names = names.iter().filter_map(Value::as_str);
            let names = names.filter(|it| !it.is_empty() && !it.contains(char::is_whitespace));
            names.collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    };
    assert_eq!(scope, read.scope);
    let auth_time = claim(&settings.auth_time).and_then(|date| seconds(date, f64::floor));
    assert_eq!(auth_time, read.auth_time.map(Timestamp::seconds));
    let client = claim(&settings.client).and_then(Value::as_str);
    assert_eq!(client, read.client.as_deref());
}

/// The text of an ID: a string, or the digits of a whole number.
fn text(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}
