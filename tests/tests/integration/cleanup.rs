//! The cleanup: each transition of a record, and the records that it does not change.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::database::needs_embedded;
use session_cleanup_tests::{
    DAY, HOUR, NOW, World, active_session, at, counts, inactive_session, number, only, session_id,
    text, user_id,
};
use session_domain::{
    Days, Record, RecordKey, RecordState, RetentionPolicy, SessionState, Shards, Timestamp,
};
use session_lifecycle::dynamodb::Table;
use session_lifecycle::ports::{ApplyWrites as _, Outcome};

fn refresh(id: &str, expires_at: i64) -> Value {
    json!({
        "pk": { "S": "USER#ann" }, "sk": { "S": format!("REFRESH#{id}") },
        "user_id": { "S": "ann" }, "session_id": { "S": "s" },
        "expires_at": { "N": expires_at.to_string() },
        "due_key": { "S": "delete#03" }, "due_at": { "N": expires_at.to_string() },
        "ttl": { "N": expires_at.to_string() },
    })
}

fn blacklisted(id: &str, expires_at: i64) -> Value {
    let mut item = refresh(id, expires_at);
    item["sk"] = json!({ "S": format!("BLACKLIST#{id}") });
    item["jti"] = json!({ "S": id });
    item
}

/// The counts of a run that deactivated one session and deleted one record of each kind.
fn one_of_each() -> BTreeMap<String, u64> {
    only([
        ("sessions_deactivated", 1),
        ("sessions_deleted", 1),
        ("refresh_tokens_deleted", 1),
        ("blacklisted_tokens_deleted", 1),
    ])
}

async fn names(world: &World) -> Vec<String> {
    world
        .records()
        .await
        .iter()
        .map(|(_, item)| text(item, "sk").to_owned())
        .collect()
}

#[tokio::test]
async fn processes_each_record_at_its_exact_second() {
    let world = World::new().await;
    for item in [
        active_session("ann", "due", NOW),
        active_session("ann", "live", NOW + 1),
        inactive_session("ann", "old", NOW - 30 * DAY),
        inactive_session("ann", "young", NOW - 30 * DAY + 1),
        refresh("due", NOW),
        refresh("live", NOW + 1),
        blacklisted("due", NOW),
        blacklisted("live", NOW + 1),
    ] {
        world.put(item).await;
    }
    let report = world.clean_up(json!({ "sweep_grace_hours": 0 }), NOW).await;
    assert_eq!(counts(&report), one_of_each());
    assert_eq!(
        names(&world).await,
        [
            "BLACKLIST#live",
            "REFRESH#live",
            "SESSION#due",
            "SESSION#live",
            "SESSION#young"
        ]
    );
    let row = world.session("ann", "due").await.unwrap();
    assert_eq!(row["is_active"].as_bool(), Ok(&false));
    assert_eq!(number(&row, "deactivated_at"), NOW);
    assert_eq!(text(&row, "deactivation_reason"), "expired_by_cleanup");
    assert_eq!(text(&row, "due_key"), "delete#07");
    assert_eq!(number(&row, "due_at"), NOW + 30 * DAY);
    assert_eq!(number(&row, "ttl"), NOW + 30 * DAY);
}

#[tokio::test]
async fn grace_delays_deletions_but_not_deactivations() {
    let world = World::new().await;
    for item in [
        active_session("ann", "due", NOW),
        inactive_session("ann", "in-grace", NOW - 32 * DAY + 1),
        inactive_session("ann", "past-grace", NOW - 32 * DAY),
        refresh("in-grace", NOW - 2 * DAY + 1),
        refresh("past-grace", NOW - 2 * DAY),
        blacklisted("in-grace", NOW - 2 * DAY + 1),
        blacklisted("past-grace", NOW - 2 * DAY),
    ] {
        world.put(item).await;
    }
    let scheduled = session_cleanup_local::stack::scheduled_event(at(NOW));
    let report = world.clean_up(scheduled, NOW).await;
    assert_eq!(report["trigger"], "schedule");
    assert_eq!(counts(&report), one_of_each());
    assert_eq!(
        names(&world).await,
        [
            "BLACKLIST#in-grace",
            "REFRESH#in-grace",
            "SESSION#due",
            "SESSION#in-grace"
        ]
    );
}

