//! `--data`: keeping the table and the secret.

use std::process::Stdio;

use serde_json::json;

use crate::running::{Running, command};
use crate::{assert_one_line, ended, let_in, start, statistics};

#[tokio::test]
async fn keeps_table_and_tokens_across_runs() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("table.db");
    let data = data.to_str().unwrap();
    let local = start(&["--data", data]);
    assert!(
        local
            .introduction
            .contains(&format!("table sessions in {data}\n"))
    );
    assert!(
        local
            .introduction
            .contains(&format!("secret in {data}.secret\n"))
    );
    let (status, _) = local.curl("-X POST $U/cleanup").await;
    assert_eq!(status, 200);
    let token = local.exported("READER").to_owned();
    let rest = local.interrupt();
    assert!(
        rest.contains(&format!("Stopped. The table is in {data}.")),
        "{rest}"
    );

    let local = start(&["--data", data]);
    let statistics = statistics(&local).await;
    assert_eq!(statistics["expired_sessions"], 0, "{statistics}");
    assert_eq!(
        statistics["last_cleanup"]["sessions_deactivated"], 86,
        "{statistics}"
    );
    assert_eq!(let_in(&local, &token).await, (200, json!(null)));
}

#[cfg(unix)]
#[test]
fn secret_file_is_readable_by_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("table.db");
    let local = start(&["--empty", "--data", data.to_str().unwrap()]);
    let secret = folder.path().join("table.db.secret");
    let mode = std::fs::metadata(secret).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    local.interrupt();
}

#[test]
fn rejects_data_file_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("table.db");
    let data = data.to_str().unwrap();
    let local = start(&["--empty", "--data", data]);
    let second = [
        "local",
        "--port",
        "0",
        "--dynamodb-port",
        "0",
        "--data",
        data,
    ];
    let output = ended(command(&second));
    assert_one_line(&output, "another `cargo local` is using this file");
    // The lock ends with the process that holds it.
    local.interrupt();
    start(&["--data", data]).interrupt();
}

#[test]
fn rejects_unusable_data_file_and_leaves_it_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("README.md");
    std::fs::write(&file, "# Readme").unwrap();
    for data in [
        file.to_str().unwrap(),
        "no/such/folder/x",
        folder.path().to_str().unwrap(),
    ] {
        let arguments = [
            "local",
            "--port",
            "0",
            "--dynamodb-port",
            "0",
            "--data",
            data,
        ];
        assert_one_line(&ended(command(&arguments)), data);
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"# Readme");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn warns_that_empty_has_no_effect_on_existing_table() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("table.db");
    let complaints = folder.path().join("complaints");
    let data = data.to_str().unwrap();
    start(&["--empty", "--data", data]).interrupt();
    let ports = ["local", "--port", "0", "--dynamodb-port", "0"];
    let mut command = command(&ports);
    let file = std::fs::File::create(&complaints).unwrap();
    command
        .args(["--empty", "--data", data])
        .stderr(Stdio::from(file));
    Running::start(command).interrupt();
    let told = std::fs::read_to_string(complaints).unwrap();
    assert!(told.contains("--empty has no effect"), "{told}");
}
