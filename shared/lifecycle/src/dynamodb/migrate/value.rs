//! Single values of an item: an attribute, or the value at a path inside it.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Value;

/// A text, a number, a boolean, null, or another kind of value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Text(String),
    Number(String),
    Flag(bool),
    Null,
    Other,
}

/// The value at `path` inside an attribute, or the attribute itself. `None` if there is none, or a
/// null. An error says what is wrong with the attribute, without its value.
pub(super) fn scalar(
    attribute: &AttributeValue,
    path: Option<&str>,
) -> Result<Option<Scalar>, &'static str> {
    let found = match (path, attribute) {
        (None, _) => Some(of_attribute(attribute)),
        (Some(path), AttributeValue::M(_)) => {
            follow(attribute, path, step_in_attribute).map(of_attribute)
        }
        (Some(path), AttributeValue::S(text)) => in_json(text.as_bytes(), path)?,
        // A MessagePack document that starts with this byte is a number, which contains nothing.
        (Some(path), AttributeValue::B(bytes)) if bytes.as_ref().starts_with(b"{") => {
            in_json(bytes.as_ref(), path)?
        }
        (Some(path), AttributeValue::B(bytes)) => in_message_pack(bytes.as_ref(), path)?,
        (Some(_), _) => return Err("neither a map, nor a text, nor binary"),
    };
    match found {
        None | Some(Scalar::Null) => Ok(None),
        Some(Scalar::Other) => Err("neither a text nor a number"),
        Some(scalar) => Ok(Some(scalar)),
    }
}

fn in_json(bytes: &[u8], path: &str) -> Result<Option<Scalar>, &'static str> {
    let document: Value = serde_json::from_slice(bytes).map_err(|_| "not JSON")?;
    Ok(document.pointer(path).map(|found| match found {
        Value::Null => Scalar::Null,
        Value::Bool(flag) => Scalar::Flag(*flag),
        Value::Number(number) => Scalar::Number(number.to_string()),
        Value::String(text) => Scalar::Text(text.clone()),
        Value::Array(_) | Value::Object(_) => Scalar::Other,
    }))
}

fn in_message_pack(bytes: &[u8], path: &str) -> Result<Option<Scalar>, &'static str> {
    const MAX_DEPTH: usize = 64;
    let mut rest = bytes;
    let document = rmpv::decode::read_value_with_max_depth(&mut rest, MAX_DEPTH);
    // If bytes follow the value, this is another format: a Python pickle starts like an empty map.
    let document = document.ok().filter(|_| rest.is_empty());
    let document = document.ok_or("neither JSON nor MessagePack")?;
    let found = follow(&document, path, step_in_message_pack);
    Ok(found.map(|found| match found {
        rmpv::Value::Nil => Scalar::Null,
        rmpv::Value::Boolean(flag) => Scalar::Flag(*flag),
        rmpv::Value::Integer(number) => Scalar::Number(number.to_string()),
        rmpv::Value::F32(number) => Scalar::Number(number.to_string()),
        rmpv::Value::F64(number) => Scalar::Number(number.to_string()),
        rmpv::Value::String(text) => match text.as_str() {
            Some(text) => Scalar::Text(text.to_owned()),
            None => Scalar::Other,
        },
        rmpv::Value::Binary(_)
        | rmpv::Value::Array(_)
        | rmpv::Value::Map(_)
        | rmpv::Value::Ext(..) => Scalar::Other,
    }))
}

fn of_attribute(attribute: &AttributeValue) -> Scalar {
    if let AttributeValue::S(text) = attribute {
        Scalar::Text(text.clone())
    } else if let AttributeValue::N(number) = attribute {
        Scalar::Number(number.clone())
    } else if let AttributeValue::Bool(flag) = attribute {
        Scalar::Flag(*flag)
    } else if let AttributeValue::Null(_) = attribute {
        Scalar::Null
    } else {
        Scalar::Other
    }
}

