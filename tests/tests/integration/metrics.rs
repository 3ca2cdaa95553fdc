//! The metrics: documented, and without effect on what they measure.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use serde_json::json;
use session_cleanup_local::stack::scheduled_event;
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::fault_proxy::{Fault, NO_TIMEOUT_NO_RETRY};
use session_cleanup_tests::{DAY, HOUR, NOW, World, at, counts, metrics, only};
use session_domain::Counts;
use session_functions::config::StatsConfig;
use session_functions::metrics::{Metric, Metrics, Namespace};
use stats::Stats;

#[test]
fn documentation_lists_exactly_the_metrics_of_the_code() {
    let described: BTreeMap<_, _> = metrics::table()
        .into_iter()
        .map(|row| (row.name, (row.unit, row.dimension)))
        .collect();
    let of_the_code = Metric::ALL.map(|metric| {
        let unit = metric.unit().to_owned();
        let dimension = metric.dimension().map(str::to_owned);
        (metric.name().to_owned(), (unit, dimension))
    });
    assert_eq!(described, BTreeMap::from(of_the_code));
    assert_eq!(metrics::table().len(), described.len(), "one row each");
}

#[tokio::test]
async fn scheduled_run_cleans_up_even_if_count_fails() {
    let (world, _faults) = World::with_faults(NO_TIMEOUT_NO_RETRY, [], |request| {
        if request.body["Select"] == "COUNT" {
            return Fault::Error {
                status: 400,
                code: "ProvisionedThroughputExceededException",
            };
        }
        Fault::None
    })
    .await;
    world.open("ann", "a", NOW - 1).await;
    let report = world
        .functions
        .invoke(FunctionName::Cleanup, &scheduled_event(at(NOW)), at(NOW))
        .await
        .unwrap();
    assert_eq!(counts(&report), only([("sessions_deactivated", 1)]));
    assert_eq!(report["complete"], true, "{report}");
    assert_eq!(world.log.about("could not be counted").len(), 1);
}

#[tokio::test]
async fn only_scheduled_runs_count_sessions_if_enabled() {
    for (count_sessions, event, expected) in [
        ("true", scheduled_event(at(NOW)), true),
        ("true", json!({}), false),
        ("false", scheduled_event(at(NOW)), false),
    ] {
        let variables = [("COUNT_SESSIONS", count_sessions)];
        let counted = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&counted);
        let (world, _faults) = World::with_faults(NO_TIMEOUT_NO_RETRY, variables, move |request| {
            seen.fetch_or(request.body["Select"] == "COUNT", Ordering::Relaxed);
            Fault::None
        })
        .await;
        let (cleanup, now) = (FunctionName::Cleanup, at(NOW));
        world.functions.invoke(cleanup, &event, now).await.unwrap();
        let counted = counted.load(Ordering::Relaxed);
        assert_eq!(counted, expected, "{count_sessions}, {event}");
    }
}

