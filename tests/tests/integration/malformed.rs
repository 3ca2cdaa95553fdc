//! Malformed records: moved off the due list once, otherwise unchanged, and never delaying other
//! records.

use axum::http::Method;
use serde_json::{Value, json};
use session_cleanup_tests::fault_proxy::{Exchange, Fault, NO_TIMEOUT_NO_RETRY, Request};
use session_cleanup_tests::{
    HOUR, Item, NOW, STATS, World, active_session, counts, only, sample, text, user_id,
};
use session_domain::{Action, ConditionalWrite, DueKey, DueList, RecordKey, SessionId, Shards};
use session_lifecycle::dynamodb::Table;
use session_lifecycle::ports::{ApplyWrites as _, Outcome};

/// An expired session of ann on the list of shard 07, with an invalid or missing attribute.
fn with(session: &str, name: &str, value: Option<Value>) -> Value {
    let mut item = active_session("ann", session, NOW - HOUR);
    match value {
        Some(value) => item[name] = value,
        None => {
            item.as_object_mut().unwrap().remove(name);
        }
    }
    item
}

/// Malformed records of each kind, all in ann's partition.
fn malformed() -> Vec<Value> {
    let milliseconds = json!({ "N": (NOW * 1000).to_string() });
    let mut unknown = active_session("ann", "x", NOW - HOUR);
    unknown["sk"] = json!({ "S": "PROFILE" });
    let mut token = active_session("ann", "x", NOW - HOUR);
    token["sk"] = json!({ "S": "REFRESH#x" });
    token["expires_at"] = json!({ "BOOL": true });
    token["due_key"] = json!({ "S": "delete#07" });
    let mut inactive = with("f", "is_active", Some(json!({ "BOOL": false })));
    inactive["due_key"] = json!({ "S": "delete#07" });
    vec![
        with("a", "is_active", None),
        with("b", "is_active", Some(json!({ "S": "true" }))),
        with("b2", "is_active", Some(json!({ "N": "1" }))),
        with("c", "expires_at", None),
        with("d", "expires_at", Some(json!({ "S": "yesterday" }))),
        with("e", "expires_at", Some(milliseconds)),
        unknown,
        token,
        inactive,
    ]
}

/// The records, moved to the list of malformed records.
fn moved(records: &[(String, Item)]) -> Vec<(String, Item)> {
    let mut records = records.to_vec();
    for (_, item) in &mut records {
        let (_, shard) = text(item, "due_key").split_once('#').unwrap();
        let due_key = format!("malformed#{shard}");
        item.insert(
            "due_key".to_owned(),
            aws_sdk_dynamodb::types::AttributeValue::S(due_key),
        );
    }
    records
}

#[tokio::test]
async fn moves_malformed_records_once_and_keeps_their_attributes() {
    let world = World::new().await;
    let malformed = malformed();
    let count = malformed.len() as u64;
    for item in malformed {
        world.put(item).await;
    }
    let before = world.records().await;
    let event = |dry_run| json!({ "dry_run": dry_run, "sweep_grace_hours": 0 });
    let dry = world.clean_up(event(true), NOW).await;
    assert_eq!(counts(&dry), only([("malformed", count)]));
    assert_eq!(world.records().await, before, "after a dry run");

    let run = world.clean_up(event(false), NOW).await;
    assert_eq!(counts(&run), only([("malformed", count)]));
    assert_eq!(run["complete"], true);
    assert_eq!(world.records().await, moved(&before), "after the run");

    world.open("ann", "behind", NOW - 1).await;
    let second = world.clean_up(event(false), NOW).await;
    assert_eq!(counts(&second), only([("sessions_deactivated", 1)]));
}

#[tokio::test]
async fn counts_moved_records_without_reporting_cleanup_needed() {
    let world = World::new().await;
    let reader = world.login("rob", "sessions:read").await;
    for item in malformed() {
        world.put(item).await;
    }
    let stats = async || {
        let (_, body) = world.call(Method::GET, STATS, Some(&reader)).await;
        let data = &body["data"];
        let names = ["malformed_records", "expired_sessions", "cleanup_needed"];
        names.map(|name| data[name].clone())
    };
    assert_eq!(stats().await, [json!(0), json!(6), json!(true)]);
    let report = world.clean_up(json!({ "sweep_grace_hours": 0 }), NOW).await;
    assert_eq!(counts(&report), only([("malformed", 9)]));
    assert_eq!(stats().await, [json!(9), json!(0), json!(false)]);
}

#[tokio::test]
async fn adopts_repaired_record_in_its_shard() {
    let world = World::new().await;
    let item = with("s", "is_active", Some(json!({ "N": "1" })));
    world.put(item.clone()).await;
    world.clean_up(json!({}), NOW).await;
    let mut repaired = item;
    repaired["is_active"] = json!({ "BOOL": true });
    repaired["due_key"] = json!({ "S": "malformed#07" });
    world.put(repaired).await;
    let unseen = world.clean_up(json!({}), NOW).await;
    assert_eq!(counts(&unseen), only([]), "the record is on no due list");
    let report = world.clean_up(json!({ "adopt": true }), NOW).await;
    let expected = only([("adopted", 1), ("sessions_deactivated", 1)]);
    assert_eq!(counts(&report), expected);
    let session = world.session("ann", "s").await.unwrap();
    assert_eq!(text(&session, "due_key"), "delete#07");
}

