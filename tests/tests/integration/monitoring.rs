//! The monitoring API through gateway and authorizer: statistics, reports, and manual cleanups.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use session_cleanup_local::gateway::{ApiRequest, ApiResponse, Gateway};
use session_cleanup_local::stack::scheduled_event;
use session_cleanup_local::template::{FunctionName, GatewayResponse, Template};
use session_cleanup_tests::events::event;
use session_cleanup_tests::fault_proxy::{Fault, NO_TIMEOUT_NO_RETRY};
use session_cleanup_tests::{
    CLEANUP, CLEANUPS, DAY, HOUR, Item, NOW, STATS, World, active_session, at, counts,
    inactive_session, only, text,
};
use session_domain::CleanupReport;
use session_lifecycle::aws::CallPolicy;
use sha2::{Digest as _, Sha256};

const PAGE: &str = "/api/v1/monitoring";
const DESCRIPTION: &str = "/api/v1/monitoring/openapi.json";

#[tokio::test]
async fn statistics_count_sessions() {
    let world = World::new().await;
    let reader = world.login("rob", "sessions:read").await;
    for item in [
        active_session("ann", "expired-1", NOW),
        active_session("ann", "expired-2", NOW - 500),
        active_session("ann", "live", NOW + 1),
        inactive_session("ann", "young", NOW - DAY),
        inactive_session("ann", "old", NOW - 60 * DAY),
    ] {
        world.put(item).await;
    }
    world.refresh_token("ann", "expired", NOW - DAY).await;
    world.blacklist("ann", "j", NOW + DAY).await;
    let (status, mut body) = world.call(Method::GET, STATS, Some(&reader)).await;
    assert_eq!(status, 200);
    // An hour after the table's creation, by a clock other than the world's.
    assert!(body["data"]["next_cleanup"].take().is_string(), "{body}");
    assert_eq!(
        body,
        json!({
            "success": true,
            "data": {
                "total_sessions": 6,
                "active_sessions": 4,
                "expired_sessions": 2,
                "cleanup_needed": true,
                "inactive_sessions": 2,
                "malformed_records": 0,
                "oldest_expired_age_seconds": 500,
                "last_cleanup": null,
                "schedule": "rate(1 hour)",
                "next_cleanup": null,
                "table_items": 8,
                "unindexed_items": 0,
                "caller": { "user_id": "rob", "session_id": "login", "is_admin": false },
                "stack": null,
            },
        })
    );
}

#[tokio::test]
async fn statistics_name_stack_and_caller_of_each_request() {
    let world = World::with([("STACK_NAME", "prod")]).await;
    let reader = world.login("rob", "sessions:read").await;
    let admin = world.login("ada", "orders sessions:admin").await;
    // All within the cache lifetime of the counts.
    for (token, user, is_admin) in [
        (&reader, "rob", false),
        (&admin, "ada", true),
        (&reader, "rob", false),
    ] {
        let stats = stats_at(&world, token, NOW).await;
        assert_eq!(
            stats["caller"],
            json!({ "user_id": user, "session_id": "login", "is_admin": is_admin })
        );
        assert_eq!(stats["stack"], "prod");
    }
}

#[tokio::test]
async fn counts_items_that_are_not_in_index() {
    let world = World::new().await;
    let reader = world.login("rob", "sessions:read").await;
    for session in ["a", "b", "c"] {
        let mut item = active_session("ann", session, NOW - 1);
        for name in ["due_key", "due_at", "ttl"] {
            item.as_object_mut().unwrap().remove(name);
        }
        world.put(item).await;
    }
    // Reports are not in the index either, and need no adoption.
    for _ in 0..2 {
        world.clean_up(json!({}), NOW).await;
    }
    let before = stats_at(&world, &reader, NOW).await;
    assert_eq!(
        (&before["table_items"], &before["unindexed_items"]),
        (&json!(6), &json!(3))
    );
    assert_eq!(before["expired_sessions"], 0);
    world.clean_up(json!({ "adopt": true }), NOW + 1).await;
    // The comparison is cached for ten minutes.
    let after = stats_at(&world, &reader, NOW + HOUR / 2).await;
    assert_eq!(
        (&after["unindexed_items"], &after["inactive_sessions"]),
        (&json!(0), &json!(3))
    );
}

