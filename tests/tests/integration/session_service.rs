//! The session service through gateway and authorizer: lists of sessions, and revocations.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use axum::http::Method;
use serde_json::{Value, json};
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::fault_proxy::{Fault, NO_TIMEOUT, NO_TIMEOUT_NO_RETRY};
use session_cleanup_tests::{
    DAY, HOUR, NOW, World, active_session, at, events, inactive_session, number, session_id, text,
    user_id,
};
use session_domain::{SessionId, Timestamp};
use session_lifecycle::NewSession;

const OWN: &str = "/api/v1/sessions";
const REVOKE_OWN: &str = "/api/v1/sessions/revoke";

/// Path of the sessions of a user.
fn of(user: &str) -> String {
    format!("/api/v1/monitoring/users/{user}/sessions")
}

fn in_an_hour() -> Timestamp {
    Timestamp::from_seconds(NOW + HOUR)
}

/// The IDs in a page.
fn ids(body: &Value) -> Vec<&str> {
    let sessions = body["data"]["sessions"].as_array().expect("sessions");
    sessions
        .iter()
        .map(|it| it["session_id"].as_str().unwrap())
        .collect()
}

/// Stores an active session that was created at `created_at`.
async fn put(world: &World, user: &str, session: &str, created_at: i64, expires_at: i64) {
    let mut item = active_session(user, session, expires_at);
    item["created_at"] = json!({ "N": created_at.to_string() });
    world.put(item).await;
}

#[tokio::test]
async fn user_lists_own_sessions_with_any_token() {
    let world = World::new().await;
    let new = NewSession::new(user_id("ann"), session_id("login"), in_an_hour())
        .ip_address("192.0.2.7")
        .user_agent("Mozilla/5.0 (Macintosh)")
        .client_id("web")
        .max_expires_at(Timestamp::from_seconds(NOW + DAY));
    let created_at = Timestamp::from_seconds(NOW - 60);
    let refresh_token = world.sessions.login(new, created_at).await.unwrap();
    let token = world.token("ann", "login", "");
    let (status, body) = world.call(Method::GET, OWN, Some(&token)).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        body,
        json!({ "success": true, "data": { "next": null, "sessions": [{
            "session_id": "login",
            "is_current": true,
            "is_active": true,
            "created_at": "2027-01-15T07:59:00Z",
            "expires_at": "2027-01-15T09:00:00Z",
            "max_expires_at": "2027-01-16T08:00:00Z",
            "last_used_at": null,
            "deactivated_at": null,
            "deactivation_reason": null,
            "ip_address": "192.0.2.7",
            "user_agent": "Mozilla/5.0 (Macintosh)",
            "client_id": "web",
        }] } })
    );
    let hash = refresh_token.unwrap().hash();
    assert!(!body.to_string().contains(hash.as_str()), "{body}");
}

#[tokio::test]
async fn sessions_of_other_users_need_scope() {
    let world = World::new().await;
    world.open("ann", "a", NOW + HOUR).await;
    world.open("ben", "login", NOW + HOUR).await;
    let [plain, reader, admin] = ["profile", "sessions:read", "sessions:admin"]
        .map(|scope| world.token("ben", "login", scope));
    let (list, one, all) = (
        of("ann"),
        format!("{}/a", of("ann")),
        format!("{}/revoke", of("ann")),
    );
    for (method, path, allowed) in [
        (Method::GET, &list, [false, true, true]),
        (Method::DELETE, &one, [false, false, true]),
        (Method::POST, &all, [false, false, true]),
    ] {
        for (token, allowed) in [&plain, &reader, &admin].into_iter().zip(allowed) {
            let (status, body) = world.call(method.clone(), path, Some(token)).await;
            assert_eq!(
                status,
                if allowed { 200 } else { 403 },
                "{method} {path} {body}"
            );
            if !allowed {
                assert_eq!(body, json!({ "error": "Forbidden" }));
            }
        }
        let (status, _) = world.call(method.clone(), path, None).await;
        assert_eq!(status, 401, "{method} {path}");
    }
    let (_, body) = world.call(Method::GET, &of("ben"), Some(&reader)).await;
    assert!(
        body["data"]["sessions"][0].get("is_current").is_none(),
        "{body}"
    );
}

