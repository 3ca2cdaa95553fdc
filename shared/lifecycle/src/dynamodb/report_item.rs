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
mod tests;
