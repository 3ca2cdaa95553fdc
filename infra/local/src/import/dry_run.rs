//! `--dry-run`: what an import would do.

use std::path::Path;

use session_lifecycle::clock;

use super::{Source, find_layout, read_converted};
use crate::error::{Context as _, ServeError};
use crate::template::Template;
use crate::terminal::out;

/// Prints what would become of the items of a file. Returns whether all of them can be converted.
///
/// # Errors
///
/// The file or the layout cannot be read, or the table would reject a session.
pub fn dry_run(source: &Source) -> Result<bool, ServeError> {
    let file = source.import.as_deref().unwrap_or(Path::new(""));
    let name = source.layout.as_deref().unwrap_or_default();
    let template = Template::read().context("cannot start")?;
    let layout = find_layout(name)?;
    let converted = read_converted(file, &template.table, &layout, clock::now().into())
        .context(format!("cannot import {}", file.display()))?;
    let print = |line: String| out(line).context("cannot print");
    for (what, count) in converted.counts() {
        print(format!("{what:<20} {count:>8}"))?;
    }
    for (place, problem) in converted.problems.places() {
        print(format!("{place}: {problem}"))?;
    }
    for note in converted.notes() {
        print(note)?;
    }
    Ok(converted.problems.is_empty())
}
