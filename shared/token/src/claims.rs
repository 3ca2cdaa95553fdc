//! Which claim means what: claim names, the mapping of an issuer's claims, and the rules about them.

use serde_json::Value;
use session_domain::{SessionId, Timestamp, TokenId, UserId};

use crate::InvalidToken;

/// The name of a claim: a literal member name, or a JSON Pointer (RFC 6901) if it starts with `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimName(String);

/// A text that names no claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a claim name or a JSON Pointer")]
pub struct InvalidClaimName;

impl ClaimName {
    /// Parses a name. `https://example.com/sid` is one name, `/amr/0` a JSON Pointer.
    ///
    /// # Errors
    ///
    /// An empty text, one with control characters or surrounding spaces, and a JSON Pointer with a `~`
    /// that is not `~0` or `~1`.
    pub fn parse(name: &str) -> Result<Self, InvalidClaimName> {
        let is_pointer = name.starts_with('/');
        let has_invalid_escape = || {
            let mut escapes = name.split('~').skip(1);
            escapes.any(|rest| !rest.starts_with(['0', '1']))
        };
        if name.is_empty()
            || name.trim() != name
            || name.chars().any(char::is_control)
            || is_pointer && has_invalid_escape()
        {
            return Err(InvalidClaimName);
        }
        Ok(Self(name.to_owned()))
    }

    /// The name as it is configured.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Sets the claim in a payload, so that tokens can be made with this mapping. A JSON Pointer creates the objects on its path.
    pub fn set(&self, payload: &mut Value, value: Value) {
        let Some(path) = self.0.strip_prefix('/') else {
            if let Value::Object(claims) = payload {
                claims.insert(self.0.clone(), value);
            }
            return;
        };
        let mut place = payload;
        for name in path.split('/') {
            let name = name.replace("~1", "/").replace("~0", "~");
            if !place.is_object() {
                *place = Value::Object(serde_json::Map::new());
            }
            place = &mut place[name];
        }
        *place = value;
    }

    fn find<'a>(&self, payload: &'a Value) -> Option<&'a Value> {
        if self.0.starts_with('/') {
            payload.pointer(&self.0)
        } else {
            payload.get(&self.0)
        }
    }
}

/// What a claim is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClaimRole {
    /// `iss` (RFC 7519 §4.1.1).
    Issuer,
    /// Whom the token is for.
    Audience,
    /// The user's id.
    User,
    /// The session's id.
    Session,
    /// The token's id.
    TokenId,
    /// `exp` (RFC 7519 §4.1.4).
    Expiry,
    /// `nbf` (RFC 7519 §4.1.5).
    NotBefore,
    /// `iat` (RFC 7519 §4.1.6).
    IssuedAt,
}

/// The claims of an issuer's tokens, by what they are used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimMapping {
    /// The user's id.
    pub user: ClaimName,
    /// The session's id.
    pub session: ClaimName,
    /// The token's id. Without it, single tokens cannot be blacklisted.
    pub token_id: Option<ClaimName>,
    /// The scopes: a string of names separated by spaces, or an array of names.
    pub scope: ClaimName,
    /// The time of authentication, in epoch seconds.
    pub auth_time: ClaimName,
    /// The client that the token was issued to.
    pub client: ClaimName,
}

impl Default for ClaimMapping {
    fn default() -> Self {
        let name = |name: &str| ClaimName(name.to_owned());
        Self {
            user: name("sub"),
            session: name("sid"),
            token_id: Some(name("jti")),
            scope: name("scope"),
            auth_time: name("auth_time"),
            client: name("client_id"),
        }
    }
}

/// The check of whom a token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudienceRule {
    /// The claim that names the audience: a string or an array of strings (RFC 7519 §4.1.3).
    pub claim: ClaimName,
    /// The accepted audiences. The token must name at least one.
    pub accepted: Vec<String>,
}

impl AudienceRule {
    /// A rule about the claim `aud`.
    #[must_use]
    pub fn new(accepted: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            claim: ClaimName("aud".to_owned()),
            accepted: accepted.into_iter().map(Into::into).collect(),
        }
    }

    pub(crate) fn check(&self, payload: &Value) -> Result<(), InvalidToken> {
        let missing = InvalidToken::MissingClaim(ClaimRole::Audience);
        let malformed = InvalidToken::MalformedClaim(ClaimRole::Audience);
        let accepts = |name: &str| self.accepted.iter().any(|it| it == name);
        let is_accepted = match self.claim.find(payload).ok_or(missing)? {
            Value::String(name) => accepts(name),
            Value::Array(names) => {
                let names: Option<Vec<_>> = names.iter().map(Value::as_str).collect();
                names.ok_or(malformed)?.into_iter().any(accepts)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                return Err(malformed);
            }
        };
        is_accepted.then_some(()).ok_or(InvalidToken::Audience)
    }
}

