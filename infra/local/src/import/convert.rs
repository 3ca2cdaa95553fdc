//! Conversion of the items of another table with a layout.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::Path;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue as SdkValue;
use dynoxide::AttributeValue;
use dynoxide::types::Item;
use session_domain::{Days, SessionState, Shards, Timestamp};
use session_lifecycle::migrate::{AttributePath, Conversion, ConvertedSession, Layout};

use super::{Place, Problems};
use crate::error::{Context as _, ServeError};

/// The retention of the local stack.
const RETENTION: Days = Days(30);

/// Result of the conversion of the items of a file.
#[derive(Debug, Default)]
pub struct Converted {
    /// The sessions, as items of this stack.
    pub sessions: Vec<(Place, Item)>,
    /// The items that cannot be converted.
    pub problems: Problems,
    /// The attributes of the layout that no item has. A name may be misspelled.
    absent: BTreeSet<AttributePath>,
    live: usize,
    expired: usize,
    inactive: usize,
    others: usize,
}

impl Converted {
    pub(super) fn new(layout: &Layout, items: Vec<(Place, Item)>, now: Timestamp) -> Self {
        let mut converted = Self {
            absent: layout.attributes(),
            ..Self::default()
        };
        let mut sessions: Vec<(Place, Box<ConvertedSession>)> = Vec::new();
        let mut indices = HashMap::new();
        for (mut place, item) in items {
            let item = to_sdk(item);
            converted.absent.retain(|named| !named.is_in(&item));
            let session = match layout.convert(&item, now) {
                Ok(Conversion::Session(session)) => session,
                Ok(Conversion::NotASession) => {
                    converted.others += 1;
                    continue;
                }
                Err(error) => {
                    converted.problems.add(place, error.to_string());
                    continue;
                }
            };
            let index = *indices.entry(session.key()).or_insert(sessions.len());
            let Some(first) = sessions.get_mut(index) else {
                sessions.push((place, session));
                continue;
            };
            // A session that ended in one item stays ended.
            if first.1.is_active() && !session.is_active() {
                first.1 = session;
                std::mem::swap(&mut first.0, &mut place);
            }
            let problem = format!("the same user and session as {}", first.0);
            converted.problems.add(place, problem);
        }
        for (place, session) in sessions {
            *match session.state() {
                SessionState::Inactive { .. } => &mut converted.inactive,
                state if state.is_expired_at(now) => &mut converted.expired,
                SessionState::Active { .. } => &mut converted.live,
            } += 1;
            let item = session.item(RETENTION, Shards::default());
            converted.sessions.push((place, from_sdk(item)));
        }
        converted
    }
}

impl Converted {
    /// A sentence for each attribute of the layout that no item has.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        let has_sessions = self.live + self.expired + self.inactive > 0;
        let none = "note: no item is a session of this layout: does it fit the file?".to_owned();
        let absent = self.absent.iter();
        let absent = absent.map(|named| format!("note: no item has the attribute {named}"));
        (!has_sessions).then_some(none).into_iter().chain(absent)
    }

    /// The number of items by what becomes of them.
    #[must_use]
    pub fn counts(&self) -> [(&'static str, usize); 5] {
        [
            ("live sessions", self.live),
            ("expired sessions", self.expired),
            ("inactive sessions", self.inactive),
            ("not sessions", self.others),
            ("cannot be converted", self.problems.places().len()),
        ]
    }
}

impl fmt::Display for Converted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [live, expired, inactive, others, left_out] = self.counts();
        let text = |(what, count)| format!("{count} {what}");
        let sessions = [live, expired, inactive].map(text).join(", ");
        write!(
            f,
            "{sessions}; left out: {}",
            [others, left_out].map(text).join(", ")
        )
    }
}

/// The layout with this name: a preset, or a file.
///
/// # Errors
///
/// There is no such preset or file, or the file is not a layout.
pub fn find_layout(name: &str) -> Result<Layout, ServeError> {
    if let Some(layout) = Layout::preset(name) {
        return Ok(layout);
    }
    let what = format!("--layout {name}");
    if !Path::new(name).exists() {
        let presets = Layout::PRESETS.map(|(preset, _)| preset).join(", ");
        return Err(ServeError::new(format!(
            "{what}: neither a file nor a preset; the presets are {presets}"
        )));
    }
    let json = std::fs::read_to_string(name).context(&what)?;
    Layout::parse(&json).context(what)
}

/// The preset whose sessions look like this item.
#[must_use]
pub fn recognize(item: &Item) -> Option<&'static str> {
    Layout::recognize(&to_sdk(item.clone()))
}

fn to_sdk(item: Item) -> HashMap<String, SdkValue> {
    item.into_iter()
        .map(|(name, value)| (name, to_sdk_value(value)))
        .collect()
}

fn to_sdk_value(value: AttributeValue) -> SdkValue {
    match value {
        AttributeValue::S(text) => SdkValue::S(text),
        AttributeValue::N(number) => SdkValue::N(number),
        AttributeValue::B(bytes) => SdkValue::B(Blob::new(bytes)),
        AttributeValue::BOOL(flag) => SdkValue::Bool(flag),
        AttributeValue::NULL(null) => SdkValue::Null(null),
        AttributeValue::SS(texts) => SdkValue::Ss(texts),
        AttributeValue::NS(numbers) => SdkValue::Ns(numbers),
        AttributeValue::BS(all) => SdkValue::Bs(all.into_iter().map(Blob::new).collect()),
        AttributeValue::L(list) => SdkValue::L(list.into_iter().map(to_sdk_value).collect()),
        AttributeValue::M(map) => SdkValue::M(to_sdk(map)),
    }
}

fn from_sdk(item: HashMap<String, SdkValue>) -> Item {
    item.into_iter()
        .map(|(name, value)| (name, from_sdk_value(value)))
        .collect()
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the SDK's type may get more kinds"
)]
fn from_sdk_value(value: SdkValue) -> AttributeValue {
    match value {
        SdkValue::S(text) => AttributeValue::S(text),
        SdkValue::N(number) => AttributeValue::N(number),
        SdkValue::B(bytes) => AttributeValue::B(bytes.into_inner()),
        SdkValue::Bool(flag) => AttributeValue::BOOL(flag),
        SdkValue::Ss(texts) => AttributeValue::SS(texts),
        SdkValue::Ns(numbers) => AttributeValue::NS(numbers),
        SdkValue::Bs(all) => AttributeValue::BS(all.into_iter().map(Blob::into_inner).collect()),
        SdkValue::L(list) => AttributeValue::L(list.into_iter().map(from_sdk_value).collect()),
        SdkValue::M(map) => AttributeValue::M(from_sdk(map)),
        // The only other kind that `to_sdk_value` makes.
        _ => AttributeValue::NULL(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_attributes_of_every_type() {
        let json = r#"{"s":{"S":"a"},"n":{"N":"1.5"},"b":{"B":"AAE="},"bool":{"BOOL":true},
            "null":{"NULL":true},"ss":{"SS":["a"]},"ns":{"NS":["1"]},"bs":{"BS":["AAE="]},
            "l":{"L":[{"S":"a"}]},"m":{"M":{"a":{"N":"1"}}}}"#;
        let item: Item = serde_json::from_str(json).unwrap();
        assert_eq!(from_sdk(to_sdk(item.clone())), item);
    }
}