#[tokio::test]
async fn a_second_run_finds_nothing_to_do() {
    let world = World::new().await;
    for number in 0..60 {
        world.open("ann", &format!("s{number}"), NOW - number).await;
    }
    let first = world.clean_up(json!({}), NOW).await;
    assert_eq!(counts(&first), only([("sessions_deactivated", 60)]));
    let before = world.records().await;
    let second = world.clean_up(json!(null), NOW).await;
    assert_eq!(counts(&second), only([]));
    assert_eq!(world.records().await, before);
}

#[tokio::test]
async fn dry_run_predicts_counts_and_writes_only_its_report() {
    let world = World::new().await;
    for item in [
        active_session("ann", "due", NOW),
        inactive_session("ann", "old", NOW - 40 * DAY),
        refresh("due", NOW - 9 * DAY),
        blacklisted("due", NOW - 9 * DAY),
    ] {
        world.put(item).await;
    }
    world.put(moved_session("moved")).await;
    world.put(malformed_session("bad")).await;
    let before = world.records().await;
    let dry = world.clean_up(json!({ "dry_run": true }), NOW).await;
    assert_eq!(dry["dry_run"], true);
    assert_eq!(world.records().await, before);
    let run = world.clean_up(json!({}), NOW).await;
    assert_eq!(counts(&dry), counts(&run));
    assert_eq!(
        counts(&run),
        only([
            ("sessions_deactivated", 1),
            ("sessions_deleted", 1),
            ("refresh_tokens_deleted", 1),
            ("blacklisted_tokens_deleted", 1),
            ("reindexed", 1),
            ("malformed", 1),
        ])
    );
    let reports = world
        .items()
        .await
        .into_iter()
        .filter(|it| text(it, "pk") == "CLEANUP");
    assert_eq!(reports.count(), 2);
}

/// A live session whose writer changed the expiry but not the index.
fn moved_session(session: &str) -> Value {
    let mut item = active_session("ann", session, NOW + HOUR);
    item["due_at"] = json!({ "N": (NOW - HOUR).to_string() });
    item
}

fn malformed_session(session: &str) -> Value {
    let mut item = active_session("ann", session, NOW - HOUR);
    item["expires_at"] = json!({ "S": "yesterday" });
    item
}

#[tokio::test]
async fn keeps_moved_session_and_repairs_its_index_entry() {
    let world = World::new().await;
    world.put(moved_session("s")).await;
    let report = world.clean_up(json!({}), NOW).await;
    assert_eq!(counts(&report), only([("reindexed", 1)]));
    let row = world.session("ann", "s").await.unwrap();
    assert_eq!(row["is_active"].as_bool(), Ok(&true));
    assert_eq!(number(&row, "due_at"), NOW + HOUR);
    assert_eq!(number(&row, "ttl"), NOW + HOUR + 30 * DAY);
    assert_eq!(text(&row, "due_key"), "deactivate#07");
    let later = world.clean_up(json!({}), NOW + HOUR).await;
    assert_eq!(counts(&later), only([("sessions_deactivated", 1)]));
}