#[tokio::test]
async fn returns_time_of_next_scheduled_cleanup() {
    for (schedule, expected) in [
        ("rate(30 minutes)", "2027-01-15T08:30:00Z"),
        // The last run started late; the next one is on time.
        ("cron(59 * * * ? *)", "2027-01-15T08:59:00Z"),
        ("cron(0 3 ? * MON *)", "2027-01-18T03:00:00Z"),
    ] {
        let world = World::with([("CLEANUP_SCHEDULE", schedule)]).await;
        let reader = world.login("rob", "sessions:read").await;
        world
            .clean_up(scheduled_event(at(NOW - HOUR)), NOW - HOUR)
            .await;
        world.clean_up(scheduled_event(at(NOW)), NOW).await;
        // Runs that do not belong to the schedule.
        world.clean_up(json!({}), NOW + 60).await;
        let stats = stats_at(&world, &reader, NOW + 600).await;
        assert_eq!(stats["schedule"], schedule);
        assert_eq!(stats["next_cleanup"], expected);
    }
}

#[tokio::test]
async fn returns_statistics_if_describing_table_is_denied() {
    let (world, _faults) = World::with_faults(NO_TIMEOUT_NO_RETRY, [], |request| {
        if request.operation == "DescribeTable" {
            return Fault::Error {
                status: 400,
                code: "AccessDeniedException",
            };
        }
        Fault::None
    })
    .await;
    let reader = world.login("rob", "sessions:read").await;
    let stats = stats_at(&world, &reader, NOW).await;
    assert_eq!(stats["total_sessions"], 1);
    for name in ["table_items", "unindexed_items", "next_cleanup"] {
        assert_eq!(stats[name], Value::Null, "{name}");
    }
    let warned = world.log.about("could not be compared with its index");
    assert_eq!(warned.len(), 1, "{warned:?}");
}

#[tokio::test]
async fn empty_table_needs_no_cleanup() {
    let world = World::new().await;
    let reader = world.login("rob", "sessions:read").await;
    let (_, body) = world.call(Method::GET, STATS, Some(&reader)).await;
    let data = &body["data"];
    assert_eq!(data["expired_sessions"], 0);
    assert_eq!(data["cleanup_needed"], false);
    assert_eq!(data["oldest_expired_age_seconds"], Value::Null);
}

#[tokio::test]
async fn last_cleanup_is_newest_run_that_was_not_dry() {
    let world = World::new().await;
    let reader = world.login("rob", "sessions:read").await;
    world.clean_up(json!({ "dry_run": true }), NOW - 30).await;
    let (_, body) = world.call(Method::GET, STATS, Some(&reader)).await;
    assert_eq!(body["data"]["last_cleanup"], Value::Null);
    world.clean_up(json!({}), NOW - 20).await;
    let report = world.clean_up(json!({}), NOW - 10).await;
    for second in 0..30 {
        world
            .clean_up(
                json!({ "dry_run": true, "max_seconds": 0 }),
                NOW - 9 + second,
            )
            .await;
    }
    let (_, body) = world.call(Method::GET, STATS, Some(&reader)).await;
    assert_eq!(body["data"]["last_cleanup"], report);
}

/// The statistics at `now`.
async fn stats_at(world: &World, reader: &str, now: i64) -> Value {
    let request = request(Method::GET, STATS, Some(reader));
    let response = world.gateway.serve_at(&request, at(now)).await;
    assert_eq!(response.status, 200, "{}", response.body);
    let body: Value = serde_json::from_str(&response.body).unwrap();
    body["data"].clone()
}

