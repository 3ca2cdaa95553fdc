//! The metrics that the functions write: exactly the documented ones, with the figures of the
//! answers.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use session_cleanup_local::template::FunctionName;
use session_cleanup_local::tokens::Bearer;
use session_cleanup_tests::emulator::Emulator;
use session_cleanup_tests::events::{event, event_with_token};
use session_cleanup_tests::fault_proxy::{Fault, FaultProxy};
use session_cleanup_tests::metrics::{Row, Sample, table};
use session_cleanup_tests::tokens::Tokens;
use session_cleanup_tests::{DAY, HOUR, World, active_session, at, inactive_session};
use session_domain::Counts;
use session_functions::metrics::Metric;

use crate::{due_by_schedule, fill, now, sign};

/// A request for each outcome of a validation.
async fn requests(world: &World) -> Vec<(&'static str, Value)> {
    let now = now();
    world.open("ann", "live", now + HOUR).await;
    for expired in ["expired", "expired-and-revoked", UNANSWERED] {
        world.open("ann", expired, now - 1).await;
    }
    world.put(inactive_session("ann", "closed", now - 1)).await;
    let mut malformed = active_session("ann", "malformed", now + HOUR);
    malformed["expires_at"] = json!({ "S": "tomorrow" });
    world.put(malformed).await;
    let with = |token: &str| event_with_token(FunctionName::Authorizer, "rest-request", token);
    let of = |session| with(&sign(&world.tokens, "ann", session));
    let ended = world.tokens.sign(Bearer {
        user: "ann",
        session: "live",
        scope: "",
        expires_at: at(now - 1),
    });
    let revoked = sign(&world.tokens, "ann", "expired-and-revoked");
    world.blacklist("ann", &jti(&revoked), now + HOUR).await;
    let nobody = event(FunctionName::Authorizer, "rest-request-without-token");
    vec![
        ("Allowed", of("live")),
        ("MissingBearerToken", nobody),
        ("InvalidToken", with(&sign(&Tokens::new(), "ann", "live"))),
        ("TokenExpired", with(&ended)),
        ("TokenRevoked", with(&revoked)),
        ("SessionNotFound", of("none")),
        ("SessionInactive", of("closed")),
        ("SessionExpired", of("expired")),
        ("Error", of("malformed")),
        ("SessionInactive", of("expired")),
        ("SessionExpired", of(UNANSWERED)),
    ]
}

/// The session of the last request, whose deactivation gets no response.
const UNANSWERED: &str = "unanswered";

/// A fault proxy that loses that response.
async fn faults(world: &World) -> FaultProxy {
    FaultProxy::before(world.dynamodb.address(), |request| {
        let body = request.body.to_string();
        let write = request.operation == "BatchExecuteStatement";
        if write && body.contains(&format!("SESSION#{UNANSWERED}")) {
            return Fault::DroppedAfter;
        }
        Fault::None
    })
    .await
}

/// The `jti` of a token.
fn jti(token: &str) -> String {
    use base64::Engine as _;
    let claims = token.split('.').nth(1).unwrap();
    let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(claims);
    let claims: Value = serde_json::from_slice(&claims.unwrap()).unwrap();
    claims["jti"].as_str().unwrap().to_owned()
}

