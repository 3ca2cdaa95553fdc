//! Tests of the events.

use proptest::prelude::{prop_assert_eq, proptest};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use session_domain::error_chain;

use super::*;

/// 2027-01-15T08:00:00Z.
const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

#[test]
fn parses_each_kind_of_event_and_rejects_others() {
    let by_hand = |options| Some((Trigger::Manual, options));
    let scheduled = || Some((Trigger::Schedule, Options::default()));
    let default = Options::default;
    for (event, read) in [
        (json!(null), by_hand(default())),
        (json!({}), by_hand(default())),
        (
            json!({ "key1": "value1", "key2": "value2", "key3": "value3" }),
            by_hand(default()),
        ),
        (
            json!({ "dry_run": true }),
            by_hand(Options {
                dry_run: true,
                ..default()
            }),
        ),
        (
            json!({ "adopt": true }),
            by_hand(Options {
                adopt: true,
                ..default()
            }),
        ),
        (
            json!({ "max_seconds": 0, "sweep_grace_hours": 720 }),
            by_hand(Options {
                max_seconds: Some(0),
                sweep_grace_hours: Some(720),
                ..default()
            }),
        ),
        (
            json!({ "detail-type": "Scheduled Event", "source": "aws.events" }),
            scheduled(),
        ),
        (
            json!({ "detail-type": "Scheduled Event", "source": "aws.scheduler" }),
            scheduled(),
        ),
        (
            json!({ "detail-type": "Scheduled Event", "source": "shop" }),
            None,
        ),
        (
            json!({ "detail-type": "Order", "source": "aws.events" }),
            None,
        ),
        (json!({ "dryrun": true }), None),
        (json!({ "dry_run": "true" }), None),
        (json!({ "key1": "value1" }), None),
        (json!({ "max_seconds": 901 }), None),
        (json!({ "max_seconds": -1 }), None),
        (json!({ "sweep_grace_hours": 721 }), None),
        (json!({ "sweep_grace_hours": 1.5 }), None),
        (json!([]), None),
        (json!("dry_run"), None),
    ] {
        let request = Request::read(&to_raw_value(&event).unwrap(), NOW).ok();
        assert_eq!(request.map(|it| (it.trigger, it.options)), read, "{event}");
    }
}

/// A scheduled event of a rule, with these members before its closing brace.
fn scheduled_with(members: &str) -> String {
    format!(
        r#"{{"version": "0", "id": "7bf73129-1428-4cd3-a780-95db273d1602",
            "detail-type": "Scheduled Event", "source": "aws.events", "account": "123456789012",
            "time": "2026-11-24T08:00:00Z", "region": "eu-central-1",
            "resources": ["arn:aws:events:eu-central-1:123456789012:rule/hourly"]{members}}}"#
    )
}

fn read(event: &str) -> Result<Request, InvalidEvent> {
    Request::read(&RawValue::from_string(event.to_owned()).unwrap(), NOW)
}

#[test]
fn accepts_scheduled_event_with_empty_detail() {
    for detail in [
        "",
        r#", "detail": {}"#,
        r#", "detail": { }"#,
        r#", "detail": "{}""#,
    ] {
        let request = read(&scheduled_with(detail)).unwrap();
        assert_eq!(request.trigger, Trigger::Schedule, "{detail}");
    }
}

