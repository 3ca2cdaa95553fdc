//! The monitoring API through gateway and authorizer: statistics, reports, the cleanup by hand.

use axum::http::{HeaderMap, Method};
use serde_json::{Value, json};
use session_cleanup_tests::{
    CLEANUP, CLEANUPS, DAY, HOUR, NOW, STATS, World, active_session, counts, inactive_session, only,
};

#[tokio::test]
async fn the_statistics_count_the_sessions() {
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
    let (status, body) = world.call(Method::GET, STATS, Some(&reader)).await;
    assert_eq!(status, 200);
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
                "oldest_expired_age_seconds": 500,
                "last_cleanup": null,
            },
        })
    );
}

#[tokio::test]
async fn an_empty_table_needs_no_cleanup() {
    let world = World::new().await;
    let reader = world.login("rob", "sessions:read").await;
    let (_, body) = world.call(Method::GET, STATS, Some(&reader)).await;
    let data = &body["data"];
    assert_eq!(data["expired_sessions"], 0);
    assert_eq!(data["cleanup_needed"], false);
    assert_eq!(data["oldest_expired_age_seconds"], Value::Null);
}

#[tokio::test]
async fn the_last_cleanup_is_the_newest_that_was_not_dry() {
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

#[tokio::test]
async fn the_cleanup_sweeps_at_once_and_reports_who_asked() {
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
        "nothing is written but the report"
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
async fn each_call_needs_its_scope() {
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
async fn a_refusal_is_a_401_with_its_reason() {
    let world = World::new().await;
    world.open("ann", "expired", NOW).await;
    let expired = world.token("ann", "expired", "sessions:admin");
    for (token, error) in [
        (None, "Missing bearer token"),
        (Some("nonsense"), "Invalid token"),
        (Some(expired.as_str()), "Session expired"),
        (Some(expired.as_str()), "Session inactive"),
    ] {
        let (status, body) = world.call(Method::GET, STATS, token).await;
        assert_eq!((status, body), (401, json!({ "error": error })));
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
async fn what_is_not_there_is_not_found() {
    let world = World::new().await;
    let admin = world.login("ada", "sessions:admin").await;
    for (method, path) in [
        (Method::GET, CLEANUP),
        (Method::POST, STATS),
        (Method::DELETE, STATS),
        (Method::GET, "/"),
        (Method::GET, "/api/v1/monitoring/sessions/stats/more"),
    ] {
        let (status, body) = world.call(method.clone(), path, Some(&admin)).await;
        assert_eq!(
            (status, body),
            (404, json!({ "error": "Not found" })),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn a_wrong_query_is_a_400_that_says_what_is_wrong() {
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
            // "USER#ann": a cursor leads to reports and nowhere else.
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
    assert_eq!(row["is_active"].as_bool(), Ok(&true), "nothing was done");
}

#[tokio::test]
async fn the_reports_come_newest_first_and_page_by_page() {
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
        "and the last page says that it is the last"
    );
}

#[tokio::test]
async fn answers_are_json_and_not_to_be_kept() {
    let world = World::new().await;
    let reader = world.login("rob", "sessions:read").await;
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("bearer {reader}").parse().unwrap());
    let request = session_cleanup_local::gateway::ApiRequest {
        method: Method::GET,
        uri: STATS.parse().unwrap(),
        headers,
        body: None,
    };
    let response = world
        .gateway
        .serve_at(&request, session_cleanup_tests::at(NOW))
        .await;
    assert_eq!(response.status, 200);
    assert_eq!(response.headers["content-type"], "application/json");
    assert_eq!(response.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn browsers_of_the_one_origin_may_read_every_answer_and_others_none() {
    const ORIGIN: &str = "https://admin.example.com";
    for (world, expected) in [
        (World::new().await, None),
        (World::with([("CORS_ORIGIN", ORIGIN)]).await, Some(ORIGIN)),
    ] {
        let reader = world.login("rob", "sessions:read").await;
        for (method, path, status) in [
            (Method::GET, STATS, 200),
            (Method::GET, CLEANUPS, 200),
            // A reader may not.
            (Method::POST, CLEANUP, 403),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("authorization", format!("Bearer {reader}").parse().unwrap());
            let request = session_cleanup_local::gateway::ApiRequest {
                method,
                uri: path.parse().unwrap(),
                headers,
                body: None,
            };
            let response = world
                .gateway
                .serve_at(&request, session_cleanup_tests::at(NOW))
                .await;
            assert_eq!(response.status, status, "{path}");
            let origin = response.headers.get("access-control-allow-origin");
            assert_eq!(origin.map(|it| it.to_str().unwrap()), expected, "{path}");
        }
    }
}