/// Name, dimension value and value of a sample.
fn brief(sample: &Sample) -> (&str, &str, f64) {
    let dimension = sample.dimension.as_ref().map_or("", |it| &it.1);
    (&sample.name, dimension, sample.value)
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn functions_write_exactly_the_documented_metrics() {
    let world = World::new().await;
    fill(&world).await;
    let token = sign(&world.tokens, "ann", "live");
    let of = |function, name| vec![event_with_token(function, name, &token)];
    let faults = faults(&world).await;
    let url = faults.url();
    world
        .put(active_session("eve", "old", now() + HOUR / 2))
        .await;
    let revoke = json!({ "revoke": { "created_before": now(), "reason": "a leaked key" } });
    let mut written = BTreeSet::new();
    for (function, events) in [
        (
            FunctionName::Authorizer,
            requests(&world).await.into_iter().map(|it| it.1).collect(),
        ),
        (
            FunctionName::Stats,
            ["stats", "scheduled"]
                .map(|name| event_with_token(FunctionName::Stats, name, &token))
                .into(),
        ),
        (
            FunctionName::ForceCleanup,
            of(FunctionName::ForceCleanup, "cleanup"),
        ),
        (
            FunctionName::Sessions,
            of(FunctionName::Sessions, "revoke-user-sessions"),
        ),
        (
            FunctionName::Cleanup,
            [of(FunctionName::Cleanup, "scheduled"), vec![revoke]].concat(),
        ),
    ] {
        let variables = [("AWS_ENDPOINT_URL_DYNAMODB", &*url)];
        let emulator = Emulator::start(&world, function, variables).await;
        for event in &events {
            // One of the requests is expected to fail.
            let _ = emulator.invoke(event).await;
        }
        for sample in emulator.metrics() {
            assert_eq!(sample.namespace, "SessionCleanup");
            assert!((sample.time / 1_000 - now()).abs() < HOUR, "{sample:?}");
            written.insert(Row {
                name: sample.name,
                unit: sample.unit,
                dimension: sample.dimension.map(|it| it.0),
                functions: BTreeSet::from([function.as_str().to_owned()]),
            });
        }
    }
    let described: BTreeSet<_> = table().iter().flat_map(by_function).collect();
    assert_eq!(written, described);
}

/// One row per function.
fn by_function(row: &Row) -> Vec<Row> {
    let functions = if row.functions == BTreeSet::from(["all".to_owned()]) {
        FunctionName::ALL.map(|it| it.as_str().to_owned()).into()
    } else {
        row.functions.clone()
    };
    let one = |function| Row {
        functions: BTreeSet::from([function]),
        ..row.clone()
    };
    functions.into_iter().map(one).collect()
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn counts_each_request_by_outcome_and_first_as_cold_start() {
    let world = World::new().await;
    let faults = faults(&world).await;
    let variables = [("AWS_ENDPOINT_URL_DYNAMODB", &*faults.url())];
    let authorizer = Emulator::start(&world, FunctionName::Authorizer, variables).await;
    let mut seen = 0;
    let requests = requests(&world).await;
    let last = requests.len() - 1;
    for (number, (outcome, event)) in requests.into_iter().enumerate() {
        let answer = authorizer.invoke(&event).await;
        assert_eq!(answer.is_err(), outcome == "Error", "{outcome}: {answer:?}");
        let all = authorizer.metrics();
        let samples: Vec<_> = all[seen..].iter().map(brief).collect();
        let mut expected = vec![("Validations", outcome, 1.0)];
        if number == 0 {
            expected.insert(0, ("ColdStarts", "authorizer", 1.0));
        }
        // The token is revoked, and its session has expired, too.
        if number == last {
            expected.push(("DeactivationsOnValidationUnknown", "", 1.0));
        } else if ["SessionExpired", "TokenRevoked"].contains(&outcome) {
            expected.push(("DeactivationsOnValidation", "", 1.0));
        }
        assert_eq!(samples, expected, "{outcome}");
        seen = all.len();
    }
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn run_metrics_match_report_and_dry_run_has_none() {
    let counts = Metric::COUNTS.into_iter().zip(Counts::NAMES);
    // The other dimension is of revocations, which these runs do not make.
    let counts = counts.filter(|(metric, _)| metric.dimension() == Some("Trigger"));
    let mut of_a_report: Vec<_> = counts.map(|(metric, name)| (metric.name(), name)).collect();
    of_a_report.push(("Duration", "duration_ms"));
    of_a_report.push(("CapacityUnits", "capacity_units"));
    let world = World::new().await;
    fill(&world).await;
    let cleanup = Emulator::start(&world, FunctionName::Cleanup, []).await;
    let mut seen = 0;
    for (name, trigger) in [
        ("dry-run", None),
        ("scheduled", Some("schedule")),
        ("empty", Some("manual")),
        ("short-run", Some("manual")),
    ] {
        world.open("eve", name, now() - 5).await;
        let report = cleanup.invoke(&event(FunctionName::Cleanup, name)).await;
        let report = report.unwrap();
        let all = cleanup.metrics();
        let of_the_run: Vec<_> = all[seen..]
            .iter()
            .filter(|it| it.dimension.as_ref().is_some_and(|it| it.0 == "Trigger"))
            .map(brief)
            .collect();
        seen = all.len();
        let Some(trigger) = trigger else {
            assert_eq!(of_the_run, [], "{name}");
            continue;
        };
        let value = |metric| {
            let found = of_the_run.iter().find(|it| it.0 == metric).unwrap();
            assert_eq!(found.1, trigger, "{name}");
            found.2
        };
        for &(metric, figure) in &of_a_report {
            assert_eq!(Some(value(metric)), report[figure].as_f64(), "{metric}");
        }
        let complete = value("Complete") > 0.5;
        assert_eq!(report["complete"], complete, "{name}");
        let oldest = value("OldestExpiredAge");
        #[expect(clippy::cast_precision_loss, reason = "a few days")]
        let least = if name == "scheduled" { 9 * DAY } else { 5 } as f64;
        assert!(
            (least..least + 3_600.0).contains(&oldest),
            "{name}: {oldest}"
        );
        assert_eq!(of_the_run.len(), of_a_report.len() + 2, "{of_the_run:?}");
    }
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn writes_metrics_of_failed_run() {
    let world = World::new().await;
    fill(&world).await;
    let faults = FaultProxy::before(world.dynamodb.address(), |request| {
        if request.operation == "BatchExecuteStatement" {
            return Fault::DENIED;
        }
        Fault::None
    })
    .await;
    let variables = [("AWS_ENDPOINT_URL_DYNAMODB", &*faults.url())];
    let cleanup = Emulator::start(&world, FunctionName::Cleanup, variables).await;
    let scheduled = event(FunctionName::Cleanup, "scheduled");
    let error = cleanup.invoke(&scheduled).await.unwrap_err();
    assert!(error.contains("could not finish"), "{error}");
    let metrics = cleanup.metrics();
    let value = |name| metrics.iter().find(|it| it.name == name).unwrap().value;
    let due: u64 = due_by_schedule().into_values().sum();
    for (name, expected) in [("Failed", due), ("SessionsDeactivated", 0), ("Complete", 0)] {
        assert_eq!(value(name).to_string(), expected.to_string(), "{name}");
    }
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn scheduled_run_counts_sessions_at_start() {
    let world = World::new().await;
    fill(&world).await;
    let cleanup = Emulator::start(&world, FunctionName::Cleanup, []).await;
    let scheduled = event(FunctionName::Cleanup, "scheduled");
    for expected in [["8", "4", "3", "0"], ["6", "1", "0", "0"]] {
        cleanup.invoke(&scheduled).await.unwrap();
        let metrics = cleanup.metrics();
        let last = |name| {
            metrics
                .iter()
                .rfind(|it| it.name == name)
                .unwrap()
                .value
                .to_string()
        };
        let found = [
            "TotalSessions",
            "ActiveSessions",
            "ExpiredSessions",
            "MalformedRecords",
        ]
        .map(last);
        assert_eq!(found, expected);
    }
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn writes_metrics_at_any_log_level_in_configured_namespace() {
    let world = World::new().await;
    let variables = [("LOG_LEVEL", "FATAL"), ("METRICS_NAMESPACE", "Team/Prod")];
    let authorizer = Emulator::start(&world, FunctionName::Authorizer, variables).await;
    let event = event(FunctionName::Authorizer, "rest-token");
    authorizer.invoke(&event).await.unwrap();
    let metrics = authorizer.metrics();
    let names: Vec<_> = metrics.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["ColdStarts", "Validations"]);
    assert!(metrics.iter().all(|it| it.namespace == "Team/Prod"));
}
