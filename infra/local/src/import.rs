//! Reading of items in DynamoDB JSON: the output of the AWS CLI, and the files of a table export.

mod contents;
mod problems;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use dynoxide::AttributeValue;
use dynoxide::types::Item;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny};
use serde_json::Value;
use serde_json::value::RawValue;

pub use self::contents::Contents;
pub use self::problems::{ImportError, Problems};
use crate::dynamodb;

/// An object that contains items. (An object with a `pk` is an item.)
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

/// Distinguishes an item from an object that contains items.
#[derive(Deserialize)]
struct Bare {
    pk: Option<IgnoredAny>,
}

/// A part of the file: an item, or the key of a deleted one.
#[derive(Clone, Copy)]
enum Part<'a> {
    Item(&'a RawValue),
    Deleted(&'a RawValue),
}

/// The items of one JSON value.
fn parts(json: &RawValue) -> serde_json::Result<Vec<Part<'_>>> {
    if json.get().starts_with('[') {
        let elements: Vec<&RawValue> = serde_json::from_str(json.get())?;
        let parts = elements.into_iter().map(parts_of_object);
        return Ok(parts
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect());
    }
    parts_of_object(json)
}

fn parts_of_object(json: &RawValue) -> serde_json::Result<Vec<Part<'_>>> {
    // serde would deserialize a struct from an array, too.
    if !json.get().starts_with('{') {
        return Err(serde_json::Error::custom("not a JSON object"));
    }
    let bare: Bare = serde_json::from_str(json.get())?;
    if bare.pk.is_some() {
        return Ok(vec![Part::Item(json)]);
    }
    let wrapper: Wrapper<'_> = serde_json::from_str(json.get())?;
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
            _ => Err(serde_json::Error::custom("not the items of one table")),
        },
        Wrapper {
            new_image: Some(item),
            ..
        } => Ok(vec![Part::Item(item)]),
        Wrapper {
            keys: Some(keys), ..
        } => Ok(vec![Part::Deleted(keys)]),
        _ => Err(serde_json::Error::custom(
            "neither an item with the key attribute pk nor an object that contains items",
        )),
    }
}

/// An item with the table's key attributes.
#[derive(Deserialize)]
#[serde(try_from = "Item")]
struct KeyedItem(Item);

impl TryFrom<Item> for KeyedItem {
    type Error = String;

    fn try_from(item: Item) -> Result<Self, String> {
        for name in ["pk", "sk"] {
            match item.get(name) {
                Some(AttributeValue::S(part)) if !part.is_empty() => {}
                _ => return Err(format!("the item has no key attribute {name} of type S")),
            }
        }
        Ok(Self(item))
    }
}

impl KeyedItem {
    /// The key of the item.
    fn key(&self) -> [String; 2] {
        ["pk", "sk"].map(|name| match self.0.get(name) {
            Some(AttributeValue::S(part)) => part.clone(),
            _ => String::new(),
        })
    }
}

/// Reads all items of a file, and checks that a table with these properties accepts them.
///
/// # Errors
///
/// The file cannot be read, or contains something that is not an item of such a table.
pub fn read(file: &Path, table: &Value) -> Result<Vec<Item>, ImportError> {
    let mut bytes = Vec::new();
    BufReader::new(File::open(file).map_err(ImportError::Unreadable)?)
        .read_to_end(&mut bytes)
        .map_err(ImportError::Unreadable)?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let packed = std::mem::take(&mut bytes);
        MultiGzDecoder::new(packed.as_slice())
            .read_to_end(&mut bytes)
            .map_err(ImportError::Unreadable)?;
    }
    let text = decode(bytes)?;
    let items = parse(text.trim_start_matches('\u{feff}'))?;
    let problems = try_on(table, &items);
    if !problems.is_empty() {
        return Err(ImportError::Lines(problems));
    }
    Ok(items.into_iter().map(|(_, item)| item).collect())
}

/// Decodes a file: UTF-8, or UTF-16 with a byte order mark, as PowerShell writes it.
fn decode(bytes: Vec<u8>) -> Result<String, ImportError> {
    let in_pairs: fn([u8; 2]) -> u16 = match bytes.get(..2) {
        Some([0xff, 0xfe]) => u16::from_le_bytes,
        Some([0xfe, 0xff]) => u16::from_be_bytes,
        _ => {
            return String::from_utf8(bytes).map_err(|error| {
                let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let line = before.split(|byte| *byte == b'\n').count();
                ImportError::Lines(Problems::one(line, "not UTF-8"))
            });
        }
    };
    let (pairs, rest) = bytes.as_chunks();
    let text = char::decode_utf16(pairs.iter().copied().map(in_pairs));
    match text.collect::<Result<String, _>>() {
        Ok(text) if rest.is_empty() => Ok(text),
        _ => Err(ImportError::Lines(Problems::one(1, "not UTF-16"))),
    }
}