#[tokio::test]
async fn processes_record_on_wrong_due_list_by_its_state() {
    let world = World::new().await;
    let on = |mut item: Value, list: &str, due_at: i64| {
        item["due_key"] = json!({ "S": list });
        item["due_at"] = json!({ "N": due_at.to_string() });
        item
    };
    let long_ago = NOW - 90 * DAY;
    for item in [
        on(
            active_session("ann", "expired", NOW - 5),
            "delete#01",
            long_ago,
        ),
        on(
            active_session("ann", "live", NOW + 5),
            "delete#01",
            long_ago,
        ),
        on(
            inactive_session("ann", "young", NOW - DAY),
            "deactivate#01",
            long_ago,
        ),
        on(
            inactive_session("ann", "old", NOW - 80 * DAY),
            "deactivate#01",
            long_ago,
        ),
        on(refresh("live", NOW + 5), "deactivate#01", long_ago),
        on(refresh("expired", NOW - 9 * DAY), "deactivate#01", long_ago),
    ] {
        world.put(item).await;
    }
    let report = world.clean_up(json!({}), NOW).await;
    assert_eq!(
        counts(&report),
        only([
            ("sessions_deactivated", 1),
            ("sessions_deleted", 1),
            ("refresh_tokens_deleted", 1),
            ("reindexed", 3),
        ])
    );
    assert_eq!(
        names(&world).await,
        [
            "REFRESH#live",
            "SESSION#expired",
            "SESSION#live",
            "SESSION#young"
        ]
    );
    let live = world.session("ann", "live").await.unwrap();
    assert_eq!(text(&live, "due_key"), "deactivate#01");
    assert_eq!(number(&live, "due_at"), NOW + 5);
}

/// As written by an application that reactivated a session and left `deactivated_at`.
#[tokio::test]
async fn never_deletes_active_session() {
    let world = World::new().await;
    let mut item = inactive_session("ann", "s", NOW - 90 * DAY);
    item["is_active"] = json!({ "BOOL": true });
    item["expires_at"] = json!({ "N": (NOW + HOUR).to_string() });
    world.put(item).await;
    let report = world.clean_up(json!({}), NOW).await;
    assert_eq!(counts(&report), only([("reindexed", 1)]));
    let row = world.session("ann", "s").await.unwrap();
    assert_eq!(row["is_active"].as_bool(), Ok(&true));
    assert_eq!(text(&row, "due_key"), "deactivate#07");
}

/// The index attributes are derived from the record that was read. A record that has changed since
/// keeps its own.
#[tokio::test]
async fn keeps_index_attributes_of_record_that_changed() {
    let world = World::new().await;
    let table = Table::new(world.client.clone(), world.table_name(), Shards::default());
    let time = Timestamp::from_seconds;
    let truths = [
        RecordState::Session(SessionState::Active {
            expires_at: time(NOW + 1),
        }),
        RecordState::Session(SessionState::Inactive {
            deactivated_at: time(NOW),
        }),
        RecordState::Session(SessionState::Active {
            expires_at: time(NOW),
        }),
    ];
    world.put(active_session("ann", "s", NOW)).await;
    let key = RecordKey::session(&user_id("ann"), &session_id("s"));
    for (observed, applies) in truths.into_iter().zip([false, false, true]) {
        let stale = Record {
            key: key.clone(),
            state: observed,
            due_key: None,
            due_at: None,
            ttl: None,
            reason: None,
            max_expires_at: None,
            created_at: None,
            client_id: None,
        };
        let change = stale
            .index_repair(&RetentionPolicy::without_grace(Days(30)), Shards::default())
            .unwrap();
        let outcomes = table.apply(&[change]).await.unwrap().value;
        assert_eq!(
            matches!(outcomes[..], [Outcome::Applied]),
            applies,
            "{observed:?}: {outcomes:?}"
        );
    }
}

#[tokio::test]
async fn record_with_fractional_expiry_is_not_due_early() {
    let world = World::new().await;
    let mut item = active_session("ann", "s", NOW);
    item["expires_at"] = json!({ "N": format!("{NOW}.25") });
    world.put(item).await;
    for (now, expected) in [
        (NOW, only([("reindexed", 1)])),
        (NOW + 1, only([("sessions_deactivated", 1)])),
    ] {
        let report = world.clean_up(json!({}), now).await;
        assert_eq!(counts(&report), expected, "at {now}");
    }
}

