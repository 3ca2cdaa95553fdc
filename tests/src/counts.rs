//! The counts of a cleanup report.

use std::collections::BTreeMap;

use serde_json::Value;
use session_domain::Counts;

/// The counts of a report that are not zero.
#[must_use]
pub fn counts(report: &Value) -> BTreeMap<String, u64> {
    Counts::NAMES
        .into_iter()
        .map(|name| (name.to_owned(), report[name].as_u64().expect("a count")))
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// Expected counts, to compare with [`counts`].
#[must_use]
pub fn only<const N: usize>(expected: [(&str, u64); N]) -> BTreeMap<String, u64> {
    expected
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count))
        .collect()
}