/// Stores the items in a temporary table. Returns the items that it rejects.
fn try_on(table: &Value, items: &[(usize, Item)]) -> Problems {
    let mut problems = Problems::default();
    let Ok(scratch) = dynamodb::open(None) else {
        return problems;
    };
    if dynamodb::create_table(&scratch, table).is_err() {
        return problems;
    }
    let all = items.iter().map(|(_, item)| item.clone()).collect();
    if dynamodb::import(&scratch, all).is_ok() {
        return problems;
    }
    // One by one, to find the rejected items.
    for (line, item) in items {
        if let Err(denial) = dynamodb::import(&scratch, vec![item.clone()]) {
            problems.add(*line, denial.to_string());
        }
    }
    problems
}

/// Parses consecutive JSON values, each on one line or on several.
fn parse(text: &str) -> Result<Vec<(usize, Item)>, ImportError> {
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    // The line of a part of the text, from its position.
    let line_at = |offset: usize| ends.partition_point(|end| *end < offset) + 1;
    let line_of = |part: &str| line_at(part.as_ptr().addr() - text.as_ptr().addr());
    let mut found = Found::default();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let begin = line_of(rest);
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        match values.next() {
            Some(Ok(value)) => {
                match parts(value) {
                    Ok(parts) => parts.into_iter().for_each(|part| found.take(part, line_of)),
                    Err(error) => found.problem(begin, &error),
                }
                rest = rest[values.byte_offset()..].trim_start();
            }
            Some(Err(error)) => {
                // In an export each line is a value, so the first line is the invalid one.
                let next = next_value(rest);
                let read = begin + error.line().saturating_sub(1);
                let is_past = next.is_some_and(|next| line_of(next) <= read);
                found.problem(if is_past { begin } else { read }, &error);
                rest = next.unwrap_or_default();
            }
            None => break,
        }
    }
    found.all_or_none()
}

/// The rest, from the next line that starts a value.
fn next_value(rest: &str) -> Option<&str> {
    let mut ends = rest.match_indices('\n').map(|(at, _)| &rest[at + 1..]);
    ends.find(|line| line.starts_with(['{', '[']))
}

/// The items and problems so far.
#[derive(Default)]
struct Found {
    items: Vec<Option<(usize, Item)>>,
    places: HashMap<[String; 2], usize>,
    problems: Problems,
}

impl Found {
    fn take(&mut self, part: Part<'_>, line_of: impl Fn(&str) -> usize) {
        let (Part::Item(json) | Part::Deleted(json)) = part;
        let line = line_of(json.get());
        let item: KeyedItem = match serde_json::from_str(json.get()) {
            Ok(item) => item,
            Err(error) => return self.problem(line, &error),
        };
        // An incremental export continues an earlier one: the last entry of an item counts.
        let place = *self.places.entry(item.key()).or_insert(self.items.len());
        if place == self.items.len() {
            self.items.push(None);
        }
        self.items[place] = matches!(part, Part::Item(_)).then_some((line, item.0));
    }

    fn problem(&mut self, line: usize, error: &serde_json::Error) {
        self.problems.add(line, without_place(error));
    }

    /// All items, or the problems if there are any.
    fn all_or_none(self) -> Result<Vec<(usize, Item)>, ImportError> {
        let items: Vec<_> = self.items.into_iter().flatten().collect();
        if !self.problems.is_empty() {
            Err(ImportError::Lines(self.problems))
        } else if items.is_empty() {
            Err(ImportError::Empty)
        } else {
            Ok(items)
        }
    }
}

/// The message of an error, without its position (the problem has the line of the file) and
/// without the prefixes of the embedded database.
fn without_place(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    for mark in ["VALIDATION:", "VALIDATION_REQUEST:"] {
        if let Some(message) = message.strip_prefix(mark) {
            return message.trim().to_owned();
        }
    }
    message.trim().to_owned()
}

#[cfg(test)]
mod tests;
