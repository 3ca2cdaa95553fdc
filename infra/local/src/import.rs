//! Reading of items in DynamoDB JSON: the output of the AWS CLI, and the files of a table export.

mod contents;
mod convert;
mod dry_run;
mod load;
mod parts;
mod problems;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use dynoxide::types::Item;
use flate2::read::MultiGzDecoder;
use serde_json::Value;
use serde_json::value::RawValue;
use session_domain::Timestamp;
use session_lifecycle::migrate::Layout;

pub use self::contents::Contents;
pub use self::convert::{Converted, find_layout, recognize};
pub use self::dry_run::dry_run;
pub use self::load::{Loaded, Source};
use self::parts::{Format, Part};
pub use self::problems::{ImportError, Place, Problems};
use crate::dynamodb;

/// Reads all items of a file, and checks that a table with these properties accepts them.
///
/// # Errors
///
/// The file cannot be read, or contains something that is not an item of such a table.
pub fn read(file: &Path, table: &Value) -> Result<Vec<Item>, ImportError> {
    let items = parse(&text(file)?, &Format::Ours)?;
    check(table, &items)?;
    Ok(items.into_iter().map(|(_, item)| item).collect())
}

/// Reads all items of a file of another table and converts them.
///
/// # Errors
///
/// The file cannot be read, contains something that is not an item, or a table with these properties
/// rejects a converted session. An item that cannot be converted is no error, but is in the result.
pub fn read_converted(
    file: &Path,
    table: &Value,
    layout: &Layout,
    now: Timestamp,
) -> Result<Converted, ImportError> {
    let items = parse(&text(file)?, &Format::Other(layout))?;
    let converted = Converted::new(layout, items, now);
    check(table, &converted.sessions)?;
    Ok(converted)
}

/// The text of a file, plain or gzip.
fn text(file: &Path) -> Result<String, ImportError> {
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
    decode(bytes)
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
                ImportError::lines(Problems::one(line, "not UTF-8"))
            });
        }
    };
    let (pairs, rest) = bytes.as_chunks();
    let text = char::decode_utf16(pairs.iter().copied().map(in_pairs));
    match text.collect::<Result<String, _>>() {
        Ok(text) if rest.is_empty() => Ok(text),
        _ => Err(ImportError::lines(Problems::one(1, "not UTF-16"))),
    }
}

/// Stores the items in a temporary table, to find those that it rejects.
fn check(table: &Value, items: &[(Place, Item)]) -> Result<(), ImportError> {
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
    // One by one, to find the rejected items.
    let mut problems = Problems::default();
    for (place, item) in items {
        if let Err(denial) = dynamodb::import(&scratch, vec![item.clone()]) {
            problems.add(*place, denial.to_string());
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(ImportError::lines(problems))
    }
}

/// A part of the file, or the problem that was found instead, and its line.
type Entry<'a> = (usize, Result<Part<'a>, String>);

/// Parses consecutive JSON values, each on one line or on several.
fn parse(text: &str, format: &Format<'_>) -> Result<Vec<(Place, Item)>, ImportError> {
    let text = text.trim_start_matches('\u{feff}');
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    // The line of a part of the text, from its position.
    let line_at = |offset: usize| ends.partition_point(|end| *end < offset) + 1;
    let line_of = |part: &str| line_at(part.as_ptr().addr() - text.as_ptr().addr());
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let mut rest = text.trim_start();
    // The line and column of the last error.
    let mut furthest = (0, 0);
    while !rest.is_empty() {
        let begin = line_of(rest);
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        match values.next() {
            Some(Ok(value)) => {
                for (json, part) in format.parts(value) {
                    let part = part.map_err(|error| without_place(&error));
                    entries.push((line_of(json.get()), part));
                }
                rest = rest[values.byte_offset()..].trim_start();
            }
            Some(Err(error)) => {
                // In an export each line is a value, so the first line is the invalid one.
                let mut next = next_value(rest);
                let read = begin + error.line().saturating_sub(1);
                let is_past = next.is_some_and(|next| line_of(next) <= read);
                let line = if is_past { begin } else { read };
                entries.push((line, Err(without_place(&error))));
                // The second unfinished value that ends here: to try each line before would take
                // quadratic time.
                let end = (read, error.column());
                if is_past && furthest == end {
                    next = next_value(&text[ends[read - 2]..]);
                }
                furthest = furthest.max(end);
                rest = next.unwrap_or_default();
            }
            None => break,
        }
    }
    Found::read(&entries, format)
}

/// The rest, from the next line that starts a value.
fn next_value(rest: &str) -> Option<&str> {
    let mut ends = rest.match_indices('\n').map(|(at, _)| &rest[at + 1..]);
    ends.find(|line| line.starts_with(['{', '[']))
}

/// The items and problems so far.
#[derive(Default)]
struct Found {
    items: Vec<Option<(Place, Item)>>,
    indices: HashMap<Vec<String>, usize>,
    problems: Problems,
    /// The preset for an item without the table's key.
    preset: Option<&'static str>,
}

impl Found {
    fn read(entries: &[Entry<'_>], format: &Format<'_>) -> Result<Vec<(Place, Item)>, ImportError> {
        let key_names = format.key_names(entries.iter().filter_map(|(_, part)| part.as_ref().ok()));
        let mut found = Self::default();
        for (place, part) in Place::of_all(entries.iter().map(|(line, _)| *line)).zip(entries) {
            match &part.1 {
                Ok(part) => found.take(place, part, format, &key_names),
                Err(problem) => found.problems.add(place, problem.clone()),
            }
        }
        found.all_or_none()
    }

    fn take(&mut self, place: Place, part: &Part<'_>, format: &Format<'_>, key_names: &[String]) {
        let item: Item = match serde_json::from_str(part.json().get()) {
            Ok(item) => item,
            Err(error) => return self.problems.add(place, without_place(&error)),
        };
        let key = match format.key(&item, key_names) {
            Ok(key) => key,
            Err(problem) => {
                self.preset = self.preset.or_else(|| recognize(&item));
                return self.problems.add(place, problem);
            }
        };
        // An incremental export continues an earlier one: the last entry of an item counts.
        let index = key.map(|key| *self.indices.entry(key).or_insert(self.items.len()));
        let index = index.unwrap_or(self.items.len());
        if index == self.items.len() {
            self.items.push(None);
        }
        self.items[index] = part.is_item().then_some((place, item));
    }

    /// All items, or the problems if there are any.
    fn all_or_none(self) -> Result<Vec<(Place, Item)>, ImportError> {
        let items: Vec<_> = self.items.into_iter().flatten().collect();
        if !self.problems.is_empty() {
            Err(ImportError::Lines {
                problems: self.problems,
                preset: self.preset,
            })
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