/// A claim that every token must have with one value, such as `token_use=access`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredClaim {
    /// The claim.
    pub claim: ClaimName,
    /// Its value: the text of a string, a number or a boolean.
    pub value: String,
}

impl RequiredClaim {
    pub(crate) fn holds(&self, payload: &Value) -> bool {
        match self.claim.find(payload) {
            Some(Value::String(text)) => *text == self.value,
            Some(Value::Number(number)) => number.to_string() == self.value,
            Some(Value::Bool(boolean)) => boolean.to_string() == self.value,
            Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => false,
        }
    }
}

/// Claims by which issuers mark what kind of token it is, and the values that mark another kind than an
/// access token: Keycloak's `typ`, Cognito's `token_use`, `token_type` of `SimpleJWT` and others.
const KIND_CLAIMS: [&str; 3] = ["typ", "token_use", "token_type"];
const OTHER_KINDS: [&str; 9] = [
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

/// Whether the payload says that it is no access token: a security event such as a logout token (RFC 8417
/// §2.2 requires `events` there), or a token of another kind by one of [`KIND_CLAIMS`], unless `required`
/// names the kind explicitly.
pub(crate) fn is_other_kind(payload: &Value, required: &[RequiredClaim]) -> bool {
    let is_configured = |name: &str| required.iter().any(|it| it.claim.as_str() == name);
    let marks_other_kind = |name: &&str| {
        let value = payload.get(*name).and_then(Value::as_str);
        value.is_some_and(|value| OTHER_KINDS.contains(&&*value.to_ascii_lowercase()))
    };
    payload.get("events").is_some()
        || KIND_CLAIMS
            .iter()
            .filter(|name| !is_configured(name))
            .any(marks_other_kind)
}

/// What a verified token says about its bearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The user's id.
    pub user: UserId,
    /// The session's id.
    pub session: SessionId,
    /// The token's id. `None` if the mapping has none.
    pub token: Option<TokenId>,
    /// When the token expires: `exp`.
    pub expires_at: Timestamp,
    /// The scopes, separated by spaces. Empty if the token has none.
    pub scope: String,
    /// When the user authenticated, if the token says so.
    pub auth_time: Option<Timestamp>,
    /// The client that the token was issued to, if the token says so.
    pub client: Option<String>,
}

impl ClaimMapping {
    /// Reads the claims of a payload.
    pub(crate) fn read(&self, payload: &Value) -> Result<Claims, InvalidToken> {
        let expires_at = numeric_date(payload, "exp", ClaimRole::Expiry)?
            .ok_or(InvalidToken::MissingClaim(ClaimRole::Expiry))?;
        let token_id = |name| id(payload, name, ClaimRole::TokenId, TokenId::parse);
        Ok(Claims {
            user: id(payload, &self.user, ClaimRole::User, UserId::parse)?,
            session: id(payload, &self.session, ClaimRole::Session, SessionId::parse)?,
            token: self.token_id.as_ref().map(token_id).transpose()?,
            expires_at: Timestamp::end_from_numeric_date(expires_at)
                .ok_or(InvalidToken::MalformedClaim(ClaimRole::Expiry))?,
            scope: self.scope.find(payload).map_or_else(String::new, scope),
            auth_time: self
                .auth_time
                .find(payload)
                .and_then(Value::as_f64)
                .and_then(Timestamp::start_from_numeric_date),
            client: self
                .client
                .find(payload)
                .and_then(Value::as_str)
                .map(ToOwned::to_owned),
        })
    }
}

/// Reads an id: a string, or a whole number as its digits.
fn id<T, E>(
    payload: &Value,
    name: &ClaimName,
    role: ClaimRole,
    parse: fn(String) -> Result<T, E>,
) -> Result<T, InvalidToken> {
    let text = match name.find(payload) {
        None => return Err(InvalidToken::MissingClaim(role)),
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) if !number.is_f64() => Some(number.to_string()),
        Some(_) => None,
    };
    text.and_then(|text| parse(text).ok())
        .ok_or(InvalidToken::MalformedClaim(role))
}

/// Reads a `NumericDate` (RFC 7519 §2). `null` is malformed.
pub(crate) fn numeric_date(
    payload: &Value,
    name: &str,
    role: ClaimRole,
) -> Result<Option<f64>, InvalidToken> {
    let Some(value) = payload.get(name) else {
        return Ok(None);
    };
    let date = value.as_f64();
    date.map(Some).ok_or(InvalidToken::MalformedClaim(role))
}

