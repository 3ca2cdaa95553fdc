//! Reports as items: `CLEANUP` / `RUN#<started_at>#<run_id>`.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Table;
use super::item::{Item, PK, SK, TTL, text, time};
use crate::domain::{CleanupReport, Counts, Timestamp, Trigger};
use crate::ports::{KeepReport, ReadReports, ReportFilter, ReportPage, StoreError};

pub(super) const PARTITION: &str = "CLEANUP";
const STARTED_AT: &str = "started_at";
const PREFIX: &str = "RUN#";
/// After all that begins with the prefix: its last character and one.
const PREFIXES_END: &str = "RUN$";
/// Sort key of a copy of the newest report of a run that was not a dry one. It sorts right behind
/// the reports, so one query from the end meets it before them, however many dry runs there were.
const LAST_RUN: &str = "RUN$LAST";
/// Items of one page where a filter drops some of them.
const PAGE: i32 = 50;
/// Most pages that one call reads where a filter may drop all of their items.
const MOST_PAGES: usize = 4;
/// Items of one page of the search for the last run: its copy, and some reports for a table whose
/// last run made no copy.
const LAST_RUN_PAGE: i32 = 20;
const READING: &str = "reading the reports";

impl KeepReport for Table {
    async fn keep(&self, report: &CleanupReport, ttl: Timestamp) -> Result<(), StoreError> {
        let item = to_item(report, ttl);
        if report.dry_run {
            return self.put_report(item).await;
        }
        let mut copy = item.clone();
        copy.insert(SK.to_owned(), text(LAST_RUN));
        let (report, copy) = tokio::join!(self.put_report(item), self.put_last_run(copy));
        report.and(copy)
    }
}

impl ReadReports for Table {
    async fn last_cleanup(&self) -> Result<Option<CleanupReport>, StoreError> {
        let query = self
            .query_reports(PREFIX, LAST_RUN)
            .filter_expression("dry_run = :false")
            .expression_attribute_values(":false", AttributeValue::Bool(false))
            .limit(LAST_RUN_PAGE);
        let mut place = None;
        for _ in 0..MOST_PAGES {
            let answer = query
                .clone()
                .set_exclusive_start_key(place)
                .send()
                .await
                .map_err(|error| StoreError::from_call(READING, error))?;
            let reports = answer.items().iter().filter_map(understood);
            // The copy may be older than a report: of a run of another version, or one that was
            // killed between its two writes.
            let newest = reports.max_by_key(|report| report.started_at);
            place = answer.last_evaluated_key;
            if newest.is_some() || place.is_none() {
                return Ok(newest);
            }
        }
        Ok(None)
    }

    async fn reports(
        &self,
        filter: &ReportFilter,
        limit: u8,
        after: Option<&str>,
    ) -> Result<ReportPage, StoreError> {
        let mut query = self.reports_between(filter.from, filter.to).limit(PAGE);
        query = match filter.trigger {
            Some(trigger) => query
                .filter_expression("#trigger = :trigger")
                // It is a reserved word.
                .expression_attribute_names("#trigger", "trigger")
                .expression_attribute_values(":trigger", text(trigger.as_str())),
            // One more than asked for tells whether there is a next page.
            None => query.limit(i32::from(limit) + 1),
        };
        let mut place = after.map(|sort| {
            HashMap::from([
                (PK.to_owned(), text(PARTITION)),
                (SK.to_owned(), text(sort)),
            ])
        });
        let mut items = Vec::new();
        for _ in 0..MOST_PAGES {
            let answer = query
                .clone()
                .set_exclusive_start_key(place)
                .send()
                .await
                .map_err(|error| StoreError::from_call(READING, error))?;
            items.extend(answer.items.unwrap_or_default());
            place = answer.last_evaluated_key;
            if items.len() > usize::from(limit) || place.is_none() {
                break;
            }
        }
        let end = if items.len() > usize::from(limit) {
            items.truncate(limit.into());
            items.last()
        } else {
            place.as_ref()
        };
        let next = end.and_then(|item| item.get(SK)?.as_s().ok()).cloned();
        Ok(ReportPage {
            reports: items.iter().filter_map(understood).collect(),
            next,
        })
    }
}

impl Table {
    /// The reports of runs that began at `from` or later, and before `to`, newest first. A sort key
    /// goes on behind its time, so the bare time of the end is before all that began then.
    fn reports_between(
        &self,
        from: Option<DateTime<Utc>>,
        to: Option<DateTime<Utc>>,
    ) -> QueryFluentBuilder {
        let bound = |time| format!("{PREFIX}{}", CleanupReport::time_text(time));
        let from = from.map_or_else(|| PREFIX.to_owned(), bound);
        let to = to.map_or_else(|| PREFIXES_END.to_owned(), bound);
        self.query_reports(from, to)
    }

