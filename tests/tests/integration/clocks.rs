//! Hosts with different clocks: none deactivates a session that is live by its own clock.

use serde_json::json;
use session_cleanup_local::template::FunctionName;
use session_cleanup_local::tokens::Bearer;
use session_cleanup_tests::authorizing::{denial, rest_request};
use session_cleanup_tests::model::{Options, after, records};
use session_cleanup_tests::{HOUR, NOW, World, at, counts, number, only, text};

/// Clock skew of a host in seconds.
const OFF: i64 = 600;

const CLOCKS: [i64; 3] = [NOW - OFF, NOW, NOW + OFF];

/// Expiry times of the sessions: around the current second of each clock.
fn ends() -> Vec<i64> {
    let around = CLOCKS
        .iter()
        .flat_map(|clock| [clock - 1, *clock, clock + 1]);
    around.collect()
}

fn name(end: i64) -> String {
    format!("s{}", end - NOW)
}

async fn world() -> World {
    let world = World::new().await;
    for end in ends() {
        world.open("ann", &name(end), end).await;
    }
    world
}

/// The error of an authorizer at this time, or `None` if it allows.
async fn ask(world: &World, session: &str, now: i64) -> Option<String> {
    let token = world.tokens.sign(Bearer {
        user: "ann",
        session,
        scope: "",
        expires_at: at(NOW + HOUR),
    });
    let event = rest_request(&token);
    let answer = world
        .functions
        .invoke(FunctionName::Authorizer, &event, at(now));
    denial(&answer.await.unwrap()).map(str::to_owned)
}

/// When and why the session was deactivated, or `None` if it is active.
async fn closed(world: &World, session: &str) -> Option<(i64, String)> {
    let row = world.session("ann", session).await.unwrap();
    let is_active = *row["is_active"].as_bool().unwrap();
    (!is_active).then(|| {
        let reason = text(&row, "deactivation_reason").to_owned();
        (number(&row, "deactivated_at"), reason)
    })
}

#[tokio::test]
async fn cleanup_deactivates_only_sessions_expired_by_its_clock() {
    for now in CLOCKS {
        let world = world().await;
        let options = Options {
            now,
            retention_days: 30,
            grace_hours: 48,
            shards: 16,
            adopt: false,
            revoke: None,
        };
        let expected = after(&records(&world).await, &options);
        let report = world.clean_up(json!({}), now).await;
        let ended = ends().into_iter().filter(|end| *end <= now).count() as u64;
        assert_eq!(counts(&report), only([("sessions_deactivated", ended)]));
        expected.compare(&records(&world).await, &options);
        for end in ends() {
            let since = closed(&world, &name(end)).await.map(|it| it.0);
            assert_eq!(since, (end <= now).then_some(now), "{end} at {now}");
        }
    }
}

#[tokio::test]
async fn authorizer_deactivates_only_sessions_expired_by_its_clock() {
    for now in CLOCKS {
        let world = world().await;
        for end in ends() {
            let denial = ask(&world, &name(end), now).await;
            let closed = closed(&world, &name(end)).await;
            if end > now {
                assert_eq!((denial, closed), (None, None), "{end} at {now}");
            } else {
                assert_eq!(denial.unwrap(), "Session expired", "{end} at {now}");
                let by_it = (now, "expired_on_validation".to_owned());
                assert_eq!(closed, Some(by_it), "{end} at {now}");
            }
        }
    }
}

/// A session that a fast host has deactivated is inactive for all hosts. A session that a slow host
/// still allows is denied by the others.
#[tokio::test]
async fn hosts_with_different_clocks_agree_on_inactive_sessions() {
    let [slow, _, fast] = CLOCKS;
    let world = world().await;
    let (ended, live) = (name(NOW - 1), name(NOW + 1));
    assert_eq!(ask(&world, &ended, slow).await, None);
    assert_eq!(closed(&world, &ended).await, None);
    let slow_report = world.clean_up(json!({}), slow).await;
    assert_eq!(slow_report["sessions_deactivated"], 2);
    assert_eq!(closed(&world, &ended).await, None);
    assert_eq!(ask(&world, &ended, NOW).await.unwrap(), "Session expired");

    let fast_report = world.clean_up(json!({}), fast).await;
    assert_eq!(fast_report["sessions_deactivated"], 5);
    for now in CLOCKS {
        for session in [&ended, &live] {
            let denial = ask(&world, session, now).await;
            assert_eq!(denial.unwrap(), "Session inactive", "at {now}");
        }
    }
    let next = name(fast + 1);
    assert_eq!(ask(&world, &next, fast).await, None);
}