#[tokio::test]
async fn lists_ended_sessions_only_if_asked() {
    let world = World::new().await;
    put(&world, "ann", "login", NOW, NOW + HOUR).await;
    put(&world, "ann", "expired", NOW - DAY, NOW).await;
    world
        .put(inactive_session("ann", "closed", NOW - 2 * DAY))
        .await;
    world.put(active_session("anna", "other", NOW + HOUR)).await;
    let mut malformed = active_session("ann", "malformed", NOW + HOUR);
    malformed["expires_at"] = json!({ "S": "soon" });
    malformed["created_at"] = json!({ "S": "then" });
    world.put(malformed).await;
    let token = world.token("ann", "login", "");
    let (_, live) = world.call(Method::GET, OWN, Some(&token)).await;
    assert_eq!(ids(&live), ["login"]);
    let path = format!("{OWN}?include=inactive");
    let (_, all) = world.call(Method::GET, &path, Some(&token)).await;
    assert_eq!(ids(&all), ["login", "expired", "closed", "malformed"]);
    let sessions = &all["data"]["sessions"];
    // As the cleanup will store it.
    assert_eq!(sessions[1]["is_active"], false);
    assert_eq!(sessions[1]["deactivation_reason"], "expired_by_cleanup");
    assert_eq!(sessions[1]["deactivated_at"], Value::Null);
    assert_eq!(sessions[2]["deactivation_reason"], "logout");
    assert_eq!(sessions[2]["deactivated_at"], "2027-01-13T08:00:00Z");
    assert_eq!(sessions[3]["is_active"], false);
    assert_eq!(sessions[3]["expires_at"], Value::Null);
}