/// Reads scopes. Whatever is neither a string nor an array of strings is no scope.
fn scope(value: &Value) -> String {
    match value {
        Value::String(names) => names.clone(),
        Value::Array(names) => {
            let names: Option<Vec<_>> = names.iter().map(Value::as_str).collect();
            // Joined, a name with a space would become two scopes.
            let mut names = names.unwrap_or_default();
            names.retain(|name| !name.is_empty() && !name.contains(char::is_whitespace));
            names.join(" ")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn name(name: &str) -> ClaimName {
        ClaimName::parse(name).expect("a name")
    }

    #[test]
    fn claim_name_is_literal_or_json_pointer() {
        let payload = json!({
            "https://example.com/sid": "a",
            "a/b": { "c~d": ["x", "y"] },
            "/top": "never found",
        });
        for (path, expected) in [
            ("https://example.com/sid", Some(json!("a"))),
            ("/a~1b/c~0d/1", Some(json!("y"))),
            ("/a~1b/c~0d/2", None),
            ("a", None),
            ("/top", None),
            ("/~1top", Some(json!("never found"))),
        ] {
            assert_eq!(name(path).find(&payload), expected.as_ref(), "{path}");
        }
        for path in ["https://example.com/sid", "/a~1b/c~0d", "/x"] {
            let mut made = json!({ "a/b": "replaced" });
            name(path).set(&mut made, json!("v"));
            assert_eq!(name(path).find(&made), Some(&json!("v")), "{path}: {made}");
        }
        for invalid in ["", " sid", "sid ", "a\nb", "/a~2b", "/a~"] {
            assert_eq!(
                ClaimName::parse(invalid),
                Err(InvalidClaimName),
                "{invalid:?}"
            );
        }
        // Not a pointer, so the tilde is literal.
        assert!(ClaimName::parse("a~b").is_ok());
    }

    #[test]
    fn whole_numbers_are_ids() {
        for (value, expected) in [
            (json!("7"), Ok("7")),
            (json!(7), Ok("7")),
            (json!(-7), Ok("-7")),
            (json!(u64::MAX), Ok("18446744073709551615")),
            (json!(7.0), Err(())),
            (json!(null), Err(())),
            (json!(true), Err(())),
            (json!(["7"]), Err(())),
            (json!(""), Err(())),
        ] {
            let payload = json!({ "sub": value });
            let read = id(&payload, &name("sub"), ClaimRole::User, UserId::parse);
            let malformed = InvalidToken::MalformedClaim(ClaimRole::User);
            let read = read.as_ref().map(UserId::as_str).map_err(|it| *it);
            assert_eq!(read, expected.map_err(|()| malformed), "{value}");
        }
    }

    #[test]
    fn scope_is_string_or_array_and_never_an_error() {
        for (value, expected) in [
            (json!("a b"), "a b"),
            (json!(["a", "b"]), "a b"),
            (json!([]), ""),
            (json!(["a", "b c", "", "d\te"]), "a"),
            (json!(["a", 1]), ""),
            (json!({ "a": true }), ""),
            (json!(null), ""),
            (json!(1), ""),
        ] {
            assert_eq!(scope(&value), expected, "{value}");
        }
    }

    #[test]
    fn required_claim_compares_text_of_scalars() {
        let required = |value: &str| RequiredClaim {
            claim: name("x"),
            value: value.to_owned(),
        };
        for (value, text, expected) in [
            (json!("access"), "access", true),
            (json!("Access"), "access", false),
            (json!(1), "1", true),
            (json!(true), "true", true),
            (json!(["access"]), "access", false),
            (json!(null), "null", false),
        ] {
            let payload = json!({ "x": value });
            assert_eq!(required(text).holds(&payload), expected, "{value}");
        }
        assert!(!required("").holds(&json!({})));
    }

    #[test]
    fn token_of_other_kind_is_recognized_by_its_own_claim() {
        for (payload, expected) in [
            (json!({}), false),
            (json!({ "typ": "Bearer" }), false),
            (json!({ "typ": "ID" }), true),
            (json!({ "typ": "Refresh" }), true),
            (json!({ "typ": "Offline" }), true),
            (json!({ "token_use": "access" }), false),
            (json!({ "token_use": "id" }), true),
            (json!({ "token_type": "refresh" }), true),
            (json!({ "token_type": "access" }), false),
            (json!({ "events": {} }), true),
            (json!({ "events": null }), true),
        ] {
            assert_eq!(is_other_kind(&payload, &[]), expected, "{payload}");
        }
        let configured = [RequiredClaim {
            claim: name("token_use"),
            value: "id".to_owned(),
        }];
        assert!(!is_other_kind(&json!({ "token_use": "id" }), &configured));
        assert!(is_other_kind(
            &json!({ "token_use": "id", "typ": "Refresh" }),
            &configured
        ));
    }
}