/// Follows a JSON Pointer (RFC 6901) through any kind of document.
fn follow<'a, T>(
    document: &'a T,
    path: &str,
    step: fn(&'a T, &str) -> Option<&'a T>,
) -> Option<&'a T> {
    path.split('/').skip(1).try_fold(document, |found, token| {
        step(found, &token.replace("~1", "/").replace("~0", "~"))
    })
}

fn step_in_attribute<'a>(value: &'a AttributeValue, token: &str) -> Option<&'a AttributeValue> {
    match value.as_m() {
        Ok(map) => map.get(token),
        Err(_) => value.as_l().ok()?.get(token.parse::<usize>().ok()?),
    }
}

fn step_in_message_pack<'a>(value: &'a rmpv::Value, token: &str) -> Option<&'a rmpv::Value> {
    match value.as_map() {
        Some(map) => {
            let mut members = map.iter();
            members.find_map(|(name, value)| (name.as_str() == Some(token)).then_some(value))
        }
        None => value.as_array()?.get(token.parse::<usize>().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use aws_sdk_dynamodb::primitives::Blob;

    use super::*;

    fn text(text: &str) -> AttributeValue {
        AttributeValue::S(text.into())
    }

    fn binary(bytes: &[u8]) -> AttributeValue {
        AttributeValue::B(Blob::new(bytes))
    }

    #[test]
    fn finds_value_in_map_json_and_message_pack() {
        let json = r#"{"a/b":[{"~":7}]}"#;
        let map = AttributeValue::M(HashMap::from([(
            "a/b".to_owned(),
            AttributeValue::L(vec![AttributeValue::M(HashMap::from([(
                "~".to_owned(),
                AttributeValue::N("7".into()),
            )]))]),
        )]));
        // {"a/b": [{"~": 7}]}
        let message_pack = [0x81, 0xa3, b'a', b'/', b'b', 0x91, 0x81, 0xa1, b'~', 7];
        for attribute in [
            map,
            text(json),
            binary(json.as_bytes()),
            binary(&message_pack),
        ] {
            let found = scalar(&attribute, Some("/a~1b/0/~0"));
            assert_eq!(found, Ok(Some(Scalar::Number("7".into()))), "{attribute:?}");
            assert_eq!(
                scalar(&attribute, Some("/a~1b/1")),
                Ok(None),
                "{attribute:?}"
            );
            assert_eq!(scalar(&attribute, Some("/x/y")), Ok(None), "{attribute:?}");
            let list = scalar(&attribute, Some("/a~1b"));
            assert_eq!(list, Err("neither a text nor a number"), "{attribute:?}");
        }
    }

    #[test]
    fn treats_null_as_missing() {
        let null = AttributeValue::Null(true);
        let map = AttributeValue::M(HashMap::from([("a".to_owned(), null.clone())]));
        assert_eq!(scalar(&null, None), Ok(None));
        for attribute in [
            map,
            text(r#"{"a":null}"#),
            binary(&[0x81, 0xa1, b'a', 0xc0]),
        ] {
            assert_eq!(scalar(&attribute, Some("/a")), Ok(None), "{attribute:?}");
        }
    }

    #[test]
    fn rejects_attribute_that_cannot_contain_value() {
        // pickle.dumps({}, 4), and a map in a map in a map …
        let pickle = b"\x80\x04}\x94.";
        let deep = [0x91; 4_000];
        for (attribute, expected) in [
            (text("{"), "not JSON"),
            (text(&"[".repeat(100_000)), "not JSON"),
            (binary(pickle), "neither JSON nor MessagePack"),
            (binary(&deep), "neither JSON nor MessagePack"),
            (binary(b""), "neither JSON nor MessagePack"),
            (
                AttributeValue::N("7".into()),
                "neither a map, nor a text, nor binary",
            ),
        ] {
            assert_eq!(scalar(&attribute, Some("/a")), Err(expected));
        }
        let set = AttributeValue::Ss(vec!["a".into()]);
        assert_eq!(scalar(&set, None), Err("neither a text nor a number"));
    }
}
