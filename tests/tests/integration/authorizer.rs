//! The authorizer: which requests it allows, and the errors of the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::{HeaderMap, Method};
use futures_util::future::join_all;
use serde_json::json;
use session_cleanup_local::template::FunctionName;
use session_cleanup_local::tokens::Bearer;
use session_cleanup_tests::authorizing::{METHOD, STAGE, authorize, denial, rest_request, sign};
use session_cleanup_tests::database::needs_embedded;
use session_cleanup_tests::fault_proxy::{Fault, NO_TIMEOUT};
use session_cleanup_tests::{DAY, HOUR, NOW, STATS, World, active_session, at, number, text};

#[tokio::test]
async fn allows_live_session_with_its_context() {
    let world = World::new().await;
    let token = world.login("ann", "sessions:read orders:write").await;
    let policy = authorize(&world, &rest_request(&token)).await;
    assert_eq!(
        policy,
        json!({
            "principalId": "ann",
            "policyDocument": {
                "Version": "2012-10-17",
                "Statement": [{
                    "Effect": "Allow",
                    "Action": ["execute-api:Invoke"],
                    "Resource": [STAGE],
                }],
            },
            "context": {
                "user_id": "ann",
                "session_id": "login",
                "scope": "sessions:read orders:write",
            },
            "usageIdentifierKey": null,
        })
    );
}

#[tokio::test]
async fn answers_each_kind_of_event_in_its_format() {
    let world = World::new().await;
    let good = format!("Bearer {}", world.login("ann", "").await);
    for (header, let_in) in [(good.as_str(), true), ("Bearer nonsense", false)] {
        let token_event = json!({
            "type": "TOKEN", "methodArn": METHOD, "authorizationToken": header,
        });
        let http_1 = json!({
            "version": "1.0", "type": "REQUEST", "methodArn": METHOD,
            "identitySource": header, "authorizationToken": header,
            "headers": { "authorization": header },
        });
        for event in [token_event, http_1] {
            let policy = authorize(&world, &event).await;
            assert_eq!(denial(&policy).is_none(), let_in, "{event}");
            assert_eq!(
                policy["policyDocument"]["Statement"][0]["Resource"],
                json!([STAGE])
            );
        }
        let http_2 = json!({
            "version": "2.0", "type": "REQUEST",
            "routeArn": METHOD, "identitySource": [header],
            "headers": { "authorization": header },
        });
        let context = if let_in {
            json!({ "user_id": "ann", "session_id": "login", "scope": "" })
        } else {
            json!({ "error": "Invalid token" })
        };
        let answer = authorize(&world, &http_2).await;
        assert_eq!(
            answer,
            json!({ "isAuthorized": let_in, "context": context })
        );
    }
}

#[tokio::test]
async fn rejects_event_of_no_gateway() {
    let world = World::new().await;
    for event in [
        json!({}),
        json!({ "type": "TOKEN", "methodArn": "orders" }),
        json!("x"),
    ] {
        let answer = world
            .functions
            .invoke(FunctionName::Authorizer, &event, at(NOW))
            .await;
        assert!(answer.is_err(), "{event}: {answer:?}");
    }
}

#[tokio::test]
async fn error_does_not_repeat_malformed_event() {
    let world = World::new().await;
    for event in [
        json!("Bearer abc.def.ghi"),
        json!(["2.0", METHOD, "Bearer abc.def.ghi"]),
        json!({ "methodArn": METHOD, "headers": "Bearer abc.def.ghi" }),
        json!({ "methodArn": METHOD, "headers": { "Authorization": { "Bearer abc.def.ghi": 1 } } }),
        json!({ "methodArn": METHOD, "authorizationToken": ["Bearer abc.def.ghi"] }),
    ] {
        let answer = world
            .functions
            .invoke(FunctionName::Authorizer, &event, at(NOW))
            .await;
        let error = answer.unwrap_err().to_string();
        assert_eq!(
            error,
            "not an authorizer event of API Gateway: it has another shape"
        );
    }
}