    /// The items of the partition between two sort keys, the last first.
    fn query_reports(&self, from: impl Into<String>, to: impl Into<String>) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.name)
            .key_condition_expression(format!("{PK} = :reports AND {SK} BETWEEN :from AND :to"))
            .expression_attribute_values(":reports", text(PARTITION))
            .expression_attribute_values(":from", text(from))
            .expression_attribute_values(":to", text(to))
            .scan_index_forward(false)
            .consistent_read(true)
    }

    async fn put_report(&self, item: Item) -> Result<(), StoreError> {
        self.client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .send()
            .await
            .map_err(|error| StoreError::from_call("storing the report", error))?;
        Ok(())
    }

    /// Stores the copy of a report, unless there is one of a run that began later.
    async fn put_last_run(&self, copy: Item) -> Result<(), StoreError> {
        let started_at = copy.get(STARTED_AT).cloned();
        let answer = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(copy))
            .condition_expression(format!(
                "attribute_not_exists({STARTED_AT}) OR {STARTED_AT} < :started_at"
            ))
            .set_expression_attribute_values(
                started_at.map(|value| HashMap::from([(":started_at".to_owned(), value)])),
            )
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(SdkError::ServiceError(refusal))
                if refusal.err().is_conditional_check_failed_exception() =>
            {
                Ok(())
            }
            Err(error) => Err(StoreError::from_call("storing the last report", error)),
        }
    }
}

fn to_item(report: &CleanupReport, ttl: Timestamp) -> Item {
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
        oldest_expired_age_seconds: _,
        failed_records,
        adoption_percent,
        error,
    } = report;
    let started_at = report.started_at_text();
    let number = |value: &dyn ToString| AttributeValue::N(value.to_string());
    let mut item = HashMap::from([
        (PK.to_owned(), text(PARTITION)),
        (
            SK.to_owned(),
            text(format!("{PREFIX}{started_at}#{run_id}")),
        ),
        (TTL.to_owned(), time(ttl)),
        ("run_id".to_owned(), text(run_id.to_string())),
        ("trigger".to_owned(), text(trigger.as_str())),
        (
            "requested_by".to_owned(),
            requested_by
                .as_ref()
                .map_or(AttributeValue::Null(true), text),
        ),
        ("dry_run".to_owned(), AttributeValue::Bool(*dry_run)),
        (STARTED_AT.to_owned(), text(started_at)),
        ("duration_ms".to_owned(), number(duration_ms)),
        ("complete".to_owned(), AttributeValue::Bool(*complete)),
        ("capacity_units".to_owned(), number(capacity_units)),
    ]);
    for (name, count) in counts.named() {
        item.insert(name.to_owned(), number(&count));
    }
    if !failed_records.is_empty() {
        let keys = failed_records.iter().map(text).collect();
        item.insert("failed_records".to_owned(), AttributeValue::L(keys));
    }
    if let Some(percent) = adoption_percent {
        item.insert("adoption_percent".to_owned(), number(percent));
    }
    if let Some(error) = error {
        item.insert("error".to_owned(), text(error));
    }
    item
}

/// Reads a report; one that cannot be understood is named in the log and left out.
fn understood(item: &Item) -> Option<CleanupReport> {
    let report = from_item(item);
    if report.is_none() {
        let sort = item.get(SK).and_then(|sort| sort.as_s().ok());
        tracing::warn!(report = sort, "a stored report cannot be understood");
    }
    report
}

fn from_item(item: &Item) -> Option<CleanupReport> {
    let string = |name: &str| item.get(name)?.as_s().ok();
    let boolean = |name: &str| item.get(name)?.as_bool().ok().copied();
    let number = |name: &str| item.get(name)?.as_n().ok();
    let mut counts = Counts::default();
    for (name, count) in counts.named_mut() {
        *count = number(name)?.parse().ok()?;
    }
    Some(CleanupReport {
        run_id: Uuid::parse_str(string("run_id")?).ok()?,
        trigger: Trigger::parse(string("trigger")?)?,
        requested_by: string("requested_by").cloned(),
        dry_run: boolean("dry_run")?,
        started_at: CleanupReport::parse_time(string(STARTED_AT)?)?,
        duration_ms: number("duration_ms")?.parse().ok()?,
        complete: boolean("complete")?,
        counts,
        capacity_units: number("capacity_units")?.parse().ok()?,
        oldest_expired_age_seconds: None,
        failed_records: item
            .get("failed_records")
            .and_then(|keys| keys.as_l().ok())
            .into_iter()
            .flatten()
            .filter_map(|key| key.as_s().ok().cloned())
            .collect(),
        adoption_percent: number("adoption_percent").and_then(|percent| percent.parse().ok()),
        error: string("error").cloned(),
    })
}
