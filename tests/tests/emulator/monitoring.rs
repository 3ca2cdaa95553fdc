//! The functions of the monitoring API.

use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use session_cleanup_local::template::{FunctionName, Template};
use session_cleanup_tests::emulator::Emulator;
use session_cleanup_tests::events::event;
use session_cleanup_tests::{DAY, World, counts, sample};

use crate::{due_at_once, fill, now, table};

/// Invokes a function. Returns status and body of its HTTP response.
async fn call(function: &Emulator, event: &Value) -> (u64, Value) {
    let answer = function.invoke(event).await.unwrap();
    let body = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    (answer["statusCode"].as_u64().unwrap(), body)
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn returns_statistics_and_reports_to_reader() {
    let world = World::new().await;
    fill(&world).await;
    let emulator = Emulator::start(&world, FunctionName::Stats, []).await;
    let of_stats = |name| event(FunctionName::Stats, name);

    let (status, body) = call(&emulator, &of_stats("stats")).await;
    assert_eq!((status, &body["success"]), (200, &json!(true)), "{body}");
    for (name, value) in [
        ("total_sessions", json!(8)),
        ("active_sessions", json!(4)),
        ("expired_sessions", json!(3)),
        ("cleanup_needed", json!(true)),
        ("inactive_sessions", json!(4)),
        ("last_cleanup", json!(null)),
    ] {
        assert_eq!(body["data"][name], value, "{name}");
    }
    let age = body["data"]["oldest_expired_age_seconds"].as_i64().unwrap();
    assert!((9 * DAY..10 * DAY).contains(&age), "{age}");

    let mut runs = Vec::new();
    for seconds in 0..3 {
        let report = world.clean_up(json!({}), now() + seconds).await;
        runs.push(report["run_id"].clone());
    }
    let (status, body) = call(&emulator, &of_stats("reports")).await;
    assert_eq!(status, 200, "{body}");
    let listed = body["data"]["reports"].as_array().unwrap();
    let listed: Vec<_> = listed.iter().map(|it| &it["run_id"]).collect();
    assert_eq!(listed, [&runs[2], &runs[1]]);
    assert!(body["data"]["next"].is_string(), "{body}");
    let (_, body) = call(&emulator, &of_stats("stats")).await;
    assert_eq!(body["data"]["last_cleanup"]["run_id"], runs[2], "{body}");
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn runs_cleanup_immediately_for_admin() {
    let world = World::new().await;
    fill(&world).await;
    let force_cleanup = Emulator::start(&world, FunctionName::ForceCleanup, []).await;
    for (name, dry_run) in [("dry-run", true), ("cleanup", false)] {
        let (status, body) = call(&force_cleanup, &event(FunctionName::ForceCleanup, name)).await;
        let report = &body["data"];
        assert_eq!((status, &body["success"]), (200, &json!(true)), "{body}");
        assert_eq!(report["trigger"], "api");
        assert_eq!(report["requested_by"], "ada");
        assert_eq!(report["dry_run"], dry_run);
        assert_eq!(counts(report), due_at_once(), "{name}");
    }
    let (reports, records) = table(&world).await;
    assert_eq!((reports.len(), records.len()), (2, 16 - 9));
}

/// Runs for almost 29 seconds, the timeout of API Gateway.
#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn answers_admin_within_gateway_timeout_with_work_left() {
    const GATEWAY: Duration = Duration::from_secs(29);
    const DUE: usize = 10_000;
    let template = Template::read().unwrap();
    let timeout = template.timeouts[&FunctionName::ForceCleanup];
    assert!(timeout <= GATEWAY, "{timeout:?}");
    let world = World::new().await;
    let mut rng = StdRng::seed_from_u64(1);
    let end = now() - 1;
    sample::store(&world, sample::active_sessions(&mut rng, DUE, 16, |_| end));
    let seconds = timeout.as_secs().to_string();
    let variables = [
        ("AWS_LAMBDA_FUNCTION_TIMEOUT", &*seconds),
        ("MAX_WRITES_PER_SECOND", "100"),
    ];
    let force_cleanup = Emulator::start(&world, FunctionName::ForceCleanup, variables).await;
    let event = event(FunctionName::ForceCleanup, "cleanup");
    let answer = tokio::time::timeout(GATEWAY, call(&force_cleanup, &event)).await;
    let (status, body) = answer.expect("an answer before the gateway's timeout");
    assert_eq!((status, &body["success"]), (200, &json!(true)), "{body}");
    let report = &body["data"];
    assert_eq!(report["complete"], false, "{report}");
    let done = report["sessions_deactivated"].as_u64().unwrap();
    assert!(done > 100, "{report}");
    let closed = world.records().await.into_iter();
    let closed = closed.filter(|(_, item)| item["is_active"].as_bool() == Ok(&false));
    assert_eq!(closed.count() as u64, done, "{report}");
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn denies_caller_without_scope() {
    let world = World::new().await;
    fill(&world).await;
    let before = table(&world).await;
    for (function, names, scope) in [
        (FunctionName::Stats, ["stats", "reports"], "orders:read"),
        (
            FunctionName::ForceCleanup,
            ["cleanup", "dry-run"],
            "sessions:read",
        ),
    ] {
        let emulator = Emulator::start(&world, function, []).await;
        for name in names {
            let mut event = event(function, name);
            event["requestContext"]["authorizer"]["scope"] = scope.into();
            let answer = call(&emulator, &event).await;
            assert_eq!(answer, (403, json!({ "error": "Forbidden" })), "{name}");
            event["requestContext"]["authorizer"] = json!(null);
            assert_eq!(call(&emulator, &event).await.0, 403, "{name}");
        }
    }
    assert_eq!(table(&world).await, before);
}
