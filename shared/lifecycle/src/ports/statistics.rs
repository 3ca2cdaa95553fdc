//! Interfaces for the statistics.

use std::future::Future;

use chrono::{DateTime, Utc};
use session_domain::{DueKey, DueList, Timestamp};

use super::StoreError;

/// The service's description of the table. Its counts are up to six hours old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableDescription {
    /// Approximate number of items in the table.
    pub items: u64,
    /// Approximate number of items in the due index. `None` if the service does not report it.
    pub indexed_items: Option<u64>,
    /// When the table was created.
    pub created_at: Option<DateTime<Utc>>,
}

/// Describes the table.
pub trait DescribeTable {
    /// Reads the service's description of the table.
    fn describe(&self) -> impl Future<Output = Result<TableDescription, StoreError>> + Send;
}

/// The part of a due list to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DueRange {
    /// Entries that are due at this time.
    DueBy(Timestamp),
    /// Entries that become due after this time.
    DueAfter(Timestamp),
    /// All entries.
    All,
}

/// Counts records in the due index.
pub trait CountRecords {
    /// Counts the sessions of a due list that are in `range`. Of the malformed records, counts
    /// records of all kinds.
    fn count(
        &self,
        due_key: DueKey,
        range: DueRange,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Time when the first session on a due list is due. Only the first few entries are searched.
    fn oldest(
        &self,
        list: DueList,
    ) -> impl Future<Output = Result<Option<Timestamp>, StoreError>> + Send;
}