#[tokio::test]
async fn keeps_well_formed_record_on_its_due_list() {
    let world = World::new().await;
    let table = Table::new(world.client.clone(), world.table_name(), Shards::default());
    let shard = Shards::default().all().nth(7).unwrap();
    let list = |action| DueList { action, shard };
    let session = SessionId::parse("s").unwrap();
    let key = RecordKey::session(&user_id("ann"), &session).into_item();
    let attempt = async |from| {
        let change = ConditionalWrite::move_malformed(key.clone(), from);
        let mut outcomes = table.apply(&[change]).await.unwrap().value;
        matches!(outcomes.remove(0), Outcome::Applied)
    };
    let deactivate = list(Action::Deactivate);
    world.put(active_session("ann", "s", NOW)).await;
    assert!(!attempt(deactivate).await, "the record is well-formed");
    world.put(with("s", "is_active", None)).await;
    assert!(
        !attempt(list(Action::Delete)).await,
        "the record is on another list"
    );
    assert!(attempt(deactivate).await);
    assert!(
        !attempt(deactivate).await,
        "the record has already been moved"
    );
    let session = world.session("ann", "s").await.unwrap();
    let malformed = DueKey::Malformed(shard).to_string();
    assert_eq!(text(&session, "due_key"), malformed);
}

/// The cleanup must not write outside of users' partitions.
#[tokio::test]
async fn skips_entries_of_other_partitions() {
    let world = World::new().await;
    for number in 0..300 {
        let mut item = active_session("x", &number.to_string(), NOW - 2 * HOUR);
        item["pk"] = json!({ "S": "SHOP" });
        world.put(item).await;
    }
    let mut item = active_session("ann", "behind", NOW);
    item["due_key"] = json!({ "S": "deactivate#07" });
    world.put(item).await;
    let report = world.clean_up(json!({}), NOW).await;
    assert_eq!(report["complete"], true);
    let expected = only([("malformed", 300), ("sessions_deactivated", 1)]);
    assert_eq!(counts(&report), expected);
}

/// The sort keys of the statements of a batch, in order.
fn statements(exchange: &Exchange) -> impl Iterator<Item = (&str, &str)> {
    let body = &exchange.request.body;
    body["Statements"].as_array().unwrap().iter().map(|it| {
        let parameters = it["Parameters"].as_array().unwrap();
        let mut texts = parameters.iter().filter_map(|it| it["S"].as_str());
        let key = texts.rfind(|it| it.starts_with("SESSION#"));
        (it["Statement"].as_str().unwrap(), key.unwrap())
    })
}

/// Counts statements instead of time: how many are for malformed records before all other work is
/// done.
#[tokio::test]
async fn processes_due_records_before_malformed_ones() {
    const MALFORMED: usize = 5_000;
    const WORK: usize = 1_000;
    let (world, faults) =
        World::with_faults(NO_TIMEOUT_NO_RETRY, [], |_: &Request| Fault::None).await;
    let records = (0..MALFORMED + WORK).map(|number| {
        let is_malformed = number < MALFORMED;
        let name = if is_malformed { "bad" } else { "good" };
        let end = NOW - if is_malformed { 2 * HOUR } else { HOUR };
        let mut item = active_session("ann", &format!("{name}-{number}"), end);
        item["due_key"] = json!({ "S": format!("deactivate#{:02}", number % 16) });
        if is_malformed {
            item["is_active"] = json!({ "N": "1" });
        }
        item
    });
    sample::store(&world, records.collect());

    let first = world.clean_up(json!({}), NOW).await;
    assert_eq!(first["sessions_deactivated"], WORK);
    assert_eq!(first["malformed"], MALFORMED);
    let record = faults.record();
    let writes = record
        .iter()
        .filter(|it| it.request.operation == "BatchExecuteStatement");
    let sent: Vec<_> = writes.flat_map(statements).collect();
    let is_work = |(_, key): &(&str, &str)| key.starts_with("SESSION#good");
    let last = sent.iter().rposition(is_work).unwrap();
    let wasted = sent[..last].iter().filter(|it| !is_work(it)).count();
    // Eight concurrent batches start before the first one shows that many records are malformed.
    assert!(
        wasted <= WORK / 5,
        "{wasted} statements before the other work was done"
    );

    let before = faults.requests();
    let second = world.clean_up(json!({}), NOW).await;
    assert_eq!(counts(&second), only([]));
    let after = faults.requests();
    assert_eq!(
        after["Query"] - before["Query"],
        32,
        "one page of each list"
    );
    for operation in ["BatchExecuteStatement", "BatchGetItem"] {
        assert_eq!(after[operation], before[operation], "{operation}");
    }
}
