//! `--import`: the user's own items in the local stack.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::running::{Running, command};
use crate::{assert_one_line, clean_up, complaint, ended, start, statistics};

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
    assert_one_line(&output, "lines 1, 2, 3 and 27 more: the item has no key");
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(told.matches("the item has no key").count(), 1, "{told}");
}

/// A file with sessions of connect-dynamodb: one live, two expired, a visitor's, and another item.
fn other_table() -> (TempDir, PathBuf) {
    let session = |id: &str, expires: u64, sess: Value| {
        json!({
            "id": { "S": format!("sess:{id}") },
            "type": { "S": "connect-session" },
            "expires": { "N": format!("{expires}.123") },
            "sess": { "S": sess.to_string() },
        })
    };
    let of = |user: &str| json!({ "cookie": {}, "passport": { "user": user } });
    let items = [
        session("1", 9_000_000_000, of("ann")),
        session("2", 1_790_000_000, of("ann")),
        session("3", 9_000_000_000, json!({ "cookie": {} })),
        session("4", 1_790_000_000, of("bob")),
        json!({ "id": { "S": "lock" } }),
    ];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sessions.json");
    let lines = items.map(|item| item.to_string()).join("\n");
    std::fs::write(&file, lines).unwrap();
    (folder, file)
}

#[test]
fn dry_run_prints_what_would_become_of_each_item() {
    let (folder, file) = other_table();
    let dry_run = |layout: &str| {
        let file = file.to_str().unwrap();
        let output = ended(command(&[
            "local",
            "--import",
            file,
            "--layout",
            layout,
            "--dry-run",
        ]));
        let text = String::from_utf8(output.stdout).unwrap();
        let words: Vec<_> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        (output.status.code(), words)
    };
    let counts = |left_out: u8| {
        let counts = [
            "live sessions 1".into(),
            "expired sessions 2".into(),
            "inactive sessions 0".into(),
            "not sessions 1".into(),
            format!("cannot be converted {left_out}"),
        ];
        counts.to_vec()
    };
    let (code, words) = dry_run("connect-dynamodb");
    let mut expected = counts(1);
    expected.push("line 3: the attribute sess at /passport/user is missing".into());
    assert_eq!((code, words), (Some(1), expected));

    // A layout of one's own, which gives visitors a user id.
    let layout = folder.path().join("layout.json");
    let preset = session_lifecycle::migrate::Layout::PRESETS[0].1;
    let user = r#""path": "/passport/user", "default": "visitor" }"#;
    let own = preset.replace(r#""path": "/passport/user" }"#, user);
    std::fs::write(&layout, own).unwrap();
    let (code, words) = dry_run(layout.to_str().unwrap());
    let mut expected = counts(0);
    expected[0] = "live sessions 2".into();
    assert_eq!((code, words), (Some(0), expected));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn notes_attributes_of_layout_that_no_item_has() {
    let (folder, file) = other_table();
    let [layout, notes] = ["layout.json", "notes"].map(|name| folder.path().join(name));
    let preset = session_lifecycle::migrate::Layout::PRESETS[0].1;
    let flag = r#"{"is_active": {"attribute": "revokd", "active_if": false, "reason": "revoked"},"#;
    std::fs::write(&layout, preset.replacen('{', flag, 1)).unwrap();
    let [file, layout] = [&file, &layout].map(|path| path.to_str().unwrap());
    let arguments = ["--import", file, "--layout", layout];
    let expected = "note: no item has the attribute revokd\n";
    let output = ended(command(
        &[&["local"], &arguments[..], &["--dry-run"]].concat(),
    ));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.ends_with(expected), "{told}");
    assert_eq!(told.matches("note:").count(), 1, "{told}");

    let ports = [
        "local",
        "--skip-invalid",
        "--port",
        "0",
        "--dynamodb-port",
        "0",
    ];
    let mut command = command(&[&ports[..], &arguments].concat());
    command.stderr(Stdio::from(std::fs::File::create(&notes).unwrap()));
    Running::start(command).interrupt();
    assert_eq!(std::fs::read_to_string(notes).unwrap(), expected);
}

#[test]
fn rejects_import_with_item_that_layout_cannot_convert() {
    let (folder, file) = other_table();
    let data = folder.path().join("table.db");
    let [file, data] = [&file, &data].map(|path| path.to_str().unwrap());
    let arguments = [
        "local",
        "--import",
        file,
        "--layout",
        "connect-dynamodb",
        "--data",
        data,
    ];
    let output = ended(command(&arguments));
    assert_one_line(
        &output,
        "line 3: the attribute sess at /passport/user is missing",
    );
    assert_one_line(&output, "--skip-invalid");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn imports_converted_sessions_and_never_replaces_them() {
    let (folder, file) = other_table();
    let data = folder.path().join("table.db");
    let [file, data] = [&file, &data].map(|path| path.to_str().unwrap());
    let arguments = [
        "--import",
        file,
        "--layout",
        "connect-dynamodb",
        "--skip-invalid",
        "--data",
        data,
    ];
    let local = start(&arguments);
    let expected = "imported: 1 live sessions, 2 expired sessions, 0 inactive sessions; \
                    left out: 1 not sessions, 1 cannot be converted";
    assert!(
        local.introduction.contains(expected),
        "{}",
        local.introduction
    );
    assert_eq!(statistics(&local).await["expired_sessions"], 2);
    let report = clean_up(&local, r#"{"adopt": true}"#).await;
    let figures = ["adopted", "malformed", "sessions_deactivated"].map(|it| &report[it]);
    assert_eq!(figures, [&json!(0), &json!(0), &json!(2)], "{report}");
    local.interrupt();

    let local = start(&arguments);
    let expected = "the table already has 3 of them, which stay unchanged";
    assert!(
        local.introduction.contains(expected),
        "{}",
        local.introduction
    );
    assert_eq!(statistics(&local).await["expired_sessions"], 0);
}

#[test]
fn help_lists_each_preset() {
    let output = ended(command(&["local", "--help"]));
    let help = String::from_utf8(output.stdout).unwrap();
    for (name, _) in session_lifecycle::migrate::Layout::PRESETS {
        assert!(help.contains(name), "{name}: {help}");
    }
}

#[test]
fn explains_invalid_use_of_layout() {
    let (folder, file) = other_table();
    let layout = folder.path().join("layout.json");
    std::fs::write(&layout, r#"{"session_id": {"attribut": "id"}}"#).unwrap();
    let [file, layout] = [&file, &layout].map(|path| path.to_str().unwrap());
    for (arguments, expected) in [
        (&["--layout", "authjs"][..], "--import <FILE>"),
        (&["--import", file, "--dry-run"], "--layout <NAME|FILE>"),
        (
            &["--import", file, "--skip-invalid"],
            "--layout <NAME|FILE>",
        ),
        (
            &["--import", file, "--layout", "redis"],
            "--layout redis: neither a file nor a preset; the presets are connect-dynamodb, ",
        ),
        (
            &["--import", file, "--layout", layout],
            "session_id.attribut: unknown field `attribut`, expected one of `attribute`",
        ),
        (&["--import", file, "--layout", "."], "--layout .: "),
        (
            &["--import", file],
            "--layout connect-dynamodb converts them",
        ),
    ] {
        let output = ended(command(&[&["local"], arguments].concat()));
        let told = complaint(&output);
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn notes_sessions_of_other_store_with_same_keys() {
    let folder = tempfile::tempdir().unwrap();
    let [file, notes] = ["items.json", "notes"].map(|name| folder.path().join(name));
    let session = json!({
        "pk": { "S": "USER#a" }, "sk": { "S": "SESSION#1" }, "type": { "S": "SESSION" },
        "sessionToken": { "S": "1" }, "userId": { "S": "a" }, "expires": { "N": "1800000000" },
    });
    std::fs::write(&file, session.to_string()).unwrap();
    let ports = ["local", "--port", "0", "--dynamodb-port", "0"];
    let mut command = command(&ports);
    command.arg("--import").arg(&file);
    command.stderr(Stdio::from(std::fs::File::create(&notes).unwrap()));
    Running::start(command).interrupt();
    let told = std::fs::read_to_string(notes).unwrap();
    assert!(told.contains("--layout authjs converts them"), "{told}");
}
