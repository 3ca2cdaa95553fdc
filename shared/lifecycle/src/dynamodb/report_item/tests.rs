//! Tests of the stored form of reports.

use std::collections::HashMap;
use std::error::Error;

use aws_sdk_dynamodb::types::AttributeValue;

use super::*;

const TTL_TIME: Timestamp = Timestamp::from_seconds(1_807_776_000);

fn number(value: &str) -> AttributeValue {
    AttributeValue::N(value.to_owned())
}

fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    HashMap::from(attributes.map(|(name, value)| (name.to_owned(), value)))
}

fn report() -> Result<CleanupReport, Box<dyn Error>> {
    Ok(CleanupReport {
        run_id: Uuid::parse_str("0b7c9d7e-2f0a-4d55-8a8e-3a5d1b1a0c01")?,
        trigger: Trigger::Schedule,
        requested_by: None,
        dry_run: false,
        started_at: CleanupReport::parse_time("2027-01-15T08:00:00.000Z").ok_or("a time")?,
        duration_ms: 1_234,
        complete: true,
        counts: Counts {
            sessions_deactivated: 1,
            sessions_revoked: 9,
            sessions_deleted: 2,
            refresh_tokens_deleted: 3,
            blacklisted_tokens_deleted: 4,
            changed_elsewhere: 5,
            reindexed: 6,
            adopted: 7,
            malformed: 8,
            failed: u64::MAX,
        },
        capacity_units: 133.0,
        revoke: None,
        oldest_expired_age_seconds: Some(5),
        failed_records: Vec::new(),
        adoption_percent: None,
        error: None,
    })
}

/// The stored form, attribute by attribute: the table contains reports of all versions.
fn stored() -> Item {
    item([
        ("pk", text("CLEANUP")),
        (
            "sk",
            text("RUN#2027-01-15T08:00:00.000Z#0b7c9d7e-2f0a-4d55-8a8e-3a5d1b1a0c01"),
        ),
        ("ttl", number("1807776000")),
        ("run_id", text("0b7c9d7e-2f0a-4d55-8a8e-3a5d1b1a0c01")),
        ("trigger", text("schedule")),
        ("requested_by", AttributeValue::Null(true)),
        ("dry_run", AttributeValue::Bool(false)),
        ("started_at", text("2027-01-15T08:00:00.000Z")),
        ("duration_ms", number("1234")),
        ("complete", AttributeValue::Bool(true)),
        ("sessions_deactivated", number("1")),
        ("sessions_revoked", number("9")),
        ("sessions_deleted", number("2")),
        ("refresh_tokens_deleted", number("3")),
        ("blacklisted_tokens_deleted", number("4")),
        ("changed_elsewhere", number("5")),
        ("reindexed", number("6")),
        ("adopted", number("7")),
        ("malformed", number("8")),
        ("failed", number("18446744073709551615")),
        ("capacity_units", number("133")),
        ("revoke", AttributeValue::Null(true)),
    ])
}

fn read_back(item: Item) -> Result<CleanupReport, Box<dyn Error>> {
    Ok(read(item)?)
}

#[test]
fn stores_each_attribute_in_its_fixed_form() -> Result<(), Box<dyn Error>> {
    let report = report()?;
    assert_eq!(to_item(&report, TTL_TIME)?, stored());
    let expected = CleanupReport {
        oldest_expired_age_seconds: None,
        ..report
    };
    assert_eq!(read_back(stored())?, expected);
    Ok(())
}

#[test]
fn stores_optional_attributes_in_their_fixed_form() -> Result<(), Box<dyn Error>> {
    let report = CleanupReport {
        trigger: Trigger::Api,
        requested_by: Some("ann".to_owned()),
        capacity_units: 0.5,
        revoke: Some(Revocation {
            created_before: Timestamp::from_seconds(1_800_000_000),
            client_id: None,
            reason: "a leaked key".to_owned(),
            requested_by: Some("ada".to_owned()),
        }),
        oldest_expired_age_seconds: None,
        failed_records: vec!["USER#a SESSION#1".to_owned(), "USER#b SESSION#2".to_owned()],
        adoption_percent: Some(100),
        error: Some("the table rejected the request".to_owned()),
        ..report()?
    };
    let mut expected = stored();
    expected.extend(item([
        ("trigger", text("api")),
        ("requested_by", text("ann")),
        ("capacity_units", number("0.5")),
        (
            "revoke",
            AttributeValue::M(item([
                ("created_before", text("2027-01-15T08:00:00Z")),
                ("client_id", AttributeValue::Null(true)),
                ("reason", text("a leaked key")),
                ("requested_by", text("ada")),
            ])),
        ),
        (
            "failed_records",
            AttributeValue::L(vec![text("USER#a SESSION#1"), text("USER#b SESSION#2")]),
        ),
        ("adoption_percent", number("100")),
        ("error", text("the table rejected the request")),
    ]));
    assert_eq!(to_item(&report, TTL_TIME)?, expected);
    assert_eq!(read_back(expected)?, report);
    Ok(())
}

#[test]
fn reads_old_reports_and_ignores_unknown_attributes() -> Result<(), Box<dyn Error>> {
    let mut old = stored();
    for name in ["requested_by", "sessions_revoked", "revoke", "ttl"] {
        old.remove(name);
    }
    old.insert("note".to_owned(), AttributeValue::L(vec![number("1")]));
    // DynamoDB may return another notation of the same number.
    old.insert("capacity_units".to_owned(), number("1.33E2"));
    let report = read_back(old)?;
    assert_eq!(report.requested_by, None);
    assert_eq!(report.counts.sessions_revoked, 0);
    assert_eq!(report.revoke, None);
    assert!((report.capacity_units - 133.0).abs() < f64::EPSILON);
    Ok(())
}

#[test]
fn reads_report_with_optional_attribute_of_other_type() {
    let text_list = |texts: [AttributeValue; 2]| AttributeValue::L(texts.into());
    for (name, odd) in [
        ("requested_by", number("7")),
        ("requested_by", AttributeValue::Bool(true)),
        ("error", number("7")),
        ("failed_records", AttributeValue::Null(true)),
        ("failed_records", text("x")),
        ("failed_records", text_list([text("x"), number("1")])),
        ("revoke", text("all")),
        ("revoke", AttributeValue::M(item([("reason", text("x"))]))),
        ("adoption_percent", number("256")),
        ("adoption_percent", number("-1")),
        ("adoption_percent", text("50")),
    ] {
        let mut item = stored();
        item.insert(name.to_owned(), odd);
        let read = from_item(item).unwrap_or_else(|| panic!("{name} hides the report"));
        let absent = match name {
            "requested_by" => read.requested_by.is_none(),
            "error" => read.error.is_none(),
            "revoke" => read.revoke.is_none(),
            "failed_records" => read.failed_records.is_empty(),
            _ => read.adoption_percent.is_none(),
        };
        assert!(absent, "{name}: {read:?}");
    }
}

#[test]
fn omits_items_that_are_not_reports() {
    for (name, wrong) in [
        ("run_id", Some(text("not a UUID"))),
        ("trigger", Some(text("by hand"))),
        ("started_at", Some(text("2027-01-15T08:00:00Z"))),
        ("duration_ms", Some(text("1234"))),
        ("dry_run", Some(text("false"))),
        ("failed", Some(number("-1"))),
        ("failed", None),
        ("capacity_units", None),
    ] {
        let mut item = stored();
        item.remove(name);
        item.extend(wrong.map(|wrong| (name.to_owned(), wrong)));
        assert_eq!(from_item(item), None, "{name}");
    }
}
