//! Real races on several threads: in any order, no change is lost or counted twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use serde_json::json;
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::fault_proxy::{Fault, NO_TIMEOUT_NO_RETRY};
use session_cleanup_tests::{
    DAY, HOUR, NOW, World, active_session, at, counts, inactive_session, number, text,
};
use session_domain::Timestamp;
use session_lifecycle::UpdateOutcome;

const SESSIONS: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cleanups_and_authorizer_count_each_expired_session_once() {
    let world = Arc::new(World::with([("MAX_WRITES_PER_SECOND", "0")]).await);
    for number in 0..SESSIONS {
        world
            .open("ann", &format!("expired-{number}"), NOW - 1)
            .await;
    }
    for number in 0..20 {
        world.open("ann", &format!("live-{number}"), NOW + 1).await;
    }
    let cleanup = || {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.clean_up(json!({}), NOW).await })
    };
    let authorizer = {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            for number in 0..SESSIONS {
                let token = world.token("ann", &format!("expired-{number}"), "");
                let event = json!({
                    "type": "TOKEN",
                    "methodArn": "arn:aws:execute-api:r:1:api/prod/GET/x",
                    "authorizationToken": format!("Bearer {token}"),
                });
                let function = FunctionName::Authorizer;
                let answer = world
                    .functions
                    .invoke(function, &event, at(NOW))
                    .await
                    .unwrap();
                let error = answer["context"]["error"].as_str().unwrap().to_owned();
                assert!(
                    matches!(&*error, "Session expired" | "Session inactive"),
                    "{error}"
                );
            }
        })
    };
    let reports = [cleanup(), cleanup()];
    authorizer.await.unwrap();
    let mut by_cleanup = 0;
    for report in reports {
        let report = report.await.unwrap();
        let counts = counts(&report);
        by_cleanup += counts
            .get("sessions_deactivated")
            .copied()
            .unwrap_or_default();
        assert_eq!(counts.get("failed"), None, "{report}");
        assert_eq!(report["complete"], true, "{report}");
    }

    let mut by_reason = std::collections::BTreeMap::<String, u64>::new();
    for item in world.items().await {
        if item
            .get("is_active")
            .is_some_and(|it| it.as_bool() == Ok(&false))
        {
            *by_reason
                .entry(text(&item, "deactivation_reason").to_owned())
                .or_default() += 1_u64;
            assert!(
                number(&item, "expires_at") <= NOW,
                "a live session was deactivated: {item:?}"
            );
        }
    }
    let count = |reason: &str| by_reason.get(reason).copied().unwrap_or_default();
    assert_eq!(
        count("expired_by_cleanup"),
        by_cleanup,
        "the reports add up"
    );
    assert_eq!(
        count("expired_by_cleanup") + count("expired_on_validation"),
        SESSIONS as u64,
        "every expired session was deactivated exactly once: {by_reason:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_cleanups_count_each_deletion_once() {
    let world = Arc::new(World::with([("MAX_WRITES_PER_SECOND", "0")]).await);
    for number in 0..SESSIONS {
        world
            .refresh_token("ann", &number.to_string(), NOW - 9 * DAY)
            .await;
        world
            .put(inactive_session("ann", &number.to_string(), NOW - 90 * DAY))
            .await;
    }
    let runs = (0..3).map(|_| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.clean_up(json!({}), NOW).await })
    });
    let mut deleted = [0, 0];
    for report in join_all(runs).await {
        let counts = counts(&report.unwrap());
        for (sum, name) in deleted
            .iter_mut()
            .zip(["refresh_tokens_deleted", "sessions_deleted"])
        {
            *sum += counts.get(name).copied().unwrap_or_default();
        }
    }
    assert_eq!(deleted, [SESSIONS as u64; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn refresh_during_cleanup_keeps_its_session() {
    let world = Arc::new(World::with([("MAX_WRITES_PER_SECOND", "0")]).await);
    // By the clock of the cleanups all sessions have expired. By that of the refreshers, a second
    // behind, none has.
    for number in 0..SESSIONS {
        world
            .put(active_session("ann", &format!("s{number}"), NOW))
            .await;
    }
    let refreshed = Arc::new(AtomicU64::new(0));
    let refresh = |step: usize| {
        let (world, refreshed) = (Arc::clone(&world), Arc::clone(&refreshed));
        tokio::spawn(async move {
            for number in (0..SESSIONS).skip(step).step_by(2) {
                let (user, session) = (
                    session_cleanup_tests::user_id("ann"),
                    session_cleanup_tests::session_id(&format!("s{number}")),
                );
                let (end, now) = (
                    Timestamp::from_seconds(NOW + HOUR),
                    Timestamp::from_seconds(NOW - 1),
                );
                let changed = world
                    .sessions
                    .extend(&user, &session, end, now)
                    .await
                    .unwrap();
                if changed == UpdateOutcome::Updated {
                    refreshed.fetch_add(1, Ordering::SeqCst);
                }
            }
        })
    };
    let refreshers = [refresh(0), refresh(1)];
    let cleanup = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.clean_up(json!({}), NOW).await })
    };
    let report = cleanup.await.unwrap();
    for refresher in refreshers {
        refresher.await.unwrap();
    }
    let mut live = 0;
    for number_of in 0..SESSIONS {
        let row = world
            .session("ann", &format!("s{number_of}"))
            .await
            .unwrap();
        let is_active = *row["is_active"].as_bool().unwrap();
        // What was refreshed stays; what was not has expired.
        assert_eq!(
            is_active,
            number(&row, "expires_at") == NOW + HOUR,
            "{row:?}"
        );
        live += u64::from(is_active);
    }
    assert_eq!(live, refreshed.load(Ordering::SeqCst));
    let deactivated = counts(&report)
        .get("sessions_deactivated")
        .copied()
        .unwrap_or_default();
    assert_eq!(live + deactivated, SESSIONS as u64, "{report}");
}

