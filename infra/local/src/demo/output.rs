//! Printing of headings, statistics and reports.

use serde_json::Value;

use crate::terminal::{BOLD, out, styled, table};

pub(super) fn heading(number: u8, text: &str) -> std::io::Result<()> {
    out("")?;
    out(styled(BOLD, format!("{number}  {text}")))
}

/// Prints the named members of an object.
fn show(object: &Value, names: &[&str]) -> std::io::Result<()> {
    let rows: Vec<_> = names
        .iter()
        .map(|name| [(*name).to_owned(), object[name].to_string()])
        .collect();
    table(&rows)
}

pub(super) fn statistics(data: &Value) -> std::io::Result<()> {
    show(
        data,
        &[
            "total_sessions",
            "active_sessions",
            "expired_sessions",
            "cleanup_needed",
            "inactive_sessions",
            "oldest_expired_age_seconds",
        ],
    )
}

pub(super) fn show_report(report: &Value) -> std::io::Result<()> {
    show(
        report,
        &[
            "sessions_deactivated",
            "sessions_deleted",
            "refresh_tokens_deleted",
            "blacklisted_tokens_deleted",
            "failed",
            "complete",
            "capacity_units",
        ],
    )
}
