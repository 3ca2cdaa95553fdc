//! Idle time: a request moves the expiry time of its session, for one write unit, at most once per window.

use futures_util::future::join_all;
use serde_json::{Value, json};
use session_cleanup_tests::authorizing::{authorize_at, denial, rest_request, sign};
use session_cleanup_tests::fault_proxy::{Fault, FaultProxy, NO_TIMEOUT, Usage};
use session_cleanup_tests::{
    DAY, HOUR, NOW, World, active_session, counts, number, only, session_id, user_id,
};
use session_domain::{
    ActiveSession, ConditionalWrite, Days, Minutes, RecordKey, SessionLifetime, Shards, Timestamp,
};
use session_lifecycle::dynamodb::Table;
use session_lifecycle::ports::{ApplyWrites as _, NewSession, Outcome};
use session_lifecycle::{CreateOutcome, UpdateOutcome};

/// Idle time, in seconds.
const IDLE: i64 = 30 * 60;

/// A session is touched at most once in this time, in seconds.
const WINDOW: i64 = IDLE / 10;

const VARIABLES: [(&str, &str); 2] = [("SESSION_IDLE_MINUTES", "30"), ("SESSION_MAX_HOURS", "720")];

async fn world() -> (World, FaultProxy) {
    World::with_faults(NO_TIMEOUT, VARIABLES, |_| Fault::None).await
}

/// A request with a token of the session `s` of `ann`.
fn request(world: &World) -> Value {
    let claims = json!({ "sub": "ann", "sid": "s", "jti": "j", "exp": NOW + 30 * DAY });
    rest_request(&sign(world, claims))
}

fn touches(faults: &FaultProxy) -> Usage {
    let usage = faults.usage();
    usage
        .get("BatchExecuteStatement")
        .copied()
        .unwrap_or_default()
}

async fn numbers<const N: usize>(world: &World, names: [&str; N]) -> [i64; N] {
    let item = world.session("ann", "s").await.expect("a session");
    names.map(|name| number(&item, name))
}

#[tokio::test]
async fn touch_costs_one_unit_once_per_window() {
    let (world, faults) = world().await;
    let mut session = active_session("ann", "s", NOW + IDLE);
    session["max_expires_at"] = json!({ "N": (NOW + 30 * DAY).to_string() });
    session["theirs"] = json!({ "S": "kept" });
    world.put(session).await;
    let request = request(&world);
    for window in 0..20 {
        let start = NOW + window * WINDOW;
        for later in [0, 1, WINDOW / 2, WINDOW - 1] {
            let policy = authorize_at(&world, &request, start + later).await;
            assert_eq!(denial(&policy), None);
        }
        let usage = touches(&faults);
        let expected = u32::try_from(window + 1).unwrap();
        assert_eq!(usage.requests, expected as usize, "window {window}");
        assert!(
            (usage.units - f64::from(expected)).abs() < 1e-9,
            "{usage:?}"
        );
        let end = start + IDLE;
        assert_eq!(
            numbers(&world, ["last_used_at", "expires_at", "ttl", "due_at"]).await,
            [start, end, end + 30 * DAY, NOW + IDLE]
        );
    }
    let item = world.session("ann", "s").await.expect("a session");
    assert_eq!(item["theirs"].as_s().map(String::as_str), Ok("kept"));
}

#[tokio::test]
async fn unused_session_expires_after_idle_time() {
    let (world, _faults) = world().await;
    world.put(active_session("ann", "s", NOW + 10)).await;
    let request = request(&world);
    assert_eq!(denial(&authorize_at(&world, &request, NOW).await), None);
    let last = authorize_at(&world, &request, NOW + IDLE - 1).await;
    assert_eq!(denial(&last), None);
    let expired = authorize_at(&world, &request, NOW + 2 * IDLE - 1).await;
    assert_eq!(denial(&expired), Some("Session expired"));
    let closed = authorize_at(&world, &request, NOW + 2 * IDLE - 1).await;
    assert_eq!(denial(&closed), Some("Session inactive"));
}

/// The application has set a later expiry time. A due entry later than the new one would hide the expired session
/// from the cleanup.
#[tokio::test]
async fn idle_time_shortens_expiry_and_its_due_entry() {
    let (world, faults) = world().await;
    world.put(active_session("ann", "s", NOW + 7 * DAY)).await;
    let request = request(&world);
    assert_eq!(denial(&authorize_at(&world, &request, NOW).await), None);
    let end = NOW + IDLE;
    assert_eq!(
        numbers(&world, ["expires_at", "ttl", "due_at"]).await,
        [end, end + 30 * DAY, end]
    );
    assert!((touches(&faults).units - 3.0).abs() < 1e-9);
    let report = world.clean_up(json!({}), end).await;
    assert_eq!(counts(&report), only([("sessions_deactivated", 1)]));
}

