//! Storing, listing and counting reports.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Select};
use chrono::{DateTime, Utc};

use super::Table;
use super::item::{Item, PK, SK, text};
use super::report_item::{PARTITION, PREFIX, from_item, to_item};
use crate::ports::{
    ReadReports, ReportCursor, ReportFilter, ReportPage, StoreError, StoreErrorKind, StoreReport,
};
use session_domain::{CleanupReport, Timestamp};

/// Sorts after everything that begins with the prefix: `$` follows `#`.
const PREFIX_END: &str = "RUN$";

/// Items per page if a filter may drop some of them.
const PAGE: i32 = 50;

/// Maximum number of pages per call. A filter may drop all items of a page.
const MAX_PAGES: usize = 4;

/// Maximum number of pages that are searched for the last run. They may contain only dry runs.
const LAST_RUN_PAGES: usize = 20;

/// Longest sort key of DynamoDB, in bytes.
const MAX_SORT_KEY: usize = 1_024;

const STORING: &str = "storing the report";
const READING: &str = "reading the reports";

impl StoreReport for Table {
    async fn store(&self, report: &CleanupReport, ttl: Timestamp) -> Result<(), StoreError> {
        let item = to_item(report, ttl)
            .map_err(|error| StoreError::new(StoreErrorKind::Rejected, STORING, error))?;
        self.client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .send()
            .await
            .map_err(|error| StoreError::from_call(STORING, error))?;
        Ok(())
    }
}

impl ReadReports for Table {
    async fn last_cleanup(&self) -> Result<Option<CleanupReport>, StoreError> {
        let query = self
            .query_reports(None, None)
            .filter_expression("dry_run = :false")
            .expression_attribute_values(":false", AttributeValue::Bool(false))
            .limit(PAGE);
        let mut pages = Pages::new(query, None, LAST_RUN_PAGES);
        while let Some(items) = pages.next().await? {
            let report = items.into_iter().find_map(from_item);
            if report.is_some() {
                return Ok(report);
            }
        }
        Ok(None)
    }

