//! Interfaces of the cleanup and of its scan.

use std::future::Future;

use session_domain::{
    DueList, ItemKey, MalformedRecord, RecordKey, ScanCheckpoint, ScanSettings, Shard, Timestamp,
};

use super::{Metered, ParsedRecord, StoreError};

/// Position after a page, for reading the next one.
#[derive(Debug, Clone)]
pub struct PageToken<T>(pub T);

/// A page of a due list, oldest entry first.
#[derive(Debug)]
pub struct DuePage<P> {
    /// Keys of the records on the page.
    pub keys: Vec<RecordKey>,
    /// Entries whose key is not a record's key.
    pub malformed: Vec<MalformedRecord>,
    /// When the first session on the page became due. `None` if the page has no sessions.
    pub oldest: Option<Timestamp>,
    /// Position of the next page. `None` if there is none.
    pub next: Option<PageToken<P>>,
}

/// A page of the malformed records of one shard that were moved off its due lists.
#[derive(Debug)]
pub struct MalformedPage<P> {
    /// Keys of the records on the page.
    pub keys: Vec<ItemKey>,
    /// Position of the next page. `None` if there is none.
    pub next: Option<PageToken<P>>,
}

/// Reads the due index.
pub trait ReadDueList {
    /// Position after a page.
    type LastKey: Clone + Send + Sync;

    /// Reads a page of the entries of `list` that are due at `cutoff`.
    fn due_page(
        &self,
        list: DueList,
        cutoff: Timestamp,
        start_after: Option<PageToken<Self::LastKey>>,
    ) -> impl Future<Output = Result<Metered<DuePage<Self::LastKey>>, StoreError>> + Send;

    /// Reads a page of the malformed records of a shard that were moved off its due lists.
    fn malformed_page(
        &self,
        shard: Shard,
        start_after: Option<PageToken<Self::LastKey>>,
    ) -> impl Future<Output = Result<Metered<MalformedPage<Self::LastKey>>, StoreError>> + Send;
}

/// Reads records by key: those whose condition failed, and those of a dry run.
pub trait ReadRecords {
    /// Maximum number of keys per call.
    const MAX_BATCH: usize;

    /// Reads records consistently, in any order. Omits records that do not exist.
    fn read(
        &self,
        keys: &[ItemKey],
    ) -> impl Future<Output = Result<Metered<Vec<ParsedRecord>>, StoreError>> + Send;
}

/// A page of a scan.
#[derive(Debug)]
pub struct ScanPage {
    /// The sessions and tokens on the page. Other items are omitted.
    pub records: Vec<ParsedRecord>,
    /// Number of items of all kinds that were read.
    pub examined: u64,
    /// Key of the item before the next page. `None` if there is no next page.
    pub next: Option<ItemKey>,
}

/// Reads the whole table.
pub trait ScanTable {
    /// Reads a page of one of the `segments` segments of a parallel scan.
    fn scan_page(
        &self,
        segment: u16,
        segments: u16,
        start_after: Option<&ItemKey>,
    ) -> impl Future<Output = Result<Metered<ScanPage>, StoreError>> + Send;
}

/// Stores the progress of a scan, so that the next run continues it. A scan that revokes sessions has another
/// checkpoint than one that only adopts.
pub trait StoreScanCheckpoint {
    /// Reads the stored checkpoint of such a scan.
    fn scan_checkpoint(
        &self,
        settings: &ScanSettings,
    ) -> impl Future<Output = Result<Option<ScanCheckpoint>, StoreError>> + Send;

    /// Stores a checkpoint that native TTL deletes after `ttl`.
    fn store_scan_checkpoint(
        &self,
        checkpoint: &ScanCheckpoint,
        ttl: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
