//! Errors as text.

use std::error::Error;

/// An error with all its sources in one line: `message: source: source`. For log lines and responses
/// at the boundary; errors themselves contain no text of their sources.
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}
