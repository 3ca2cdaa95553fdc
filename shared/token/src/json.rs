//! Strict JSON, for what strangers send: objects where objects are meant, and no name twice.
//!
//! Readers of JSON differ in which of two members of one name they take (RFC 8259 §4). What is
//! signed must not mean one thing to its issuer and another one here, so RFC 7515 §4 and RFC 7519
//! §4 ask for unique names; here no object may break that, at any depth.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor,
};

/// Reads a JSON object in which no name stands twice.
#[must_use]
pub fn read_object<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    // A struct would be read from an array, too.
    if !json.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    serde_json::from_slice::<UniqueNames>(json).ok()?;
    serde_json::from_slice(json).ok()
}

/// How names begin that mean something to `serde_json`: it would read the text behind one of them
/// as JSON in its turn, which nobody has looked through for doubled names.
const RESERVED_PREFIX: &str = "$serde_json::private::";

/// Any JSON in which no object has a name twice.
struct UniqueNames;

impl<'de> Deserialize<'de> for UniqueNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

/// A name, borrowed where nothing in it is escaped.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for UniqueNames {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without a doubled name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let mut names = BTreeSet::new();
        while let Some(Name(name)) = members.next_key()? {
            if name.starts_with(RESERVED_PREFIX) {
                return Err(Error::custom("a name that is not a name to serde_json"));
            }
            if !names.insert(name) {
                return Err(Error::custom("a doubled name"));
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
