//! `--import`: the user's own items in the local stack.

use std::io::Write as _;
use std::path::Path;

use serde_json::json;

use crate::running::command;
use crate::{assert_one_line, clean_up, ended, start};

#[test]
fn imports_nothing_if_any_line_is_not_an_item() {
    let folder = tempfile::tempdir().unwrap();
    let (items, data) = (
        folder.path().join("items.json"),
        folder.path().join("table.db"),
    );
    let good = json!({ "Item": { "pk": { "S": "USER#a" }, "sk": { "S": "SESSION#1" } } });
    std::fs::write(
        &items,
        format!("{good}\n{{\"Item\":7}}\n{good}\nnonsense\n"),
    )
    .unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let arguments = ["local", "--import", &text(&items), "--data", &text(&data)];
    let output = ended(command(&arguments));
    assert_one_line(&output, "line 2");
    assert_one_line(&output, "line 4");
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "no table was created"
    );
}

#[tokio::test]
async fn imports_export_and_prints_working_dry_run_command() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("export.json.gz");
    let mut packer = flate2::write::GzEncoder::new(
        std::fs::File::create(&file).unwrap(),
        flate2::Compression::fast(),
    );
    for number in 0..3 {
        let item = json!({ "Item": {
            "pk": { "S": "USER#a" }, "sk": { "S": format!("SESSION#{number}") },
            "is_active": { "BOOL": true }, "expires_at": { "N": "1500000000" },
        }});
        writeln!(packer, "{item}").unwrap();
    }
    let stranger = json!({ "Item": { "pk": { "S": "ORDER#1" }, "sk": { "S": "1" } } });
    writeln!(packer, "{stranger}").unwrap();
    packer.finish().unwrap();
    let local = start(&["--import", file.to_str().unwrap()]);
    assert!(
        local.introduction.contains(
            "imported: 3 sessions, 0 refresh tokens, 0 blacklisted tokens, 1 other items"
        ),
        "{}",
        local.introduction
    );
    let command = local.line("\"dry_run\": true}'");
    let body = clean_up(&local, command.split('\'').nth(1).unwrap()).await;
    assert_eq!(
        (&body["adopted"], &body["sessions_deactivated"]),
        (&json!(3), &json!(3)),
        "{body}"
    );
    assert_eq!(body["dry_run"], true);
}

#[test]
fn reports_problem_of_many_lines_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("items.json");
    std::fs::write(&file, "{\"session_id\":{\"S\":\"1\"}}\n".repeat(30)).unwrap();
    let output = ended(command(&["local", "--import", file.to_str().unwrap()]));
    assert_one_line(&output, "lines 1, 2, 3 and 27 more: neither an item");
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(told.matches("neither an item").count(), 1, "{told}");
}
