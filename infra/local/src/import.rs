//! Reading one's own items, in DynamoDB JSON: what the AWS CLI prints of them, and the lines of a
//! table export.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::Path;

use dynoxide::AttributeValue;
use dynoxide::types::Item;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::dynamodb;

/// How many unreadable lines are named.
const NAMED: usize = 20;

/// What a file may hold.
const TAKEN: &str = "What can be imported: what aws dynamodb scan, query, get-item or batch-get-item \
    prints, an array of items, items one a line, and the files of a table export, full or \
    incremental; plain or gzip, also several of them put together";

/// Why a file is not imported. Nothing of it is, then.
#[derive(Debug)]
pub enum ImportError {
    /// The file itself.
    Unreadable(io::Error),
    /// Lines that are no items, by number and with what is wrong; and how many there are.
    Lines(Vec<(usize, String)>, usize),
    /// There is nothing in it.
    Empty,
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::Empty => write!(f, "there is no item in it. {TAKEN}"),
            Self::Lines(named, count) => {
                write!(
                    f,
                    "nothing was imported, for not all of it is items in DynamoDB JSON"
                )?;
                for (line, problem) in named {
                    write!(f, "; line {line}: {problem}")?;
                }
                match count - named.len() {
                    0 => {}
                    more => write!(f, "; and {more} more lines")?,
                }
                write!(f, ". {TAKEN}")
            }
        }
    }
}

impl std::error::Error for ImportError {}

/// An object that has items in it. An item itself has a `pk`.
#[derive(Deserialize)]
struct Wrapper<'a> {
    /// Of a scan or a query.
    #[serde(rename = "Items", borrow)]
    items: Option<Vec<&'a RawValue>>,
    /// Of a get-item, or a line of a full export.
    #[serde(rename = "Item", borrow)]
    item: Option<&'a RawValue>,
    /// Of a batch-get-item, by table.
    #[serde(rename = "Responses", borrow)]
    responses: Option<BTreeMap<String, Vec<&'a RawValue>>>,
    /// A line of an incremental export; without the image, its item was deleted.
    #[serde(rename = "Keys", borrow)]
    keys: Option<&'a RawValue>,
    #[serde(rename = "NewImage", borrow)]
    new_image: Option<&'a RawValue>,
}

/// What tells an item from what has items in it.
#[derive(Deserialize)]
struct Bare {
    pk: Option<IgnoredAny>,
}

/// A part of the file: an item that was there, or one that was deleted since.
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
    // A struct would be read from an array, too.
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
            "neither an item with the key attribute pk nor something that has items in it",
        )),
    }
}

/// An item that has the table's key.
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
    /// Its key.
    fn key(&self) -> [String; 2] {
        ["pk", "sk"].map(|name| match self.0.get(name) {
            Some(AttributeValue::S(part)) => part.clone(),
            _ => String::new(),
        })
    }
}

/// Reads all items of a file, and tries them on a table made of these properties.
///
/// # Errors
///
/// A file that cannot be read, or holds anything that is no item of such a table.
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
    try_on(table, &items).map_err(|problems| {
        let count = problems.len();
        ImportError::Lines(problems.into_iter().take(NAMED).collect(), count)
    })?;
    Ok(items.into_iter().map(|(_, item)| item).collect())
}

/// The text of a file: UTF-8, or the UTF-16 that PowerShell writes, which begins with its mark.
fn decode(bytes: Vec<u8>) -> Result<String, ImportError> {
    let in_pairs: fn([u8; 2]) -> u16 = match bytes.get(..2) {
        Some([0xff, 0xfe]) => u16::from_le_bytes,
        Some([0xfe, 0xff]) => u16::from_be_bytes,
        _ => {
            return String::from_utf8(bytes).map_err(|error| {
                let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let line = before.split(|byte| *byte == b'\n').count();
                ImportError::Lines(vec![(line, "not UTF-8".to_owned())], 1)
            });
        }
    };
    let (pairs, rest) = bytes.as_chunks();
    let text = char::decode_utf16(pairs.iter().copied().map(in_pairs));
    match text.collect::<Result<String, _>>() {
        Ok(text) if rest.is_empty() => Ok(text),
        _ => Err(ImportError::Lines(vec![(1, "not UTF-16".to_owned())], 1)),
    }
}

/// Stores the items in a table that is thrown away; the lines of those that it does not take.
fn try_on(table: &Value, items: &[(usize, Item)]) -> Result<(), Vec<(usize, String)>> {
    let Ok(scratch) = dynamodb::open(None) else {
        return Ok(());
    };
    if dynamodb::create_table(&scratch, table).is_err() {
        return Ok(());
    }
    let all = items.iter().map(|(_, item)| item.clone()).collect();
    if dynamodb::import(&scratch, all).is_ok() {
        return Ok(());
    }
    // One by one, to tell which.
    let refused = |(line, item): &(usize, Item)| {
        let refusal = dynamodb::import(&scratch, vec![item.clone()]).err()?;
        Some((*line, refusal.to_string()))
    };
    Err(items.iter().filter_map(refused).collect())
}

