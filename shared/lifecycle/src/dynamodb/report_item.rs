//! Reports as items: the key `CLEANUP` / `RUN#<started_at>#<run_id>`, and one attribute per member.

use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use session_domain::{CleanupReport, Counts, Revocation, Timestamp, Trigger};
use uuid::Uuid;

use super::item::{Item, PK, SK, TTL, text, time};

/// Partition key of all reports.
pub(super) const PARTITION: &str = "CLEANUP";

/// Start of each report's sort key. The start time and the run ID follow.
pub(super) const PREFIX: &str = "RUN#";

/// Attributes of a report, without the key and `ttl`.
#[derive(Serialize, Deserialize)]
struct ReportItem {
    run_id: Uuid,
    trigger: String,
    /// Stored as null if the run was not requested through the API.
    #[serde(default, deserialize_with = "lenient")]
    requested_by: Option<String>,
    dry_run: bool,
    started_at: String,
    duration_ms: u64,
    complete: bool,
    #[serde(flatten)]
    counts: Counts,
    capacity_units: f64,
    /// Stored as null if the run revoked no sessions.
    #[serde(default, deserialize_with = "lenient")]
    revoke: Option<Revocation>,
    #[serde(
        default,
        deserialize_with = "lenient",
        skip_serializing_if = "Vec::is_empty"
    )]
    failed_records: Vec<String>,
    #[serde(
        default,
        deserialize_with = "lenient",
        skip_serializing_if = "Option::is_none"
    )]
    adoption_percent: Option<u8>,
    #[serde(
        default,
        deserialize_with = "lenient",
        skip_serializing_if = "Option::is_none"
    )]
    error: Option<String>,
}

/// Reads an optional attribute. One of another type counts as absent: it must not hide the report.
fn lenient<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Attribute<T> {
        Valid(T),
        Other(IgnoredAny),
    }
    Ok(match Attribute::deserialize(deserializer)? {
        Attribute::Valid(value) => value,
        Attribute::Other(IgnoredAny) => T::default(),
    })
}

/// Error of an item that is not a report.
#[derive(Debug, thiserror::Error)]
enum InvalidReport {
    #[error("an attribute is missing or has another type")]
    Attribute(#[from] serde_dynamo::Error),
    #[error("the trigger is unknown")]
    Trigger,
    #[error("started_at is not a time with milliseconds")]
    StartedAt,
}

impl From<&CleanupReport> for ReportItem {
    fn from(report: &CleanupReport) -> Self {
        // Lists all members, so that a new one is not forgotten here.
        let CleanupReport {
            run_id,
            trigger,
            requested_by,
            dry_run,
            started_at: _,
            duration_ms,
            complete,
            counts,
            capacity_units,
            revoke,
            oldest_expired_age_seconds: _,
            failed_records,
            adoption_percent,
            error,
        } = report;
        Self {
            run_id: *run_id,
            trigger: trigger.as_str().to_owned(),
            requested_by: requested_by.clone(),
            dry_run: *dry_run,
            started_at: report.started_at_text(),
            duration_ms: *duration_ms,
            complete: *complete,
            counts: *counts,
            capacity_units: *capacity_units,
            revoke: revoke.clone(),
            failed_records: failed_records.clone(),
            adoption_percent: *adoption_percent,
            error: error.clone(),
        }
    }
}

impl TryFrom<ReportItem> for CleanupReport {
    type Error = InvalidReport;

    fn try_from(item: ReportItem) -> Result<Self, InvalidReport> {
        Ok(Self {
            run_id: item.run_id,
            trigger: Trigger::parse(&item.trigger).ok_or(InvalidReport::Trigger)?,
            requested_by: item.requested_by,
            dry_run: item.dry_run,
            started_at: Self::parse_time(&item.started_at).ok_or(InvalidReport::StartedAt)?,
            duration_ms: item.duration_ms,
            complete: item.complete,
            counts: item.counts,
            capacity_units: item.capacity_units,
            revoke: item.revoke,
            oldest_expired_age_seconds: None,
            failed_records: item.failed_records,
            adoption_percent: item.adoption_percent,
            error: item.error,
        })
    }
}

/// The item of a report.
pub(super) fn to_item(report: &CleanupReport, ttl: Timestamp) -> Result<Item, serde_dynamo::Error> {
    let mut item: Item = serde_dynamo::to_item(ReportItem::from(report))?;
    let sort = format!("{PREFIX}{}#{}", report.started_at_text(), report.run_id);
    item.extend([
        (PK.to_owned(), text(PARTITION)),
        (SK.to_owned(), text(sort)),
        (TTL.to_owned(), time(ttl)),
    ]);
    Ok(item)
}

/// Reads a report. Logs an item that is not a valid report, and omits it.
pub(super) fn from_item(item: Item) -> Option<CleanupReport> {
    let sort = item.get(SK).and_then(|sort| sort.as_s().ok()).cloned();
    match read(item) {
        Ok(report) => Some(report),
        Err(error) => {
            let error = session_domain::error_chain(&error);
            tracing::warn!(report = sort, error, "a stored report cannot be understood");
            None
        }
    }
}

fn read(mut item: Item) -> Result<CleanupReport, InvalidReport> {
    // Reports from before this count existed lack it.
    item.entry("sessions_revoked".to_owned())
        .or_insert_with(|| AttributeValue::N("0".to_owned()));
    serde_dynamo::from_item::<_, ReportItem>(item)?.try_into()
}

#[cfg(test)]
mod tests {
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
        old.remove("requested_by");
        old.remove("ttl");
        old.insert("note".to_owned(), AttributeValue::L(vec![number("1")]));
        // DynamoDB may return another notation of the same number.
        old.insert("capacity_units".to_owned(), number("1.33E2"));
        let report = read_back(old)?;
        assert_eq!(report.requested_by, None);
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
}
