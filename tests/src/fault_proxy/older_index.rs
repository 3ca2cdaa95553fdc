//! Responses of an index that lags behind its table.

use serde_json::{Value, json};

use crate::{Item, number, text};

/// A snapshot of the due index, for [`Fault::Stale`](super::Fault::Stale).
#[derive(Debug, Clone)]
pub struct OlderIndex(Vec<Item>);

impl OlderIndex {
    /// The index entries of these records.
    #[must_use]
    pub fn of(records: &[Item]) -> Self {
        Self(records.to_vec())
    }

    /// The response to a `Query` for the due entries of a list, all on one page.
    #[must_use]
    pub fn answer(&self, query: &Value) -> Value {
        let values = &query["ExpressionAttributeValues"];
        let list = values[":list"]["S"].as_str().expect("a list");
        let cutoff = values[":bound"]["N"].as_str().expect("a time");
        let cutoff: i64 = cutoff.parse().expect("whole seconds");
        let on_list = |item: &&Item| {
            item.get("due_key")
                .is_some_and(|it| it.as_s().is_ok_and(|it| it == list))
        };
        let entries: Vec<_> = self
            .0
            .iter()
            .filter(on_list)
            .filter(|item| item.contains_key("due_at") && number(item, "due_at") <= cutoff)
            .map(|item| {
                let mut entry = json!({ "due_at": { "N": number(item, "due_at").to_string() } });
                for name in ["pk", "sk", "due_key"] {
                    entry[name] = json!({ "S": text(item, name) });
                }
                entry
            })
            .collect();
        json!({ "Count": entries.len(), "ScannedCount": entries.len(), "Items": entries })
    }
}