/// Reads JSON values, one after the other, each on a line of its own or over many.
fn parse(text: &str) -> Result<Vec<(usize, Item)>, ImportError> {
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    // A part of the text: where it begins tells its line.
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
                // Lines of an export each begin a value: what is wrong then is the first line.
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

/// The rest from the next line on that begins a value, not a part of one.
fn next_value(rest: &str) -> Option<&str> {
    let mut ends = rest.match_indices('\n').map(|(at, _)| &rest[at + 1..]);
    ends.find(|line| line.starts_with(['{', '[']))
}

/// What was read so far.
#[derive(Default)]
struct Found {
    items: Vec<Option<(usize, Item)>>,
    places: HashMap<[String; 2], usize>,
    named: Vec<(usize, String)>,
    problems: usize,
}

impl Found {
    fn take(&mut self, part: Part<'_>, line_of: impl Fn(&str) -> usize) {
        let (Part::Item(json) | Part::Deleted(json)) = part;
        let line = line_of(json.get());
        let item: KeyedItem = match serde_json::from_str(json.get()) {
            Ok(item) => item,
            Err(error) => return self.problem(line, &error),
        };
        // An incremental export goes on from an earlier one: the last word on an item counts.
        let place = *self.places.entry(item.key()).or_insert(self.items.len());
        if place == self.items.len() {
            self.items.push(None);
        }
        self.items[place] = matches!(part, Part::Item(_)).then_some((line, item.0));
    }

    fn problem(&mut self, line: usize, error: &serde_json::Error) {
        self.problems += 1;
        if self.named.len() < NAMED {
            self.named.push((line, without_place(error)));
        }
    }

    /// The items, if all of them could be read; else the lines of those that could not.
    fn all_or_none(self) -> Result<Vec<(usize, Item)>, ImportError> {
        let items: Vec<_> = self.items.into_iter().flatten().collect();
        if self.problems > 0 {
            Err(ImportError::Lines(self.named, self.problems))
        } else if items.is_empty() {
            Err(ImportError::Empty)
        } else {
            Ok(items)
        }
    }
}

/// What is wrong, without the place, which is said in lines of the file, and without the marks
/// that the embedded database puts before its own messages.
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
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::template::Template;

    const ITEM: &str = r#"{"pk":{"S":"USER#a"},"sk":{"S":"SESSION#1"},"n":{"N":"1"}}"#;

    fn lines(error: &ImportError) -> Vec<usize> {
        match error {
            ImportError::Lines(named, _) => named.iter().map(|(line, _)| *line).collect(),
            ImportError::Unreadable(_) | ImportError::Empty => panic!("{error}"),
        }
    }

    /// The item with this number in its key.
    fn item(number: u8) -> String {
        ITEM.replace("SESSION#1", &format!("SESSION#{number}"))
    }

    #[test]
    fn an_export_is_read_line_by_line() {
        let text = format!("{{\"Item\":{}}}\n\n{{\"Item\":{}}}\n", item(1), item(2));
        assert_eq!(sorts(&text), ["SESSION#1", "SESSION#2"]);
    }

    #[test]
    fn gzip_is_unpacked() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut packer = flate2::write::GzEncoder::new(&mut file, flate2::Compression::fast());
        writeln!(packer, "{{\"Item\":{ITEM}}}").unwrap();
        packer.finish().unwrap();
        assert_eq!(
            read(file.path(), &Template::read().unwrap().table)
                .unwrap()
                .len(),
            1
        );
    }

    #[test]
    fn what_the_table_does_not_take_is_named_by_its_line_too() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let refused = |number| item(number).replace("\"N\":\"1\"", "\"SS\":[]");
        for item in [item(1), refused(2), item(3), refused(4)] {
            writeln!(file, "{{\"Item\":{item}}}").unwrap();
        }
        let error = read(file.path(), &Template::read().unwrap().table).unwrap_err();
        assert_eq!(lines(&error), [2, 4]);
        assert!(!error.to_string().contains("VALIDATION"), "{error}");
    }

    #[test]
    fn every_unreadable_line_is_named() {
        let text = [
            format!("{{\"Item\":{ITEM}}}"),
            "not json".into(),
            r#"{"Item":{"pk":{"S":"USER#a"}}}"#.into(),
            r#"{"Item":{"pk":{"S":"USER#a"},"sk":{"S":"SESSION#1"},"n":{"N":"many"}}}"#.into(),
            r#"{"Item":{"pk":{"S":"USER#a"},"sk":{"S":"SESSION#1"},"n":{"X":"1"}}}"#.into(),
            r#"{"Item":{"pk":{"S":"USER#a"},"sk":{"S":"SESSION#1"}}"#.into(),
            ITEM.into(),
            format!("[[{ITEM}]]"),
            r#"{"pk":"USER#a","sk":"SESSION#1"}"#.into(),
            r#"{"id":{"S":"a"}}"#.into(),
            format!("{{\"Responses\":{{\"a\":[{ITEM}],\"b\":[]}}}}"),
            r#"{"TableNames":["sessions"]}"#.into(),
            r#""sessions""#.into(),
            "{".into(),
        ]
        .join("\n");
        let error = parse(&text).unwrap_err();
        assert_eq!(lines(&error), [2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14]);
        assert!(error.to_string().contains(TAKEN), "{error}");
        let scan = format!("{{\n\"Items\": [\n{ITEM},\n{{\"pk\":{{\"S\":\"USER#a\"}}}}\n]}}");
        assert_eq!(lines(&parse(&scan).unwrap_err()), [4]);
        let broken = "{\n  \"Items\": [\n    {},\n    {;}\n  ]\n}";
        assert_eq!(lines(&parse(broken).unwrap_err()), [4]);
        let empty = parse("\n").unwrap_err();
        assert!(matches!(empty, ImportError::Empty));
        assert!(empty.to_string().contains(TAKEN), "{empty}");
    }

    fn sorts(text: &str) -> Vec<String> {
        let items = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let key = |(_, item): (usize, Item)| KeyedItem(item).key();
        items.into_iter().map(key).map(|[_, sort]| sort).collect()
    }

    #[test]
    fn takes_items_in_each_form_that_the_cli_prints() {
        let (one, two) = (item(1), item(2));
        for text in [
            format!("[{one},{two}]"),
            format!("[\n  {one},\n  {two}\n]\n"),
            format!("{one}\n{two}\n"),
            format!("{one}{two}"),
            one.replace(',', ",\n  ") + "\n" + &two,
            format!("{{\"Items\":[{one}]}}\n{{\n\"Items\":[\n{two}],\"Count\":1\n}}"),
            format!(
                "{{\"Items\":[{one},{two}],\"Count\":2,\"ScannedCount\":2,\"ConsumedCapacity\":null}}"
            ),
            format!("{{\"Item\":{one},\"ConsumedCapacity\":{{}}}}\n{{\n  \"Item\": {two}\n}}"),
            format!("{{\"Responses\":{{\"sessions\":[{one},{two}]}},\"UnprocessedKeys\":{{}}}}"),
            format!("[{{\"Item\":{one}}},{{\"Item\":{two}}}]"),
        ] {
            assert_eq!(sorts(&text), ["SESSION#1", "SESSION#2"], "{text}");
        }
        // Attributes of these names are the item's own.
        let named = one.replace("\"n\"", "\"Items\"") + &two.replace("\"n\"", "\"Item\"");
        assert_eq!(sorts(&named), ["SESSION#1", "SESSION#2"]);
    }

    #[test]
    fn applies_incremental_export_to_the_export_before() {
        let line = |number, image: &str| {
            let keys = format!(r#"{{"pk":{{"S":"USER#a"}},"sk":{{"S":"SESSION#{number}"}}}}"#);
            let written = r#""Metadata":{"WriteTimestampMicros":{"N":"1"}}"#;
            format!("{{{written},\"Keys\":{keys}{image}}}\n")
        };
        let full = [1, 2, 3].map(|number| format!("{{\"Item\":{}}}\n", item(number)));
        let changed = item(2).replace("\"N\":\"1\"", "\"N\":\"2\"");
        let increment = [
            line(1, ""),
            line(
                2,
                &format!(",\"OldImage\":{},\"NewImage\":{changed}", item(2)),
            ),
            line(4, &format!(",\"NewImage\":{}", item(4))),
            line(5, &format!(",\"OldImage\":{}", item(5))),
        ];
        let text = full.concat() + &increment.concat();
        assert_eq!(sorts(&text), ["SESSION#2", "SESSION#3", "SESSION#4"]);
        let (line, second) = parse(&text).unwrap().swap_remove(0);
        assert_eq!(
            (line, second["n"].clone()),
            (5, AttributeValue::N("2".to_owned()))
        );
    }

    #[test]
    fn reads_text_as_powershell_writes_it() {
        let table = Template::read().unwrap().table;
        let text = format!("\u{feff}{{\"Items\": [{ITEM}]}}\r\n");
        let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for (bytes, is_read) in [
            (text.clone().into_bytes(), true),
            (le.clone(), true),
            (be, true),
            (le[..le.len() - 1].to_vec(), false),
            (vec![0xff, 0xfe, 0, 0xd8], false),
        ] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&bytes).unwrap();
            assert_eq!(read(file.path(), &table).is_ok(), is_read, "{bytes:x?}");
        }
    }
}