    async fn reports(
        &self,
        filter: &ReportFilter,
        limit: u8,
        start_after: Option<&ReportCursor>,
    ) -> Result<ReportPage, StoreError> {
        let mut query = self.query_reports(filter.from, filter.to);
        query = match filter.trigger {
            Some(trigger) => query
                .filter_expression("#trigger = :trigger")
                // `trigger` is a reserved word.
                .expression_attribute_names("#trigger", "trigger")
                .expression_attribute_values(":trigger", text(trigger.as_str()))
                .limit(PAGE),
            // One more than requested, to find out whether there is a next page.
            None => query.limit(i32::from(limit) + 1),
        };
        let limit = usize::from(limit);
        let mut pages = Pages::new(query, start_after.map(start_key), MAX_PAGES);
        let mut items = Vec::new();
        while items.len() <= limit
            && let Some(page) = pages.next().await?
        {
            items.extend(page);
        }
        let last = if items.len() > limit {
            items.truncate(limit);
            items.last()
        } else {
            pages.start_key.as_ref()
        };
        let sort = last.and_then(|item| item.get(SK)?.as_s().ok()).cloned();
        Ok(ReportPage {
            next: sort.map(|sort| ReportCursor { sort }),
            reports: items.into_iter().filter_map(from_item).collect(),
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
    /// A query for the reports of runs that started at `from` or later and before `to`, newest
    /// first.
    fn query_reports(
        &self,
        from: Option<DateTime<Utc>>,
        to: Option<DateTime<Utc>>,
    ) -> QueryFluentBuilder {
        let from = from.map_or_else(|| PREFIX.to_owned(), bound);
        let to = to.map_or_else(|| PREFIX_END.to_owned(), bound);
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

/// The pages of a query, up to a maximum number.
struct Pages {
    query: QueryFluentBuilder,
    /// Key after which the next page starts. `None` before the first page and after the last one.
    start_key: Option<Item>,
    remaining: usize,
}

impl Pages {
    const fn new(query: QueryFluentBuilder, start_key: Option<Item>, max_pages: usize) -> Self {
        Self {
            query,
            start_key,
            remaining: max_pages,
        }
    }

    /// Reads the next page. `None` if there is none, or if the maximum number was read.
    async fn next(&mut self) -> Result<Option<Vec<Item>>, StoreError> {
        if self.remaining == 0 {
            return Ok(None);
        }
        let response = self
            .query
            .clone()
            .set_exclusive_start_key(self.start_key.take())
            .send()
            .await
            .map_err(|error| StoreError::from_call(READING, error))?;
        self.start_key = response.last_evaluated_key;
        self.remaining = match self.start_key {
            Some(_) => self.remaining - 1,
            None => 0,
        };
        Ok(Some(response.items.unwrap_or_default()))
    }
}

/// A cursor is the sort key of a report. The report itself may no longer exist.
impl ReportCursor {
    /// Parses the text of a cursor.
    #[must_use]
    pub fn parse(text: impl Into<String>) -> Option<Self> {
        let sort = text.into();
        (sort.starts_with(PREFIX) && sort.len() <= MAX_SORT_KEY).then_some(Self { sort })
    }

    /// The text of the cursor.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.sort
    }

    /// When the run of the report at the cursor started. `None` if its key has no time.
    #[must_use]
    pub fn started_at(&self) -> Option<DateTime<Utc>> {
        let (time, _) = self.sort.strip_prefix(PREFIX)?.split_once('#')?;
        CleanupReport::parse_time(time)
    }

    /// Whether a list with this filter can contain the cursor. Compares text, as the table does.
    #[must_use]
    pub fn is_within(&self, filter: &ReportFilter) -> bool {
        filter.from.is_none_or(|from| bound(from) <= self.sort)
            && filter.to.is_none_or(|to| self.sort < bound(to))
    }
}

/// Sorts before the reports of all runs that started at `time`, because their sort keys continue
/// after the time.
fn bound(time: DateTime<Utc>) -> String {
    format!("{PREFIX}{}", CleanupReport::time_text(time))
}

fn start_key(cursor: &ReportCursor) -> Item {
    HashMap::from([
        (PK.to_owned(), text(PARTITION)),
        (SK.to_owned(), text(&cursor.sort)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2027-01-15T08:00:00.000Z";

    #[test]
    fn cursor_is_a_sort_key_with_the_prefix() {
        let key = format!("RUN#{TIME}#0b7c9d7e");
        let cursor = ReportCursor::parse(key.clone());
        assert_eq!(cursor.as_ref().map(ReportCursor::as_str), Some(&*key));
        let longest = format!("RUN#{}", "x".repeat(MAX_SORT_KEY - 4));
        assert!(ReportCursor::parse(longest.clone()).is_some());
        for wrong in ["", "RUN", "ADOPTION", &format!("{longest}x")] {
            assert_eq!(ReportCursor::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn cursor_has_the_start_time_of_its_run() {
        let started_at = |sort: String| ReportCursor::parse(sort)?.started_at();
        let time = CleanupReport::parse_time(TIME);
        assert!(time.is_some());
        assert_eq!(started_at(format!("RUN#{TIME}#id")), time);
        assert_eq!(started_at(format!("RUN#{TIME}")), None);
        assert_eq!(started_at("RUN#2027-01-15#id".to_owned()), None);
    }

    #[test]
    fn cursor_is_within_filter_from_start_to_before_end() {
        let time = |text: &str| CleanupReport::parse_time(text);
        let filter = ReportFilter {
            trigger: None,
            from: time("2027-01-15T08:00:00.000Z"),
            to: time("2027-01-15T09:00:00.000Z"),
        };
        for (started_at, expected) in [
            ("2027-01-15T07:59:59.999Z", false),
            ("2027-01-15T08:00:00.000Z", true),
            ("2027-01-15T08:59:59.999Z", true),
            ("2027-01-15T09:00:00.000Z", false),
        ] {
            let cursor = ReportCursor::parse(format!("RUN#{started_at}#id"));
            let is_within = cursor.map(|cursor| cursor.is_within(&filter));
            assert_eq!(is_within, Some(expected), "{started_at}");
        }
    }
}
