//! Sessions that the authorizer opens at their first use.

use futures_util::future::join_all;
use serde_json::{Value, json};
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::authorizing::{authorize, authorize_at, denial, rest_request, sign};
use session_cleanup_tests::fault_proxy::{Fault, NO_TIMEOUT};
use session_cleanup_tests::identity_providers::providers;
use session_cleanup_tests::key_server::KeyServer;
use session_cleanup_tests::{DAY, HOUR, NOW, World, at, inactive_session, item_from, number};

/// The variables of an authorizer that opens sessions, which end 12 hours after the authentication.
const OPENS: [(&str, &str); 2] = [
    ("OPEN_SESSIONS", "on_first_use"),
    ("SESSION_MAX_HOURS", "12"),
];

const MAX: i64 = 12 * HOUR;

/// Signs a token of the session `s` of `ann`, with more claims.
fn token(world: &World, more: &Value) -> String {
    let mut claims = json!({ "sub": "ann", "sid": "s", "jti": "j", "exp": NOW + MAX });
    let more = more.as_object().expect("an object").clone();
    claims.as_object_mut().expect("an object").extend(more);
    sign(world, claims)
}

#[tokio::test]
async fn opens_session_with_its_attributes() {
    let world = World::with(OPENS).await;
    let token = token(
        &world,
        &json!({ "auth_time": NOW - HOUR, "client_id": "web" }),
    );
    let policy = authorize(&world, &rest_request(&token)).await;
    assert_eq!(denial(&policy), None);
    let mut opened = world.session("ann", "s").await.expect("a session");
    let due_key = opened.remove("due_key").expect("a due key");
    let due_key = due_key.as_s().expect("a string").to_owned();
    assert!(due_key.starts_with("deactivate#"), "{due_key}");
    let end = NOW - HOUR + MAX;
    let time = |seconds: i64| json!({ "N": seconds.to_string() });
    let expected = json!({
        "pk": { "S": "USER#ann" },
        "sk": { "S": "SESSION#s" },
        "user_id": { "S": "ann" },
        "session_id": { "S": "s" },
        "client_id": { "S": "web" },
        "is_active": { "BOOL": true },
        "created_at": time(NOW),
        "auth_time": time(NOW - HOUR),
        "expires_at": time(end),
        "max_expires_at": time(end),
        "due_at": time(end),
        "ttl": time(end + 30 * DAY),
    });
    assert_eq!(opened, item_from(&expected));
    assert!(
        !world
            .log
            .about("opened a session at its first use")
            .is_empty()
    );
}

/// The providers whose tokens have a time of authentication, with the settings of
/// docs/setup/identity-providers.md and an empty table.
#[tokio::test]
async fn opens_session_of_each_provider_with_time_of_authentication() {
    let mut opened = 0;
    for provider in providers() {
        let server = provider.key_server().await;
        let url = server.as_ref().map(KeyServer::url).unwrap_or_default();
        let settings = provider.variables(&provider.settings, &url);
        let settings = settings.iter().map(|it| (it.0, it.1.as_str()));
        let all: Vec<_> = settings.chain(OPENS).collect();
        let world = World::with::<16>(std::array::from_fn(|index| all[index])).await;
        let policy = authorize(&world, &rest_request(&provider.token())).await;
        let session = world.session(&provider.user, &provider.session).await;
        let name = &provider.name;
        let Some(auth_time) = provider.auth_time else {
            assert_eq!(denial(&policy), Some("Session not found"), "{name}");
            assert_eq!(session, None, "{name}");
            continue;
        };
        assert_eq!(denial(&policy), None, "{name}: {:?}", world.log.lines());
        let session = session.expect("a session");
        let end = number(&session, "max_expires_at");
        assert_eq!(end, auth_time + MAX, "{name}");
        opened += 1;
    }
    assert!(opened >= 9, "{opened} providers");
}

#[tokio::test]
async fn idle_time_limits_expiry_of_opened_session() {
    let [open, max] = OPENS;
    let world = World::with([open, max, ("SESSION_IDLE_MINUTES", "30")]).await;
    let token = token(&world, &json!({ "auth_time": NOW }));
    assert_eq!(
        denial(&authorize(&world, &rest_request(&token)).await),
        None
    );
    let opened = world.session("ann", "s").await.expect("a session");
    assert_eq!(number(&opened, "expires_at"), NOW + 30 * 60);
    assert_eq!(number(&opened, "max_expires_at"), NOW + MAX);
    // The request that opens a session counts as its first use.
    let window = 3 * 60;
    for (later, last_used_at) in [(window - 1, None), (window, Some(NOW + window))] {
        authorize_at(&world, &rest_request(&token), NOW + later).await;
        let session = world.session("ann", "s").await.expect("a session");
        let used = session.contains_key("last_used_at");
        let used = used.then(|| number(&session, "last_used_at"));
        assert_eq!(used, last_used_at, "after {later} s");
    }
}

/// The settings of the authorizer, the claims of a token, the error, and the reason in the log.
type Denied = (bool, Value, &'static str, &'static str);

