//! The commands as a person runs them: the real program, its ports, its files, its exit codes.
#![allow(
    clippy::unwrap_used,
    reason = "this is test code: what fails here fails the test"
)]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Output, Stdio};

use axum::http::Method;
use serde_json::json;

mod running;

use running::{Running, command};

/// The local stack on free ports.
fn start(arguments: &[&str]) -> Running {
    let mut command = command(&["local", "--port", "0", "--dynamodb-port", "0"]);
    command.args(arguments).stderr(Stdio::null());
    Running::start(command)
}

/// Asserts that a command ends with one clear line, and exit code 2.
fn assert_one_line(output: &Output, expected: &str) {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{complaint}");
    assert_eq!(complaint.trim_end().lines().count(), 1, "{complaint}");
    assert!(complaint.contains(expected), "{complaint}");
    assert!(
        output.stdout.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn the_demonstration_finds_every_figure_right() {
    let output = command(&["demo"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("figures checked, all right"), "{text}");
    assert!(
        !text.contains('\u{1b}'),
        "no colour where there is no terminal"
    );
}

#[test]
fn what_is_used_wrongly_says_so_in_one_line() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port().to_string();
    for (arguments, expected) in [
        (vec!["local", "--evry", "10s"], "--evry"),
        (vec!["local", "--every", "10"], "as in 10s"),
        (vec!["local", "--every"], "--every"),
        (vec!["serve"], "serve"),
        (vec![], "subcommand"),
        (
            vec!["local", "--port", &port, "--dynamodb-port", "0"],
            &port,
        ),
        (
            vec!["local", "--port", "0", "--dynamodb-port", &port],
            &port,
        ),
        (
            vec!["local", "--import", "no-such-file.json"],
            "no-such-file.json",
        ),
        (vec!["local", "--empty", "--import", "x"], "--import"),
        (
            vec![
                "local",
                "--port",
                "0",
                "--dynamodb-port",
                "0",
                "--data",
                "no/such/folder/x",
            ],
            "no/such/folder/x",
        ),
    ] {
        assert_one_line(&command(&arguments).output().unwrap(), expected);
    }
}

#[cfg(unix)]
#[test]
fn a_program_that_sam_local_needs_and_is_missing_is_named_in_one_line() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let on_the_path = |expected| {
        let output = command(&["sam-local", "--port", "0", "--dynamodb-port", "0"])
            .env("PATH", folder.path())
            .output()
            .unwrap();
        assert_one_line(&output, expected);
    };
    on_the_path("sam is needed");
    let sam = folder.path().join("sam");
    std::fs::write(&sam, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&sam, std::fs::Permissions::from_mode(0o755)).unwrap();
    on_the_path("docker is needed");
}

/// A proxy is for other hosts than this one.
#[test]
fn a_proxy_of_the_environment_is_left_alone() {
    let output = command(&["demo"])
        .env("HTTP_PROXY", "http://127.0.0.1:9")
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_request_that_never_ends_does_not_keep_it_up() {
    let local = start(&["--empty"]);
    let mut connection = TcpStream::connect(local.address("API")).unwrap();
    connection.write_all(b"GET /x HTTP/1.1\r\nHos").unwrap();
    local.interrupt();
}

#[tokio::test]
async fn what_the_gateway_does_not_take_is_answered_in_its_form() {
    let local = start(&["--empty"]);
    let address = local.address("API");
    let url = format!("http://{address}/api/v1/monitoring/sessions/cleanup");
    let large = vec![b'x'; 10 * 1024 * 1024 + 1];
    let (status, body) = local
        .http
        .call(Method::POST, &url, None, large)
        .await
        .unwrap();
    assert_eq!(
        (status, body),
        (413, json!({ "error": "Request Entity Too Large" }))
    );

    let invoke = "POST /2015-03-31/functions/cleanup/invocations HTTP/1.1";
    // As Lambda does, it hands the payload on as it came.
    let contradiction = r#"{"dry_run": true, "dry_run": false}"#;
    let url = format!("http://{address}/2015-03-31/functions/cleanup/invocations");
    let answer = local.http.call(Method::POST, &url, None, contradiction);
    let (_, body) = answer.await.unwrap();
    let message = body["errorMessage"].as_str().unwrap();
    assert!(message.contains("duplicate field `dry_run`"), "{message}");
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: a b".to_owned(), "400"),
        (
            format!("{invoke}\r\nHost: x\r\nOrigin: https://page.example"),
            "403",
        ),
        (format!("{invoke}\r\nHost: x"), "200"),
    ] {
        let mut connection = TcpStream::connect(address).unwrap();
        let end = "\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        connection
            .write_all(format!("{request}{end}").as_bytes())
            .unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{request}: {answer}"
        );
    }
}

