//! The list of reports: filters, pages, JSON and CSV.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use axum::http::{HeaderMap, Method};
use serde_json::{Value, json};
use session_cleanup_local::gateway::{ApiRequest, ApiResponse};
use session_cleanup_local::stack::scheduled_event;
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::fault_proxy::{Fault, NO_TIMEOUT, NO_TIMEOUT_NO_RETRY};
use session_cleanup_tests::{
    CLEANUP, CLEANUPS, HOUR, Item, NOW, World, active_session, at, counts, item_from, only,
};
use session_domain::CleanupReport;

/// A world with three scheduled runs an hour apart, a manual run and a run over the API at [`NOW`].
/// Returns a reader's token, too.
async fn world_with_reports() -> (World, String) {
    let world = World::new().await;
    for hours in [3, 2, 1] {
        let now = at(NOW - hours * HOUR);
        let event = scheduled_event(now);
        let run = world.functions.invoke(FunctionName::Cleanup, &event, now);
        run.await.unwrap();
    }
    world.clean_up(json!({ "dry_run": true }), NOW).await;
    let admin = world.login("ada, \"the\" admin", "sessions:admin").await;
    let (status, body) = world.call(Method::POST, CLEANUP, Some(&admin)).await;
    assert_eq!(status, 200, "{body}");
    let reader = world.login("rob", "sessions:read").await;
    (world, reader)
}

