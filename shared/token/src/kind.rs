//! Kinds of tokens: which claims an access token must have, and which show that it is another kind.

use serde_json::Value;

use crate::ClaimName;

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

/// Claims in which issuers name the kind of a token: `typ` in Keycloak, `token_use` in Cognito, `token_type`
/// in `SimpleJWT`.
const KIND_CLAIMS: [&str; 3] = ["typ", "token_use", "token_type"];

/// Values of these claims that are not access tokens, in lower case.
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

/// Whether the payload says that the token is not an access token. Logout tokens and other security events
/// have the claim `events` (RFC 8417 §2.2). A claim of [`KIND_CLAIMS`] is ignored if `required` contains it,
/// because its value is then checked.
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn name(name: &str) -> ClaimName {
        ClaimName::parse(name).expect("a name")
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
