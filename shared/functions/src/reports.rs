//! Use case of the reports: list them, page by page.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::Serialize;

use session_domain::CleanupReport;
use session_lifecycle::ports::{ReadReports, ReportFilter, StoreError};

/// How the sort key of each report begins; its time follows, and its run's id.
const PREFIX: &str = "RUN#";

/// A page of reports, as the API returns it.
#[derive(Debug, Serialize)]
pub struct Page {
    /// Reports, newest first.
    pub reports: Vec<CleanupReport>,
    /// Cursor of the next page. A page can have a next page although it has fewer reports than the
    /// limit, or none: the number of reports that a page reads and filters out is limited.
    pub next: Option<String>,
}

/// Longest sort key of DynamoDB, in bytes.
const MAX_SORT_KEY: usize = 1_024;

/// Where a page begins. Opaque to callers; inside, the sort key after which it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    sort: String,
}

/// When the run began whose report has this sort key.
pub(crate) fn started_at(sort: &str) -> Option<DateTime<Utc>> {
    let (time, _) = sort.strip_prefix(PREFIX)?.split_once('#')?;
    CleanupReport::parse_time(time)
}

impl Cursor {
    /// Reads a cursor that an earlier page gave.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let sort = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        (sort.starts_with(PREFIX) && sort.len() <= MAX_SORT_KEY).then_some(Self { sort })
    }

    /// Whether a page of what `filter` asks for may have given it. By text, as the table compares:
    /// the sort key need not be that of a report that can be understood.
    #[must_use]
    pub fn suits(&self, filter: &ReportFilter) -> bool {
        let bound = |time| format!("{PREFIX}{}", CleanupReport::time_text(time));
        filter.from.is_none_or(|from| bound(from) <= self.sort)
            && filter.to.is_none_or(|to| self.sort < bound(to))
    }

    fn text(sort: &str) -> String {
        URL_SAFE_NO_PAD.encode(sort)
    }
}

/// Lists up to `limit` reports that match `filter`, newest first, starting at `cursor`, which must
/// belong to the same filter.
///
/// # Errors
///
/// The table cannot be read.
pub async fn list<T: ReadReports>(
    table: &T,
    filter: &ReportFilter,
    limit: u8,
    cursor: Option<&Cursor>,
) -> Result<Page, StoreError> {
    let start_after = cursor.map(|cursor| cursor.sort.as_str());
    let page = table.reports(filter, limit, start_after).await?;
    Ok(Page {
        reports: page.reports,
        next: page.next.as_deref().map(Cursor::text),
    })
}
