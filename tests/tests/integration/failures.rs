//! The authorizer while the table fails. Short failures have no effect. All others are errors: the
//! authorizer neither allows nor denies the request.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::BeforeSerializationInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use futures_util::future::join_all;
use serde_json::{Value, json};
use session_cleanup_local::template::{FunctionName, Template};
use session_cleanup_tests::authorizing::{authorize, denial, rest_request, sign};
use session_cleanup_tests::fault_proxy::{Fault, FaultProxy, NO_TIMEOUT, Request};
use session_cleanup_tests::{
    HOUR, Item, NOW, World, at, counts, inactive_session, only, serve_table, text,
};
use session_functions::authorize::TimeLimits;
use session_lifecycle::aws::CallPolicy;

const READ: &str = "BatchGetItem";
const WRITE: &str = "BatchExecuteStatement";

/// The error of each statement of a batch.
type Errors = fn(usize, &Value) -> Option<&'static str>;

/// A world in which the first requests of an operation have a fault.
async fn failing(
    operation: &'static str,
    first: usize,
    fault: impl Fn() -> Fault + Send + Sync + 'static,
) -> (World, FaultProxy) {
    let decide = move |request: &Request| {
        let meets = request.operation == operation && request.number <= first;
        if meets { fault() } else { Fault::None }
    };
    World::with_faults(NO_TIMEOUT, [], decide).await
}

async fn ask(world: &World, token: &str) -> Result<Value, String> {
    let event = rest_request(token);
    let answer = world
        .functions
        .invoke(FunctionName::Authorizer, &event, at(NOW));
    answer.await.map_err(|error| error.to_string())
}

fn of_reads(reads: usize) -> BTreeMap<String, usize> {
    BTreeMap::from([(READ.to_owned(), reads)])
}

/// One read fails, and the retry succeeds.
async fn is_not_noticed(fault: impl Fn() -> Fault + Send + Sync + 'static) {
    let (world, faults) = failing(READ, 1, fault).await;
    let token = world.login("ann", "").await;
    let policy = authorize(&world, &rest_request(&token)).await;
    assert_eq!(denial(&policy), None);
    assert_eq!(faults.requests(), of_reads(2));
}

/// Each read fails, for each session, after this number of attempts.
async fn is_an_error(fault: impl Fn() -> Fault + Send + Sync + 'static, reads: usize, says: &str) {
    let (world, faults) = failing(READ, usize::MAX, fault).await;
    let before = open_one_of_each(&world).await;
    let sessions = ["live", "none", "inactive", "expired", "revoked"];
    for (session, asked) in sessions.into_iter().zip(1..) {
        let claims = json!({ "sub": "ann", "sid": session, "jti": session, "exp": NOW + HOUR });
        let error = ask(&world, &sign(&world, claims)).await.unwrap_err();
        assert!(error.starts_with(says), "{session}: {error}");
        assert_eq!(faults.requests(), of_reads(asked * reads), "{session}");
    }
    assert_eq!(world.records().await, before, "no record changes");
}

/// Sessions in all states by name. The token "revoked" of the session "revoked" is blacklisted.
async fn open_one_of_each(world: &World) -> Vec<(String, Item)> {
    for (session, expires_at) in [("live", NOW + HOUR), ("expired", NOW), ("revoked", NOW + 1)] {
        world.open("ann", session, expires_at).await;
    }
    let inactive = inactive_session("ann", "inactive", NOW - 5);
    world.put(inactive).await;
    world.blacklist("ann", "revoked", NOW + HOUR).await;
    world.records().await
}

#[tokio::test]
async fn retries_after_single_throttle() {
    is_not_noticed(|| Fault::THROTTLED).await;
}

#[tokio::test]
async fn returns_error_if_table_stays_throttled() {
    is_an_error(|| Fault::THROTTLED, 3, "the table is throttled").await;
}

#[tokio::test]
async fn returns_error_only_if_partition_stays_hot() {
    let hot = || Fault::Error {
        status: 400,
        code: "ProvisionedThroughputExceededException",
    };
    is_not_noticed(hot).await;
    is_an_error(hot, 3, "the table is throttled").await;
}

