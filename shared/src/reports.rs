//! The use case of the reports: list them, page by page.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use serde::Serialize;
use uuid::Uuid;

use crate::domain::CleanupReport;
use crate::ports::{ReadReports, StoreError};

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
pub struct Cursor(String);

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
        DateTime::parse_from_rfc3339(started_at).ok()?;
        Uuid::parse_str(run_id).ok()?;
        Some(Self(sort))
    }

    fn text(sort: &str) -> String {
        URL_SAFE_NO_PAD.encode(sort)
    }
}

/// Lists up to `limit` reports, newest first, from `cursor` on.
///
/// # Errors
///
/// The store's.
pub async fn list<T: ReadReports>(
    table: &T,
    limit: u8,
    cursor: Option<&Cursor>,
) -> Result<Page, StoreError> {
    let page = table
        .reports(limit, cursor.map(|cursor| cursor.0.as_str()))
        .await?;
    Ok(Page {
        reports: page.reports,
        next: page.next.as_deref().map(Cursor::text),
    })
}