/// The same race with the refresh exactly between the cleanup's read of the due list and its write:
/// the list still contains a session that has moved.
#[tokio::test]
async fn refresh_between_list_and_write_keeps_its_session() {
    let world = World::new().await;
    world
        .put(active_session("ann", "with-index", NOW - 1))
        .await;
    let mut moved = active_session("ann", "without-index", NOW + HOUR);
    moved["due_at"] = json!({ "N": (NOW - 1).to_string() });
    world.put(moved).await;
    let user = session_cleanup_tests::user_id("ann");
    let session = session_cleanup_tests::session_id("with-index");
    let (end, before) = (
        Timestamp::from_seconds(NOW + HOUR),
        Timestamp::from_seconds(NOW - 9),
    );
    let changed = world
        .sessions
        .extend(&user, &session, end, before)
        .await
        .unwrap();
    assert_eq!(changed, UpdateOutcome::Updated);
    let report = world.clean_up(json!({}), NOW).await;
    assert_eq!(
        counts(&report),
        session_cleanup_tests::only([("reindexed", 1)])
    );
    for session in ["with-index", "without-index"] {
        let row = world.session("ann", session).await.unwrap();
        assert_eq!(row["is_active"].as_bool(), Ok(&true), "{session}");
        assert_eq!(number(&row, "due_at"), NOW + HOUR, "{session}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn logouts_during_cleanup_keep_their_reason() {
    let world = Arc::new(World::with([("MAX_WRITES_PER_SECOND", "0")]).await);
    for number in 0..SESSIONS {
        world.open("ann", &format!("s{number}"), NOW - 1).await;
    }
    let logouts = {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            let mut done = 0_u64;
            for number in 0..SESSIONS {
                let user = session_cleanup_tests::user_id("ann");
                let session = session_cleanup_tests::session_id(&format!("s{number}"));
                let now = Timestamp::from_seconds(NOW);
                let logout = world.sessions.logout(&user, &session, now).await;
                done += u64::from(logout.unwrap() == UpdateOutcome::Updated);
            }
            done
        })
    };
    let report = world.clean_up(json!({}), NOW).await;
    let logged_out = logouts.await.unwrap();
    let by_cleanup = counts(&report)
        .get("sessions_deactivated")
        .copied()
        .unwrap_or_default();
    assert_eq!(logged_out + by_cleanup, SESSIONS as u64, "{report}");
    let items = world.items().await;
    let logout = items
        .iter()
        .filter(|item| item.contains_key("deactivation_reason"))
        .filter(|item| text(item, "deactivation_reason") == "logout");
    assert_eq!(logout.count() as u64, logged_out);
}

/// With a hundred lists, two runs start with the same eight by chance less than once in 10^11
/// times.
#[tokio::test]
async fn runs_read_due_lists_in_random_order_deactivations_first() {
    const LISTS: usize = 100;
    let (world, faults) = World::with_faults(NO_TIMEOUT_NO_RETRY, [("DUE_SHARDS", "100")], |_| {
        Fault::None
    })
    .await;
    for _ in 0..2 {
        world.clean_up(json!({}), NOW).await;
    }
    let lists: Vec<_> = faults
        .record()
        .into_iter()
        .filter(|it| it.request.operation == "Query")
        .map(|it| {
            let values = &it.request.body["ExpressionAttributeValues"];
            values[":list"]["S"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(lists.len(), 4 * LISTS);
    for run in lists.chunks(2 * LISTS) {
        let (first, then) = run.split_at(LISTS);
        assert!(first.iter().all(|list| list.starts_with("deactivate#")));
        assert!(then.iter().all(|list| list.starts_with("delete#")));
        assert_eq!(run.iter().collect::<BTreeSet<_>>().len(), 2 * LISTS);
    }
    let begins_with = |run: usize| -> BTreeSet<_> {
        let from = run * 2 * LISTS;
        lists[from..from + 8].iter().collect()
    };
    assert_ne!(begins_with(0), begins_with(1));
}
