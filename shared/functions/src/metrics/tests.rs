//! Tests of the metrics.

use std::sync::mpsc;

use serde_json::{Value, json};
use session_domain::{Counts, Revocation, Timestamp, Trigger};
use uuid::Uuid;

use super::*;

#[test]
fn accepts_only_namespaces_that_cloudwatch_allows() {
    for name in ["SessionCleanup", "a", "Team.A-1_x/prod#2:y"] {
        assert!(Namespace::parse(name).is_some(), "{name}");
    }
    for name in ["", "AWS/Lambda", "two words", "ü", "a\"b", &"n".repeat(256)] {
        assert!(Namespace::parse(name).is_none(), "{name}");
    }
}

#[test]
fn counts_unknown_deactivations_separately() {
    for (deactivation, expected) in [
        (None, None),
        (Some(Deactivation::ChangedElsewhere), None),
        (Some(Deactivation::Failed), None),
        (
            Some(Deactivation::Done),
            Some(Metric::DeactivationsOnValidation),
        ),
        (
            Some(Deactivation::Unknown),
            Some(Metric::DeactivationsOnValidationUnknown),
        ),
    ] {
        let (written, lines) = mpsc::channel();
        let metrics = Metrics::new(Namespace::default(), "authorizer", move |line| {
            written.send(line.to_vec()).unwrap();
        });
        let reason = DenyReason::SessionExpired;
        let decision = Decision::Deny {
            reason,
            deactivation,
        };
        metrics.record_validation(&Ok(decision), DateTime::UNIX_EPOCH);
        let line: Value = serde_json::from_slice(&lines.recv().unwrap()).unwrap();
        for metric in [
            Metric::DeactivationsOnValidation,
            Metric::DeactivationsOnValidationUnknown,
        ] {
            let counted = line.get(metric.name()).is_some();
            assert_eq!(counted, expected == Some(metric), "{line}");
        }
    }
}

#[test]
fn records_revoked_sessions_by_initiating_entity() {
    let (written, lines) = mpsc::channel();
    let metrics = Metrics::new(Namespace::default(), "cleanup", move |line| {
        written.send(line.to_vec()).unwrap();
    });
    let report = |revoke| CleanupReport {
        run_id: Uuid::nil(),
        trigger: Trigger::Manual,
        requested_by: None,
        dry_run: false,
        started_at: DateTime::UNIX_EPOCH,
        duration_ms: 0,
        complete: true,
        counts: Counts {
            sessions_revoked: 7,
            ..Counts::default()
        },
        capacity_units: 0.0,
        revoke,
        oldest_expired_age_seconds: None,
        failed_records: Vec::new(),
        adoption_percent: None,
        error: None,
    };
    let revocation = Revocation {
        created_before: Timestamp::from_seconds(0),
        client_id: None,
        reason: "a leaked key".to_owned(),
        requested_by: None,
    };
    metrics.record_run(&report(Some(revocation)));
    metrics.record_run(&report(None));
    drop(metrics);
    let lines: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_slice(&line).unwrap())
        .collect();
    let revoked: Vec<_> = lines
        .iter()
        .map(|line| (line.get("Trigger"), line.get("SessionsRevoked")))
        .collect();
    let (manual, seven) = (json!("manual"), json!(7.0));
    assert_eq!(
        revoked,
        [
            (Some(&manual), None),
            (None, Some(&seven)),
            (Some(&manual), None)
        ]
    );
    assert_eq!(lines[1]["InitiatingEntity"], "admin");
}
