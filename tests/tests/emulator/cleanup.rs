//! The cleanup, by schedule and manually.

use serde_json::{Value, json};
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::emulator::Emulator;
use session_cleanup_tests::events::event;
use session_cleanup_tests::{HOUR, World, active_session, counts, only, text};

use crate::{due_by_schedule, fill, now, table};

async fn clean_up(cleanup: &Emulator, name: &str) -> Value {
    let event = event(FunctionName::Cleanup, name);
    cleanup.invoke(&event).await.unwrap()
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn scheduled_run_processes_due_records_and_reports_counts() {
    let world = World::new().await;
    fill(&world).await;
    let cleanup = Emulator::start(&world, FunctionName::Cleanup, []).await;
    let report = clean_up(&cleanup, "scheduled").await;
    assert_eq!(counts(&report), due_by_schedule(), "{report}");
    for (name, value) in [
        ("trigger", json!("schedule")),
        ("requested_by", json!(null)),
        ("dry_run", json!(false)),
        ("complete", json!(true)),
    ] {
        assert_eq!(report[name], value, "{name}");
    }
    let (reports, records) = table(&world).await;
    assert_eq!(reports.len(), 1);
    assert_eq!(text(&reports[0], "run_id"), report["run_id"]);
    assert_eq!(records.len(), 16 - 5);
    for user in ["ann", "ben", "cleo"] {
        let row = world.session(user, "a").await.unwrap();
        assert_eq!(text(&row, "deactivation_reason"), "expired_by_cleanup");
    }
    let again = clean_up(&cleanup, "scheduled").await;
    assert_eq!(counts(&again), only([]), "{again}");
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn each_manual_event_runs_cleanup() {
    let world = World::new().await;
    let cleanup = Emulator::start(&world, FunctionName::Cleanup, []).await;
    for name in ["console-default", "empty", "null", "short-run"] {
        world.open("ann", name, now() - 1).await;
        let report = clean_up(&cleanup, name).await;
        assert_eq!(report["trigger"], "manual", "{name}");
        assert_eq!(report["complete"], true, "{name}");
        assert_eq!(
            counts(&report),
            only([("sessions_deactivated", 1)]),
            "{name}"
        );
    }
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn dry_run_counts_due_records_and_writes_only_its_report() {
    let world = World::new().await;
    fill(&world).await;
    let (_, before) = table(&world).await;
    let cleanup = Emulator::start(&world, FunctionName::Cleanup, []).await;
    for (name, run) in [("dry-run", 1), ("adopt-dry-run", 2)] {
        let report = clean_up(&cleanup, name).await;
        assert_eq!(report["dry_run"], true, "{name}");
        assert_eq!(counts(&report), due_by_schedule(), "{name}");
        let (reports, after) = table(&world).await;
        assert_eq!(reports.len(), run, "{name}");
        assert_eq!(after, before, "{name}");
    }
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn adopts_table_that_existed_before() {
    let world = World::new().await;
    for (user, end) in [("ann", -HOUR), ("ben", HOUR)] {
        let mut session = active_session(user, "a", now() + end);
        for name in ["due_key", "due_at", "ttl"] {
            session.as_object_mut().unwrap().remove(name);
        }
        world.put(session).await;
    }
    let cleanup = Emulator::start(&world, FunctionName::Cleanup, []).await;
    assert_eq!(counts(&clean_up(&cleanup, "empty").await), only([]));
    let report = clean_up(&cleanup, "adopt").await;
    let expected = only([("adopted", 2), ("sessions_deactivated", 1)]);
    assert_eq!(counts(&report), expected);
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn rejects_misspelled_option_and_changes_nothing() {
    let world = World::new().await;
    fill(&world).await;
    let before = table(&world).await;
    let cleanup = Emulator::start(&world, FunctionName::Cleanup, []).await;
    let error = cleanup
        .invoke(&json!({ "dryrun": true }))
        .await
        .unwrap_err();
    assert!(error.contains("`dryrun`"), "{error}");
    assert_eq!(table(&world).await, before);
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn run_without_time_reports_incomplete() {
    let world = World::new().await;
    fill(&world).await;
    let cleanup = Emulator::start(&world, FunctionName::Cleanup, []).await;
    let report = cleanup.invoke(&json!({ "max_seconds": 0 })).await.unwrap();
    assert_eq!(report["complete"], false, "{report}");
    assert_eq!(counts(&report), only([]), "{report}");
    let next = clean_up(&cleanup, "scheduled").await;
    assert_eq!(counts(&next), due_by_schedule(), "{next}");
}
