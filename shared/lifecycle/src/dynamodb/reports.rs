//! Reports as items: `CLEANUP` / `RUN#<started_at>#<run_id>`.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Select};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Table;
use super::item::{Item, PK, SK, TTL, text, time};
use crate::ports::{ReadReports, ReportFilter, ReportPage, StoreError, StoreReport};
use session_domain::{CleanupReport, Counts, Timestamp, Trigger};

pub(super) const PARTITION: &str = "CLEANUP";
const PREFIX: &str = "RUN#";
/// After all that begins with the prefix: its last character and one.
const PREFIXES_END: &str = "RUN$";
/// Items of one page where a filter drops some of them.
const PAGE: i32 = 50;
/// Most pages that one call reads where a filter may drop all of their items.
const MAX_PAGES: usize = 4;
/// Most pages that the search for the last run reads. Dry runs alone may come so often.
const LAST_RUN_PAGES: usize = 20;
const READING: &str = "reading the reports";

impl StoreReport for Table {
    async fn store(&self, report: &CleanupReport, ttl: Timestamp) -> Result<(), StoreError> {
        self.client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(to_item(report, ttl)))
            .send()
            .await
            .map_err(|error| StoreError::from_call("storing the report", error))?;
        Ok(())
    }
}

impl ReadReports for Table {
    async fn last_cleanup(&self) -> Result<Option<CleanupReport>, StoreError> {
        let query = self
            .reports_between(None, None)
            .filter_expression("dry_run = :false")
            .expression_attribute_values(":false", AttributeValue::Bool(false))
            .limit(PAGE);
        let mut start_key = None;
        for _ in 0..LAST_RUN_PAGES {
            let answer = query
                .clone()
                .set_exclusive_start_key(start_key)
                .send()
                .await
                .map_err(|error| StoreError::from_call(READING, error))?;
            let report = answer.items().iter().find_map(understood);
            start_key = answer.last_evaluated_key;
            if report.is_some() || start_key.is_none() {
                return Ok(report);
            }
        }
        Ok(None)
    }

    async fn reports(
        &self,
        filter: &ReportFilter,
        limit: u8,
        start_after: Option<&str>,
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
        let mut start_key = start_after.map(|sort| {
            HashMap::from([
                (PK.to_owned(), text(PARTITION)),
                (SK.to_owned(), text(sort)),
            ])
        });
        let mut items = Vec::new();
        for _ in 0..MAX_PAGES {
            let answer = query
                .clone()
                .set_exclusive_start_key(start_key)
                .send()
                .await
                .map_err(|error| StoreError::from_call(READING, error))?;
            items.extend(answer.items.unwrap_or_default());
            start_key = answer.last_evaluated_key;
            if items.len() > usize::from(limit) || start_key.is_none() {
                break;
            }
        }
        let end = if items.len() > usize::from(limit) {
            items.truncate(limit.into());
            items.last()
        } else {
            start_key.as_ref()
        };
        let next = end.and_then(|item| item.get(SK)?.as_s().ok()).cloned();
        Ok(ReportPage {
            reports: items.iter().filter_map(understood).collect(),
            next,
        })
    }

    async fn count_reports(&self, most: u64) -> Result<u64, StoreError> {
        let mut pages = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression(format!("{PK} = :reports"))
            .expression_attribute_values(":reports", text(PARTITION))
            .select(Select::Count)
            .into_paginator()
            .send();
        let mut count = 0;
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| StoreError::from_call(READING, error))?;
            count += u64::try_from(page.count()).unwrap_or_default();
            if count >= most {
                break;
            }
        }
        Ok(count)
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
        ("started_at".to_owned(), text(started_at)),
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
        started_at: CleanupReport::parse_time(string("started_at")?)?,
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
