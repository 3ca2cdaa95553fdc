//! Strict JSON for untrusted input: an object whose names are unique.
//!
//! JSON parsers differ in which of two members with the same name they use (RFC 8259 §4). A signed
//! document must mean the same to its issuer and here, so RFC 7515 §4 and RFC 7519 §4 require unique
//! names. This parser requires them in all objects, at any depth.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor,
};

/// Parses a JSON object. `None` if it is not an object, or a name is duplicate at any depth.
#[must_use]
pub fn read_object<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    // serde would also accept an array as a struct.
    if !json.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    serde_json::from_slice::<UniqueNames>(json).ok()?;
    serde_json::from_slice(json).ok()
}

/// Prefix of names that `serde_json` treats specially. It would parse the text of such a member as
/// JSON, which has not been checked for duplicate names.
const RESERVED_PREFIX: &str = "$serde_json::private::";

/// Any JSON value whose objects have no duplicate names.
struct UniqueNames;

impl<'de> Deserialize<'de> for UniqueNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

/// A name, borrowed if it contains no escape.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for UniqueNames {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let mut names = BTreeSet::new();
        while let Some(Name(name)) = members.next_key()? {
            if name.starts_with(RESERVED_PREFIX) {
                return Err(Error::custom("a name that serde_json reserves"));
            }
            if !names.insert(name) {
                return Err(Error::custom("a duplicate name"));
            }
            members.next_value::<Self>()?;
        }
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self, A::Error> {
        while elements.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Anything {}

    #[test]
    fn rejects_duplicate_names_and_anything_but_one_object() {
        for (json, good) in [
            ("{}", true),
            (r#" {"a":1,"b":[null,true,-1,1.5,"x",{"a":{}}]} "#, true),
            (r#"{"a":{"x":1},"b":{"x":1}}"#, true),
            (r#"{"a":1,"a":1}"#, false),
            (r#"{"a":1,"\u0061":2}"#, false),
            (r#"{"a":{"x":1,"x":2}}"#, false),
            (r#"{"a":[{"x":1,"x":2}]}"#, false),
            (r#"{"a":{"$serde_json::private::RawValue":"1"}}"#, false),
            (r#"{"a":1} x"#, false),
            (r#"{"a":1e400}"#, false),
            (r#"[["a",1]]"#, false),
            ("null", false),
            ("\u{feff}{}", false),
            ("", false),
        ] {
            let read = read_object::<Anything>(json.as_bytes());
            assert_eq!(read.is_some(), good, "{json}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(4_000), "]".repeat(4_000));
        assert!(read_object::<Anything>(deep.as_bytes()).is_none());
    }
}
