//! The parts of a file: items, also inside the objects that the AWS CLI and an export put around them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use dynoxide::AttributeValue;
use dynoxide::types::Item;
use serde::Deserialize;
use serde::de::Error as _;
use serde_json::Error;
use serde_json::value::RawValue;
use session_lifecycle::migrate::Layout;

/// An object that contains items.
#[derive(Deserialize)]
struct Wrapper<'a> {
    /// Items of a scan or a query.
    #[serde(rename = "Items", borrow)]
    items: Option<Vec<&'a RawValue>>,
    /// Item of a get-item, or of a line of a full export.
    #[serde(rename = "Item", borrow)]
    item: Option<&'a RawValue>,
    /// Items of a batch-get-item by table.
    #[serde(rename = "Responses", borrow)]
    responses: Option<BTreeMap<String, Vec<&'a RawValue>>>,
    /// Key in a line of an incremental export. Without `NewImage`, the item was deleted.
    #[serde(rename = "Keys", borrow)]
    keys: Option<&'a RawValue>,
    #[serde(rename = "NewImage", borrow)]
    new_image: Option<&'a RawValue>,
}

/// A part of the file.
#[derive(Clone, Copy)]
pub(super) enum Part<'a> {
    Item(&'a RawValue),
    /// An item in an incremental export, with its key.
    Written {
        item: &'a RawValue,
        key: &'a RawValue,
    },
    /// The key of a deleted item.
    Deleted(&'a RawValue),
}

impl<'a> Part<'a> {
    /// The item, or the key of a deleted one.
    pub(super) const fn json(&self) -> &'a RawValue {
        match self {
            Self::Item(item) | Self::Written { item, .. } => item,
            Self::Deleted(key) => key,
        }
    }

    pub(super) const fn is_item(&self) -> bool {
        matches!(self, Self::Item(_) | Self::Written { .. })
    }
}

/// What the items of a file are.
pub(super) enum Format<'a> {
    /// Items of a table of the template.
    Ours,
    /// Items of a table with this layout.
    Other(&'a Layout),
}

/// A part, or what is wrong with it, and the JSON in which it was found.
type Found<'a> = (&'a RawValue, Result<Part<'a>, Error>);

impl Format<'_> {
    /// The parts of one JSON value.
    pub(super) fn parts<'a>(&self, json: &'a RawValue) -> Vec<Found<'a>> {
        if !json.get().starts_with('[') {
            return self.parts_of_object(json);
        }
        match serde_json::from_str::<Vec<&RawValue>>(json.get()) {
            Ok(elements) => {
                let parts = elements.into_iter().flat_map(|it| self.parts_of_object(it));
                parts.collect()
            }
            Err(error) => vec![(json, Err(error))],
        }
    }

    fn parts_of_object<'a>(&self, json: &'a RawValue) -> Vec<Found<'a>> {
        match self.read_object(json) {
            Ok(parts) => parts
                .into_iter()
                .map(|part| (part.json(), Ok(part)))
                .collect(),
            Err(error) => vec![(json, Err(error))],
        }
    }

    fn read_object<'a>(&self, json: &'a RawValue) -> Result<Vec<Part<'a>>, Error> {
        // serde would deserialize a struct from an array, too.
        if !json.get().starts_with('{') {
            return Err(Error::custom("not a JSON object"));
        }
        // An item may have attributes with the names of a wrapper's members. What is wrong with the
        // other attributes of an item with the marker is told later.
        let members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(json.get())?;
        let marker = match self {
            Self::Ours => "pk",
            Self::Other(layout) => layout.session_id_attribute(),
        };
        if members.contains_key(marker) || serde_json::from_str::<Item>(json.get()).is_ok() {
            return Ok(vec![Part::Item(json)]);
        }
        let wrapper: Wrapper<'a> = serde_json::from_str(json.get())?;
        let all = |items: Vec<_>| items.into_iter().map(Part::Item).collect();
        match wrapper {
            Wrapper {
                items: Some(items), ..
            } => Ok(all(items)),
            Wrapper {
                item: Some(item), ..
            } => Ok(vec![Part::Item(item)]),
            Wrapper {
                responses: Some(mut tables),
                ..
            } => match tables.pop_first() {
                Some((_, items)) if tables.is_empty() => Ok(all(items)),
                _ => Err(Error::custom("not the items of one table")),
            },
            Wrapper {
                new_image: Some(item),
                keys: Some(key),
                ..
            } => Ok(vec![Part::Written { item, key }]),
            Wrapper {
                new_image: Some(item),
                ..
            } => Ok(vec![Part::Item(item)]),
            Wrapper {
                keys: Some(keys), ..
            } => Ok(vec![Part::Deleted(keys)]),
            _ => Err(Error::custom(
                "neither an item nor an object that contains items",
            )),
        }
    }

    /// The names of the table's key attributes. Empty if they are not known, as in the output of a
    /// scan of another table; such a file has each item once.
    pub(super) fn key_names<'p>(&self, parts: impl Iterator<Item = &'p Part<'p>>) -> Vec<String> {
        match self {
            Self::Ours => ["pk", "sk"].map(str::to_owned).into(),
            Self::Other(_) => {
                let mut keys = parts.filter_map(|part| match part {
                    Part::Item(_) => None,
                    Part::Written { key, .. } | Part::Deleted(key) => {
                        serde_json::from_str::<Item>(key.get()).ok()
                    }
                });
                let mut names: Vec<_> = keys.next().unwrap_or_default().into_keys().collect();
                names.sort_unstable();
                names
            }
        }
    }

    /// The key of an item, if the table's key attributes are known.
    pub(super) fn key(&self, item: &Item, names: &[String]) -> Result<Option<Vec<String>>, String> {
        let parts = names.iter().map(|name| match (self, item.get(name)) {
            (Self::Ours, Some(AttributeValue::S(part))) if !part.is_empty() => Ok(part.clone()),
            (Self::Ours, _) => Err(format!("the item has no key attribute {name} of type S")),
            (Self::Other(_), Some(part)) => Ok(format!("{part:?}")),
            (Self::Other(_), None) => Err(format!("the item has no key attribute {name}")),
        });
        let key: Vec<String> = parts.collect::<Result<_, _>>()?;
        Ok(Some(key).filter(|key| !key.is_empty()))
    }
}