#[tokio::test]
async fn retries_after_single_500() {
    is_not_noticed(|| Fault::BROKEN).await;
}

#[tokio::test]
async fn returns_error_if_table_keeps_returning_500() {
    is_an_error(|| Fault::BROKEN, 3, "the table cannot be reached").await;
}

#[tokio::test]
async fn retries_after_connection_dropped_before_request() {
    is_not_noticed(|| Fault::DroppedBefore).await;
}

#[tokio::test]
async fn returns_error_if_connection_always_drops_before_request() {
    is_an_error(|| Fault::DroppedBefore, 3, "the table cannot be reached").await;
}

#[tokio::test]
async fn retries_after_connection_dropped_before_response() {
    is_not_noticed(|| Fault::DroppedAfter).await;
}

#[tokio::test]
async fn returns_error_if_connection_always_drops_before_response() {
    is_an_error(|| Fault::DroppedAfter, 3, "the table cannot be reached").await;
}

/// One second per attempt, and as many attempts as a busy machine needs.
const QUICK: CallPolicy = CallPolicy {
    attempt_timeout: Duration::from_secs(1),
    max_attempts: 1_000,
    ..NO_TIMEOUT
};

#[tokio::test]
async fn abandons_slow_attempt_and_retries() {
    let decide = |request: &Request| match request.number {
        1 => Fault::Hang,
        _ => Fault::None,
    };
    let (world, faults) = World::with_faults(QUICK, [], decide).await;
    let token = world.login("ann", "").await;
    let policy = authorize(&world, &rest_request(&token)).await;
    assert_eq!(denial(&policy), None);
    assert!(faults.requests()[READ] > 1);
}

#[tokio::test]
async fn returns_error_if_table_never_responds() {
    let (world, faults) = World::with_faults(CallPolicy::INTERACTIVE, [], |_| Fault::Hang).await;
    let token = world.login("ann", "").await;
    let error = ask(&world, &token).await.unwrap_err();
    assert!(error.starts_with("the table cannot be reached"), "{error}");
    let attempts = CallPolicy::INTERACTIVE.max_attempts as usize;
    assert!(faults.requests().values().sum::<usize>() <= attempts);
}

/// A lookup may need several requests, which share one timeout.
#[tokio::test]
async fn retrying_unprocessed_keys_takes_no_longer_than_one_call() {
    let policy = CallPolicy {
        attempt_timeout: Duration::from_millis(300),
        operation_timeout: Duration::from_millis(300),
        ..NO_TIMEOUT
    };
    let decide = |_: &Request| {
        let unprocessed = Fault::Unprocessed(|_| true);
        Fault::Delayed(Duration::from_millis(200), Box::new(unprocessed))
    };
    let (world, faults) = World::with_faults(policy, [], decide).await;
    let token = world.login("ann", "").await;
    ask(&world, &token).await.unwrap_err();
    // A third request could not start before 550 ms.
    assert!(faults.requests()[READ] <= 2, "{:?}", faults.requests());
}

/// The deadline must leave time for an answer: a function that Lambda ends neither answers nor
/// logs.
#[test]
fn call_timeouts_fit_into_function_and_gateway_timeouts() {
    let template = Template::read().unwrap();
    let time = template.timeouts[&FunctionName::Authorizer];
    let TimeLimits { decision, keys } = TimeLimits::INTERACTIVE;
    assert!(2 * CallPolicy::INTERACTIVE.operation_timeout + Duration::from_millis(500) <= time);
    assert!(2 * CallPolicy::INTERACTIVE.operation_timeout < decision && decision < time);
    assert!(CallPolicy::INTERACTIVE.attempt_timeout < CallPolicy::INTERACTIVE.operation_timeout);
    assert!(CallPolicy::INTERACTIVE.operation_timeout < keys && keys < decision);
    assert!(time < Duration::from_secs(10), "API Gateway's limit");
}

#[tokio::test]
async fn retries_keys_left_unprocessed_once() {
    is_not_noticed(|| Fault::Unprocessed(|_| true)).await;
    is_not_noticed(|| Fault::Unprocessed(|key| key.starts_with("SESSION#"))).await;
    is_not_noticed(|| Fault::Unprocessed(|key| key.starts_with("BLACKLIST#"))).await;
}