#[tokio::test]
async fn pages_contain_each_session_once() {
    let world = World::new().await;
    for number in 0..25 {
        // Pairs of sessions with the same time.
        put(
            &world,
            "ann",
            &format!("s{number:02}"),
            NOW - number / 2,
            NOW + HOUR,
        )
        .await;
    }
    let token = world.token("ann", "s00", "");
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for page in 0.. {
        let path = format!("{OWN}?limit=7{cursor}");
        let (status, body) = world.call(Method::GET, &path, Some(&token)).await;
        assert_eq!(status, 200, "{body}");
        seen.extend(ids(&body).into_iter().map(str::to_owned));
        // Neither a login nor the end of the page's last session moves the next page.
        put(&world, "ann", &format!("new{page}"), NOW + 1, NOW + HOUR).await;
        if page == 1 {
            let last = format!("{OWN}/{}", seen.last().unwrap());
            world.call(Method::DELETE, &last, Some(&token)).await;
        }
        match body["data"]["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
        assert!(page < 9, "too many pages");
    }
    let expected: Vec<_> = (0..25).map(|number| format!("s{number:02}")).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn last_page_has_no_cursor() {
    let world = World::new().await;
    for session in ["a", "b"] {
        put(&world, "ann", session, NOW, NOW + HOUR).await;
    }
    let token = world.token("ann", "a", "");
    for (limit, has_next) in [(1, true), (2, false), (100, false)] {
        let (_, body) = world
            .call(Method::GET, &format!("{OWN}?limit={limit}"), Some(&token))
            .await;
        assert_eq!(body["data"]["next"].is_string(), has_next, "{limit}");
    }
}

#[tokio::test]
async fn user_closes_other_session_then_current_one() {
    let world = World::new().await;
    for session in ["login", "phone"] {
        world.open("ann", session, NOW + HOUR).await;
    }
    let [token, of_phone] = ["login", "phone"].map(|session| world.token("ann", session, ""));
    let (status, body) = world
        .call(Method::DELETE, &format!("{OWN}/phone"), Some(&token))
        .await;
    assert_eq!(status, 200, "{body}");
    let closed = &body["data"];
    assert_eq!(closed["session_id"], "phone");
    assert_eq!(
        (&closed["is_current"], &closed["is_active"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(closed["deactivation_reason"], "revoked");
    assert_eq!(closed["deactivated_at"], "2027-01-15T08:00:00Z");
    let denied = world.call(Method::GET, OWN, Some(&of_phone)).await;
    assert_eq!(denied, (401, json!({ "error": "Session inactive" })));
    // The record is as the cleanup expects it.
    let record = world.session("ann", "phone").await.unwrap();
    assert_eq!(number(&record, "due_at"), NOW + 30 * DAY);
    assert!(text(&record, "due_key").starts_with("delete#"));
    let (_, body) = world
        .call(Method::DELETE, &format!("{OWN}/login"), Some(&token))
        .await;
    assert_eq!(body["data"]["deactivation_reason"], "logout");
    assert_eq!(body["data"]["is_current"], true);
    let (status, _) = world.call(Method::GET, OWN, Some(&token)).await;
    assert_eq!(status, 401);
}

#[tokio::test]
async fn session_of_other_user_looks_like_missing_one() {
    let world = World::new().await;
    world.open("ben", "phone", NOW + HOUR).await;
    let token = world.login("ann", "sessions:admin").await;
    let long = "x".repeat(257);
    for path in [
        format!("{OWN}/phone"),
        format!("{OWN}/none"),
        format!("{OWN}/{long}"),
        format!("{OWN}/%00"),
        format!("{}/phone", of("cleo")),
        format!("{}/none", of("ben")),
        format!("{}/none", of(&long)),
    ] {
        let answer = world.call(Method::DELETE, &path, Some(&token)).await;
        assert_eq!(
            answer,
            (404, json!({ "error": "Session not found" })),
            "{path}"
        );
    }
    let untouched = world.session("ben", "phone").await.unwrap();
    assert!(untouched["is_active"].as_bool().unwrap());
}

#[tokio::test]
async fn closed_session_stays_as_it_is() {
    let world = World::new().await;
    let token = world.login("ann", "").await;
    world.put(inactive_session("ann", "old", NOW - DAY)).await;
    let before = world.session("ann", "old").await;
    let (status, body) = world
        .call(Method::DELETE, &format!("{OWN}/old"), Some(&token))
        .await;
    assert_eq!(
        (status, &body["data"]["deactivation_reason"]),
        (200, &json!("logout"))
    );
    assert_eq!(world.session("ann", "old").await, before);
    // A session that has expired is closed, and says that it was revoked.
    put(&world, "ann", "expired", NOW - DAY, NOW - 1).await;
    let (_, body) = world
        .call(Method::DELETE, &format!("{OWN}/expired"), Some(&token))
        .await;
    assert_eq!(body["data"]["deactivation_reason"], "revoked");
}

#[tokio::test]
async fn user_revokes_other_sessions_unless_all_are_meant() {
    for (body, revoked) in [
        ("", 2),
        ("{}", 2),
        ("null", 2),
        (r#"{"except_current": true}"#, 2),
        (r#" {"except_current":false} "#, 3),
    ] {
        let world = World::new().await;
        let token = world.login("ann", "").await;
        world.open("ann", "phone", NOW + HOUR).await;
        put(&world, "ann", "expired", NOW - DAY, NOW - 1).await;
        world.put(inactive_session("ann", "old", NOW - DAY)).await;
        world.open("ben", "login", NOW + HOUR).await;
        let answer = world.post(REVOKE_OWN, &token, body).await;
        assert_eq!(
            answer,
            (
                200,
                json!({ "success": true, "data": { "revoked": revoked } })
            ),
            "{body}"
        );
        let (status, _) = world.call(Method::GET, OWN, Some(&token)).await;
        assert_eq!(status, if revoked == 2 { 200 } else { 401 }, "{body}");
        let of_ben = world.token("ben", "login", "");
        assert_eq!(world.call(Method::GET, OWN, Some(&of_ben)).await.0, 200);
    }
}

#[tokio::test]
async fn revocation_with_wrong_body_changes_nothing() {
    let world = World::new().await;
    let token = world.login("ann", "sessions:admin").await;
    world.open("ann", "phone", NOW + HOUR).await;
    let before = world.items().await;
    for body in [
        "no",
        "[]",
        "[false]",
        "true",
        r#"{"except_current": "false"}"#,
        r#"{"except_current": null}"#,
        r#"{"exceptCurrent": false}"#,
        r#"{"except_current": false, "more": true}"#,
        r#"{"except_current": true, "except_current": false}"#,
    ] {
        let (status, answer) = world.post(REVOKE_OWN, &token, body).await;
        assert_eq!(status, 400, "{body} {answer}");
        assert!(
            answer["error"].as_str().unwrap().contains("except_current"),
            "{answer}"
        );
    }
    // The body of the other route has no option.
    let all = format!("{}/revoke", of("ann"));
    let (status, _) = world
        .post(&all, &token, r#"{"except_current": true}"#)
        .await;
    assert_eq!(status, 400);
    assert_eq!(world.items().await, before);
}

#[tokio::test]
async fn administrator_revokes_sessions_of_user() {
    let world = World::new().await;
    let admin = world.login("rob", "sessions:admin").await;
    for session in ["a", "b", "c"] {
        world.open("ann", session, NOW + HOUR).await;
    }
    let (_, body) = world
        .call(Method::DELETE, &format!("{}/b", of("ann")), Some(&admin))
        .await;
    assert_eq!(body["data"]["deactivation_reason"], "revoked");
    let all = format!("{}/revoke", of("ann"));
    let revoked = world.call(Method::POST, &all, Some(&admin)).await;
    assert_eq!(
        revoked,
        (200, json!({ "success": true, "data": { "revoked": 2 } }))
    );
    let again = world.call(Method::POST, &all, Some(&admin)).await;
    assert_eq!(again.1["data"]["revoked"], 0);
    for session in ["a", "b", "c"] {
        let token = world.token("ann", session, "");
        let answer = world.call(Method::GET, OWN, Some(&token)).await;
        assert_eq!(answer, (401, json!({ "error": "Session inactive" })));
    }
    let lines = world.log.about("closed over the API");
    assert_eq!(lines.len(), 2, "{lines:?}");
    for line in lines {
        assert_eq!(
            (&line["user"], &line["requested_by"]),
            (&json!("ann"), &json!("rob")),
            "{line}"
        );
    }
}

#[tokio::test]
async fn ids_in_paths_are_percent_encoded() {
    let world = World::new().await;
    for (id, encoded) in [
        ("auth0|5f7c8ec7", "auth0%7C5f7c8ec7"),
        ("a/b", "a%2Fb"),
        ("a#b?c=d&e", "a%23b%3Fc%3Dd%26e"),
        ("😀 ü", "%F0%9F%98%80%20%C3%BC"),
        ("100%", "100%25"),
        ("%2F", "%252F"),
        ("a+b", "a+b"),
        ("..", "%2E%2E"),
        ("revoke", "revoke"),
        ("sessions", "sessions"),
    ] {
        world.open(id, id, NOW + HOUR).await;
        let admin = world.token(id, id, "sessions:admin");
        let (status, body) = world.call(Method::GET, &of(encoded), Some(&admin)).await;
        assert_eq!((status, ids(&body)), (200, vec![id]), "{encoded} {body}");
        if id != "revoke" {
            // API Gateway has the path …/revoke for another method.
            let path = format!("{}/{encoded}", of(encoded));
            let (status, body) = world.call(Method::DELETE, &path, Some(&admin)).await;
            assert_eq!(
                (status, &body["data"]["session_id"]),
                (200, &json!(id)),
                "{path} {body}"
            );
        }
    }
}

#[tokio::test]
async fn wrong_requests_get_clear_errors() {
    let world = World::new().await;
    let token = world.login("ann", "sessions:admin").await;
    let long = "x".repeat(257);
    for (method, path, status, error) in [
        (Method::GET, format!("{OWN}?limit=0"), 400, "limit must be"),
        (
            Method::GET,
            format!("{OWN}?limit=101"),
            400,
            "limit must be",
        ),
        (Method::GET, format!("{OWN}?limit=x"), 400, "limit must be"),
        (
            Method::GET,
            format!("{OWN}?include=all"),
            400,
            "include must be",
        ),
        (
            Method::GET,
            format!("{OWN}?cursor=x"),
            400,
            "cursor must be",
        ),
        (
            Method::GET,
            format!("{OWN}?includ=inactive"),
            400,
            "\"includ\"",
        ),
        (
            Method::GET,
            format!("{OWN}?limit=1&limit=2"),
            400,
            "given twice",
        ),
        (Method::GET, of(&long), 400, "a user id must be"),
        (
            Method::POST,
            format!("{}/revoke", of(&long)),
            400,
            "a user id must be",
        ),
        (
            Method::POST,
            format!("{REVOKE_OWN}?except_current=false"),
            400,
            "except_current",
        ),
        (
            Method::DELETE,
            format!("{OWN}/login?reason=x"),
            400,
            "reason",
        ),
        (Method::HEAD, OWN.to_owned(), 404, "Not found"),
        (Method::PUT, format!("{OWN}/login"), 404, "Not found"),
        (Method::POST, OWN.to_owned(), 404, "Not found"),
        (Method::GET, REVOKE_OWN.to_owned(), 404, "Not found"),
        (
            Method::GET,
            "/api/v1/monitoring/users//sessions".to_owned(),
            404,
            "Not found",
        ),
    ] {
        let (answered, body) = world.call(method.clone(), &path, Some(&token)).await;
        let sentence = body["error"].as_str().unwrap();
        assert!(
            answered == status && sentence.contains(error),
            "{method} {path}: {answered} {body}"
        );
    }
    let unknown = world.call(Method::GET, &of("nobody"), Some(&token)).await;
    assert_eq!(unknown.1["data"], json!({ "sessions": [], "next": null }));
}

#[tokio::test]
async fn list_of_100_sessions_costs_one_request() {
    let (world, faults) = World::with_faults(NO_TIMEOUT, [], |_| Fault::None).await;
    for number in 0..100 {
        let session = SessionId::random();
        let new = NewSession::new(user_id("ann"), session, Timestamp::from_seconds(NOW + HOUR))
            .ip_address("192.0.2.7");
        let created_at = Timestamp::from_seconds(NOW - number);
        let _ = world.sessions.create(new, created_at).await.unwrap();
    }
    let admin = world.login("rob", "sessions:admin").await;
    let before = faults.usage();
    let path = format!("{}?limit=100", of("ann"));
    let (_, body) = world.call(Method::GET, &path, Some(&admin)).await;
    assert_eq!(ids(&body).len(), 100);
    let query = faults.usage()["Query"];
    assert_eq!(
        query.requests - before.get("Query").map_or(0, |it| it.requests),
        1
    );
    // The function does not ask for the capacity. The same read, which does:
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let same = world
        .client
        .query()
        .table_name(world.table_name())
        .consistent_read(true)
        .key_condition_expression("pk = :user AND begins_with(sk, :session)")
        .expression_attribute_values(":user", text("USER#ann"))
        .expression_attribute_values(":session", text("SESSION#"))
        .return_consumed_capacity(ReturnConsumedCapacity::Total)
        .send()
        .await
        .unwrap();
    let units = same.consumed_capacity.and_then(|it| it.capacity_units);
    assert!(
        units.is_some_and(|units| 1.0 < units && units <= 8.0),
        "{units:?}"
    );
}

#[tokio::test]
async fn unavailable_table_is_server_error() {
    let (world, _faults) = World::with_faults(NO_TIMEOUT_NO_RETRY, [], |request| {
        // The authorizer uses another operation.
        if matches!(request.operation.as_str(), "Query" | "GetItem") {
            return Fault::Error {
                status: 500,
                code: "InternalServerError",
            };
        }
        Fault::None
    })
    .await;
    let admin = world.login("rob", "sessions:admin").await;
    for (method, path) in [
        (Method::GET, OWN.to_owned()),
        (Method::DELETE, format!("{OWN}/login")),
        (Method::POST, REVOKE_OWN.to_owned()),
        (Method::POST, format!("{}/revoke", of("ann"))),
    ] {
        let answer = world.call(method, &path, Some(&admin)).await;
        assert_eq!(
            answer,
            (500, json!({ "error": "Internal server error" })),
            "{path}"
        );
    }
}

#[tokio::test]
async fn accepts_events_of_http_api() {
    let world = World::new().await;
    for session in ["login", "100%"] {
        world.open("ann", session, NOW + HOUR).await;
    }
    let event = |method: &str, path: &str| {
        json!({
            "version": "2.0",
            "routeKey": format!("{method} /account{path}"),
            "rawPath": format!("/account{path}"),
            "rawQueryString": "",
            "headers": { "host": "api.example.com" },
            "requestContext": {
                "accountId": "123456789012",
                "apiId": "fedcba4321",
                "authorizer": {
                    "lambda": { "user_id": "ann", "session_id": "login", "scope": "" },
                },
                "domainName": "api.example.com",
                "http": {
                    "method": method,
                    "path": format!("/account{path}"),
                    "protocol": "HTTP/1.1",
                    "sourceIp": "192.0.2.44",
                    "userAgent": "curl/8.18.0",
                },
                "requestId": "JKJaXmPLvHcESHA=",
                "routeKey": format!("{method} /account{path}"),
                "stage": "$default",
                "time": "15/Jan/2027:08:00:00 +0000",
                "timeEpoch": 1_800_000_000_000_i64,
            },
            "isBase64Encoded": false,
        })
    };
    let call = async |method, path| {
        let sessions = FunctionName::Sessions;
        let answer = world
            .functions
            .invoke(sessions, &event(method, path), at(NOW))
            .await
            .unwrap();
        serde_json::from_str::<Value>(answer["body"].as_str().unwrap()).unwrap()
    };
    assert_eq!(ids(&call("GET", "/sessions").await), ["100%", "login"]);
    // An HTTP API has decoded the path.
    let closed = call("DELETE", "/sessions/100%").await;
    assert_eq!(closed["data"]["deactivation_reason"], "revoked", "{closed}");
    let closed = call("DELETE", "/sessions/login").await;
    assert_eq!(closed["data"]["deactivation_reason"], "logout", "{closed}");
}

#[tokio::test]
async fn request_without_authorizer_is_forbidden() {
    let world = World::new().await;
    for name in events::names(FunctionName::Sessions) {
        let mut event = events::event(FunctionName::Sessions, &name);
        for context in [
            json!(null),
            json!({}),
            json!({ "user_id": "ann", "scope": "" }),
        ] {
            event["requestContext"]["authorizer"] = context;
            let answer = world
                .functions
                .invoke(FunctionName::Sessions, &event, at(NOW))
                .await;
            assert_eq!(answer.unwrap()["statusCode"], 403, "{name}");
        }
    }
}

#[tokio::test]
async fn long_texts_of_other_writers_are_cut_off() {
    let world = World::new().await;
    for session in 0..20 {
        let mut item = active_session("ann", &session.to_string(), NOW + HOUR);
        item["user_agent"] = json!({ "S": "ü".repeat(100_000) });
        world.put(item).await;
    }
    let token = world.token("ann", "0", "");
    let (_, body) = world.call(Method::GET, OWN, Some(&token)).await;
    assert_eq!(ids(&body).len(), 20);
    for session in body["data"]["sessions"].as_array().unwrap() {
        assert_eq!(session["user_agent"], "ü".repeat(1_000));
    }
}