#[tokio::test]
async fn tokens_that_open_no_session_are_denied() {
    let not_found = "Session not found";
    let table: [Denied; 7] = [
        (
            false,
            json!({ "auth_time": NOW }),
            not_found,
            "Session not found",
        ),
        (
            true,
            json!({}),
            not_found,
            "no valid time of authentication",
        ),
        (
            true,
            json!({ "auth_time": "now" }),
            not_found,
            "no valid time of authentication",
        ),
        (
            true,
            json!({ "auth_time": NOW * 1_000 }),
            not_found,
            "no valid time of authentication",
        ),
        (
            true,
            json!({ "auth_time": NOW + HOUR }),
            not_found,
            "in the future",
        ),
        (
            true,
            json!({ "auth_time": NOW - MAX }),
            not_found,
            "too long ago",
        ),
        (
            true,
            json!({ "auth_time": NOW, "exp": NOW }),
            not_found,
            "Session not found",
        ),
    ];
    for (opens, claims, error, why) in table {
        let world = if opens {
            World::with(OPENS).await
        } else {
            World::new().await
        };
        let token = token(&world, &claims);
        let policy = authorize(&world, &rest_request(&token)).await;
        assert_eq!(denial(&policy), Some(error), "{claims}");
        assert!(!world.log.about(why).is_empty(), "{claims}");
        assert_eq!(world.items().await, [], "{claims}");
    }
}

#[tokio::test]
async fn log_names_claim_and_setting_if_session_is_not_opened() {
    for (claims, setting) in [
        (json!({}), "JWT_AUTH_TIME_CLAIM"),
        (json!({ "auth_time": NOW - MAX }), "SESSION_MAX_HOURS"),
    ] {
        let world = World::with(OPENS).await;
        let token = token(&world, &claims);
        authorize(&world, &rest_request(&token)).await;
        assert!(!world.log.about(setting).is_empty(), "{setting}");
        assert!(!world.log.about("auth_time").is_empty(), "{setting}");
    }
}

#[tokio::test]
async fn inactive_session_and_blacklisted_token_open_nothing() {
    let world = World::with(OPENS).await;
    world.put(inactive_session("ann", "s", NOW - 1)).await;
    let request = rest_request(&token(&world, &json!({ "auth_time": NOW })));
    let policy = authorize(&world, &request).await;
    assert_eq!(denial(&policy), Some("Session inactive"));

    let world = World::with(OPENS).await;
    world.blacklist("ann", "j", NOW + MAX).await;
    let request = rest_request(&token(&world, &json!({ "auth_time": NOW })));
    let policy = authorize(&world, &request).await;
    assert_eq!(denial(&policy), Some("Token revoked"));
    assert_eq!(world.session("ann", "s").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thousand_first_requests_open_one_session() {
    let (world, faults) = World::with_faults(NO_TIMEOUT, OPENS, |_| Fault::None).await;
    let request = rest_request(&token(&world, &json!({ "auth_time": NOW })));
    let requests = (0..1_000).map(|_| authorize(&world, &request));
    for policy in join_all(requests).await {
        assert_eq!(denial(&policy), None, "{policy}");
    }
    assert_eq!(world.items().await.len(), 1);
    assert_eq!(faults.writes(), 1, "one put took place");
    let puts = faults.requests()["PutItem"];
    assert!(puts > 1, "the requests raced: {puts} of them tried to open");
}

#[tokio::test]
async fn error_while_opening_is_no_decision() {
    let decide = |request: &session_cleanup_tests::fault_proxy::Request| {
        if request.operation == "PutItem" {
            Fault::BROKEN
        } else {
            Fault::None
        }
    };
    let (world, _faults) = World::with_faults(NO_TIMEOUT, OPENS, decide).await;
    let request = rest_request(&token(&world, &json!({ "auth_time": NOW })));
    let answer = world
        .functions
        .invoke(FunctionName::Authorizer, &request, at(NOW))
        .await;
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(world.items().await, []);
}

#[tokio::test]
async fn lost_response_while_opening_still_allows() {
    let (world, faults) = World::with_faults(NO_TIMEOUT, OPENS, |request| {
        match (request.operation.as_str(), request.number) {
            ("PutItem", 1) => Fault::DroppedAfter,
            _ => Fault::None,
        }
    })
    .await;
    let request = rest_request(&token(&world, &json!({ "auth_time": NOW })));
    assert_eq!(denial(&authorize(&world, &request).await), None);
    assert_eq!(faults.requests()["PutItem"], 2, "the SDK tried again");
    assert_eq!(world.items().await.len(), 1);
}

#[tokio::test]
async fn opened_session_costs_one_request_from_then_on() {
    let (world, faults) = World::with_faults(NO_TIMEOUT, OPENS, |_| Fault::None).await;
    let request = rest_request(&token(&world, &json!({ "auth_time": NOW })));
    authorize(&world, &request).await;
    let before = faults.record().len();
    for later in 1..=5 {
        let policy = authorize_at(&world, &request, NOW + later * HOUR).await;
        assert_eq!(denial(&policy), None);
    }
    assert_eq!(faults.record().len() - before, 5);
    let end = authorize_at(&world, &request, NOW + MAX).await;
    assert_eq!(denial(&end), Some("Session expired"));
}