#[tokio::test]
async fn caches_statistics_for_five_seconds() {
    let (world, faults) = World::with_faults(CallPolicy::MONITORING, [], |_| Fault::None).await;
    let reader = world.login("rob", "sessions:read").await;
    let queries = || faults.requests().get("Query").copied().unwrap_or_default();
    assert_eq!(stats_at(&world, &reader, NOW).await["total_sessions"], 1);
    let before = queries();
    world.open("ann", "s", NOW + HOUR).await;
    assert_eq!(
        stats_at(&world, &reader, NOW + 4).await["total_sessions"],
        1
    );
    assert_eq!(queries() - before, 1, "only the last cleanup is looked up");
    // The statistics are cached from the end of the count, which takes as long as the machine
    // needs.
    assert_eq!(
        stats_at(&world, &reader, NOW + HOUR / 2).await["total_sessions"],
        2
    );
}

#[tokio::test]
async fn counts_again_immediately_after_cleanup() {
    let world = World::new().await;
    let admin = world.login("ada", "sessions:admin").await;
    world.open("ann", "s", NOW - 1).await;
    assert_eq!(stats_at(&world, &admin, NOW).await["expired_sessions"], 1);
    let (status, body) = world.call(Method::POST, CLEANUP, Some(&admin)).await;
    assert_eq!(
        (status, counts(&body["data"])),
        (200, only([("sessions_deactivated", 1)]))
    );
    let after = stats_at(&world, &admin, NOW).await;
    assert_eq!(
        (&after["expired_sessions"], &after["last_cleanup"]),
        (&json!(0), &body["data"])
    );
}

#[tokio::test]
async fn does_not_cache_failed_count() {
    let (world, _faults) = World::with_faults(NO_TIMEOUT_NO_RETRY, [], |request| {
        let is_first_count = request.operation == "Query" && request.number == 2;
        if is_first_count {
            Fault::BROKEN
        } else {
            Fault::None
        }
    })
    .await;
    let reader = world.login("rob", "sessions:read").await;
    let (status, body) = world.call(Method::GET, STATS, Some(&reader)).await;
    assert_eq!(status, 500, "{body}");
    assert_eq!(stats_at(&world, &reader, NOW).await["total_sessions"], 1);
}

/// Stores `count` reports of dry runs, a second apart, as copies of one report.
async fn put_dry_runs(world: &World, count: i64, from: i64) {
    world.clean_up(json!({ "dry_run": true }), from).await;
    let items = world.items().await;
    let newest = |item: &&Item| item.contains_key("run_id") && text(item, "sk").starts_with("RUN#");
    let dry = items
        .iter()
        .filter(newest)
        .max_by_key(|it| text(it, "sk").to_owned());
    let mut item = dry.unwrap().clone();
    for number in 1..count {
        let started_at = CleanupReport::time_text(at(from + number));
        let sort = format!("RUN#{started_at}#{}", text(&item, "run_id"));
        item.insert("sk".to_owned(), AttributeValue::S(sort));
        item.insert("started_at".to_owned(), AttributeValue::S(started_at));
        let put = world.client.put_item().table_name(world.table_name());
        put.set_item(Some(item.clone())).send().await.unwrap();
    }
}

#[tokio::test]
async fn finds_last_cleanup_behind_many_dry_runs() {
    let (world, faults) = World::with_faults(CallPolicy::MONITORING, [], |_| Fault::None).await;
    let reader = world.login("rob", "sessions:read").await;
    let last = world.clean_up(json!({}), NOW - HOUR).await;
    put_dry_runs(&world, 300, NOW - HOUR + 1).await;
    assert_eq!(stats_at(&world, &reader, NOW).await["last_cleanup"], last);
    put_dry_runs(&world, 900, NOW - HOUR + 301).await;
    // The statistics are cached for some seconds: only the search makes requests.
    stats_at(&world, &reader, NOW).await;
    let before = faults.requests()["Query"];
    let stats = stats_at(&world, &reader, NOW).await;
    assert_eq!(stats["last_cleanup"], Value::Null, "the search is limited");
    assert_eq!(faults.requests()["Query"] - before, 20);
}

