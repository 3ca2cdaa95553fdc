//! Names of claims.

use serde_json::{Map, Value};

/// The name of a claim: a literal member name, or a JSON Pointer (RFC 6901) if it starts with `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimName(pub(crate) String);

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
                *place = Value::Object(Map::new());
            }
            place = &mut place[name];
        }
        *place = value;
    }

    pub(crate) fn find<'a>(&self, payload: &'a Value) -> Option<&'a Value> {
        if self.0.starts_with('/') {
            payload.pointer(&self.0)
        } else {
            payload.get(&self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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

    fn name(name: &str) -> ClaimName {
        ClaimName::parse(name).expect("a name")
    }
}
