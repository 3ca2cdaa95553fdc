//! Interfaces for the reports of the cleanup.

use std::future::Future;

use chrono::{DateTime, Utc};
use session_domain::{CleanupReport, Timestamp, Trigger};

use super::StoreError;

/// Stores reports.
pub trait StoreReport {
    /// Stores a report that native TTL deletes after `ttl`.
    fn store(
        &self,
        report: &CleanupReport,
        ttl: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// A page of reports, newest first.
#[derive(Debug)]
pub struct ReportPage {
    /// The reports.
    pub reports: Vec<CleanupReport>,
    /// Position of the next page. `None` if there is none.
    pub next: Option<ReportCursor>,
}

/// Position in the list of reports, after one report.
///
/// The adapter defines the text form, which applications may keep: a cursor of an earlier version
/// stays valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportCursor {
    pub(crate) sort: String,
}

/// Filter for reports. The default matches all reports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReportFilter {
    /// Only runs with this trigger.
    pub trigger: Option<Trigger>,
    /// Only runs that started at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Only runs that started before this time.
    pub to: Option<DateTime<Utc>>,
}

/// Reads reports.
pub trait ReadReports {
    /// The newest report of a run that was not a dry run.
    fn last_cleanup(
        &self,
    ) -> impl Future<Output = Result<Option<CleanupReport>, StoreError>> + Send;

    /// Reads up to `limit` reports that match `filter`, newest first, after `start_after`, which is
    /// the `next` of the previous page.
    ///
    /// A call reads a bounded number of items. A page that has a `next` may therefore contain fewer
    /// than `limit` reports, or none.
    fn reports(
        &self,
        filter: &ReportFilter,
        limit: u8,
        start_after: Option<&ReportCursor>,
    ) -> impl Future<Output = Result<ReportPage, StoreError>> + Send;

    /// Counts the items in the reports' partition. Stops when the count reaches `most`.
    fn count_reports(&self, most: u64) -> impl Future<Output = Result<u64, StoreError>> + Send;
}