#[tokio::test]
async fn run_that_started_earlier_is_not_last_cleanup() {
    let world = World::new().await;
    let reader = world.login("rob", "sessions:read").await;
    let last = world.clean_up(json!({}), NOW - 60).await;
    world.clean_up(json!({}), NOW - 120).await;
    put_dry_runs(&world, 30, NOW - 50).await;
    assert_eq!(stats_at(&world, &reader, NOW).await["last_cleanup"], last);
}

#[tokio::test]
async fn cleanup_deletes_without_grace_and_reports_requester() {
    let world = World::new().await;
    let admin = world.login("ada", "sessions:admin").await;
    world.put(active_session("ann", "expired", NOW)).await;
    world
        .put(inactive_session("ann", "old", NOW - 30 * DAY))
        .await;
    world.refresh_token("ann", "t", NOW).await;
    world.blacklist("ann", "j", NOW).await;
    let expected = only([
        ("sessions_deactivated", 1),
        ("sessions_deleted", 1),
        ("refresh_tokens_deleted", 1),
        ("blacklisted_tokens_deleted", 1),
    ]);
    let before = world.items().await.len();
    let dry_path = format!("{CLEANUP}?dry_run=true");
    let (status, body) = world.call(Method::POST, &dry_path, Some(&admin)).await;
    assert_eq!((status, counts(&body["data"])), (200, expected.clone()));
    assert_eq!(body["data"]["dry_run"], true);
    assert_eq!(
        world.items().await.len(),
        before + 1,
        "only the report is written"
    );

    let (status, body) = world.call(Method::POST, CLEANUP, Some(&admin)).await;
    assert_eq!((status, counts(&body["data"])), (200, expected));
    assert_eq!(body["success"], true);
    assert_eq!(body["data"]["trigger"], "api");
    assert_eq!(body["data"]["requested_by"], "ada");
    assert_eq!(body["data"]["complete"], true);
    assert_eq!(body["data"]["dry_run"], false);
}

#[tokio::test]
async fn each_endpoint_requires_its_scope() {
    let world = World::new().await;
    let admin = world.login("ada", "profile sessions:admin").await;
    let reader = world.login("rob", "sessions:read").await;
    let nobody = world.login("ann", "sessions:readers").await;
    for (method, path, token, status) in [
        (Method::GET, STATS, &admin, 200),
        (Method::GET, STATS, &reader, 200),
        (Method::GET, STATS, &nobody, 403),
        (Method::GET, CLEANUPS, &admin, 200),
        (Method::GET, CLEANUPS, &reader, 200),
        (Method::GET, CLEANUPS, &nobody, 403),
        (Method::POST, CLEANUP, &admin, 200),
        (Method::POST, CLEANUP, &reader, 403),
        (Method::POST, CLEANUP, &nobody, 403),
    ] {
        let (found, body) = world.call(method.clone(), path, Some(token)).await;
        assert_eq!(found, status, "{method} {path}: {body}");
        if status == 403 {
            assert_eq!(body, json!({ "error": "Forbidden" }));
        }
    }
}