/// Triggers and hours before [`NOW`] of all reports on all pages, newest first.
async fn found(world: &World, reader: &str, question: &str, limit: usize) -> Vec<(String, i64)> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("{CLEANUPS}?limit={limit}{question}{cursor}");
        let (status, body) = world.call(Method::GET, &path, Some(reader)).await;
        assert_eq!(status, 200, "{path}: {body}");
        let reports = body["data"]["reports"].as_array().unwrap();
        assert!(reports.len() <= limit, "{path}: {body}");
        for report in reports {
            let started_at = report["started_at"].as_str().unwrap();
            let started_at = chrono::DateTime::parse_from_rfc3339(started_at).unwrap();
            let hours = (NOW - started_at.timestamp()) / HOUR;
            found.push((report["trigger"].as_str().unwrap().to_owned(), hours));
        }
        match body["data"]["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

fn runs<const N: usize>(runs: [(&str, i64); N]) -> Vec<(String, i64)> {
    let own = |(trigger, hours): (&str, i64)| (trigger.to_owned(), hours);
    runs.map(own).into()
}

#[tokio::test]
async fn finds_reports_by_trigger_and_time() {
    let (world, reader) = world_with_reports().await;
    for limit in [1, 2, 3, 100] {
        for (question, expected) in [
            (
                "&trigger=schedule",
                runs([("schedule", 1), ("schedule", 2), ("schedule", 3)]),
            ),
            ("&trigger=manual", runs([("manual", 0)])),
            ("&trigger=api", runs([("api", 0)])),
            // `from` is inclusive, `to` is exclusive.
            (
                "&from=2027-01-15T05:00:00Z&to=2027-01-15T07:00:00Z",
                runs([("schedule", 2), ("schedule", 3)]),
            ),
            (
                "&from=2027-01-15T07:00:00%2B00:00&trigger=schedule",
                runs([("schedule", 1)]),
            ),
            ("&to=2027-01-15", runs([])),
            ("&from=2027-01-16", runs([])),
            (
                "&from=2027-01-15&to=2027-01-16&trigger=manual",
                runs([("manual", 0)]),
            ),
        ] {
            let found = found(&world, &reader, question, limit).await;
            assert_eq!(found, expected, "{question}, {limit} a page");
        }
        let all = found(&world, &reader, "", limit).await;
        assert_eq!(all.len(), 5, "{all:?}");
    }
}

#[tokio::test]
async fn finds_report_behind_many_others() {
    const OTHERS: i64 = 60;
    let world = World::new().await;
    let reader = world.login("rob", "sessions:read").await;
    let now = at(NOW - HOUR);
    let event = scheduled_event(now);
    let run = world.functions.invoke(FunctionName::Cleanup, &event, now);
    run.await.unwrap();
    for number in 0..OTHERS {
        // Without time, a run only stores its report.
        let options = json!({ "max_seconds": 0 });
        world.clean_up(options, NOW - HOUR + 1 + number).await;
    }
    let found = found(&world, &reader, "&trigger=schedule", 20).await;
    assert_eq!(found, runs([("schedule", 1)]));
}

#[tokio::test]
async fn reads_bounded_number_of_reports_per_call() {
    const OTHERS: i64 = 450;
    let (world, faults) = World::with_faults(NO_TIMEOUT, [], |_| Fault::None).await;
    let reader = world.login("rob", "sessions:read").await;
    let event = scheduled_event(at(NOW - HOUR));
    let run = world
        .functions
        .invoke(FunctionName::Cleanup, &event, at(NOW - HOUR));
    run.await.unwrap();
    world
        .clean_up(json!({ "dry_run": true }), NOW - HOUR + 1)
        .await;
    let items = world.items().await;
    let manual = |item: &&Item| {
        item.get("trigger")
            .is_some_and(|it| it.as_s().is_ok_and(|it| it == "manual"))
    };
    let mut item = items.iter().find(manual).unwrap().clone();
    for number in 1..OTHERS {
        let started_at = CleanupReport::time_text(at(NOW - HOUR + 1 + number));
        // Every other key is not one that the API returned, but a page may end at it.
        let sort = if number % 2 == 0 {
            format!("RUN#{started_at}")
        } else {
            format!("RUN#{started_at}#x")
        };
        item.insert("sk".to_owned(), AttributeValue::S(sort));
        item.insert("started_at".to_owned(), AttributeValue::S(started_at));
        let put = world.client.put_item().table_name(world.table_name());
        put.set_item(Some(item.clone())).send().await.unwrap();
    }
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let before = faults.requests()["Query"];
        let path = format!("{CLEANUPS}?trigger=schedule&from=2027-01-15{cursor}");
        let (status, body) = world.call(Method::GET, &path, Some(&reader)).await;
        assert_eq!(status, 200, "{body}");
        let read = faults.requests()["Query"] - before;
        pages.push((read, body["data"]["reports"].as_array().unwrap().len()));
        match body["data"]["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(pages, [(4, 0), (4, 0), (2, 1)]);
}

#[tokio::test]
async fn returns_400_with_reason_for_invalid_report_query() {
    let (world, reader) = world_with_reports().await;
    let path = format!("{CLEANUPS}?limit=1");
    let (_, body) = world.call(Method::GET, &path, Some(&reader)).await;
    let newest = body["data"]["next"].as_str().unwrap();
    let time = "a time such as 2026-11-24T08:00:00Z, or a day such as 2026-11-24";
    for (question, error) in [
        (
            "trigger=hourly".to_owned(),
            "trigger must be schedule, manual or api".to_owned(),
        ),
        ("from=yesterday".to_owned(), format!("from must be {time}")),
        ("to=2027-02-30".to_owned(), format!("to must be {time}")),
        ("to=1800000000".to_owned(), format!("to must be {time}")),
        // This is the year 10000 in UTC.
        (
            "from=2027-01-15&to=9999-12-31T23:59:59-01:00".to_owned(),
            format!("to must be {time}"),
        ),
        (
            "from=-2027-1-15".to_owned(),
            format!("from must be {time}"),
        ),
        (
            "from=2027-01-16&to=2027-01-15".to_owned(),
            "from must be before to".to_owned(),
        ),
        (
            "from=2027-01-15&to=2027-01-15".to_owned(),
            "from must be before to".to_owned(),
        ),
        // "RUN#2027-01-15T09:00:00.000+02:00#" and an ID: not the key of a report.
        (
            "to=2027-01-15T08:00:00Z&cursor=UlVOIzIwMjctMDEtMTVUMDk6MDA6MDAuMDAwKzAyOjAwIzA0MjAzNmM0LTBjZjAtNGM5\
             OS1hYTMyLTQ1NjVmZmVlYzBhNw"
                .to_owned(),
            "cursor must be the next of an earlier answer".to_owned(),
        ),
        // A cursor of another query would leave the range of this one.
        (
            format!("to=2027-01-15&cursor={newest}"),
            "cursor must be the next of an earlier answer".to_owned(),
        ),
        (
            format!("from=2027-01-16&cursor={newest}"),
            "cursor must be the next of an earlier answer".to_owned(),
        ),
    ] {
        let path = format!("{CLEANUPS}?{question}");
        let (status, body) = world.call(Method::GET, &path, Some(&reader)).await;
        assert_eq!((status, body), (400, json!({ "error": error })), "{path}");
    }
}

async fn get(world: &World, reader: &str, path: &str, accept: &str) -> ApiResponse {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {reader}").parse().unwrap());
    headers.insert("accept", accept.parse().unwrap());
    let request = ApiRequest {
        method: Method::GET,
        uri: path.parse().unwrap(),
        headers,
        body: None,
    };
    world.gateway.serve_at(&request, at(NOW)).await
}

/// Stores an expired session of the maximum size, which the table rejects to deactivate.
async fn put_largest_session(world: &World, user: &str, session: &str) {
    let (mut fits, mut too_large) = (0, 400 * 1024);
    while too_large - fits > 1 {
        let size = fits + (too_large - fits) / 2;
        let mut item = active_session(user, session, NOW - 1);
        item["pad"] = json!({ "S": "x".repeat(size) });
        let put = world.client.put_item().table_name(world.table_name());
        match put.set_item(Some(item_from(&item))).send().await {
            Ok(_) => fits = size,
            Err(_) => too_large = size,
        }
    }
}

#[tokio::test]
async fn reports_record_that_table_rejects_and_processes_others() {
    let world = World::new().await;
    let admin = world.login("ada", "sessions:admin").await;
    put_largest_session(&world, "ann", "large").await;
    world.open("ben", "s", NOW - 1).await;
    let (status, body) = world.call(Method::POST, CLEANUP, Some(&admin)).await;
    assert_eq!(status, 200, "{body}");
    let report = &body["data"];
    let expected = only([("sessions_deactivated", 1), ("failed", 1)]);
    assert_eq!(counts(report), expected);
    assert_eq!(report["complete"], true);
    assert_eq!(report["failed_records"], json!(["USER#ann SESSION#large"]));
    assert!(report.get("error").is_none(), "{report}");
    let (_, body) = world.call(Method::GET, CLEANUPS, Some(&admin)).await;
    assert_eq!(&body["data"]["reports"][0], report);
}

#[tokio::test]
async fn returns_same_reports_as_csv_on_request() {
    let (world, reader) = world_with_reports().await;
    put_largest_session(&world, "ann", "large-1").await;
    put_largest_session(&world, "ann", "large-2").await;
    let report = world.clean_up(json!({ "adopt": true }), NOW).await;
    assert_eq!(report["failed_records"].as_array().unwrap().len(), 2);
    assert!(report["adoption_percent"].is_number(), "{report}");
    for accept in ["text/csv", "TEXT/CSV;q=0.9, application/json;q=0.1"] {
        let (mut rows, mut cursor) = (Vec::new(), String::new());
        let names: Vec<_> = loop {
            let path = format!("{CLEANUPS}?limit=2{cursor}");
            let response = get(&world, &reader, &path, accept).await;
            assert_eq!(response.status, 200);
            let kind = response.headers["content-type"].to_str().unwrap();
            assert!(kind.starts_with("text/csv"), "{kind}");
            let mut table = csv::Reader::from_reader(response.body.as_bytes());
            let names = table.headers().unwrap().iter().map(str::to_owned);
            let names = names.collect();
            rows.extend(table.records().map(Result::unwrap));
            match response.headers.get("x-next-cursor") {
                Some(next) => cursor = format!("&cursor={}", next.to_str().unwrap()),
                None => break names,
            }
        };
        let (_, body) = world.call(Method::GET, CLEANUPS, Some(&reader)).await;
        let reports = body["data"]["reports"].as_array().unwrap();
        assert_eq!(rows.len(), reports.len());
        for (row, report) in rows.iter().zip(reports) {
            for (name, cell) in names.iter().zip(row) {
                let value = &report[name];
                // No value starts like a formula.
                let text = value.as_str().map(str::to_owned);
                let null = value.is_null().then(String::new);
                let texts = value.as_array().map(|texts| {
                    let texts: Vec<_> = texts.iter().filter_map(Value::as_str).collect();
                    texts.join(" ")
                });
                let expected = text.or(null).or(texts).unwrap_or_else(|| value.to_string());
                assert_eq!(cell, expected, "{name}");
            }
            let mut members = report.as_object().unwrap().keys();
            assert!(members.all(|it| names.contains(it)), "{names:?}: {report}");
        }
    }
    for accept in ["application/json", "*/*", "text/csv;q=0", "text/html"] {
        let response = get(&world, &reader, CLEANUPS, accept).await;
        assert_eq!(response.headers["content-type"], "application/json");
    }
}

#[tokio::test]
async fn escapes_csv_cells_that_a_spreadsheet_would_run() {
    let world = World::new().await;
    let reader = world.login("rob", "sessions:read").await;
    let names = [
        "=1+1",
        "+1",
        "-1",
        "@SUM(1)",
        "\u{ff1d}1",
        "'=1",
        " =1",
        "a=1",
        "1",
    ];
    for name in names {
        let admin = world.login(name, "sessions:admin").await;
        let (status, body) = world.call(Method::POST, CLEANUP, Some(&admin)).await;
        assert_eq!(status, 200, "{body}");
    }
    // An error may contain characters that a user ID may not.
    let mut item = world.items().await;
    let mut item = item.swap_remove(
        item.iter()
            .position(|it| it.contains_key("run_id"))
            .unwrap(),
    );
    for (number, error) in ["\t=1", "\r=1", "\n=1"].into_iter().enumerate() {
        let sort = format!("RUN#2027-01-15T07:00:00.00{number}Z");
        item.insert("sk".to_owned(), AttributeValue::S(sort));
        item.insert("error".to_owned(), AttributeValue::S(error.to_owned()));
        let put = world.client.put_item().table_name(world.table_name());
        put.set_item(Some(item.clone())).send().await.unwrap();
    }
    let response = get(&world, &reader, CLEANUPS, "text/csv").await;
    let mut table = csv::Reader::from_reader(response.body.as_bytes());
    let columns = table.headers().unwrap().clone();
    let (mut users, mut errors) = (BTreeSet::new(), Vec::new());
    for row in table.records().map(Result::unwrap) {
        for (column, cell) in columns.iter().zip(&row) {
            match column {
                "requested_by" => drop(users.insert(cell.to_owned())),
                "error" if !cell.is_empty() => errors.push(cell.to_owned()),
                _ => assert!(!cell.starts_with('\''), "{column}: {cell}"),
            }
        }
    }
    let expected = [
        "'=1+1",
        "'+1",
        "'-1",
        "'@SUM(1)",
        "'\u{ff1d}1",
        "''=1",
        " =1",
        "a=1",
        "1",
    ];
    assert_eq!(users, expected.map(str::to_owned).into());
    assert_eq!(errors, ["'\n=1", "'\r=1", "'\t=1"]);
}

#[tokio::test]
async fn returns_report_of_failed_run_with_its_error() {
    let (world, _faults) = World::with_faults(NO_TIMEOUT_NO_RETRY, [], |request| {
        if request.operation == "BatchExecuteStatement" {
            return Fault::DENIED;
        }
        Fault::None
    })
    .await;
    let reader = world.login("rob", "sessions:read").await;
    world.open("ann", "expired", NOW - 1).await;
    let (cleanup, event, now) = (FunctionName::Cleanup, json!({}), at(NOW));
    let error = world.functions.invoke(cleanup, &event, now).await;
    let error = error.unwrap_err().to_string();
    let (_, body) = world.call(Method::GET, CLEANUPS, Some(&reader)).await;
    let report = &body["data"]["reports"][0];
    let why = report["error"].as_str().unwrap();
    assert!(error.contains(why), "{why} in {error}");
    assert_eq!(
        (&report["complete"], &report["failed"]),
        (&json!(false), &json!(1))
    );
    let response = get(&world, &reader, CLEANUPS, "text/csv").await;
    assert!(response.body.contains("AccessDenied"), "{}", response.body);
}

#[tokio::test]
async fn skips_reports_with_malformed_start_time() {
    let (world, reader) = world_with_reports().await;
    let all = found(&world, &reader, "", 100).await;
    let items = world.items().await;
    let report = items.iter().find(|it| it.contains_key("run_id")).unwrap();
    for (number, odd) in [
        "0000-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59.000-01:00",
        "2027-01-15T07:59:60.000Z",
        "2027-01-15T07:00:00Z",
    ]
    .into_iter()
    .enumerate()
    {
        let mut item = report.clone();
        let text = |text: String| AttributeValue::S(text);
        item.insert("sk".to_owned(), text(format!("RUN#2027-01-15T0{number}")));
        item.insert("started_at".to_owned(), text(odd.to_owned()));
        let put = world.client.put_item().table_name(world.table_name());
        put.set_item(Some(item)).send().await.unwrap();
    }
    assert_eq!(found(&world, &reader, "", 100).await, all);
}
