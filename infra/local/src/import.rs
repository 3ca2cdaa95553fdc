//! Reading one's own items: the lines of a table export, plain or gzip, or what
//! `aws dynamodb scan` prints.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::Path;

use dynoxide::AttributeValue;
use dynoxide::types::Item;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::dynamodb;

/// How many unreadable lines are named.
const NAMED: usize = 20;

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
            Self::Empty => f.write_str("there is no item in it"),
            Self::Lines(named, count) => {
                write!(
                    f,
                    "nothing was imported, for not all of it is items in DynamoDB JSON"
                )?;
                for (line, problem) in named {
                    write!(f, "; line {line}: {problem}")?;
                }
                match count - named.len() {
                    0 => Ok(()),
                    more => write!(f, "; and {more} more lines"),
                }
            }
        }
    }
}

impl std::error::Error for ImportError {}

/// One line of a table export.
#[derive(Deserialize)]
struct ExportLine {
    #[serde(rename = "Item")]
    item: KeyedItem,
}

/// The output of a scan.
#[derive(Deserialize)]
struct ScanOutput<'a> {
    #[serde(rename = "Items", borrow)]
    items: Vec<&'a RawValue>,
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
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.split(|byte| *byte == b'\n').count();
        ImportError::Lines(vec![(line, "not UTF-8".to_owned())], 1)
    })?;
    let items = parse(text.trim_start_matches('\u{feff}'))?;
    try_on(table, &items).map_err(|problems| {
        let count = problems.len();
        ImportError::Lines(problems.into_iter().take(NAMED).collect(), count)
    })?;
    Ok(items.into_iter().map(|(_, item)| item).collect())
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

fn parse(text: &str) -> Result<Vec<(usize, Item)>, ImportError> {
    let items = if is_scan_output(text) {
        parse_scan(text)
    } else {
        parse_lines(text)
    }?;
    if items.is_empty() {
        Err(ImportError::Empty)
    } else {
        Ok(items)
    }
}

/// Lines of an export each begin with their item; a scan's output is one object with a list, over
/// one line or many.
fn is_scan_output(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_default();
    read_object::<ExportLine>(first).is_err()
        && (first.trim() == "{" || first.contains("\"Items\""))
}

fn parse_lines(text: &str) -> Result<Vec<(usize, Item)>, ImportError> {
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    all_or_none(lines.map(|(index, line)| {
        (
            index + 1,
            read_object::<ExportLine>(line).map(|line| line.item),
        )
    }))
}

/// Reads a JSON object. A struct would be read from an array, too.
fn read_object<T: DeserializeOwned>(json: &str) -> serde_json::Result<T> {
    if json.trim_start().starts_with('{') {
        serde_json::from_str(json)
    } else {
        Err(serde_json::Error::custom("not a JSON object"))
    }
}

fn parse_scan(text: &str) -> Result<Vec<(usize, Item)>, ImportError> {
    let output: ScanOutput<'_> = serde_json::from_str(text)
        .map_err(|error| ImportError::Lines(vec![(error.line(), without_place(&error))], 1))?;
    all_or_none(output.items.into_iter().map(|item| {
        // The item is a part of the text: where it begins tells its line.
        let begin = item.get().as_ptr().addr() - text.as_ptr().addr();
        let line = text[..begin].matches('\n').count() + 1;
        (line, serde_json::from_str(item.get()))
    }))
}

/// The items, if all of them could be read; else the lines of those that could not.
fn all_or_none(
    read: impl Iterator<Item = (usize, serde_json::Result<KeyedItem>)>,
) -> Result<Vec<(usize, Item)>, ImportError> {
    let (mut items, mut named, mut count) = (Vec::new(), Vec::new(), 0);
    for (line, item) in read {
        match item {
            Ok(item) => items.push((line, item.0)),
            Err(error) => {
                count += 1;
                if named.len() < NAMED {
                    named.push((line, without_place(&error)));
                }
            }
        }
    }
    if count > 0 {
        Err(ImportError::Lines(named, count))
    } else {
        Ok(items)
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

    #[test]
    fn an_export_is_read_line_by_line() {
        let text = format!("{{\"Item\":{ITEM}}}\n\n{{\"Item\":{ITEM}}}\n");
        assert_eq!(parse(&text).unwrap().len(), 2);
    }

    #[test]
    fn a_scan_is_read_over_one_line_or_many() {
        let one = format!("{{\"Items\":[{ITEM},{ITEM}],\"Count\":2}}");
        assert_eq!(parse(&one).unwrap().len(), 2);
        let many =
            format!("{{\n  \"Items\": [\n    {ITEM},\n    {ITEM}\n  ],\n  \"Count\": 2\n}}\n");
        assert_eq!(parse(&many).unwrap().len(), 2);
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
        let refused = r#"{"pk":{"S":"USER#a"},"sk":{"S":"SESSION#2"},"none":{"SS":[]}}"#;
        for item in [ITEM, refused, ITEM, refused] {
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
            ITEM.into(),
            format!("[{ITEM}]"),
        ]
        .join("\n");
        assert_eq!(lines(&parse(&text).unwrap_err()), [2, 3, 4, 5, 6, 7]);
        let scan = format!("{{\n\"Items\": [\n{ITEM},\n{{\"pk\":{{\"S\":\"USER#a\"}}}}\n]}}");
        assert_eq!(lines(&parse(&scan).unwrap_err()), [4]);
        assert!(matches!(parse("\n"), Err(ImportError::Empty)));
    }
}