#[tokio::test]
async fn returns_error_if_keys_stay_unprocessed() {
    is_an_error(|| Fault::Unprocessed(|_| true), 4, "the table is throttled").await;
}

/// A response with the session does not prove that the token is not revoked.
#[tokio::test]
async fn returns_error_if_blacklist_was_not_read() {
    let fault = || Fault::Unprocessed(|key| key.starts_with("BLACKLIST#"));
    // The first response contains the other record; four more contain nothing.
    is_an_error(fault, 5, "the table is throttled").await;
}

#[tokio::test]
async fn returns_error_if_session_was_not_read() {
    let fault = || Fault::Unprocessed(|key| key.starts_with("SESSION#"));
    is_an_error(fault, 5, "the table is throttled").await;
}

#[tokio::test]
async fn requests_only_unprocessed_keys_again_and_uses_them() {
    let fault = || Fault::Unprocessed(|key| key.starts_with("BLACKLIST#"));
    let (world, faults) = failing(READ, 1, fault).await;
    open_one_of_each(&world).await;
    let claims = json!({ "sub": "ann", "sid": "live", "jti": "revoked", "exp": NOW + HOUR });
    let policy = authorize(&world, &rest_request(&sign(&world, claims))).await;
    assert_eq!(denial(&policy), Some("Token revoked"));
    let again = &faults.record()[1].request.body["RequestItems"]["sessions"];
    assert_eq!(
        again["Keys"],
        json!([{ "pk": { "S": "USER#ann" }, "sk": { "S": "BLACKLIST#revoked" } }])
    );
    assert_eq!(again["ConsistentRead"], true);
}

#[tokio::test]
async fn returns_error_for_invalid_table_response() {
    let json = "application/x-amz-json-1.0";
    let page = "<!DOCTYPE html><html><body>Please log in to this network</body></html>";
    for (status, content_type, body) in [
        (200, "text/html", page),
        (301, "text/html", page),
        (400, "text/html", page),
        (403, "text/html", page),
        (404, "text/html", page),
        (502, "text/html", page),
        (200, "text/plain", ""),
        (200, json, ""),
        (200, json, "null"),
        (200, json, "[]"),
        (200, json, "{}"),
        (200, json, "\u{0}\u{fffd}\u{1b}"),
        (200, json, r#"{"Responses":null}"#),
        (200, json, r#"{"Responses":{}}"#),
        (200, json, r#"{"Responses":{},"UnprocessedKeys":{}}"#),
        (200, json, r#"{"Responses":[]}"#),
        (200, json, r#"{"Responses":{"sessions":{}}}"#),
        (200, json, r#"{"Responses":{"sessions":[{}]}}"#),
        (
            200,
            json,
            r#"{"Responses":{"sessions":[{"pk":{"S":"USER#ann"}}]}}"#,
        ),
        (200, json, r#"{"Responses":{"sessions":["#),
        (400, json, r#"{"__type":"AccessDeniedException"}"#),
        (400, json, r#"{"__type":"ResourceNotFoundException"}"#),
        (400, json, r#"{"__type":"ValidationException"}"#),
        (400, json, "{}"),
    ] {
        let garbage = move || Fault::Answer {
            status,
            content_type,
            body,
        };
        let (world, _faults) = failing(READ, usize::MAX, garbage).await;
        open_one_of_each(&world).await;
        let tokens = ["live", "none", "inactive", "expired"].map(|it| world.token("ann", it, ""));
        for answer in join_all(tokens.iter().map(|token| ask(&world, token))).await {
            assert!(answer.is_err(), "{status} {body}: {answer:?}");
        }
    }
}

/// As by a proxy that mixes up the responses of several clients.
#[tokio::test]
async fn returns_error_for_response_about_other_session_or_token() {
    for body in [
        r#"{"Responses":{"sessions":[{"pk":{"S":"USER#bob"},"sk":{"S":"SESSION#live"},
            "is_active":{"BOOL":true},"expires_at":{"N":"1900000000"}}]}}"#,
        r#"{"Responses":{"sessions":[{"pk":{"S":"USER#ann"},"sk":{"S":"SESSION#other"},
            "is_active":{"BOOL":false},"deactivated_at":{"N":"1800000000"}}]}}"#,
        r#"{"Responses":{"sessions":[{"pk":{"S":"USER#ann"},"sk":{"S":"BLACKLIST#other"},
            "expires_at":{"N":"1900000000"}}]}}"#,
    ] {
        let other = move || Fault::Answer {
            status: 200,
            content_type: "application/x-amz-json-1.0",
            body,
        };
        let (world, _faults) = failing(READ, usize::MAX, other).await;
        let answer = ask(&world, &world.token("ann", "live", "")).await;
        assert!(answer.is_err(), "{body}: {answer:?}");
    }
}

