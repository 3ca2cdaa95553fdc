//! Tests of reading files.

use std::io::Write as _;

use dynoxide::AttributeValue;

use super::*;
use crate::template::Template;

const ITEM: &str = r#"{"pk":{"S":"USER#a"},"sk":{"S":"SESSION#1"},"n":{"N":"1"}}"#;

fn lines(error: &ImportError) -> Vec<usize> {
    match error {
        ImportError::Lines { problems, .. } => {
            let places = problems.places().into_iter();
            places
                .map(|(place, _)| place.to_string()[5..].parse().unwrap())
                .collect()
        }
        ImportError::Unreadable(_) | ImportError::Unconvertible(_) | ImportError::Empty => {
            panic!("{error}")
        }
    }
}

fn parse(text: &str) -> Result<Vec<(Place, Item)>, ImportError> {
    super::parse(text, &Format::Ours)
}

/// The item with this number in its key.
fn item(number: u8) -> String {
    ITEM.replace("SESSION#1", &format!("SESSION#{number}"))
}

#[test]
fn reads_export_line_by_line() {
    let text = format!("{{\"Item\":{}}}\n\n{{\"Item\":{}}}\n", item(1), item(2));
    assert_eq!(sorts(&text), ["SESSION#1", "SESSION#2"]);
}