/// HTTP APIs with payload format 1.0 join the identity sources in `authorizationToken`.
#[tokio::test]
async fn uses_header_instead_of_joined_identity_sources() {
    let world = World::new().await;
    let header = format!("Bearer {}", world.login("ann", "").await);
    let event = json!({
        "version": "1.0", "type": "REQUEST", "methodArn": METHOD,
        "identitySource": format!("{header},192.0.2.7"),
        "authorizationToken": format!("{header},192.0.2.7"),
        "headers": { "Authorization": header },
    });
    assert_eq!(denial(&authorize(&world, &event).await), None);
}

#[tokio::test]
async fn denies_missing_malformed_or_repeated_header() {
    let world = World::new().await;
    let good = format!("Bearer {}", world.login("ann", "").await);
    for headers in [
        json!(null),
        json!({}),
        json!({ "Authorization": "" }),
        json!({ "Authorization": null }),
        json!({ "Authorization": "Bearer" }),
        json!({ "Authorization": "Basic YW5uOmFubg==" }),
        json!({ "Authorization": format!("{good} more") }),
        json!({ "Authorization": good, "authorization": good }),
        json!({ "Authorization": [good, good] }),
    ] {
        let event = json!({ "type": "REQUEST", "methodArn": METHOD, "headers": headers });
        let policy = authorize(&world, &event).await;
        assert_eq!(denial(&policy), Some("Missing bearer token"), "{headers}");
    }
    let event = json!({
        "type": "REQUEST", "methodArn": METHOD,
        "headers": { "Authorization": good },
        "multiValueHeaders": { "Authorization": [good, "Bearer other"] },
    });
    assert_eq!(
        denial(&authorize(&world, &event).await),
        Some("Missing bearer token")
    );
}

/// The state of session, blacklist and token, and the expected error.
#[tokio::test]
async fn denies_with_first_reason_in_order() {
    let world = World::new().await;
    world.open("ann", "live", NOW + 1).await;
    world.open("ann", "expired", NOW).await;
    world.blacklist("ann", "revoked", NOW + HOUR).await;
    world
        .put(session_cleanup_tests::inactive_session(
            "ann",
            "inactive",
            NOW - 5,
        ))
        .await;
    for (session, expected) in [
        ("live", None),
        ("none", Some("Session not found")),
        ("inactive", Some("Session inactive")),
        ("expired", Some("Session expired")),
    ] {
        for token_expired in [true, false] {
            let expires_at = at(if token_expired { NOW } else { NOW + 1 });
            let bearer = Bearer {
                user: "ann",
                session,
                scope: "",
                expires_at,
            };
            let token = world.tokens.sign(bearer);
            if session == "expired" {
                // The authorizer deactivates the session each time, so it is stored again.
                world
                    .put(session_cleanup_tests::active_session("ann", "expired", NOW))
                    .await;
            }
            let policy = authorize(&world, &rest_request(&token)).await;
            let expected = expected.or(token_expired.then_some("Token expired"));
            assert_eq!(
                denial(&policy),
                expected,
                "{session}, token expired: {token_expired}"
            );

            let revoked = json!({
                "sub": "ann", "sid": session, "jti": "revoked", "scope": "",
                "exp": expires_at.timestamp(),
            });
            let policy = authorize(&world, &rest_request(&sign(&world, revoked))).await;
            assert_eq!(denial(&policy), Some("Token revoked"), "{session}");
        }
    }
}

#[tokio::test]
async fn blacklist_entry_applies_only_to_its_user() {
    let world = World::new().await;
    world.open("ann", "s", NOW + HOUR).await;
    world.blacklist("bob", "j", NOW + HOUR).await;
    let token = sign(
        &world,
        json!({ "sub": "ann", "sid": "s", "jti": "j", "exp": NOW + 1 }),
    );
    assert_eq!(
        denial(&authorize(&world, &rest_request(&token)).await),
        None
    );
}

