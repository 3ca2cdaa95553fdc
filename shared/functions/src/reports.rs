//! Use case of the reports: list them, page by page.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use session_domain::CleanupReport;
use session_lifecycle::ports::{ReadReports, ReportCursor, ReportFilter, StoreError};

/// A page of reports, as the API returns it.
#[derive(Debug, Serialize)]
pub struct Page {
    /// The reports, newest first.
    pub reports: Vec<CleanupReport>,
    /// Cursor of the next page. The number of items that one call reads is bounded, so a page that
    /// has a cursor may contain fewer reports than requested, or none.
    pub next: Option<String>,
}

/// Decodes a cursor that an earlier page returned.
#[must_use]
pub fn decode_cursor(text: &str) -> Option<ReportCursor> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    ReportCursor::parse(text)
}

/// Encodes a cursor for the API: base64url, so that it is opaque to callers and safe in URLs.
fn encode_cursor(cursor: &ReportCursor) -> String {
    URL_SAFE_NO_PAD.encode(cursor.as_str())
}

/// Lists up to `limit` reports that match `filter`, newest first, after `cursor`, which must be
/// [within](ReportCursor::is_within) the filter.
///
/// # Errors
///
/// The store fails.
pub async fn list<T: ReadReports>(
    table: &T,
    filter: &ReportFilter,
    limit: u8,
    cursor: Option<&ReportCursor>,
) -> Result<Page, StoreError> {
    let page = table.reports(filter, limit, cursor).await?;
    Ok(Page {
        reports: page.reports,
        next: page.next.as_ref().map(encode_cursor),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_keeps_its_encoded_form() {
        // An API's client may have stored it.
        let encoded = "UlVOIzIwMjctMDEtMTVUMDg6MDA6MDAuMDAwWiNpZA";
        let cursor = decode_cursor(encoded);
        let text = cursor.as_ref().map(ReportCursor::as_str);
        assert_eq!(text, Some("RUN#2027-01-15T08:00:00.000Z#id"));
        assert_eq!(cursor.as_ref().map(encode_cursor).as_deref(), Some(encoded));
    }

    #[test]
    fn rejects_text_that_is_not_a_cursor() {
        for wrong in ["", "?", "UlVO", &URL_SAFE_NO_PAD.encode([0xff])] {
            assert_eq!(decode_cursor(wrong), None, "{wrong}");
        }
    }
}
