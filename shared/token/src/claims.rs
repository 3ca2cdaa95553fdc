//! Which claim means what: the mapping of an issuer's claims, and how they are read.

use serde_json::Value;
use session_domain::{SessionId, Timestamp, TokenId, UserId};

use crate::{ClaimName, InvalidToken};

/// What a claim is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClaimRole {
    /// `iss` (RFC 7519 §4.1.1).
    Issuer,
    /// The APIs that the token is for.
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

/// The check that a token is for this API.
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
}
