//! The revocation of many sessions after an incident.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join_all;
use serde_json::{Value, json};
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::authorizing::{authorize, denial, rest_request};
use session_cleanup_tests::database::needs_embedded;
use session_cleanup_tests::fault_proxy::{Fault, FaultProxy, NO_TIMEOUT_NO_RETRY, Request};
use session_cleanup_tests::{
    DAY, HOUR, Item, NOW, World, active_session, at, counts, inactive_session, number, only,
    sample, session_id, text, user_id,
};
use session_domain::{Days, RetentionPolicy, Revocation, Shards, Timestamp};
use session_lifecycle::dynamodb::Table;
use session_lifecycle::ports::{ApplyWrites as _, NewSession, Outcome, ScanTable as _};
use session_lifecycle::{CreateOutcome, UpdateOutcome};

/// When the incident ended: sessions that began before are revoked.
const BEFORE: i64 = NOW - HOUR;

/// The event of a revocation, with these members of `revoke` beside the required ones.
fn revoke(members: &Value) -> Value {
    let mut revoke = json!({ "created_before": BEFORE, "reason": "a leaked key" });
    let members = members.as_object().expect("an object").clone();
    revoke.as_object_mut().expect("an object").extend(members);
    json!({ "revoke": revoke })
}

/// A live session that began at `created_at`.
fn session(id: &str, created_at: i64) -> Value {
    let mut item = active_session("ann", id, NOW + HOUR);
    item["created_at"] = json!({ "N": created_at.to_string() });
    item
}

/// The ids of the sessions that are active, in order.
async fn active(world: &World) -> Vec<String> {
    let records = world.records().await.into_iter();
    let active = records.filter(|(_, item)| item["is_active"].as_bool() == Ok(&true));
    active
        .map(|(_, item)| text(&item, "session_id").to_owned())
        .collect()
}

#[tokio::test]
async fn dry_run_predicts_run_and_second_run_revokes_none() {
    let world = World::new().await;
    world.put(session("old", BEFORE - 1)).await;
    world.put(session("new", BEFORE)).await;
    let mut expired = session("expired", BEFORE - 1);
    expired["expires_at"] = json!({ "N": NOW.to_string() });
    expired["due_at"] = expired["expires_at"].clone();
    world.put(expired).await;
    let before = world.records().await;
    let event = revoke(&json!({ "requested_by": "ada" }));
    let mut dry = event.clone();
    dry["dry_run"] = true.into();

    let expected = only([("sessions_revoked", 1), ("sessions_deactivated", 1)]);
    let report = world.clean_up(dry, NOW).await;
    assert_eq!(counts(&report), expected);
    assert_eq!(world.records().await, before);
    let report = world.clean_up(event.clone(), NOW).await;
    assert_eq!(counts(&report), expected);
    assert_eq!(report["complete"], true);
    assert_eq!(report["requested_by"], Value::Null);
    assert_eq!(
        report["revoke"],
        json!({
            "created_before": "2027-01-15T07:00:00Z",
            "client_id": null,
            "reason": "a leaked key",
            "requested_by": "ada",
        })
    );
    assert_eq!(active(&world).await, ["new"]);
    let report = world.clean_up(event, NOW + 1).await;
    assert_eq!(counts(&report), only([]));
}

