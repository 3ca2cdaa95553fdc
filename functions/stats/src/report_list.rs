//! The list of reports: its query parameters, and its form as CSV.

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveTime, Utc};
use lambda_http::Request;
use lambda_http::http::header::{ACCEPT, ACCESS_CONTROL_EXPOSE_HEADERS};
use lambda_http::http::{HeaderName, HeaderValue};
use serde_json::Value;
use session_domain::{CleanupReport, Counts, Trigger};
use session_functions::http::{ApiError, RawBody, query};
use session_functions::reports::{Page, decode_cursor};
use session_lifecycle::ports::{ReportCursor, ReportFilter};

/// Number of reports per page if the request has no `limit`.
const DEFAULT_LIMIT: u8 = 20;

/// Header with the cursor of the next page, because CSV has no other place for it.
const NEXT_CURSOR: &str = "x-next-cursor";

/// The columns before the counts, in the order of a report's members.
const FIRST_COLUMNS: [&str; 7] = [
    "run_id",
    "trigger",
    "requested_by",
    "dry_run",
    "started_at",
    "duration_ms",
    "complete",
];

/// The columns after the counts.
const LAST_COLUMNS: [&str; 5] = [
    "capacity_units",
    "revoke",
    "failed_records",
    "adoption_percent",
    "error",
];

/// All columns. Their names are the members of a report.
fn columns() -> impl Iterator<Item = &'static str> {
    let before_last = FIRST_COLUMNS.into_iter().chain(Counts::NAMES);
    before_last.chain(LAST_COLUMNS)
}

/// The parameters of a request for reports.
#[derive(Debug)]
pub(crate) struct ReportQuery {
    pub(crate) filter: ReportFilter,
    pub(crate) limit: u8,
    pub(crate) cursor: Option<ReportCursor>,
    pub(crate) csv: bool,
}

impl ReportQuery {
    /// Parses a request.
    pub(crate) fn read(request: &Request) -> Result<Self, ApiError> {
        let parameters = query(request, &["limit", "cursor", "trigger", "from", "to"])?;
        let get = |name: &str| parameters.get(name).map(String::as_str);
        let limit = read(
            get("limit"),
            |text| text.parse().ok().filter(|it| (1..=100).contains(it)),
            "limit must be a whole number from 1 to 100",
        )?;
        let filter = ReportFilter {
            trigger: read(
                get("trigger"),
                Trigger::parse,
                "trigger must be schedule, manual or api",
            )?,
            from: read(get("from"), time, &not_a_time("from"))?,
            to: read(get("to"), time, &not_a_time("to"))?,
        };
        if let (Some(from), Some(to)) = (filter.from, filter.to)
            && from >= to
        {
            return Err(ApiError::BadRequest("from must be before to".to_owned()));
        }
        let cursor = read(
            get("cursor"),
            |text| decode_cursor(text).filter(|cursor| cursor.is_within(&filter)),
            "cursor must be the next of an earlier answer",
        )?;
        Ok(Self {
            filter,
            limit: limit.unwrap_or(DEFAULT_LIMIT),
            cursor,
            csv: accepts_csv(request),
        })
    }
}

fn read<T>(
    text: Option<&str>,
    parse: impl FnOnce(&str) -> Option<T>,
    wrong: &str,
) -> Result<Option<T>, ApiError> {
    text.map(|text| parse(text).ok_or_else(|| ApiError::BadRequest(wrong.to_owned())))
        .transpose()
}

fn not_a_time(name: &str) -> String {
    format!("{name} must be a time such as 2026-11-24T08:00:00Z, or a day such as 2026-11-24")
}

/// A time of RFC 3339, or the start of a day in UTC. Reports are sorted by their times as text, which
/// is the order of the times only if years have four digits.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let day = |text| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let time = match text.len() {
        10 => day(text)?.and_time(NaiveTime::MIN).and_utc(),
        _ => DateTime::parse_from_rfc3339(text).ok()?.to_utc(),
    };
    (0..=9_999).contains(&time.year()).then_some(time)
}

/// Whether the request accepts `text/csv` by name (RFC 9110 §12.5.1).
fn accepts_csv(request: &Request) -> bool {
    let headers = request.headers().get_all(ACCEPT).iter();
    let texts = headers.filter_map(|header| header.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_csv = parts
            .next()
            .is_some_and(|it| it.eq_ignore_ascii_case("text/csv"));
        let is_rejected = parts.any(|it| matches!(it, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        is_csv && !is_rejected
    })
}

/// A page of reports as CSV (RFC 4180), with a header line.
pub(crate) fn csv(page: Page) -> Result<RawBody, ApiError> {
    let text = to_csv(&page.reports)?;
    let mut document = RawBody::new("text/csv; charset=utf-8; header=present", text);
    if let Some(next) = page.next.and_then(|it| HeaderValue::try_from(it).ok()) {
        document.headers = vec![
            (const { HeaderName::from_static(NEXT_CURSOR) }, next),
            (
                ACCESS_CONTROL_EXPOSE_HEADERS,
                const { HeaderValue::from_static(NEXT_CURSOR) },
            ),
        ];
    }
    Ok(document)
}

/// Escapes a text so that no spreadsheet interprets it as a formula. A text that starts like a
/// formula, or with a character that some programs skip before a formula, is prefixed with an
/// apostrophe (OWASP, CSV Injection). A text that starts with an apostrophe is prefixed too, so
/// distinct texts stay distinct.
fn escape_formula(text: &str) -> String {
    const FORMULA_STARTS: [char; 12] = [
        '=', '+', '-', '@', '\'', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
    ];
    let apostrophe = if text.starts_with(FORMULA_STARTS) {
        "'"
    } else {
        ""
    };
    format!("{apostrophe}{text}")
}

fn to_csv(reports: &[CleanupReport]) -> Result<String, ApiError> {
    let internal = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "the reports cannot be written as CSV");
        ApiError::Internal
    };
    let mut lines = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    lines.write_record(columns()).map_err(|it| internal(&it))?;
    for report in reports {
        let report = serde_json::to_value(report).map_err(|it| internal(&it))?;
        let field = |name| {
            let value: &Value = &report[name];
            match value {
                Value::Null => String::new(),
                Value::String(text) => escape_formula(text),
                Value::Array(texts) => {
                    let texts: Vec<_> = texts.iter().filter_map(Value::as_str).collect();
                    escape_formula(&texts.join(" "))
                }
                Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
            }
        };
        let record = columns().map(field);
        lines.write_record(record).map_err(|it| internal(&it))?;
    }
    let bytes = lines.into_inner().map_err(|it| internal(&it))?;
    String::from_utf8(bytes).map_err(|it| internal(&it))
}