#[test]
fn a_file_that_is_not_all_items_is_not_imported() {
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
    let output = command(&arguments).output().unwrap();
    assert_one_line(&output, "line 2");
    assert_one_line(&output, "line 4");
    assert!(!data.exists(), "nothing was begun");
}

#[tokio::test]
async fn the_printed_lines_work_and_ctrl_c_ends_it() {
    let local = start(&[]);
    let first = local.introduction.lines().next().unwrap();
    let page = format!("http://{}/api/v1/monitoring", local.address("API"));
    assert_eq!(first, format!("See it: {page}"));
    let url = format!("{page}/sessions/stats");
    let token = Some(local.line("with this token, as administrator"));
    let (status, _) = local.http.call(Method::GET, &url, token, "").await.unwrap();
    assert_eq!(status, 200, "what is to be pasted into the page is a token");
    let (status, body) = local.curl("statistics, as a reader").await;
    assert_eq!(
        (status, &body["data"]["expired_sessions"]),
        (200, &json!(86)),
        "{body}"
    );
    let (status, body) = local.curl("what a cleanup would do").await;
    assert_eq!(
        (status, &body["data"]["dry_run"]),
        (200, &json!(true)),
        "{body}"
    );
    assert_eq!(body["data"]["sessions_deactivated"], 86, "{body}");
    let (status, body) = local.curl("whose session has expired").await;
    assert_eq!((status, body), (401, json!({ "error": "Session expired" })));
    let (status, body) = local.curl("whose token has expired").await;
    assert_eq!((status, body), (401, json!({ "error": "Token expired" })));
    let (status, body) = local.curl("clean up, as administrator").await;
    assert_eq!(
        (status, &body["data"]["sessions_deactivated"]),
        (200, &json!(85)),
        "{body}"
    );
    let (status, body) = local.curl("the reports").await;
    assert_eq!(
        (status, body["data"]["reports"].as_array().unwrap().len()),
        (200, 2),
        "{body}"
    );
    let (status, body) = local.curl("by hand").await;
    assert_eq!(
        (status, &body["trigger"], &body["adopted"]),
        (200, &json!("manual"), &json!(0))
    );
    local.interrupt();
}

#[tokio::test]
async fn the_schedule_runs_by_itself() {
    let local = start(&["--every", "1s"]);
    loop {
        let (_, body) = local.curl("statistics, as a reader").await;
        if body["data"]["last_cleanup"]["trigger"] == "schedule" {
            assert_eq!(body["data"]["expired_sessions"], 0, "{body}");
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn native_ttl_works_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let items = folder.path().join("items.json");
    // Due for native TTL, and on no work list: only native TTL can take it.
    let item = json!({
        "pk": { "S": "USER#a" }, "sk": { "S": "SESSION#1" }, "ttl": { "N": "1600000000" },
        "is_active": { "BOOL": true }, "expires_at": { "N": "1500000000" },
    });
    std::fs::write(&items, format!("{{\"Items\": [{item}], \"Count\": 1}}")).unwrap();
    let local = start(&["--import", items.to_str().unwrap(), "--ttl-every", "1s"]);
    loop {
        let (_, body) = local.curl("by hand").await;
        if body["adopted"] == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn ones_own_items_are_imported_and_looked_at_before_anything_is_done() {
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
    packer.finish().unwrap();
    let local = start(&["--import", file.to_str().unwrap()]);
    assert!(
        local
            .introduction
            .contains("imported: 3 sessions, 0 refresh tokens"),
        "{}",
        local.introduction
    );
    let (_, body) = local.curl("by hand").await;
    assert_eq!(
        (&body["adopted"], &body["sessions_deactivated"]),
        (&json!(3), &json!(3)),
        "{body}"
    );
    assert_eq!(body["dry_run"], true);
}

#[tokio::test]
async fn the_table_is_kept_in_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("table.db");
    let data = data.to_str().unwrap();
    let local = start(&["--data", data]);
    let (status, _) = local.curl("clean up, as administrator").await;
    assert_eq!(status, 200);
    local.interrupt();

    let local = start(&["--data", data]);
    let (_, body) = local.curl("statistics, as a reader").await;
    assert_eq!(body["data"]["expired_sessions"], 0, "{body}");
    assert_eq!(
        body["data"]["last_cleanup"]["sessions_deactivated"], 86,
        "{body}"
    );
}

#[tokio::test]
async fn an_empty_stack_holds_nothing_but_the_callers() {
    let local = start(&["--empty"]);
    let (_, body) = local.curl("statistics, as a reader").await;
    assert_eq!(body["data"]["total_sessions"], 2, "{body}");
    assert!(!local.introduction.contains("whose session has expired"));
}
