//! Duplicate names in JSON.

use std::collections::HashSet;

/// Whether an object in this well-formed JSON has a duplicate name, or a name that is reserved by
/// the parser.
pub(crate) fn are_ambiguous(json: &[u8]) -> bool {
    let mut objects: Vec<HashSet<String>> = Vec::new();
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'{' | b'[' => objects.push(HashSet::new()),
            b'}' | b']' => {
                objects.pop();
            }
            b'"' => {
                let end = end_of_string(json, at);
                let behind = json[end..].trim_ascii_start();
                if behind.starts_with(b":") {
                    let name: String = serde_json::from_slice(&json[at..end]).unwrap();
                    let private = name.starts_with("$serde_json::private::");
                    if private || !objects.last_mut().unwrap().insert(name) {
                        return true;
                    }
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    false
}

/// The position after the string that starts at `begin`.
fn end_of_string(json: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    loop {
        match json[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_duplicate_name_at_any_depth() {
        for (json, ambiguous) in [
            (r"{}", false),
            (r#"{"a":"a","b":["a","a",{"a":1}],"c":{"a":1}}"#, false),
            (r#"{"a":1,"a" : 2}"#, true),
            (r#"{"a\"":1,"a\u0022":2}"#, true),
            (r#"[{"x":[{"a":1,"\u0061":1}]}]"#, true),
            (r#"{"$serde_json::private::RawValue":1}"#, true),
            (r#"{"a":"\\","b":"\"b\":","b ":1}"#, false),
        ] {
            assert_eq!(are_ambiguous(json.as_bytes()), ambiguous, "{json}");
        }
    }
}