/// Each write fails. The answer is the same, and the cleanup deactivates the session later.
async fn is_left_to_the_cleanup(
    session: &'static str,
    fault: impl Fn() -> Fault + Send + Sync + 'static,
    says: &str,
) {
    let (world, faults) = failing(WRITE, usize::MAX, fault).await;
    world.open("ann", session, NOW - 1).await;
    let event = rest_request(&world.token("ann", session, ""));
    assert_eq!(
        denial(&authorize(&world, &event).await),
        Some("Session expired")
    );
    let log = world.log.about(&format!("USER#ann SESSION#{session}"));
    let messages: Vec<_> = log.iter().map(|line| &line["message"]).collect();
    assert_eq!(messages, [says], "{log:?}");

    let done = faults.writes() > 0;
    let row = world.session("ann", session).await.unwrap();
    assert_eq!(row["is_active"].as_bool(), Ok(&!done));
    faults.end();
    let report = world.clean_up(json!({}), NOW).await;
    let (expected, reason) = if done {
        (only([]), "expired_on_validation")
    } else {
        (only([("sessions_deactivated", 1)]), "expired_by_cleanup")
    };
    assert_eq!(counts(&report), expected, "{report}");
    let row = world.session("ann", session).await.unwrap();
    assert_eq!(row["is_active"].as_bool(), Ok(&false));
    assert_eq!(text(&row, "deactivation_reason"), reason);
}

const FAILED: &str = "could not deactivate an expired session; the cleanup will";
const UNKNOWN: &str =
    "whether an expired session was deactivated is unknown; if not, the cleanup will";
const CHANGED: &str = "an expired session was changed elsewhere";

#[tokio::test]
async fn leaves_throttled_deactivation_to_cleanup() {
    is_left_to_the_cleanup("write-throttled", || Fault::THROTTLED, FAILED).await;
}

#[tokio::test]
async fn leaves_deactivation_after_500_to_cleanup() {
    is_left_to_the_cleanup("write-broken", || Fault::BROKEN, UNKNOWN).await;
}

#[tokio::test]
async fn leaves_deactivation_dropped_before_request_to_cleanup() {
    is_left_to_the_cleanup("dropped-before", || Fault::DroppedBefore, UNKNOWN).await;
}

#[tokio::test]
async fn deactivation_with_lost_response_still_takes_effect() {
    is_left_to_the_cleanup("dropped-after", || Fault::DroppedAfter, UNKNOWN).await;
}

