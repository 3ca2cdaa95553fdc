//! Strict JSON for untrusted input: an object whose names are unique.
//!
//! JSON parsers differ in which of two members with the same name they use (RFC 8259 §4). A signed
//! document must mean the same to its issuer and here, so RFC 7515 §4 and RFC 7519 §4 require unique
//! names. This parser requires them in all objects, at any depth.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Value};

/// Reads a JSON object with unique names.
#[must_use]
pub fn read_object<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    serde_json::from_value(read_value(json)?).ok()
}

/// Reads a JSON object with unique names, whatever its members.
#[must_use]
pub fn read_value(json: &[u8]) -> Option<Value> {
    // A struct could also be read from an array.
    if !json.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let UniqueNames(value) = serde_json::from_slice(json).ok()?;
    Some(value)
}

/// Prefix of names that `serde_json` treats specially: it would parse the text of such a member as JSON,
/// and that text is not checked for duplicate names.
const RESERVED_PREFIX: &str = "$serde_json::private::";

/// Any JSON in which no object has a name twice.
struct UniqueNames(Value);

impl<'de> Deserialize<'de> for UniqueNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueNamesVisitor).map(Self)
    }
}

struct UniqueNamesVisitor;

impl<'de> Visitor<'de> for UniqueNamesVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if name.starts_with(RESERVED_PREFIX) {
                return Err(Error::custom("a reserved name"));
            }
            let UniqueNames(value) = members.next_value()?;
            if object.insert(name, value).is_some() {
                return Err(Error::custom("a duplicate name"));
            }
        }
        Ok(Value::Object(object))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(UniqueNames(value)) = elements.next_element()? {
            array.push(value);
        }
        Ok(Value::Array(array))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
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