#[tokio::test]
async fn cleanup_repairs_lagging_due_entry_of_live_session() {
    let (world, _faults) = world().await;
    world.put(active_session("ann", "s", NOW + 10)).await;
    authorize_at(&world, &request(&world), NOW).await;
    assert_eq!(numbers(&world, ["due_at"]).await, [NOW + 10]);
    let report = world.clean_up(json!({}), NOW + 10).await;
    assert_eq!(counts(&report), only([("reindexed", 1)]));
    assert_eq!(numbers(&world, ["due_at"]).await, [NOW + IDLE]);
    let report = world.clean_up(json!({}), NOW + IDLE).await;
    assert_eq!(counts(&report), only([("sessions_deactivated", 1)]));
}

#[tokio::test]
async fn no_touch_moves_expiry_past_absolute_end() {
    let (world, _faults) = world().await;
    let end = NOW + IDLE + 5;
    let mut session = active_session("ann", "s", NOW + 60);
    session["max_expires_at"] = json!({ "N": end.to_string() });
    world.put(session).await;
    let request = request(&world);
    for now in [NOW, NOW + WINDOW, end - 1] {
        assert_eq!(denial(&authorize_at(&world, &request, now).await), None);
        assert_eq!(numbers(&world, ["expires_at"]).await, [end.min(now + IDLE)]);
    }
    let expired = authorize_at(&world, &request, end).await;
    assert_eq!(denial(&expired), Some("Session expired"));
}

#[tokio::test]
async fn maximum_age_limits_session_without_absolute_end() {
    let (world, _faults) = world().await;
    let mut session = active_session("ann", "s", NOW + 60);
    session["created_at"] = json!({ "N": (NOW - 30 * DAY + 90).to_string() });
    world.put(session).await;
    assert_eq!(
        denial(&authorize_at(&world, &request(&world), NOW).await),
        None
    );
    assert_eq!(numbers(&world, ["expires_at"]).await, [NOW + 90]);
}

