//! Items in DynamoDB JSON, and the records that the tests store.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::clock::{DAY, HOUR};

/// An item in DynamoDB JSON, as `{"pk": {"S": "…"}, …}`.
pub type Item = HashMap<String, AttributeValue>;

/// Parses an item in DynamoDB JSON.
#[must_use]
pub fn item_from(json: &Value) -> Item {
    let attributes = json.as_object().expect("an item is an object");
    attributes
        .iter()
        .map(|(name, value)| (name.clone(), attribute(value)))
        .collect()
}

fn attribute(json: &Value) -> AttributeValue {
    let (kind, value) = json
        .as_object()
        .and_then(|it| it.iter().next())
        .expect("a typed value");
    let text = || value.as_str().expect("text").to_owned();
    let texts = || {
        let list = value.as_array().expect("a list");
        list.iter()
            .map(|it| it.as_str().expect("text").to_owned())
            .collect()
    };
    let bytes = |text: &str| Blob::new(STANDARD.decode(text).expect("base64"));
    match kind.as_str() {
        "S" => AttributeValue::S(text()),
        "N" => AttributeValue::N(text()),
        "B" => AttributeValue::B(bytes(&text())),
        "BOOL" => AttributeValue::Bool(value.as_bool().expect("a boolean")),
        "NULL" => AttributeValue::Null(true),
        "SS" => AttributeValue::Ss(texts()),
        "NS" => AttributeValue::Ns(texts()),
        "BS" => AttributeValue::Bs(texts().iter().map(|text: &String| bytes(text)).collect()),
        "L" => AttributeValue::L(
            value
                .as_array()
                .expect("a list")
                .iter()
                .map(attribute)
                .collect(),
        ),
        "M" => AttributeValue::M(item_from(value)),
        other => panic!("not a DynamoDB type: {other}"),
    }
}

/// An active session, as the contract requires a writer in any language to store it.
#[must_use]
pub fn active_session(user: &str, session: &str, expires_at: i64) -> Value {
    json!({
        "pk": { "S": format!("USER#{user}") },
        "sk": { "S": format!("SESSION#{session}") },
        "user_id": { "S": user },
        "session_id": { "S": session },
        "is_active": { "BOOL": true },
        "created_at": { "N": (expires_at - HOUR).to_string() },
        "expires_at": { "N": expires_at.to_string() },
        "due_key": { "S": "deactivate#07" },
        "due_at": { "N": expires_at.to_string() },
        "ttl": { "N": (expires_at + 30 * DAY).to_string() },
    })
}

/// An inactive session, as the contract requires a writer to store it.
#[must_use]
pub fn inactive_session(user: &str, session: &str, deactivated_at: i64) -> Value {
    let end = (deactivated_at + 30 * DAY).to_string();
    let mut item = active_session(user, session, deactivated_at);
    item["is_active"] = json!({ "BOOL": false });
    item["deactivated_at"] = json!({ "N": deactivated_at.to_string() });
    item["deactivation_reason"] = json!({ "S": "logout" });
    item["due_key"] = json!({ "S": "delete#07" });
    item["due_at"] = json!({ "N": end });
    item["ttl"] = json!({ "N": end });
    item
}

/// The value of a number attribute.
#[must_use]
pub fn number(item: &Item, name: &str) -> i64 {
    item[name]
        .as_n()
        .expect("a number")
        .parse()
        .expect("a whole number")
}

/// The value of a string attribute.
#[must_use]
pub fn text<'a>(item: &'a Item, name: &str) -> &'a str {
    item[name].as_s().expect("text")
}
