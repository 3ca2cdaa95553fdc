//! The use case of the reports: list them, page by page.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::domain::CleanupReport;
use crate::ports::{ReadReports, ReportFilter, StoreError};

/// A page of reports as the API gives it.
#[derive(Debug, Serialize)]
pub struct Page {
    /// Newest first.
    pub reports: Vec<CleanupReport>,
    /// The cursor of the next page.
    pub next: Option<String>,
}

/// Where a page begins. Opaque to callers; inside, the sort key of the report before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    sort: String,
    started_at: DateTime<Utc>,
}

impl Cursor {
    /// Reads a cursor that an earlier page gave.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let sort = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        // "RUN#", a time, "#" and a UUID; a sort key that is longer is none of the table's.
        if sort.len() > 100 {
            return None;
        }
        let (started_at, run_id) = sort.strip_prefix("RUN#")?.split_once('#')?;
        let started_at = CleanupReport::parse_time(started_at)?;
        Uuid::parse_str(run_id).ok()?;
        Some(Self { sort, started_at })
    }

    /// Whether a page of what `filter` asks for may have given it.
    #[must_use]
    pub fn suits(&self, filter: &ReportFilter) -> bool {
        filter.from.is_none_or(|from| from <= self.started_at)
            && filter.to.is_none_or(|to| self.started_at < to)
    }

    fn text(sort: &str) -> String {
        URL_SAFE_NO_PAD.encode(sort)
    }
}

/// Lists up to `limit` reports of those asked for, newest first, from `cursor` on, which must suit
/// them.
///
/// # Errors
///
/// The store's.
pub async fn list<T: ReadReports>(
    table: &T,
    filter: &ReportFilter,
    limit: u8,
    cursor: Option<&Cursor>,
) -> Result<Page, StoreError> {
    let after = cursor.map(|cursor| cursor.sort.as_str());
    let page = table.reports(filter, limit, after).await?;
    Ok(Page {
        reports: page.reports,
        next: page.next.as_deref().map(Cursor::text),
    })
}