#[tokio::test]
async fn session_past_its_maximum_age_is_not_touched() {
    let (world, faults) = world().await;
    let mut session = active_session("ann", "s", NOW + 60);
    session["created_at"] = json!({ "N": (NOW - 31 * DAY).to_string() });
    world.put(session).await;
    assert_eq!(
        denial(&authorize_at(&world, &request(&world), NOW).await),
        None
    );
    assert_eq!(touches(&faults).requests, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_requests_touch_session_once() {
    let (world, faults) = world().await;
    world.put(active_session("ann", "s", NOW + 60)).await;
    let request = request(&world);
    let requests = (0..200).map(|_| authorize_at(&world, &request, NOW));
    for policy in join_all(requests).await {
        assert_eq!(denial(&policy), None);
    }
    assert_eq!(faults.writes(), 1, "one write took place");
    let tried = touches(&faults).requests;
    assert!(tried > 1, "the requests raced: {tried} of them wrote");
}

#[tokio::test]
async fn failed_touch_still_allows() {
    let faults: [fn() -> Fault; 3] = [
        || Fault::BROKEN,
        || Fault::THROTTLED,
        || Fault::DroppedBefore,
    ];
    for fault in faults {
        let (world, _faults) = World::with_faults(NO_TIMEOUT, VARIABLES, move |request| {
            if request.operation == "BatchExecuteStatement" {
                fault()
            } else {
                Fault::None
            }
        })
        .await;
        world.put(active_session("ann", "s", NOW + 60)).await;
        let policy = authorize_at(&world, &request(&world), NOW).await;
        assert_eq!(denial(&policy), None);
        assert!(
            !world
                .log
                .about("could not record the use of a session")
                .is_empty()
        );
        assert_eq!(numbers(&world, ["expires_at"]).await, [NOW + 60]);
    }
}

/// The session could be too old: it keeps the expiry time that its writer gave it.
#[tokio::test]
async fn session_of_unknown_age_is_not_touched() {
    let (world, faults) = world().await;
    let mut session = active_session("ann", "s", NOW + 60);
    session["created_at"] = json!({ "N": (NOW * 1_000).to_string() });
    world.put(session).await;
    let policy = authorize_at(&world, &request(&world), NOW).await;
    assert_eq!(denial(&policy), None);
    assert_eq!(touches(&faults).requests, 0);
}

#[tokio::test]
async fn fraction_of_absolute_end_does_not_stop_touch_or_refresh() {
    let (world, _faults) = world().await;
    let mut session = active_session("ann", "s", NOW + 60);
    session["max_expires_at"] = json!({ "N": format!("{}.5", NOW + 600) });
    world.put(session).await;
    let policy = authorize_at(&world, &request(&world), NOW).await;
    assert_eq!(denial(&policy), None);
    assert_eq!(numbers(&world, ["expires_at"]).await, [NOW + 600]);
    let (user, session) = (user_id("ann"), session_id("s"));
    let [now, later] = [NOW, NOW + DAY].map(Timestamp::from_seconds);
    let extended = world.sessions.extend(&user, &session, later, now).await;
    assert_eq!(extended.unwrap(), UpdateOutcome::Updated);
    assert_eq!(numbers(&world, ["expires_at"]).await, [NOW + 600]);
}

/// The application extends a session between the authorizer's read and its write.
#[tokio::test]
async fn touch_never_leaves_due_entry_later_than_expiry() {
    let world = World::new().await;
    world.put(active_session("ann", "s", NOW + 10)).await;
    let lifetime = SessionLifetime {
        idle: Some(Minutes(30)),
        ..SessionLifetime::of_application(Days(30))
    };
    let shard = Shards::default().all().next().unwrap();
    let as_read = ActiveSession {
        due_at: Some(Timestamp::from_seconds(NOW + 10)),
        ..ActiveSession::new(Timestamp::from_seconds(NOW + 10), shard)
    };
    let now = Timestamp::from_seconds(NOW);
    let touch = lifetime.touch(&as_read, now).expect("a touch");
    let (user, session) = (user_id("ann"), session_id("s"));
    let later = Timestamp::from_seconds(NOW + 14 * DAY);
    let extended = world.sessions.extend(&user, &session, later, now).await;
    assert_eq!(extended.unwrap(), UpdateOutcome::Updated);
    let table = Table::new(world.client.clone(), world.table_name(), Shards::default());
    let write = ConditionalWrite::touch(RecordKey::session(&user, &session), touch);
    let outcomes = table.apply(&[write]).await.unwrap().value;
    assert!(matches!(outcomes[..], [Outcome::ConditionFailed]));
    let times = numbers(&world, ["expires_at", "due_at"]).await;
    assert_eq!(times, [NOW + 14 * DAY; 2]);
}

/// Two hosts whose clocks differ by a minute serve requests in turns.
#[tokio::test]
async fn clock_skew_does_not_multiply_touches() {
    let variables = [("SESSION_IDLE_MINUTES", "5")];
    let (world, faults) = World::with_faults(NO_TIMEOUT, variables, |_| Fault::None).await;
    world.put(active_session("ann", "s", NOW + HOUR)).await;
    let request = request(&world);
    for second in 0..20 {
        for skew in [0, 60] {
            let policy = authorize_at(&world, &request, NOW + second + skew).await;
            assert_eq!(denial(&policy), None);
        }
    }
    let written = touches(&faults).requests;
    assert!(written <= 2, "{written} writes");
}

#[tokio::test]
async fn odd_times_of_other_writers_do_not_stop_touch() {
    for (name, value) in [
        ("last_used_at", json!({ "S": "yesterday" })),
        ("last_used_at", json!({ "N": (NOW * 1_000).to_string() })),
        ("last_used_at", json!({ "NULL": true })),
        ("max_expires_at", json!({ "S": "never" })),
        ("due_at", json!({ "N": "1E+20" })),
    ] {
        let (world, _faults) = world().await;
        let mut session = active_session("ann", "s", NOW + 60);
        session[name] = value.clone();
        world.put(session).await;
        let policy = authorize_at(&world, &request(&world), NOW).await;
        assert_eq!(denial(&policy), None, "{name}: {value}");
        assert_eq!(
            numbers(&world, ["last_used_at", "expires_at"]).await,
            [NOW, NOW + IDLE],
            "{name}: {value}"
        );
    }
}

#[tokio::test]
async fn without_idle_time_requests_write_nothing() {
    let (world, faults) = World::with_faults(NO_TIMEOUT, [], |_| Fault::None).await;
    world.put(active_session("ann", "s", NOW + 60)).await;
    authorize_at(&world, &request(&world), NOW).await;
    assert_eq!(faults.requests(), [("BatchGetItem".to_owned(), 1)].into());
}

#[tokio::test]
async fn refresh_stops_at_absolute_end() {
    let world = World::new().await;
    let (user, session) = (user_id("ann"), session_id("s"));
    let [now, end, later] = [NOW, NOW + HOUR, NOW + DAY].map(Timestamp::from_seconds);
    let new = NewSession::new(user.clone(), session.clone(), later).max_expires_at(end);
    let created = world.sessions.create(new, now).await.unwrap();
    assert_eq!(created, CreateOutcome::Created);
    assert_eq!(numbers(&world, ["expires_at"]).await, [NOW + HOUR]);
    let extended = world.sessions.extend(&user, &session, later, now).await;
    assert_eq!(extended.unwrap(), UpdateOutcome::Updated);
    assert_eq!(
        numbers(&world, ["expires_at", "due_at", "ttl"]).await,
        [NOW + HOUR, NOW + HOUR, NOW + HOUR + 30 * DAY]
    );
    let closed = world.sessions.logout(&user, &session, now);
    assert_eq!(closed.await.unwrap(), UpdateOutcome::Updated);
}
