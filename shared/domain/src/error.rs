//! Errors as text, for the log.

use std::error::Error;

/// An error and its sources, down to the first, in one line: `message: source: source`.
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
