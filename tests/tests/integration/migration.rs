//! Sessions of other stores: converted by the presets, imported, and cleaned up. The items in
//! `tests/vectors/session_stores` were written by the real stores.

use std::path::Path;

use serde_json::{Value, json};
use session_cleanup_tests::{DAY, HOUR, Item, NOW, World, item_from, number, text};
use session_domain::{Days, Shards, Timestamp};
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

/// The file of a store, the preset for it, and what its items become.
struct Store {
    file: &'static str,
    preset: &'static str,
    sessions: Vec<Value>,
    others: usize,
    problems: &'static [&'static str],
}

fn stores() -> Vec<Store> {
    let passport = |store, prefix: &str| Store {
        file: store,
        preset: store,
        sessions: vec![
            stored("ann", &format!("{prefix}-ann"), NOW + DAY / 2),
            stored("bob", &format!("{prefix}-bob"), NOW - DAY),
            stored("42", &format!("{prefix}-number"), NOW + DAY - 1),
        ],
        others: 0,
        problems: &["the attribute sess at /passport/user is missing"],
    };
    let flask = |file| Store {
        file,
        preset: "flask-session",
        sessions: vec![
            stored("ann", "f-ann", NOW + DAY / 2),
            stored("7", "f-bob", NOW - DAY),
        ],
        others: 0,
        problems: &["the attribute val at /_user_id is missing"],
    };
    let shopify = [("902541635", NOW + DAY), ("902541636", NOW - DAY)].map(|(user, end)| {
        let mut session = stored(user, &format!("one.myshopify.com_{user}"), end);
        session["shop"] = json!({ "S": "one.myshopify.com" });
        session
    });
    vec![
        passport("connect-dynamodb", "c"),
        passport("dynamodb-store", "d"),
        Store {
            file: "authjs",
            preset: "authjs",
            sessions: vec![
                stored(ANN, "a-expired", NOW - DAY),
                stored(ANN, "a-live", NOW + 30 * DAY),
                stored(ANN, "a-refreshed", NOW + DAY),
            ],
            others: 3,
            problems: &[],
        },
        Store {
            file: "shopify",
            preset: "shopify",
            sessions: shopify.into(),
            others: 2,
            problems: &[],
        },
        flask("flask-session"),
        flask("flask-session-as-json"),
    ]
}

#[test]
fn presets_convert_items_of_their_stores() {
    for store in stores() {
        let outcome = convert(&items(store.file), &preset(store.preset));
        let sessions = outcome.sessions.iter().map(|session| {
            let mut item = session.item(Days(30), Shards::default());
            let due_key = item.remove("due_key").unwrap();
            assert!(due_key.as_s().unwrap().starts_with("deactivate#"));
            item
        });
        let expected: Vec<_> = store.sessions.iter().map(item_from).collect();
        assert_eq!(sessions.collect::<Vec<_>>(), expected, "{}", store.file);
        assert_eq!(outcome.others, store.others, "{}", store.file);
        assert_eq!(outcome.problems, store.problems, "{}", store.file);
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
    for store in stores() {
        for item in items(store.file) {
            let converted = preset(store.preset).convert(&item, Timestamp::from_seconds(NOW));
            let is_session = !matches!(converted, Ok(Conversion::NotASession));
            let expected = is_session.then_some(store.preset);
            assert_eq!(Layout::recognize(&item), expected, "{item:?}");
        }
    }
}

#[tokio::test]
async fn cleanup_deactivates_imported_sessions_that_expired() {
    for store in stores() {
        let world = World::new().await;
        for session in convert(&items(store.file), &preset(store.preset)).sessions {
            let outcome = world.sessions.import(&session).await.unwrap();
            assert_eq!(outcome, CreateOutcome::Created, "{}", store.file);
        }
        let expired = |item: &&Value| item["expires_at"]["N"].as_str() <= Some("1800000000");
        let expired = store.sessions.iter().filter(expired).count() as u64;
        let report = world.clean_up(json!({ "adopt": true }), NOW).await;
        let figures = ["adopted", "malformed", "failed", "sessions_deactivated"];
        let figures = figures.map(|it| report[it].as_u64().unwrap());
        assert_eq!(figures, [0, 0, 0, expired], "{}: {report}", store.file);
        for (_, item) in world.records().await {
            let is_expired = number(&item, "expires_at") <= NOW;
            assert_eq!(item["is_active"].as_bool(), Ok(&!is_expired), "{item:?}");
            if is_expired {
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
    let ended = world.sessions.logout(&user, &live, now).await.unwrap();
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