#[tokio::test]
async fn writes_attributes_of_a_revoked_session_only() {
    let world = World::new().await;
    let mut item = session("s", BEFORE - 1);
    item["theirs"] = json!({ "L": [{ "N": "1" }] });
    world.put(item).await;
    let before = world.session("ann", "s").await.unwrap();
    world.clean_up(revoke(&json!({})), NOW).await;
    let mut expected = before;
    let whole = |seconds: i64| AttributeValue::N(seconds.to_string());
    let string = |text: &str| AttributeValue::S(text.to_owned());
    expected.extend(
        [
            ("is_active", AttributeValue::Bool(false)),
            ("deactivated_at", whole(NOW)),
            ("deactivation_reason", string("revoked")),
            ("due_key", string("delete#07")),
            ("due_at", whole(NOW + 30 * DAY)),
            ("ttl", whole(NOW + 30 * DAY)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    assert_eq!(world.session("ann", "s").await.unwrap(), expected);
}

#[tokio::test]
async fn revokes_exactly_sessions_created_before_the_time() {
    let world = World::new().await;
    for (id, created_at) in [
        ("a-before", json!({ "N": (BEFORE - 1).to_string() })),
        ("b-fraction", json!({ "N": format!("{}.999", BEFORE - 1) })),
        ("c-at", json!({ "N": BEFORE.to_string() })),
        ("d-after", json!({ "N": (BEFORE + 1).to_string() })),
        ("e-zero", json!({ "N": "0" })),
        ("f-text", json!({ "S": (BEFORE - 1).to_string() })),
        ("g-milliseconds", json!({ "N": format!("{BEFORE}000") })),
    ] {
        let mut item = session(id, 0);
        item["created_at"] = created_at;
        world.put(item).await;
    }
    let mut without = session("h-without", 0);
    without.as_object_mut().unwrap().remove("created_at");
    world.put(without).await;
    let report = world.clean_up(revoke(&json!({})), NOW).await;
    let left = ["c-at", "d-after", "f-text", "g-milliseconds", "h-without"];
    assert_eq!(active(&world).await, left);
    // The others have no valid time.
    let expected = only([("sessions_revoked", 3), ("malformed", 3)]);
    assert_eq!(counts(&report), expected);
    let named = world.log.about("created_at is missing or not a time");
    assert_eq!(named.len(), 3, "{named:?}");
}

#[tokio::test]
async fn revokes_only_sessions_of_the_client() {
    let world = World::new().await;
    for (id, client) in [
        ("a", json!({ "S": "web" })),
        ("b", json!({ "S": "app" })),
        ("c", json!({ "S": "Web" })),
        ("d", json!({ "N": "1" })),
    ] {
        let mut item = session(id, BEFORE - 1);
        item["client_id"] = client;
        world.put(item).await;
    }
    world.put(session("e", BEFORE - 1)).await;
    let report = world
        .clean_up(revoke(&json!({ "client_id": "web" })), NOW)
        .await;
    assert_eq!(counts(&report), only([("sessions_revoked", 1)]));
    assert_eq!(active(&world).await, ["b", "c", "d", "e"]);
}

/// The condition of the write repeats the decision: the record may have been replaced since it was read.
#[tokio::test]
async fn write_fails_if_the_record_was_replaced() {
    let world = World::new().await;
    let table = Table::new(world.client.clone(), world.table_name(), Shards::default());
    let revocation: Revocation = serde_json::from_value(
        json!({ "created_before": BEFORE, "client_id": "web", "reason": "a leaked key" }),
    )
    .unwrap();
    let policy = RetentionPolicy::without_grace(Days(30));
    let now = Timestamp::from_seconds(NOW);
    let of_client = |created_at: i64, client: &str| {
        let mut item = session("s", created_at);
        item["client_id"] = json!({ "S": client });
        item
    };
    let signed_out = inactive_session("ann", "s", NOW - 1);
    for (replacement, applies) in [
        (of_client(BEFORE, "web"), false),
        (of_client(BEFORE - 1, "app"), false),
        (session("s", BEFORE - 1), false),
        (signed_out, false),
        (of_client(BEFORE - 1, "web"), true),
    ] {
        world.put(of_client(BEFORE - 1, "web")).await;
        let page = table.scan_page(0, 1, None).await.unwrap().value;
        let record = page.records[0].as_ref().unwrap();
        let write = revocation.write(record, &policy, Shards::default(), now);
        world.put(replacement).await;
        let outcomes = table.apply(&[write.unwrap()]).await.unwrap().value;
        let is_applied = matches!(outcomes[..], [Outcome::Applied]);
        assert_eq!(is_applied, applies, "{outcomes:?}");
    }
}

#[tokio::test]
async fn revokes_sessions_of_a_table_that_was_not_adopted() {
    let world = World::new().await;
    let mut item = session("s", BEFORE - 1);
    for name in ["due_key", "due_at", "ttl"] {
        item.as_object_mut().unwrap().remove(name);
    }
    world.put(item).await;
    let report = world.clean_up(revoke(&json!({})), NOW).await;
    assert_eq!(counts(&report), only([("sessions_revoked", 1)]));
    let item = world.session("ann", "s").await.unwrap();
    assert!(text(&item, "due_key").starts_with("delete#"));
    assert_eq!(number(&item, "due_at"), NOW + 30 * DAY);
    assert_eq!(number(&item, "ttl"), NOW + 30 * DAY);
}

#[tokio::test]
async fn denies_next_request_of_a_revoked_session() {
    let variables = [
        ("OPEN_SESSIONS", "on_first_use"),
        ("SESSION_MAX_HOURS", "12"),
    ];
    let world = World::with(variables).await;
    world.put(session("login", BEFORE - 1)).await;
    let token = world.token("ann", "login", "");
    let request = rest_request(&token);
    assert_eq!(denial(&authorize(&world, &request).await), None);
    world.clean_up(revoke(&json!({})), NOW).await;
    let policy = authorize(&world, &request).await;
    assert_eq!(denial(&policy), Some("Session inactive"));
}

/// The report can be read later, and says why.
#[tokio::test]
async fn stores_and_logs_which_sessions_were_revoked_and_why() {
    let world = World::new().await;
    let event = revoke(&json!({ "client_id": "web", "requested_by": "ada" }));
    let report = world.clean_up(event, NOW).await;
    let admin = world.login("ada", "sessions:read").await;
    let path = session_cleanup_tests::CLEANUPS;
    let answer = world
        .call(axum::http::Method::GET, path, Some(&admin))
        .await;
    assert_eq!(answer.1["data"]["reports"], json!([report]));
    let ended = world.log.about("cleanup ended");
    for (name, expected) in [
        ("revoke_created_before", "2027-01-15T07:00:00Z"),
        ("revoke_client_id", "web"),
        ("revoke_reason", "a leaked key"),
        ("revoke_requested_by", "ada"),
    ] {
        assert_eq!(ended[0][name], expected, "{ended:?}");
    }
}

const SESSIONS: usize = 1_500;

/// A world with old sessions, whose table rejects scans after a run has read this number of pages.
async fn world_with_runs_of(pages: usize) -> (World, FaultProxy, Arc<AtomicUsize>) {
    let left = Arc::new(AtomicUsize::new(pages));
    let of_a_run = Arc::clone(&left);
    let fault = move |request: &Request| {
        let take = |left: usize| left.checked_sub(1);
        let may_scan = || of_a_run.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
        if request.operation == "Scan" && may_scan().is_err() {
            Fault::DENIED
        } else {
            Fault::None
        }
    };
    let (world, faults) =
        World::with_faults(NO_TIMEOUT_NO_RETRY, [("MAX_WRITES_PER_SECOND", "0")], fault).await;
    let old = |number: usize| {
        let mut item = session(&format!("s{number}"), BEFORE - 1);
        item["pk"] = json!({ "S": format!("USER#u{number}") });
        item
    };
    sample::store(&world, (0..SESSIONS).map(old).collect());
    (world, faults, left)
}

/// Runs the cleanup until it succeeds, with this number of pages per run. Returns the sessions that each
/// run revoked.
async fn revoke_in_parts(
    world: &World,
    left: &AtomicUsize,
    pages: usize,
    event: &Value,
) -> Vec<u64> {
    let mut runs = Vec::new();
    loop {
        left.store(pages, Ordering::SeqCst);
        let now = NOW + i64::try_from(runs.len()).unwrap();
        let run = world
            .functions
            .invoke(FunctionName::Cleanup, event, at(now));
        let is_done = run.await.is_ok();
        runs.push(stored_report(world, now).await);
        if is_done {
            return runs;
        }
        assert!(runs.len() < 100, "no progress: {runs:?}");
    }
}

/// The number of revoked sessions in the stored report of the run at `now`.
async fn stored_report(world: &World, now: i64) -> u64 {
    let started_at = at(now).to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let items = world.items().await;
    let start = format!("RUN#{started_at}");
    let report = items.iter().find(|it| text(it, "sk").starts_with(&start));
    number(report.unwrap(), "sessions_revoked")
        .try_into()
        .unwrap()
}

#[tokio::test]
async fn continues_with_same_revocation_where_it_stopped() {
    let event = revoke(&json!({}));
    for pages in [1, 2, 5] {
        let (world, faults, left) = world_with_runs_of(pages).await;
        let runs = revoke_in_parts(&world, &left, pages, &event).await;
        assert!(runs.len() > 1, "{runs:?}");
        assert_eq!(runs.iter().sum::<u64>(), SESSIONS as u64, "{runs:?}");
        assert_eq!(active(&world).await, [""; 0]);
        let scans = faults.record();
        let scans = scans
            .iter()
            .filter(|it| it.request.operation == "Scan" && !it.failed);
        // Each of the four segments has pages of 250 items, the last of which may be empty.
        assert!(scans.count() <= SESSIONS / 250 + 4);
    }
}

#[tokio::test]
async fn starts_again_with_another_revocation() {
    let (world, _faults, left) = world_with_runs_of(2).await;
    // It revokes no session, and reads a part of the table.
    let other = revoke(&json!({ "client_id": "web" }));
    let run = world
        .functions
        .invoke(FunctionName::Cleanup, &other, at(NOW - 1));
    run.await.unwrap_err();
    assert!(world.item("CLEANUP", "REVOCATION").await.is_some());
    let runs = revoke_in_parts(&world, &left, usize::MAX, &revoke(&json!({}))).await;
    assert_eq!(runs, [SESSIONS as u64]);
}

#[tokio::test]
async fn keeps_the_checkpoint_of_an_adoption() {
    let (world, _faults, left) = world_with_runs_of(1).await;
    let adopt = json!({ "adopt": true });
    let run = world
        .functions
        .invoke(FunctionName::Cleanup, &adopt, at(NOW - 1));
    run.await.unwrap_err();
    let checkpoint = world.item("CLEANUP", "ADOPTION").await;
    assert!(checkpoint.is_some());
    let runs = revoke_in_parts(&world, &left, 1, &revoke(&json!({}))).await;
    assert!(runs.len() > 1);
    assert_eq!(world.item("CLEANUP", "ADOPTION").await, checkpoint);
}

#[tokio::test]
async fn keeps_rate_limit_while_it_revokes() {
    // Two at once, and ten more at two per second: at least about five seconds, on any machine.
    let world = World::with([("MAX_WRITES_PER_SECOND", "2")]).await;
    for number in 0..12 {
        world.put(session(&format!("s{number}"), 0)).await;
    }
    let report = world.clean_up(revoke(&json!({})), NOW).await;
    assert_eq!(counts(&report), only([("sessions_revoked", 12)]));
    assert_eq!(report["complete"], true);
    assert!(report["duration_ms"].as_u64() >= Some(4_000), "{report}");
}

#[tokio::test]
async fn costs_three_write_units_each_and_one_read_of_the_table() {
    if needs_embedded(
        "costs_three_write_units_each_and_one_read_of_the_table",
        "other databases count units differently",
    ) {
        return;
    }
    let (world, faults, left) = world_with_runs_of(usize::MAX).await;
    let bytes: u32 = world.items().await.iter().map(size).sum();
    revoke_in_parts(&world, &left, usize::MAX, &revoke(&json!({}))).await;
    let usage = faults.usage();
    let written = usage["BatchExecuteStatement"].units;
    let sessions = u32::try_from(SESSIONS).unwrap();
    assert!(
        (written - 3.0 * f64::from(sessions)).abs() < 0.1,
        "{written}"
    );
    // A consistent read of 4 KB is one unit, and each page is rounded up.
    let pages = u32::try_from(usage["Scan"].requests).unwrap();
    let read = usage["Scan"].units;
    let whole = f64::from(bytes) / 4_096.0 + f64::from(pages);
    assert!((whole / 4.0..=whole).contains(&read), "{read} of {whole}");
}

/// The approximate size of an item, at least its actual one.
fn size(item: &Item) -> u32 {
    const NUMBER: usize = 21;
    let value = |value: &AttributeValue| value.as_s().map_or(NUMBER, String::len);
    let bytes: usize = item.iter().map(|(name, it)| name.len() + value(it)).sum();
    bytes.try_into().unwrap()
}

/// Old and new sessions of a race.
const EACH: usize = 40;
const RACES: usize = 8;

/// In any order: each old session is closed and counted once, and no new session is.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn races_with_logins_refreshes_touches_and_sign_outs() {
    let variables = [
        ("MAX_WRITES_PER_SECOND", "0"),
        ("SESSION_IDLE_MINUTES", "10"),
    ];
    let world = Arc::new(World::with(variables).await);
    for race in 0..RACES {
        let old = |number: usize| format!("{race:02}-old{number}");
        let new = |number: usize| format!("{race:02}-new{number}");
        for number in 0..EACH {
            world.put(session(&old(number), BEFORE - 1)).await;
            world.put(session(&new(number), BEFORE)).await;
        }
        let later = |number: usize| format!("{race:02}-later{number}");
        let spawn = |work: usize| {
            let world = Arc::clone(&world);
            let ids: Vec<_> = (0..EACH).map(|it| [old(it), new(it), later(it)]).collect();
            tokio::spawn(async move {
                match work {
                    0 | 1 => count(&world.clean_up(revoke(&json!({})), NOW).await),
                    2 => count(&world.clean_up(json!({}), NOW).await),
                    3 => touch(&world, &ids).await,
                    4 => extend(&world, &ids).await,
                    5 => sign_out(&world, &ids).await,
                    _ => log_in(&world, &ids).await,
                }
            })
        };
        let done = join_all((0..7).map(spawn)).await;
        let closed: u64 = done.into_iter().map(Result::unwrap).sum();
        assert_eq!(closed, EACH as u64, "each old session is counted once");
        let active = active(&world).await;
        let here = active
            .iter()
            .filter(|it| it.starts_with(&format!("{race:02}-")));
        let here: Vec<_> = here.collect();
        assert!(here.iter().all(|it| !it.contains("old")), "{here:?}");
        assert_eq!(here.len(), 2 * EACH, "new and later sessions are active");
    }
}

/// The number of revoked sessions of a report that changed no other session.
fn count(report: &Value) -> u64 {
    assert_eq!(report["complete"], true, "{report}");
    assert_eq!(report["failed"], 0, "{report}");
    assert_eq!(report["sessions_deactivated"], 0, "{report}");
    report["sessions_revoked"].as_u64().unwrap()
}

async fn touch(world: &World, ids: &[[String; 3]]) -> u64 {
    for [old, new, _] in ids {
        for id in [old, new] {
            let policy = authorize(world, &rest_request(&world.token("ann", id, ""))).await;
            let denial = denial(&policy);
            assert!(
                matches!(denial, None | Some("Session inactive")),
                "{denial:?}"
            );
            assert!(id == old || denial.is_none(), "{id}");
        }
    }
    0
}

async fn extend(world: &World, ids: &[[String; 3]]) -> u64 {
    let [end, now] = [NOW + 2 * HOUR, NOW].map(Timestamp::from_seconds);
    let user = user_id("ann");
    for id in ids.iter().flatten() {
        let id = session_id(id);
        // It may be revoked, signed out, or not begun yet.
        let _ = world.sessions.extend(&user, &id, end, now).await.unwrap();
    }
    0
}

/// Signs out every third old session. Returns how many it closed.
async fn sign_out(world: &World, ids: &[[String; 3]]) -> u64 {
    let user = user_id("ann");
    let mut closed = 0;
    for [old, ..] in ids.iter().step_by(3) {
        let old = session_id(old);
        let now = Timestamp::from_seconds(NOW);
        let signed_out = world.sessions.logout(&user, &old, now);
        let outcome = signed_out.await.unwrap();
        closed += u64::from(outcome == UpdateOutcome::Updated);
    }
    closed
}

async fn log_in(world: &World, ids: &[[String; 3]]) -> u64 {
    for [.., later] in ids {
        let end = Timestamp::from_seconds(NOW + HOUR);
        let new = NewSession::new(user_id("ann"), session_id(later), end);
        let created = world.sessions.create(new, Timestamp::from_seconds(NOW));
        assert_eq!(created.await.unwrap(), CreateOutcome::Created);
    }
    0
}