#[tokio::test]
async fn keeps_other_attributes_byte_for_byte() {
    let world = World::new().await;
    let theirs = json!({
        "digits": { "N": "12345678901234567890123456789012345678" },
        "bytes": { "B": "AQI=" },
        "names": { "SS": ["a", "b"] },
        "nested": { "M": { "list": { "L": [{ "NULL": true }, { "BOOL": false }] } } },
        "empty": { "S": "" },
    });
    let mut item = active_session("ann", "s", NOW - 1);
    let members = theirs.as_object().unwrap();
    item.as_object_mut().unwrap().extend(members.clone());
    world.put(item.clone()).await;
    world.clean_up(json!({}), NOW).await;
    let row = world.session("ann", "s").await.unwrap();
    let stored = session_cleanup_tests::item_from(&item);
    for name in members.keys() {
        assert_eq!(row[name], stored[name], "{name}");
    }
    assert_eq!(row["is_active"].as_bool(), Ok(&false));
}

#[tokio::test]
async fn adopts_table_that_existed_before() {
    let world = World::new().await;
    let without_index = |mut item: Value| {
        for name in ["due_key", "due_at", "ttl"] {
            item.as_object_mut().unwrap().remove(name);
        }
        item
    };
    let mut stray = active_session("ann", "stray", NOW + HOUR);
    stray["due_key"] = json!({ "S": "deactivate#99" });
    for item in [
        without_index(active_session("ann", "expired", NOW - 1)),
        without_index(active_session("ann", "live", NOW + 1)),
        without_index(inactive_session("ann", "old", NOW - 40 * DAY)),
        without_index(inactive_session("ann", "young", NOW - DAY)),
        without_index(refresh("expired", NOW - 9 * DAY)),
        without_index(blacklisted("live", NOW + 9)),
        stray,
        active_session("ann", "right", NOW + HOUR),
        json!({ "pk": { "S": "USER#ann" }, "sk": { "S": "PROFILE" } }),
        without_index(malformed_session("bad")),
    ] {
        world.put(item).await;
    }
    let nothing = world.clean_up(json!({}), NOW).await;
    assert_eq!(
        counts(&nothing),
        only([]),
        "records outside of the index are not found"
    );

    let before = world.records().await;
    let dry = world
        .clean_up(json!({ "adopt": true, "dry_run": true }), NOW)
        .await;
    assert_eq!(world.records().await, before);
    let run = world.clean_up(json!({ "adopt": true }), NOW).await;
    assert_eq!(counts(&dry), counts(&run));
    assert_eq!(
        counts(&run),
        only([
            ("adopted", 7),
            ("sessions_deactivated", 1),
            ("sessions_deleted", 1),
            ("refresh_tokens_deleted", 1),
            ("malformed", 1),
        ])
    );
    let stray = world.session("ann", "stray").await.unwrap();
    assert!(text(&stray, "due_key") < "deactivate#16", "{stray:?}");
    let before = world.records().await;
    let again = world.clean_up(json!({ "adopt": true }), NOW).await;
    assert_eq!(counts(&again), only([("malformed", 1)]));
    assert_eq!(world.records().await, before);
}

/// The `ttl` of a session that "never" expires may be beyond the last valid time of other
/// attributes.
#[tokio::test]
async fn adopts_session_that_never_expires_once() {
    let world = World::new().await;
    let mut item = active_session("ann", "s", 253_402_300_799);
    item.as_object_mut().unwrap().remove("due_at");
    world.put(item).await;
    for adopted in [only([("adopted", 1)]), only([])] {
        assert_eq!(
            counts(&world.clean_up(json!({ "adopt": true }), NOW).await),
            adopted
        );
    }
}

