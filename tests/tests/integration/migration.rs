//! Sessions of other stores: converted by the presets, imported, and cleaned up. The items in
//! `tests/vectors/session_stores` were written by the real stores.

use std::path::Path;

use serde_json::{Value, json};
use session_cleanup_tests::{DAY, HOUR, Item, NOW, World, item_from, number, text};
use session_domain::{Days, Reason, Shards, Timestamp};
use session_lifecycle::migrate::{Conversion, ConvertedSession, Layout};
use session_lifecycle::{CreateOutcome, SessionId, UpdateOutcome, UserId};

const ANN: &str = "00000000-0000-4000-8000-000000000001";

/// The items of a store in the file with this name.
fn items(name: &str) -> Vec<Item> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/session_stores");
    let scan = std::fs::read(folder.join(name).with_extension("json")).unwrap();
    let scan: Value = serde_json::from_slice(&scan).unwrap();
    let items = scan["Items"].as_array().unwrap();
    assert!(!items.is_empty());
    items.iter().map(item_from).collect()
}

/// What a store's items become.
#[derive(Default)]
struct Outcome {
    sessions: Vec<ConvertedSession>,
    others: usize,
    problems: Vec<String>,
}

fn convert(items: &[Item], layout: &Layout) -> Outcome {
    let mut outcome = Outcome::default();
    for item in items {
        match layout.convert(item, Timestamp::from_seconds(NOW)) {
            Ok(Conversion::Session(session)) => outcome.sessions.push(*session),
            Ok(Conversion::NotASession) => outcome.others += 1,
            Err(error) => outcome.problems.push(error.to_string()),
        }
    }
    outcome.sessions.sort_by_key(|it| it.session().to_string());
    outcome
}

fn preset(name: &str) -> Layout {
    Layout::preset(name).unwrap_or_else(|| panic!("{name}"))
}

/// An active session as it must be stored. An expired one was created at its expiry at the latest.
fn stored(user: &str, session: &str, expires_at: i64) -> Value {
    json!({
        "pk": { "S": format!("USER#{user}") },
        "sk": { "S": format!("SESSION#{session}") },
        "user_id": { "S": user },
        "session_id": { "S": session },
        "is_active": { "BOOL": true },
        "created_at": { "N": expires_at.min(NOW).to_string() },
        "expires_at": { "N": expires_at.to_string() },
        "due_at": { "N": expires_at.to_string() },
        "ttl": { "N": (expires_at + 30 * DAY).to_string() },
    })
}

/// The presets, with the file of their store and the sessions, other items and problems in it.
fn stores() -> Vec<(
    &'static str,
    &'static str,
    Vec<Value>,
    usize,
    &'static [&'static str],
)> {
    const NO_PASSPORT: &[&str] = &["the attribute sess at /passport/user is missing"];
    const NO_LOGIN: &[&str] = &["the attribute val at /_user_id is missing"];
    let passport = |prefix: &str| {
        vec![
            stored("ann", &format!("{prefix}-ann"), NOW + DAY / 2),
            stored("bob", &format!("{prefix}-bob"), NOW - DAY),
            stored("42", &format!("{prefix}-number"), NOW + DAY - 1),
        ]
    };
    let flask = || {
        vec![
            stored("ann", "f-ann", NOW + DAY / 2),
            stored("7", "f-bob", NOW - DAY),
        ]
    };
    let shopify = [("902541635", NOW + DAY), ("902541636", NOW - DAY)].map(|(user, end)| {
        let mut session = stored(user, &format!("one.myshopify.com_{user}"), end);
        session["shop"] = json!({ "S": "one.myshopify.com" });
        session
    });
    vec![
        (
            "connect-dynamodb",
            "connect-dynamodb",
            passport("c"),
            0,
            NO_PASSPORT,
        ),
        (
            "dynamodb-store",
            "dynamodb-store",
            passport("d"),
            0,
            NO_PASSPORT,
        ),
        (
            "authjs",
            "authjs",
            vec![
                stored(ANN, "a-expired", NOW - DAY),
                stored(ANN, "a-live", NOW + 30 * DAY),
                stored(ANN, "a-refreshed", NOW + DAY),
            ],
            3,
            &[],
        ),
        ("shopify", "shopify", shopify.into(), 2, &[]),
        ("flask-session", "flask-session", flask(), 0, NO_LOGIN),
        (
            "flask-session",
            "flask-session-as-json",
            flask(),
            0,
            NO_LOGIN,
        ),
    ]
}