#[test]
fn unpacks_gzip() {
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
fn reports_lines_of_items_that_table_rejects() {
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
fn reports_every_unreadable_line() {
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
    assert!(error.to_string().contains(problems::TAKEN), "{error}");
    let scan = format!("{{\n\"Items\": [\n{ITEM},\n{{\"pk\":{{\"S\":\"USER#a\"}}}}\n]}}");
    assert_eq!(lines(&parse(&scan).unwrap_err()), [4]);
    let broken = "{\n  \"Items\": [\n    {},\n    {;}\n  ]\n}";
    assert_eq!(lines(&parse(broken).unwrap_err()), [4]);
    let empty = parse("\n").unwrap_err();
    assert!(matches!(empty, ImportError::Empty));
    assert!(empty.to_string().contains(problems::TAKEN), "{empty}");
}

fn sorts(text: &str) -> Vec<String> {
    let items = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let sort = |(_, item): (Place, Item)| {
        let AttributeValue::S(sort) = &item["sk"] else {
            panic!("{item:?}")
        };
        sort.clone()
    };
    items.into_iter().map(sort).collect()
}

#[test]
fn accepts_items_in_each_output_form_of_aws_cli() {
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
    // An item may have attributes with the names of wrapper members.
    let named = one.replace("\"n\"", "\"Items\"") + &two.replace("\"n\"", "\"Item\"");
    assert_eq!(sorts(&named), ["SESSION#1", "SESSION#2"]);
}

#[test]
fn applies_incremental_export_to_full_export() {
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
        (Place::line(5), AttributeValue::N("2".to_owned()))
    );
}

#[test]
fn reads_utf16_and_bom_text_from_powershell() {
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

#[test]
fn names_item_in_line_with_several() {
    let text = format!(
        "[{ITEM}, {{\"pk\":{{\"S\":\"USER#a\"}}}}, 7, {}]\n{{\"pk\": 1}}",
        item(2)
    );
    let told = parse(&text).unwrap_err().to_string();
    for expected in [
        "; line 1, item 2: the item has no key attribute sk of type S;",
        "; line 1, item 3: not a JSON object;",
        "; line 2: ",
    ] {
        assert!(told.contains(expected), "{told}");
    }
    assert!(
        !told.contains("item 1") && !told.contains("item 4"),
        "{told}"
    );
}

/// The session IDs of a file of connect-dynamodb.
fn foreign(text: &str) -> Result<Vec<String>, ImportError> {
    let layout = Layout::preset("connect-dynamodb").unwrap();
    let items = super::parse(text, &Format::Other(&layout))?;
    let converted = Converted::new(&layout, items, Timestamp::from_seconds(1_800_000_000));
    if !converted.problems.is_empty() {
        return Err(ImportError::Unconvertible(converted.problems));
    }
    let sort = |(_, item): (Place, Item)| format!("{:?}", item["sk"]);
    Ok(converted.sessions.into_iter().map(sort).collect())
}

fn foreign_item(number: u8) -> String {
    format!(
        r#"{{"id":{{"S":"sess:{number}"}},"type":{{"S":"connect-session"}},"expires":{{"N":"1800000009"}},"sess":{{"S":"{{\"passport\":{{\"user\":1}}}}"}}}}"#
    )
}

#[test]
fn accepts_items_of_layout_in_each_form() {
    let (one, two) = (foreign_item(1), foreign_item(2));
    let expected = [r#"S("SESSION#1")"#, r#"S("SESSION#2")"#];
    for text in [
        format!("[{one},{two}]"),
        format!("{one}\n{two}\n"),
        format!("{{\"Items\":[{one},{two}],\"Count\":2}}"),
        format!("{{\"Item\":{one}}}\n{{\"Item\":{two}}}"),
        format!("{{\"Responses\":{{\"sessions\":[{one},{two}]}}}}"),
        // An item of another kind has no session ID, and may have attributes with the names of
        // wrapper members.
        format!("{one}\n{{\"name\":{{\"S\":\"Ann\"}}}}\n{two}"),
        format!("{one}\n{{\"Items\":{{\"L\":[{{\"S\":\"a\"}}]}}}}\n{two}"),
        format!("{one}\n{{\"Item\":{{\"S\":\"pen\"}},\"Keys\":{{\"L\":[]}}}}\n{two}"),
        format!("{one}\n{{\"NewImage\":{{\"M\":{{}}}}}}\n{two}"),
        format!("{one}\n{{\"Responses\":{{\"M\":{{\"a\":{{\"NULL\":true}}}}}}}}\n{two}"),
    ] {
        assert_eq!(foreign(&text).unwrap(), expected, "{text}");
    }
    for text in [
        "{\"TableNames\":[\"sessions\"]}",
        "7",
        "{\"id\":\"sess:1\"}",
    ] {
        assert!(foreign(text).is_err(), "{text}");
    }
}

#[test]
fn applies_incremental_export_of_other_table_by_its_key() {
    let line = |number, image: &str| {
        format!("{{\"Keys\":{{\"id\":{{\"S\":\"sess:{number}\"}}}}{image}}}\n")
    };
    let full = [1, 2, 3].map(|number| format!("{{\"Item\":{}}}\n", foreign_item(number)));
    let written = |number| format!(",\"NewImage\":{}", foreign_item(number));
    let increment = [line(1, ""), line(2, &written(2)), line(4, &written(4))];
    let found = foreign(&(full.concat() + &increment.concat())).unwrap();
    let expected = [2, 3, 4].map(|number| format!("S(\"SESSION#{number}\")"));
    assert_eq!(found, expected);
}

#[test]
fn rejects_two_items_that_become_same_session() {
    let text = format!("[{one},{one}]", one = foreign_item(1));
    let told = foreign(&text).unwrap_err().to_string();
    let expected = "; line 1, item 2: the same user and session as line 1, item 1.";
    assert!(told.contains(expected), "{told}");
}

#[test]
fn inactive_item_wins_over_active_item_of_same_session() {
    let layout = Layout::preset("session-id").unwrap();
    let id = r#""session_id":{"S":"1"},"user_id":{"S":"a"},"expires_at":{"N":"1800000009"}"#;
    let active = format!("{{{id}}}");
    let inactive = format!("{{{id},\"deactivated_at\":{{\"N\":\"1799999999\"}}}}");
    for (items, kept) in [
        ([&active, &inactive], 2),
        ([&inactive, &active], 1),
        ([&active, &active], 1),
    ] {
        let text = format!("{}\n{}", items[0], items[1]);
        let items = super::parse(&text, &Format::Other(&layout)).unwrap();
        let converted = Converted::new(&layout, items, Timestamp::from_seconds(1_800_000_000));
        let [(place, session)] = converted.sessions.as_slice() else {
            panic!("{converted}")
        };
        assert_eq!(*place, Place::line(kept), "{text}");
        let is_active = AttributeValue::BOOL(!text.contains("deactivated_at"));
        assert_eq!(session["is_active"], is_active, "{text}");
        let problem = format!("the same user and session as line {kept}");
        let problems = converted.problems.places();
        assert_eq!(problems, [(Place::line(3 - kept), problem.as_str())]);
    }
}

#[test]
fn names_preset_that_fits_to_items_without_key() {
    for (text, expected) in [
        (foreign_item(1), "--layout connect-dynamodb converts them"),
        (
            r#"{"session_id":{"S":"1"},"user_id":{"S":"a"},"expires_at":{"N":"1"}}"#.into(),
            "--layout session-id",
        ),
        (r#"{"id":{"S":"1"}}"#.into(), problems::TAKEN),
    ] {
        let told = parse(&text).unwrap_err().to_string();
        assert!(
            told.contains("the item has no key attribute pk of type S"),
            "{told}"
        );
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn stops_at_second_unfinished_value_with_same_end() {
    // Each of them is parsed to its end, the end of the file.
    for (line, problems) in [("{\"Item\":", 2), ("[", 2), ("[{},", 2), ("[\n{},", 4)] {
        let ImportError::Lines { problems: told, .. } =
            parse(&format!("{line}\n").repeat(100)).unwrap_err()
        else {
            panic!("{line}")
        };
        assert_eq!(told.places().len(), problems, "{line}: {told}");
    }
    // The lines after the common end are read.
    let text = format!("[\n[\n[\n;\n{ITEM}\n{{;}}");
    assert_eq!(lines(&parse(&text).unwrap_err()), [1, 2, 6]);
}
