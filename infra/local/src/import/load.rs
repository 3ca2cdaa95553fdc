//! `--import`: reading the items that the local stack starts with.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::Args;
use dynoxide::AttributeValue;
use dynoxide::types::Item;
use serde_json::Value;

use super::{Contents, ImportError, find_layout, read, read_converted, recognize};
use crate::error::{Context as _, ServeError};
use crate::terminal::err;

/// The options of an import.
#[derive(Debug, Clone, Args)]
pub struct Source {
    /// Start with these items instead of the sample data: output of the AWS CLI (scan, query,
    /// get-item, batch-get-item), an array of items, one item per line, or the files of a table
    /// export; plain or gzip
    #[arg(long, value_name = "FILE")]
    pub import: Option<PathBuf>,
    /// Convert the items from those of another session table, with a preset (connect-dynamodb,
    /// dynamodb-store, authjs, shopify, flask-session, session-id) or the layout in a file
    #[arg(long, value_name = "NAME|FILE", requires = "import")]
    pub layout: Option<String>,
    /// Only print what the items would become, and exit. The exit code is 1 if one cannot be
    /// converted
    #[arg(long, requires = "layout")]
    pub dry_run: bool,
    /// Leave out the items that cannot be converted. Without it, one of them prevents the import
    #[arg(long, requires = "layout")]
    pub skip_invalid: bool,
}

/// The items of a file, ready to be stored.
#[derive(Debug)]
pub struct Loaded {
    /// The items.
    pub items: Vec<Item>,
    /// What they are, for the user.
    pub summary: String,
    /// Whether they were converted. A converted session never replaces an existing one.
    pub is_converted: bool,
}

impl Source {
    /// Reads the items, and converts them if there is a layout. `None` without `--import`.
    ///
    /// # Errors
    ///
    /// The file or the layout cannot be read, the table rejects an item, or an item cannot be
    /// converted.
    pub fn load(&self, table: &Value, now: DateTime<Utc>) -> Result<Option<Loaded>, ServeError> {
        let Some(file) = &self.import else {
            return Ok(None);
        };
        let what = format!("cannot import {}", file.display());
        let Some(name) = &self.layout else {
            let items = read(file, table).context(what)?;
            let mut stateless = items.iter().filter(|item| is_session_without_state(item));
            if let Some(preset) = stateless.find_map(recognize) {
                err(format!(
                    "note: there are sessions of another store; --layout {preset} converts them"
                ));
            }
            let summary = format!("imported: {}", Contents::of(&items));
            return Ok(Some(Loaded {
                items,
                summary,
                is_converted: false,
            }));
        };
        let layout = find_layout(name)?;
        let converted = read_converted(file, table, &layout, now.into()).context(&what)?;
        converted.notes().for_each(err);
        if !self.skip_invalid && !converted.problems.is_empty() {
            return Err(ImportError::Unconvertible(converted.problems)).context(what);
        }
        Ok(Some(Loaded {
            summary: format!("imported: {converted}"),
            is_converted: true,
            items: converted
                .sessions
                .into_iter()
                .map(|(_, item)| item)
                .collect(),
        }))
    }
}

/// Whether this is a session of another store that uses the same keys.
fn is_session_without_state(item: &Item) -> bool {
    let sort = item.get("sk");
    matches!(sort, Some(AttributeValue::S(sort)) if sort.starts_with("SESSION#"))
        && !item.contains_key("is_active")
        && !item.contains_key("expires_at")
}