#[tokio::test]
async fn session_allows_only_its_own_user() {
    let world = World::new().await;
    world.open("ann", "s", NOW + HOUR).await;
    for (user, session) in [
        ("bob", "s"),
        ("ann#SESSION", "s"),
        ("a", "s"),
        ("ann", "s#"),
    ] {
        let policy = authorize(&world, &rest_request(&world.token(user, session, ""))).await;
        assert_eq!(
            denial(&policy),
            Some("Session not found"),
            "{user} {session}"
        );
    }
}

#[tokio::test]
async fn deactivates_expired_session_even_if_token_has_expired() {
    let world = World::new().await;
    for (session, token_end) in [("one", NOW + HOUR), ("two", NOW - HOUR)] {
        let mut item = session_cleanup_tests::active_session("ann", session, NOW - 5);
        item["favourite_colour"] = json!({ "S": "green" });
        world.put(item).await;
        let bearer = Bearer {
            user: "ann",
            session,
            scope: "",
            expires_at: at(token_end),
        };
        let policy = authorize(&world, &rest_request(&world.tokens.sign(bearer))).await;
        assert_eq!(denial(&policy), Some("Session expired"));

        let row = world.session("ann", session).await.unwrap();
        assert_eq!(row["is_active"].as_bool(), Ok(&false));
        assert_eq!(number(&row, "deactivated_at"), NOW);
        assert_eq!(text(&row, "deactivation_reason"), "expired_on_validation");
        assert_eq!(
            text(&row, "due_key"),
            "delete#07",
            "a record keeps its shard"
        );
        assert_eq!(number(&row, "due_at"), NOW + 30 * DAY);
        assert_eq!(number(&row, "ttl"), NOW + 30 * DAY);
        assert_eq!(number(&row, "expires_at"), NOW - 5);
        assert_eq!(
            text(&row, "favourite_colour"),
            "green",
            "foreign attributes stay"
        );
    }
}

/// Of all requests that read an active session, only one can have written, as the table's responses
/// show.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_validations_deactivate_expired_session_once() {
    const VALIDATIONS: usize = 64;
    let (world, faults) = World::with_faults(NO_TIMEOUT, [], |_| Fault::None).await;
    let world = Arc::new(world);
    world.open("ann", "s", NOW - 1).await;
    let event = rest_request(&world.token("ann", "s", ""));
    let calls = (0..VALIDATIONS).map(|_| {
        let (world, event) = (Arc::clone(&world), event.clone());
        tokio::spawn(async move { authorize(&world, &event).await })
    });
    let answers: Vec<_> = join_all(calls).await;
    let denials = answers
        .iter()
        .map(|answer| denial(answer.as_ref().unwrap()));
    let mut counts = BTreeMap::<_, usize>::new();
    for denial in denials {
        *counts.entry(denial.expect("a denied request")).or_default() += 1;
    }
    let met_active = counts.remove("Session expired").unwrap_or_default();
    let met_inactive = counts.remove("Session inactive").unwrap_or_default();
    assert!(counts.is_empty(), "{counts:?}");
    assert_eq!(met_active + met_inactive, VALIDATIONS);
    assert!(met_active > 0);
    // Each request that read an active session has tried to write.
    assert_eq!(faults.requests()["BatchExecuteStatement"], met_active);
    assert_eq!(faults.writes(), 1);
    let row = world.session("ann", "s").await.unwrap();
    assert_eq!(number(&row, "deactivated_at"), NOW);
    assert_eq!(text(&row, "deactivation_reason"), "expired_on_validation");
}