#[test]
fn rejects_scheduled_event_and_names_unexpected_member() {
    for (member, name) in [
        (r#""detail": {"dry_run": true}"#, "detail"),
        (r#""detail": "{\"dry_run\":true}""#, "detail"),
        (r#""detail": {"{": 1}"#, "detail"),
        (r#""detail": "dry_run""#, "detail"),
        (r#""detail": "}{""#, "detail"),
        (r#""detail": "{""#, "detail"),
        (r#""detail": []"#, "detail"),
        (r#""detail": {}, "detail": {}"#, "detail"),
        (r#""dry_run": true"#, "dry_run"),
        (r#""dryRun": true"#, "dryRun"),
        (r#""Dry_run": true"#, "Dry_run"),
        (r#""max_seconds": 0"#, "max_seconds"),
        (r#""source": "aws.events""#, "source"),
        (r#""detail-type": "Scheduled Event""#, "detail-type"),
        (r#""id": "1""#, "id"),
        (r#""$serde_json::private::RawValue": "{}""#, "RawValue"),
        (r#""key1": "value1""#, "key1"),
    ] {
        let error = read(&scheduled_with(&format!(", {member}"))).unwrap_err();
        let error = error_chain(&error);
        assert!(error.contains(name), "{member}: {error}");
    }
}

#[test]
fn rejects_duplicate_reserved_or_mixed_members() {
    for event in [
        r#"{ "dry_run": true, "dry_run": false }"#,
        r#"{ "dry_run": true, "dry_r\u0075n": false }"#,
        r#"{ "$serde_json::private::RawValue": "null" }"#,
        r#"{ "$serde_json::private::RawValue": "{}" }"#,
        r#"{ "$serde_json::private::Number": "1" }"#,
        r#"{ "key1": "value1", "key2": "value2", "key3": "value3", "dry_run": true }"#,
        r#"{ "key1": "value1", "key1": "value1", "key2": "value2", "key3": "value3" }"#,
        r#"{ "source": "aws.events" }"#,
        r#"{ "detail-type": "Scheduled Event", "dry_run": true }"#,
        r#"["value1", "value2", "value3"]"#,
    ] {
        assert!(read(event).is_err(), "{event}");
    }
}

#[test]
fn error_names_misspelled_option() {
    let event = to_raw_value(&json!({ "dryrun": true })).unwrap();
    let error = error_chain(&Request::read(&event, NOW).unwrap_err());
    assert!(error.contains("`dryrun`"), "{error}");
}

/// An event with a revocation, to which `members` are added or whose members they replace.
fn revoke(members: &[(&str, Value)]) -> Value {
    let mut revoke = json!({ "created_before": 1_799_996_400, "reason": "a leaked key" });
    for (name, value) in members {
        revoke[name] = value.clone();
    }
    json!({ "revoke": revoke })
}

#[test]
fn reads_revocation_with_time_in_either_form() {
    for (time, expected) in [
        (json!(1_799_996_400), 1_799_996_400),
        (json!("2027-01-15T07:00:00Z"), 1_799_996_400),
        (json!("2027-01-15T08:00:00.000+01:00"), 1_799_996_400),
        (json!(1_800_000_000), 1_800_000_000),
        (json!(0), 0),
    ] {
        let texts = [
            ("created_before", time),
            ("client_id", json!("web")),
            ("requested_by", json!("x".repeat(256))),
        ];
        let request = read(&revoke(&texts).to_string()).unwrap();
        let expected = Revocation {
            created_before: Timestamp::from_seconds(expected),
            client_id: Some("web".to_owned()),
            reason: "a leaked key".to_owned(),
            requested_by: Some("x".repeat(256)),
        };
        assert_eq!(request.trigger, Trigger::Manual);
        assert_eq!(request.options.revoke, Some(expected));
    }
    let request = read(&revoke(&[("client_id", json!(null))]).to_string()).unwrap();
    assert_eq!(request.options.revoke.unwrap().client_id, None);
}

#[test]
fn rejects_invalid_revocation_and_names_the_member() {
    for (name, value) in [
        ("created_before", json!(1_800_000_001)),
        ("created_before", json!("2027-01-15T08:00:01Z")),
        ("created_before", json!(1_799_996_400_000_i64)),
        ("created_before", json!(-1)),
        ("created_before", json!(u64::MAX)),
        ("created_before", json!(1.5)),
        ("created_before", json!("1799996400")),
        ("created_before", json!("2027-01-15")),
        ("created_before", json!("2027-01-15T07:00:00")),
        ("created_before", json!("2027-01-15T07:00:00.5Z")),
        ("created_before", json!(null)),
        ("client_id", json!("")),
        ("client_id", json!(7)),
        ("client_id", json!("x".repeat(2_049))),
        ("reason", json!("")),
        ("reason", json!(" ")),
        ("reason", json!("two\nlines")),
        ("reason", json!("x".repeat(257))),
        ("reason", json!(null)),
        ("requested_by", json!("")),
        ("requested_by", json!("\u{7f}")),
        ("reasons", json!("a leaked key")),
    ] {
        let error = read(&revoke(&[(name, value.clone())]).to_string()).unwrap_err();
        let error = error_chain(&error);
        let names = error.contains(name) || error.contains("invalid type");
        assert!(names, "{value}: {error}");
    }
}

#[test]
fn rejects_incomplete_or_ambiguous_revocation() {
    for event in [
        r#"{ "revoke": true }"#,
        r#"{ "revoke": "all" }"#,
        r#"{ "revoke": {} }"#,
        r#"{ "revoke": { "created_before": 0 } }"#,
        r#"{ "revoke": { "reason": "x" } }"#,
        r#"{ "revoke": [0, null, "x", null] }"#,
        r#"{ "revoke": { "created_before": [0], "reason": "x" } }"#,
        r#"{ "revoke": { "created_before": 0, "reason": "x", "reason": "y" } }"#,
        r#"{ "revoke": { "created_before": 0, "reason": "x" }, "revoke": null }"#,
        r#"{ "revoke": { "$serde_json::private::RawValue": "{}" } }"#,
    ] {
        assert!(read(event).is_err(), "{event}");
    }
}

proptest! {
    #[test]
    fn accepts_exactly_times_until_now(seconds in 1_799_999_990..1_800_000_010_i64) {
        let event = revoke(&[("created_before", json!(seconds))]).to_string();
        prop_assert_eq!(read(&event).is_ok(), seconds <= NOW.seconds());
    }

    #[test]
    fn accepts_exactly_texts_within_limits(text in "(.{0,300}|[a-zé ]{0,300})") {
        let fits = (1..=256).contains(&text.chars().count());
        let is_valid = fits && !text.trim().is_empty() && !text.chars().any(char::is_control);
        for name in ["reason", "requested_by"] {
            let event = revoke(&[(name, json!(text))]).to_string();
            prop_assert_eq!(read(&event).is_ok(), is_valid, "{}", event);
        }
    }
}