#[tokio::test]
async fn denial_is_a_401_with_its_reason() {
    let world = World::new().await;
    world.open("ann", "expired", NOW).await;
    let expired = world.token("ann", "expired", "sessions:admin");
    // RFC 6750 §3.1: without a token there is no error code.
    let no_token = r#"Bearer realm="sessions""#;
    let bad_token = r#"Bearer realm="sessions", error="invalid_token""#;
    for (token, error, challenge) in [
        (None, "Missing bearer token", no_token),
        (Some("nonsense"), "Invalid token", bad_token),
        (Some(expired.as_str()), "Session expired", bad_token),
        (Some(expired.as_str()), "Session inactive", bad_token),
    ] {
        let response = answer(&world, request(Method::GET, STATS, token)).await;
        let body: Value = serde_json::from_str(&response.body).unwrap();
        assert_eq!(
            (response.status.as_u16(), body),
            (401, json!({ "error": error }))
        );
        for (name, value) in [
            ("www-authenticate", challenge),
            ("cache-control", "no-store"),
            ("strict-transport-security", "max-age=31536000"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(response.headers[name], value, "{error}");
        }
    }
    let mut headers = HeaderMap::new();
    headers.insert("authorization", "Basic YTph".parse().unwrap());
    let (status, body) = world.call_with(Method::GET, STATS, headers).await;
    assert_eq!(
        (status, body),
        (401, json!({ "error": "Missing bearer token" }))
    );
}

#[tokio::test]
async fn gateway_returns_headers_of_its_template() {
    let world = World::new().await;
    let header = |value: &str| BTreeMap::from([("WWW-Authenticate".to_owned(), value.to_owned())]);
    let answers = [
        ("UNAUTHORIZED", r#"Bearer realm="sessions""#),
        ("ACCESS_DENIED", r#"Bearer error="invalid_token""#),
    ];
    let answers = answers.map(|(kind, value)| {
        let response = GatewayResponse {
            status: Some(401),
            body: None,
            headers: header(value),
        };
        (kind.to_owned(), response)
    });
    let routes = Template::read().unwrap().routes;
    let gateway = Gateway::new(Arc::clone(&world.functions), routes, answers.into());
    for (token, challenge) in [
        (None, r#"Bearer realm="sessions""#),
        (Some("nonsense"), r#"Bearer error="invalid_token""#),
    ] {
        let request = request(Method::GET, STATS, token);
        let response = gateway.serve_at(&request, at(NOW)).await;
        assert_eq!(response.status, 401);
        assert_eq!(response.headers["www-authenticate"], challenge);
        assert_eq!(response.headers["content-type"], "application/json");
    }
}

/// API Gateway never sends these, but anyone who may invoke the function can.
#[tokio::test]
async fn survives_malformed_http_events() {
    let world = World::new().await;
    let mut body = event(FunctionName::ForceCleanup, "cleanup");
    body["isBase64Encoded"] = true.into();
    body["body"] = "***".into();
    let mut query = event(FunctionName::Stats, "stats");
    query["multiValueQueryStringParameters"] = json!({ "limit": ["1".repeat(70_000)] });
    for (function, name, event_of_nobody) in [
        (FunctionName::ForceCleanup, "dry-run", body),
        (FunctionName::Stats, "stats", query),
    ] {
        let answer = world
            .functions
            .invoke(function, &event_of_nobody, at(NOW))
            .await;
        assert!(answer.is_err(), "{answer:?}");
        let answer = world
            .functions
            .invoke(function, &event(function, name), at(NOW))
            .await;
        assert_eq!(answer.unwrap()["statusCode"], 200);
    }
}

#[tokio::test]
async fn returns_404_for_unknown_routes() {
    let world = World::new().await;
    let admin = world.login("ada", "sessions:admin").await;
    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, "/api/v1/monitoring//"),
        (Method::GET, "/api/v1/monitoring/page.js"),
        (Method::GET, "/api/v1/monitoring/sessions"),
        (Method::GET, "/api/v1/monitoring/sessions/stats/more"),
        (Method::GET, CLEANUP),
        (Method::POST, STATS),
        (Method::DELETE, STATS),
        (Method::POST, PAGE),
    ] {
        let (status, body) = world.call(method.clone(), path, Some(&admin)).await;
        assert_eq!(
            (status, body),
            (404, json!({ "error": "Not found" })),
            "{method} {path}"
        );
    }
}

/// API Gateway does not invoke the functions for these requests. Other callers get an error.
#[tokio::test]
async fn returns_405_with_allowed_method() {
    let world = World::new().await;
    world.open("ann", "s", NOW).await;
    for (function, name, right) in [
        (FunctionName::Stats, "page", "GET"),
        (FunctionName::Stats, "stats", "GET"),
        (FunctionName::Stats, "reports", "GET"),
        (FunctionName::ForceCleanup, "cleanup", "POST"),
    ] {
        for method in ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"] {
            if method == right {
                continue;
            }
            let mut event = event(function, name);
            event["httpMethod"] = method.into();
            event["requestContext"]["httpMethod"] = method.into();
            let answer = world.functions.invoke(function, &event, at(NOW)).await;
            let answer = answer.unwrap();
            assert_eq!(answer["statusCode"], 405, "{method} {name}");
            assert_eq!(answer["multiValueHeaders"]["allow"], json!([right]));
            assert_eq!(answer["body"], r#"{"error":"Method not allowed"}"#);
        }
    }
    let row = world.session("ann", "s").await.unwrap();
    assert_eq!(
        row["is_active"].as_bool(),
        Ok(&true),
        "the session stays active"
    );
}

#[tokio::test]
async fn rejects_cleanup_request_with_body() {
    let world = World::new().await;
    world.open("ann", "s", NOW).await;
    let admin = world.login("ada", "sessions:admin").await;
    let with = |body: &str| ApiRequest {
        body: Some(body.to_owned()),
        ..request(Method::POST, CLEANUP, Some(&admin))
    };
    for body in [r#"{"dry_run": true}"#, "dry_run=true", "[]", "{", "\0"] {
        let response = answer(&world, with(body)).await;
        assert_eq!(response.status, 400, "{body}");
        assert_eq!(
            response.body,
            r#"{"error":"There must be no body; dry_run is a query parameter"}"#
        );
    }
    let row = world.session("ann", "s").await.unwrap();
    assert_eq!(
        row["is_active"].as_bool(),
        Ok(&true),
        "the session stays active"
    );
    // Bodies that clients send when they have none.
    for body in ["", " ", "{}", "null\n"] {
        let response = answer(&world, with(body)).await;
        assert_eq!(response.status, 200, "{body}");
    }
}

#[tokio::test]
async fn returns_400_with_reason_for_invalid_query() {
    let world = World::new().await;
    let admin = world.login("ada", "sessions:admin").await;
    world.open("ann", "s", NOW).await;
    for (method, path, error) in [
        (
            Method::POST,
            format!("{CLEANUP}?dry_run=yes"),
            "dry_run must be true or false",
        ),
        (
            Method::POST,
            format!("{CLEANUP}?dryrun=true"),
            "Unknown query parameter \"dryrun\"",
        ),
        (
            Method::POST,
            format!("{CLEANUP}?dry_run=true&dry_run=false"),
            "Query parameter \"dry_run\" is given twice",
        ),
        (
            Method::GET,
            format!("{CLEANUPS}?limit=0"),
            "limit must be a whole number from 1 to 100",
        ),
        (
            Method::GET,
            format!("{CLEANUPS}?limit=101"),
            "limit must be a whole number from 1 to 100",
        ),
        (
            Method::GET,
            format!("{CLEANUPS}?limit=x"),
            "limit must be a whole number from 1 to 100",
        ),
        (
            Method::GET,
            format!("{CLEANUPS}?cursor=x"),
            "cursor must be the next of an earlier answer",
        ),
        (
            Method::GET,
            // "USER#ann": a cursor can only point to a report.
            format!("{CLEANUPS}?cursor=VVNFUiNhbm4"),
            "cursor must be the next of an earlier answer",
        ),
        (
            Method::GET,
            format!("{CLEANUPS}?cursor={}", "UlVOI3h4".repeat(400)),
            "cursor must be the next of an earlier answer",
        ),
        (
            Method::GET,
            format!("{STATS}?limit=1"),
            "Unknown query parameter \"limit\"",
        ),
    ] {
        let (status, body) = world.call(method, &path, Some(&admin)).await;
        assert_eq!((status, body), (400, json!({ "error": error })), "{path}");
    }
    let row = world.session("ann", "s").await.unwrap();
    assert_eq!(
        row["is_active"].as_bool(),
        Ok(&true),
        "the session stays active"
    );
}

#[tokio::test]
async fn returns_reports_newest_first_in_pages() {
    let world = World::new().await;
    let reader = world.login("rob", "sessions:read").await;
    let (_, body) = world.call(Method::GET, CLEANUPS, Some(&reader)).await;
    assert_eq!(
        body,
        json!({ "success": true, "data": { "reports": [], "next": null } })
    );

    let mut expected = Vec::new();
    for number in 0..25 {
        expected.insert(0, world.clean_up(json!({}), NOW - HOUR + number).await);
    }
    let (_, body) = world.call(Method::GET, CLEANUPS, Some(&reader)).await;
    assert_eq!(body["data"]["reports"].as_array().unwrap(), &expected[..20]);

    let (mut found, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let path = format!("{CLEANUPS}?limit=5{cursor}");
        let (_, body) = world.call(Method::GET, &path, Some(&reader)).await;
        found.extend(body["data"]["reports"].as_array().unwrap().clone());
        pages += 1;
        match body["data"]["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(
        (found, pages),
        (expected, 5),
        "the last page has no next cursor"
    );
}

#[tokio::test]
async fn responses_are_json_and_not_cacheable() {
    let world = World::new().await;
    let reader = world.login("rob", "sessions:read").await;
    for (path, status) in [(STATS, 200), ("/api/v1/monitoring/sessions/stats?a=b", 400)] {
        let response = answer(&world, request(Method::GET, path, Some(&reader))).await;
        assert_eq!(response.status, status);
        assert_eq!(response.headers["content-type"], "application/json");
        assert_eq!(response.headers["cache-control"], "no-store");
        assert_eq!(response.headers["x-content-type-options"], "nosniff");
    }
}

#[tokio::test]
async fn every_response_has_hsts_header() {
    let world = World::new().await;
    for (function, name, method, scope, status) in [
        (FunctionName::Stats, "page", "GET", "", 200),
        (FunctionName::Stats, "stats", "GET", "sessions:read", 200),
        (FunctionName::Stats, "stats", "GET", "", 403),
        (FunctionName::Stats, "reports", "PUT", "sessions:read", 405),
        (
            FunctionName::ForceCleanup,
            "dry-run",
            "POST",
            "sessions:admin",
            200,
        ),
        (
            FunctionName::ForceCleanup,
            "cleanup",
            "POST",
            "sessions:read",
            403,
        ),
    ] {
        let mut event = event(function, name);
        event["httpMethod"] = method.into();
        event["requestContext"]["authorizer"]["scope"] = scope.into();
        let answer = world.functions.invoke(function, &event, at(NOW)).await;
        let answer = answer.unwrap();
        assert_eq!(answer["statusCode"], status, "{name}: {answer}");
        let found = &answer["multiValueHeaders"]["strict-transport-security"];
        assert_eq!(found, &json!(["max-age=31536000"]), "{name}");
    }
}

#[tokio::test]
async fn page_needs_no_token_and_connects_only_to_this_api() {
    let world = World::new().await;
    // Paths that API Gateway treats as the same resource.
    for path in [PAGE, "/api/v1/monitoring/"] {
        let response = answer(&world, request(Method::GET, path, None)).await;
        assert_eq!(response.status, 200);
        let headers = &response.headers;
        assert_eq!(headers["content-type"], "text/html; charset=utf-8");
        let caching: Vec<_> = headers.get_all("cache-control").iter().collect();
        assert_eq!(caching, ["public, max-age=300"]);
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["referrer-policy"], "no-referrer");
        assert_eq!(headers["cross-origin-opener-policy"], "same-origin");

        let policy = headers["content-security-policy"].to_str().unwrap();
        let policy: BTreeMap<_, _> = policy
            .split("; ")
            .map(|directive| directive.split_once(' ').unwrap())
            .collect();
        let inline = |start: &str, end: &str| {
            let (_, after) = response.body.split_once(start).unwrap();
            let (text, rest) = after.split_once(end).unwrap();
            assert!(!rest.contains(start), "one {start}");
            format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
        };
        let expected = [
            ("default-src", "'none'".to_owned()),
            (
                "script-src",
                inline("<script type=\"module\">", "</script>"),
            ),
            ("style-src", inline("<style>", "</style>")),
            ("connect-src", "'self'".to_owned()),
            ("img-src", "data:".to_owned()),
            ("base-uri", "'none'".to_owned()),
            ("form-action", "'none'".to_owned()),
            ("frame-ancestors", "'none'".to_owned()),
            ("require-trusted-types-for", "'script'".to_owned()),
            ("trusted-types", "'none'".to_owned()),
        ];
        let expected: BTreeMap<_, _> = expected.iter().map(|(a, b)| (*a, b.as_str())).collect();
        assert_eq!(policy, expected);
    }
}

#[tokio::test]
async fn description_matches_file_and_needs_no_token() {
    let world = World::new().await;
    let response = answer(&world, request(Method::GET, DESCRIPTION, None)).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.headers["content-type"], "application/json");
    assert_eq!(response.headers["cache-control"], "public, max-age=300");
    let file = include_str!("../../../functions/stats/openapi.json");
    assert_eq!(response.body, file);
    let description: Value = serde_json::from_str(file).unwrap();
    assert_eq!(description["openapi"], "3.1.1");
    assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn token_on_route_without_authorizer_grants_nothing() {
    let world = World::new().await;
    let admin = world.login("ada", "sessions:admin").await;
    world.open("ann", "s", NOW).await;
    let expired = world.token("ann", "s", "sessions:admin");
    for path in [PAGE, DESCRIPTION] {
        let open = answer(&world, request(Method::GET, path, None)).await.body;
        for token in ["nonsense", &admin, &expired] {
            let response = answer(&world, request(Method::GET, path, Some(token))).await;
            assert_eq!((response.status.as_u16(), &response.body), (200, &open));
        }
    }
    let row = world.session("ann", "s").await.unwrap();
    assert_eq!(
        row["is_active"].as_bool(),
        Ok(&true),
        "no function was invoked"
    );
    // The functions themselves reject requests without an authorizer's context.
    for (function, name) in [
        (FunctionName::Stats, "stats"),
        (FunctionName::ForceCleanup, "cleanup"),
    ] {
        let mut event = event(function, name);
        event["requestContext"]["authorizer"] = Value::Null;
        let answer = world.functions.invoke(function, &event, at(NOW)).await;
        assert_eq!(answer.unwrap()["statusCode"], 403);
    }
}

fn request(method: Method, path: &str, token: Option<&str>) -> ApiRequest {
    let header = token.map(|token| {
        let value = format!("Bearer {token}").parse();
        (AUTHORIZATION, value.unwrap())
    });
    ApiRequest {
        method,
        uri: path.parse().unwrap(),
        headers: header.into_iter().collect(),
        body: None,
    }
}

async fn answer(world: &World, request: ApiRequest) -> ApiResponse {
    world.gateway.serve_at(&request, at(NOW)).await
}

#[tokio::test]
async fn cors_allows_configured_origin_and_none_by_default() {
    for origin in ["", "https://admin.example.com"] {
        let world = World::with([("CORS_ORIGIN", origin)]).await;
        for (function, event_name) in [
            (FunctionName::Stats, "stats"),
            (FunctionName::ForceCleanup, "dry-run"),
        ] {
            for (scope, status) in [("sessions:admin", 200), ("", 403)] {
                let mut event = event(function, event_name);
                event["requestContext"]["authorizer"]["scope"] = scope.into();
                let answer = world.functions.invoke(function, &event, at(NOW)).await;
                let answer = answer.unwrap();
                assert_eq!(answer["statusCode"], status);
                let headers = &answer["multiValueHeaders"];
                let allowed = &headers["access-control-allow-origin"];
                let expected = match origin {
                    "" => json!(null),
                    origin => json!([origin]),
                };
                assert_eq!(allowed, &expected, "{headers}");
            }
        }
    }
}