#[tokio::test]
async fn leaves_deactivation_with_invalid_response_to_cleanup() {
    let garbage = |body| {
        move || Fault::Answer {
            status: 200,
            content_type: "application/x-amz-json-1.0",
            body,
        }
    };
    is_left_to_the_cleanup("write-garbage-1", garbage("<html>"), UNKNOWN).await;
    is_left_to_the_cleanup("write-garbage-2", garbage("{}"), UNKNOWN).await;
    is_left_to_the_cleanup("write-garbage-3", garbage(r#"{"Responses":[]}"#), UNKNOWN).await;
}

#[tokio::test]
async fn leaves_deactivation_with_failed_statement_to_cleanup() {
    let failing = |error: Errors| move || Fault::Statements(Box::new(error));
    let throttled = failing(|_, _| Some("ThrottlingError"));
    is_left_to_the_cleanup("statement-throttled", throttled, FAILED).await;
    let broken = failing(|_, _| Some("InternalServerError"));
    is_left_to_the_cleanup("statement-broken", broken, UNKNOWN).await;
    let denied = failing(|_, _| Some("AccessDenied"));
    is_left_to_the_cleanup("statement-denied", denied, FAILED).await;
    let refused = failing(|_, _| Some("ConditionalCheckFailed"));
    is_left_to_the_cleanup("statement-refused", refused, CHANGED).await;
}

/// The write was executed, is sent again, and its condition fails.
#[tokio::test]
async fn deactivates_once_if_response_is_lost_once() {
    let (world, faults) = failing(WRITE, 1, || Fault::DroppedAfter).await;
    world.open("ann", "lost-once", NOW - 1).await;
    let event = rest_request(&world.token("ann", "lost-once", ""));
    assert_eq!(
        denial(&authorize(&world, &event).await),
        Some("Session expired")
    );
    assert_eq!(faults.requests()[WRITE], 2);
    assert_eq!(faults.writes(), 1);
    let row = world.session("ann", "lost-once").await.unwrap();
    assert_eq!(text(&row, "deactivation_reason"), "expired_on_validation");
    assert_eq!(
        denial(&authorize(&world, &event).await),
        Some("Session inactive")
    );
}

/// The SDK hides that the response to its first attempt was lost, so the result of the second
/// attempt is not conclusive. Each case has the faults of both attempts.
#[tokio::test]
async fn reports_unknown_outcome_after_lost_response() {
    let lost: fn() -> Fault = || Fault::DroppedAfter;
    for (session, second, done) in [
        (
            "lost-throttled",
            (|| Fault::THROTTLED) as fn() -> Fault,
            true,
        ),
        ("lost-refused", || Fault::None, true),
        ("lost-broken", || Fault::BROKEN, true),
    ] {
        let decide = move |request: &Request| match (request.operation.as_str(), request.number) {
            (WRITE, 1) => lost(),
            (WRITE, _) => second(),
            _ => Fault::None,
        };
        let (world, faults) = World::with_faults(NO_TIMEOUT, [], decide).await;
        world.open("ann", session, NOW - 1).await;
        let event = rest_request(&world.token("ann", session, ""));
        assert_eq!(
            denial(&authorize(&world, &event).await),
            Some("Session expired")
        );
        let log = world.log.about(&format!("USER#ann SESSION#{session}"));
        let messages: Vec<_> = log.iter().map(|line| &line["message"]).collect();
        assert_eq!(messages, [UNKNOWN], "{log:?}");
        assert_eq!(faults.requests()[WRITE], 2, "{session}");
        assert_eq!(faults.writes() == 1, done, "{session}");
    }
}

#[tokio::test]
async fn denies_even_if_deactivation_gets_no_response() {
    let decide = |request: &Request| match request.operation.as_str() {
        WRITE => Fault::Hang,
        _ => Fault::None,
    };
    let (world, faults) = World::with_faults(QUICK, [], decide).await;
    world.open("ann", "write-silence", NOW - 1).await;
    let event = rest_request(&world.token("ann", "write-silence", ""));
    assert_eq!(
        denial(&authorize(&world, &event).await),
        Some("Session expired")
    );
    assert_eq!(
        world.log.about("SESSION#write-silence")[0]["message"],
        UNKNOWN
    );
    assert_eq!(faults.writes(), 0);
}

/// Panics at the first call of the table.
#[derive(Debug, Default)]
struct Panic {
    over: AtomicBool,
}

impl Intercept for Panic {
    fn name(&self) -> &'static str {
        "Panic"
    }

    fn read_before_serialization(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        assert!(
            self.over.swap(true, Ordering::SeqCst),
            "a panic of the test"
        );
        Ok(())
    }
}

#[tokio::test]
async fn panic_in_table_call_fails_only_its_request() {
    let world = World::over(serve_table().await, [], |dynamodb| {
        let config = dynamodb.client().config().to_builder();
        Client::from_conf(config.interceptor(Panic::default()).build())
    })
    .await;
    let token = world.login("ann", "").await;
    assert_eq!(
        ask(&world, &token).await,
        Err("the function panicked".to_owned())
    );
    let policy = ask(&world, &token).await.unwrap();
    assert_eq!(denial(&policy), None);
}
