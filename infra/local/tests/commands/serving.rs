//! `cargo local`: what it prints, what it answers, and what it does by schedule.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use axum::http::Method;
use serde_json::json;

use crate::running::command;
use crate::{clean_up, ended, let_in, start, statistics};

#[test]
fn unfinished_request_does_not_block_shutdown() {
    let local = start(&["--empty"]);
    let mut connection = TcpStream::connect(local.address("API")).unwrap();
    connection.write_all(b"GET /x HTTP/1.1\r\nHos").unwrap();
    local.interrupt();
}

#[tokio::test]
async fn rejects_oversized_bodies_and_foreign_hosts_or_origins() {
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
    let token = "POST /local/tokens HTTP/1.1";
    // As on Lambda, the payload reaches the function unchanged.
    let contradiction = r#"{"dry_run": true, "dry_run": false}"#;
    let body = clean_up(&local, contradiction).await;
    let message = body["errorMessage"].as_str().unwrap();
    assert!(message.contains("duplicate field `dry_run`"), "{message}");
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: a b".to_owned(), "400"),
        (
            format!("{invoke}\r\nHost: localhost\r\nOrigin: https://page.example"),
            "403",
        ),
        (format!("{invoke}\r\nHost: page.example"), "403"),
        (format!("{invoke}\r\nHost: localhost:8080"), "200"),
        (
            format!("{token}\r\nHost: localhost\r\nOrigin: http://localhost"),
            "403",
        ),
        (format!("{token}\r\nHost: page.example:8080"), "403"),
        (format!("{token}\r\nHost: 127.0.0.1"), "400"),
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

#[tokio::test]
async fn printed_commands_work_and_ctrl_c_stops_it() {
    let local = start(&[]);
    let last = local.introduction.lines().last().unwrap();
    assert_eq!(
        last,
        format!("http://{}/api/v1/monitoring", local.address("API"))
    );
    assert_eq!(statistics(&local).await["expired_sessions"], 86);
    let (status, body) = local.curl("dry_run=true\"").await;
    assert_eq!(
        (status, &body["data"]["dry_run"]),
        (200, &json!(true)),
        "{body}"
    );
    assert_eq!(body["data"]["sessions_deactivated"], 86, "{body}");

    // Without `cargo`, the first word of the printed command.
    let line = local.line("--scope sessions:read");
    let arguments: Vec<_> = line.split(' ').skip(1).collect();
    let output = ended(command(&arguments));
    let note = String::from_utf8(output.stderr).unwrap();
    assert!(note.contains("has expired"), "{note}");
    let token = String::from_utf8(output.stdout).unwrap();
    let denial = let_in(&local, token.trim_end()).await;
    assert_eq!(denial, (401, json!("Session expired")));

    let (status, body) = local.curl("-X POST $U/cleanup").await;
    assert_eq!(
        (status, &body["data"]["sessions_deactivated"]),
        (200, &json!(85)),
        "{body}"
    );
    let (status, body) = local.curl("$U/cleanups").await;
    assert_eq!(
        (status, body["data"]["reports"].as_array().unwrap().len()),
        (200, 2),
        "{body}"
    );
    let rest = local.interrupt();
    assert!(rest.contains("Stopped. The table was in memory"), "{rest}");
}

#[test]
fn banner_fits_terminal_of_80_columns() {
    let local = start(&[]);
    let rows = local
        .introduction
        .lines()
        .map(|line| line.chars().count().div_ceil(80).max(1));
    // One row more, because the ports of this test are longer.
    assert!(rows.sum::<usize>() <= 25, "{}", local.introduction);
    assert!(
        local
            .introduction
            .contains("every 1h; native TTL every 10m")
    );
    assert!(
        !local.introduction.contains('\u{1b}'),
        "no colours without a terminal"
    );
}

#[tokio::test]
async fn runs_cleanup_on_given_schedule() {
    let local = start(&["--every", "1s"]);
    loop {
        let statistics = statistics(&local).await;
        if statistics["last_cleanup"]["trigger"] == "schedule" {
            assert_eq!(statistics["expired_sessions"], 0, "{statistics}");
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn statistics_report_given_schedule() {
    for (every, schedule) in [
        ("10s", "rate(1 minute)"),
        ("1m", "rate(1 minute)"),
        ("2h", "rate(120 minutes)"),
    ] {
        let local = start(&["--empty", "--every", every]);
        assert_eq!(statistics(&local).await["schedule"], schedule);
    }
}

#[tokio::test]
async fn native_ttl_deletes_item_that_is_on_no_due_list() {
    let folder = tempfile::tempdir().unwrap();
    let items = folder.path().join("items.json");
    // Due for native TTL and on no due list: only native TTL can delete it.
    let item = json!({
        "pk": { "S": "USER#a" }, "sk": { "S": "SESSION#1" }, "ttl": { "N": "1600000000" },
        "is_active": { "BOOL": true }, "expires_at": { "N": "1500000000" },
    });
    std::fs::write(&items, format!("{{\"Items\": [{item}], \"Count\": 1}}")).unwrap();
    let local = start(&["--import", items.to_str().unwrap(), "--ttl-every", "1s"]);
    loop {
        let report = clean_up(&local, r#"{"adopt": true, "dry_run": true}"#).await;
        if report["adopted"] == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn empty_stack_holds_only_sessions_of_sample_tokens() {
    let local = start(&["--empty"]);
    assert_eq!(statistics(&local).await["total_sessions"], 2);
    assert!(!local.introduction.contains("session has expired"));
}