#[tokio::test]
async fn dry_adoption_counts_foreign_due_entries_like_the_run() {
    let world = World::new().await;
    let mut stranger = active_session("ann", "s", NOW - 1);
    stranger["pk"] = json!({ "S": "ORDER#7" });
    world.put(stranger).await;
    world.open("ann", "due", NOW - 1).await;
    for dry_run in [true, false] {
        let report = world
            .clean_up(json!({ "adopt": true, "dry_run": dry_run }), NOW)
            .await;
        let expected = only([("malformed", 1), ("sessions_deactivated", 1)]);
        assert_eq!(counts(&report), expected, "dry: {dry_run}");
    }
}

#[tokio::test]
async fn stores_report_as_returned() {
    let world = World::with([("REPORT_RETENTION_DAYS", "7")]).await;
    world.open("ann", "s", NOW - 1).await;
    let report = world.clean_up(json!({}), NOW).await;
    let run_id = report["run_id"].as_str().unwrap();
    assert_eq!(report["started_at"], "2027-01-15T08:00:00.000Z");
    assert_eq!(report["trigger"], "manual");
    assert_eq!(report["requested_by"], Value::Null);
    let key = format!("RUN#2027-01-15T08:00:00.000Z#{run_id}");
    let stored = world.item("CLEANUP", &key).await.unwrap();
    assert_eq!(number(&stored, "ttl"), NOW + 7 * DAY);
    assert_eq!(number(&stored, "sessions_deactivated"), 1);
    assert_eq!(text(&stored, "trigger"), "manual");
    assert_eq!(stored["complete"].as_bool(), Ok(&true));
    assert!(stored["requested_by"].is_null());
}

#[tokio::test]
async fn rejects_invalid_event_and_changes_nothing() {
    let world = World::new().await;
    world.open("ann", "s", NOW - 1).await;
    let before = world.items().await;
    for event in [
        json!({ "dryrun": true }),
        json!({ "detail-type": "Order", "source": "shop" }),
        json!([1]),
    ] {
        let answer = world
            .functions
            .invoke(FunctionName::Cleanup, &event, at(NOW))
            .await;
        assert!(answer.is_err(), "{event}: {answer:?}");
    }
    assert_eq!(world.items().await, before);
}

#[tokio::test]
async fn native_ttl_deletes_record_that_no_cleanup_saw() {
    if needs_embedded(
        "native_ttl_deletes_record_that_no_cleanup_saw",
        "another database has its own TTL schedule",
    ) {
        return;
    }
    let world = World::new().await;
    // Native TTL uses the system clock, which is before the tests' time.
    world
        .put(active_session("ann", "long-gone", 1_600_000_000))
        .await;
    world.put(active_session("ann", "live", NOW + HOUR)).await;
    assert_eq!(world.dynamodb.database().sweep_ttl().unwrap(), 1);
    assert_eq!(names(&world).await, ["SESSION#live"]);
}

#[tokio::test]
async fn adopts_and_processes_extremely_early_times() {
    let earlier = |mut item: Value, name: &str| {
        item[name] = json!({ "N": "-1e30" });
        item.as_object_mut().unwrap().remove("due_key");
        item
    };
    let world = World::new().await;
    let active = active_session("ann", "active", NOW);
    let inactive = inactive_session("ann", "inactive", NOW);
    world.put(earlier(active, "expires_at")).await;
    world.put(earlier(inactive, "deactivated_at")).await;
    world.put(earlier(refresh("r", NOW), "expires_at")).await;

    let event = json!({ "adopt": true, "sweep_grace_hours": 0, "max_seconds": 60 });
    let report = world.clean_up(event, NOW).await;

    assert_eq!(report["complete"], true, "{report}");
    let expected = [
        ("adopted", 3),
        ("sessions_deactivated", 1),
        ("sessions_deleted", 1),
        ("refresh_tokens_deleted", 1),
    ];
    assert_eq!(counts(&report), only(expected));
}