#[tokio::test]
async fn run_logs_age_of_oldest_expired_session() {
    let world = World::new().await;
    for (user, ago) in [("ann", 5), ("ben", 77), ("cleo", 60)] {
        world.open(user, "a", NOW - ago).await;
    }
    // Records that are due for deletion are not expired sessions.
    world.refresh_token("dana", "r", NOW - 3 * DAY).await;
    for expected in [json!(77), json!(null)] {
        world.clean_up(json!({}), NOW).await;
        let ended = world.log.about("cleanup ended");
        let told = &ended.last().unwrap()["oldest_expired_age_seconds"];
        assert_eq!(told, &expected, "{ended:?}");
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a count or seconds")]
fn whole(value: f64) -> i64 {
    value as i64
}

/// The metrics of a check of the schedule at `now`: the delay of the cleanup, and how many of the
/// last runs were incomplete or failed on records.
async fn watch<const N: usize>(
    world: &World,
    schedule: &str,
    variables: [(&str, &str); N],
    now: i64,
) -> [f64; 3] {
    let values = watched(world, schedule, variables, now).await;
    values.map(|value| value.expect("a written metric"))
}

async fn watched<const N: usize>(
    world: &World,
    schedule: &str,
    variables: [(&str, &str); N],
    now: i64,
) -> [Option<f64>; 3] {
    let usual = [
        ("TABLE_NAME", world.table_name()),
        ("CLEANUP_SCHEDULE", schedule),
    ];
    let variables = usual.into_iter().chain(variables).collect();
    let config = StatsConfig::read(&variables).unwrap();
    let (written, lines) = mpsc::channel();
    let metrics = Metrics::new(Namespace::default(), "stats", move |line| {
        written.send(line.to_vec()).unwrap();
    });
    let stats = Stats::new(config, world.client.clone(), metrics);
    stats.watch(at(now)).await.unwrap();
    let lines: Vec<serde_json::Value> = lines
        .try_iter()
        .map(|line| serde_json::from_slice(&line).unwrap())
        .collect();
    [
        Metric::CleanupOverdue,
        Metric::IncompleteRuns,
        Metric::RunsWithFailures,
    ]
    .map(|metric| {
        let values = lines.iter().filter_map(|line| line[metric.name()].as_f64());
        let values: Vec<_> = values.collect();
        assert!(values.len() <= 1, "{metric:?} in {lines:?}");
        values.first().copied()
    })
}

#[tokio::test]
async fn schedule_decides_when_cleanup_is_overdue() {
    let world = World::new().await;
    world.clean_up(scheduled_event(at(NOW)), NOW).await;
    // A manual run, which does not count for the schedule.
    world.clean_up(json!({}), NOW + HOUR).await;
    for (schedule, minutes, overdue) in [
        ("rate(1 hour)", 120, 0),
        ("rate(1 hour)", 121, 61),
        ("rate(5 minutes)", 65, 0),
        ("rate(5 minutes)", 66, 61),
        // The run was at 08:00 on a Friday.
        ("cron(0 9 * * ? *)", 121, 61),
        ("cron(0 7 * * ? *)", 24 * 60, 0),
        ("cron(0 7 * * ? *)", 24 * 60 + 1, 61),
        ("cron(0 8 ? * MON *)", 3 * 24 * 60 + 60, 0),
        ("cron(0 8 ? * MON *)", 3 * 24 * 60 + 90, 90),
    ] {
        let [found, ..] = watch(&world, schedule, [], NOW + minutes * 60).await;
        assert_eq!(
            whole(found),
            overdue * 60,
            "{schedule} after {minutes} minutes"
        );
    }
}

/// Stores the report of a scheduled run that started `minutes` after [`NOW`].
async fn put_report(world: &World, minutes: i64, complete: bool, failed: u64, error: Option<&str>) {
    let time = format!("2027-01-15T08:{minutes:02}:00.000Z");
    let mut report = json!({
        "pk": { "S": "CLEANUP" },
        "sk": { "S": format!("RUN#{time}#{minutes}") },
        "run_id": { "S": format!("00000000-0000-4000-8000-{minutes:012}") },
        "trigger": { "S": "schedule" },
        "dry_run": { "BOOL": false },
        "started_at": { "S": time },
        "duration_ms": { "N": "1" },
        "complete": { "BOOL": complete },
        "capacity_units": { "N": "1" },
    });
    for name in Counts::NAMES {
        report[name] = json!({ "N": "0" });
    }
    report["failed"] = json!({ "N": failed.to_string() });
    if let Some(error) = error {
        report["error"] = json!({ "S": error });
    }
    world.put(report).await;
}

#[tokio::test]
async fn counts_consecutive_runs_with_work_left_or_failures() {
    let world = World::new().await;
    for (minutes, complete, failed, expected) in [
        (1, false, 0, [1, 0]),
        (2, false, 5, [2, 1]),
        (3, true, 5, [0, 2]),
        (4, false, 5, [1, 3]),
        (5, false, 5, [2, 3]),
        (6, false, 5, [3, 3]),
        (7, false, 0, [3, 0]),
    ] {
        put_report(&world, minutes, complete, failed, None).await;
        let [_, runs @ ..] = watch(&world, "rate(1 hour)", [], NOW + HOUR).await;
        assert_eq!(runs.map(whole), expected, "{minutes}");
    }
}

/// Lambda tries a failed event three times, and each attempt stores a report.
#[tokio::test]
async fn failed_attempts_do_not_count_as_runs() {
    let world = World::new().await;
    put_report(&world, 0, true, 0, None).await;
    for minutes in 10..40 {
        put_report(
            &world,
            minutes,
            false,
            0,
            Some("the table rejected the request"),
        )
        .await;
    }
    for (minutes, overdue) in [(120, 0), (130, 70)] {
        let found = watch(&world, "rate(1 hour)", [], NOW + minutes * 60).await;
        assert_eq!(found.map(whole), [overdue * 60, 0, 0], "{minutes}");
    }
}

/// The table is some weeks old and has no report.
#[tokio::test]
async fn run_with_expired_report_is_not_overdue() {
    let world = World::new().await;
    let monthly = "cron(0 0 1 * ? *)";
    for (retention, is_overdue) in [("1", false), ("14", false), ("15", true), ("90", true)] {
        let variables = [("REPORT_RETENTION_DAYS", retention)];
        let [overdue, ..] = watch(&world, monthly, variables, NOW).await;
        assert_eq!(overdue > 0.0, is_overdue, "{retention} days: {overdue}");
    }
}

#[tokio::test]
async fn unsupported_schedule_reports_nothing_overdue() {
    let world = World::new().await;
    let values = watched(&world, "cron(61 * * * ? *)", [], NOW + 9 * HOUR).await;
    assert_eq!(values[0], None);
    let warned = world.log.about("when the next cleanup is due is not known");
    assert_eq!(warned.len(), 1, "{warned:?}");
}