#[test]
fn presets_convert_items_of_their_stores() {
    for (name, file, expected, others, problems) in stores() {
        let items = items(file);
        let outcome = convert(&items, &preset(name));
        let sessions = outcome.sessions.iter().map(|session| {
            let mut item = session.item(Days(30), Shards::default());
            let due_key = item.remove("due_key").unwrap();
            assert!(due_key.as_s().unwrap().starts_with("deactivate#"), "{file}");
            item
        });
        let expected: Vec<_> = expected.iter().map(item_from).collect();
        assert_eq!(sessions.collect::<Vec<_>>(), expected, "{file}");
        assert_eq!(outcome.others, others, "{file}");
        assert_eq!(outcome.problems, problems, "{file}");
    }
}

#[test]
fn document_contains_each_preset_and_valid_layouts() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/setup/migrate.md");
    let document = std::fs::read_to_string(document).unwrap();
    let blocks = document.split("```json\n").skip(1);
    let layouts: Vec<_> = blocks.map(|it| it.split("```").next().unwrap()).collect();
    for layout in &layouts {
        assert!(Layout::parse(layout).is_ok(), "{layout}");
    }
    for (name, json) in Layout::PRESETS {
        assert!(layouts.contains(&json), "{name}");
        assert!(document.contains(&format!("| `{name}` |")), "{name}");
    }
}

#[test]
fn recognizes_each_store_by_its_sessions() {
    for (name, file, ..) in stores() {
        for item in items(file) {
            let converted = preset(name).convert(&item, Timestamp::from_seconds(NOW));
            let is_session = !matches!(converted, Ok(Conversion::NotASession));
            let expected = is_session.then_some(name);
            assert_eq!(Layout::recognize(&item), expected, "{file}: {item:?}");
        }
    }
}

#[tokio::test]
async fn cleanup_deactivates_imported_sessions_that_expired() {
    for (name, file, expected, ..) in stores() {
        let world = World::new().await;
        for session in convert(&items(file), &preset(name)).sessions {
            let outcome = world.sessions.import(&session).await.unwrap();
            assert_eq!(outcome, CreateOutcome::Created, "{file}");
        }
        let expired = |item: &&Value| item["expires_at"]["N"].as_str() < Some("1800000000");
        let report = world.clean_up(json!({ "adopt": true }), NOW).await;
        let figures = ["adopted", "malformed", "failed", "sessions_deactivated"];
        let figures = figures.map(|it| report[it].as_u64().unwrap());
        let expired = expected.iter().filter(expired).count() as u64;
        assert_eq!(figures, [0, 0, 0, expired], "{file}: {report}");
        for (_, item) in world.records().await {
            let ended = !item["is_active"].as_bool().unwrap();
            assert_eq!(
                ended,
                number(&item, "expires_at") <= NOW,
                "{file}: {item:?}"
            );
            if ended {
                assert_eq!(text(&item, "deactivation_reason"), "expired_by_cleanup");
            }
        }
    }
}

#[tokio::test]
async fn import_never_replaces_existing_session() {
    let world = World::new().await;
    let sessions = convert(&items("authjs"), &preset("authjs")).sessions;
    for session in &sessions {
        assert_eq!(
            world.sessions.import(session).await.unwrap(),
            CreateOutcome::Created
        );
    }
    let (user, live) = (
        UserId::parse(ANN).unwrap(),
        SessionId::parse("a-live").unwrap(),
    );
    let now = Timestamp::from_seconds(NOW + HOUR);
    let ended = world
        .sessions
        .deactivate(&user, &live, Reason::Logout, now)
        .await
        .unwrap();
    assert_eq!(ended, UpdateOutcome::Updated);
    let before = world.records().await;
    for session in &sessions {
        let outcome = world.sessions.import(session).await.unwrap();
        assert_eq!(outcome, CreateOutcome::AlreadyExists);
    }
    assert_eq!(world.records().await, before);
}

#[tokio::test]
async fn imported_inactive_session_is_deleted_after_retention() {
    let world = World::new().await;
    let item = item_from(&json!({
        "session_id": { "S": "s-1" }, "user_id": { "S": "ann" }, "is_active": { "BOOL": false },
        "created_at": { "N": (NOW - 40 * DAY).to_string() },
        "expires_at": { "N": (NOW + DAY).to_string() },
        "deactivated_at": { "N": (NOW - 29 * DAY).to_string() },
    }));
    for session in convert(&[item], &preset("session-id")).sessions {
        assert_eq!(
            world.sessions.import(&session).await.unwrap(),
            CreateOutcome::Created
        );
    }
    let event = json!({ "adopt": true, "sweep_grace_hours": 0 });
    for (now, deleted) in [(NOW + DAY - 1, 0), (NOW + DAY, 1)] {
        let report = world.clean_up(event.clone(), now).await;
        let figures = [
            "adopted",
            "malformed",
            "sessions_deactivated",
            "sessions_deleted",
        ];
        let figures = figures.map(|it| report[it].as_u64().unwrap());
        assert_eq!(figures, [0, 0, 0, deleted], "{report}");
    }
}