#[tokio::test]
async fn allowed_request_costs_one_consistent_read_and_no_write() {
    let (world, faults) = World::with_faults(NO_TIMEOUT, [], |_| Fault::None).await;
    let token = world.login("ann", "").await;
    let before = world.records().await;
    assert_eq!(
        denial(&authorize(&world, &rest_request(&token)).await),
        None
    );
    let record = faults.record();
    assert_eq!(record.len(), 1, "{record:?}");
    assert_eq!(record[0].request.operation, "BatchGetItem");
    let tables = record[0].request.body["RequestItems"].as_object().unwrap();
    assert_eq!(tables.len(), 1);
    assert_eq!(tables[world.table_name()]["ConsistentRead"], true);
    let keys = tables[world.table_name()]["Keys"].as_array().unwrap();
    let key = |place: usize, name: &str| keys[place][name]["S"].as_str().unwrap();
    assert_eq!(keys.len(), 2);
    assert_eq!([key(0, "pk"), key(1, "pk")], ["USER#ann"; 2]);
    assert_eq!(key(0, "sk"), "SESSION#login");
    assert!(key(1, "sk").starts_with("BLACKLIST#"));
    assert_eq!(faults.writes(), 0);
    assert_eq!(world.records().await, before);
}

#[tokio::test]
async fn request_without_valid_token_costs_no_read() {
    let (world, faults) = World::with_faults(NO_TIMEOUT, [], |_| Fault::None).await;
    let tampered = format!("{}A", world.login("ann", "").await);
    for token in ["", "nonsense", &tampered] {
        let policy = authorize(&world, &rest_request(token)).await;
        assert!(denial(&policy).is_some(), "{token}");
    }
    assert!(faults.requests().is_empty());
}

#[tokio::test]
async fn returns_error_for_malformed_session() {
    let world = World::new().await;
    for (session, name, value) in [
        ("a", "is_active", json!({ "S": "true" })),
        ("b", "expires_at", json!({ "S": "tomorrow" })),
        (
            "c",
            "expires_at",
            json!({ "N": ((NOW + HOUR) * 1000).to_string() }),
        ),
    ] {
        let mut item = session_cleanup_tests::active_session("ann", session, NOW + HOUR);
        item[name] = value;
        world.put(item).await;
        let event = rest_request(&world.token("ann", session, ""));
        let answer = world
            .functions
            .invoke(FunctionName::Authorizer, &event, at(NOW))
            .await;
        assert!(answer.is_err(), "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn denies_inactive_session_with_incomplete_record() {
    let world = World::new().await;
    world
        .put(json!({
            "pk": { "S": "USER#ann" }, "sk": { "S": "SESSION#s" }, "is_active": { "BOOL": false },
        }))
        .await;
    let policy = authorize(&world, &rest_request(&world.token("ann", "s", ""))).await;
    assert_eq!(denial(&policy), Some("Session inactive"));
}

#[tokio::test]
async fn denies_revoked_token_even_if_session_is_malformed() {
    let world = World::new().await;
    let mut item = active_session("ann", "s", NOW + HOUR);
    item["is_active"] = json!({ "S": "true" });
    world.put(item).await;
    world.blacklist("ann", "j", NOW + HOUR).await;
    let token = sign(
        &world,
        json!({ "sub": "ann", "sid": "s", "jti": "j", "exp": NOW + 1 }),
    );
    assert_eq!(
        denial(&authorize(&world, &rest_request(&token)).await),
        Some("Token revoked")
    );
}

#[tokio::test]
async fn returns_500_if_table_is_unreachable() {
    if needs_embedded("returns_500_if_table_is_unreachable", "stops the database") {
        return;
    }
    let world = World::new().await;
    let token = world.login("ann", "sessions:read").await;
    let World {
        dynamodb, gateway, ..
    } = world;
    dynamodb.stop().await;
    let mut headers = HeaderMap::new();
    headers.insert(
        "authorization",
        format!("Bearer {token}").try_into().unwrap(),
    );
    let request = session_cleanup_local::gateway::ApiRequest {
        method: Method::GET,
        uri: STATS.parse().unwrap(),
        headers,
        body: None,
    };
    let response = gateway.serve_at(&request, at(NOW)).await;
    assert_eq!(response.status, 500);
    assert_eq!(response.body, r#"{"error":"Internal server error"}"#);
}
