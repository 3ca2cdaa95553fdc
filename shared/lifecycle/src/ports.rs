//! What the use cases need of the world: one small trait per capability, cut as the functions'
//! permissions are, so that a use case can't do what its function may not.

mod error;

use std::future::Future;
use std::num::NonZeroU32;

use chrono::{DateTime, Utc};

use session_domain::{
    AdoptionCheckpoint, CleanupReport, ConditionalWrite, DueEntry, DueKey, DueList, ItemKey,
    MalformedRecord, Record, RecordKey, RefreshTokenHash, SessionId, SessionSnapshot, Shard,
    Timestamp, TokenId, Trigger, UserId,
};

pub use self::error::{BoxError, StoreError, StoreErrorKind};

/// An answer, and the capacity units that it consumed.
#[derive(Debug)]
pub struct Metered<T> {
    /// The answer.
    pub value: T,
    /// Read and write units, as the service reports them.
    pub capacity_units: f64,
    /// The part of them that the table itself consumed, without its indexes.
    pub table_units: f64,
}

/// A record that was read: understood or not.
pub type ParsedRecord = Result<Record, MalformedRecord>;

/// What the table holds about a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionLookup {
    /// The session that it names, of the user that it names; understood or not.
    pub session: Option<Result<SessionSnapshot, MalformedRecord>>,
    /// Whether the token was blacklisted.
    pub blacklisted: bool,
}

/// Reads what a validation needs.
pub trait LookUpSession {
    /// Reads a session and whether the token was blacklisted, consistently, in one request.
    fn look_up(
        &self,
        user: &UserId,
        session: &SessionId,
        token: &TokenId,
    ) -> impl Future<Output = Result<SessionLookup, StoreError>> + Send;
}

/// What became of a [`ConditionalWrite`].
#[derive(Debug)]
pub enum Outcome {
    /// It took place.
    Applied,
    /// A deletion found no record.
    Gone,
    /// Its condition did not hold: the record's own attributes did not allow it, or there is no
    /// such record. Reading the record tells which.
    ConditionFailed,
    /// The store did not do it, and says why.
    Failed(StoreError),
}

/// Writes conditionally.
pub trait ApplyWrites {
    /// The most changes that one call takes.
    const MAX_BATCH: NonZeroU32;

    /// Applies changes to records that are all different, each on its own; an outcome each, in
    /// their order.
    fn apply(
        &self,
        changes: &[ConditionalWrite],
    ) -> impl Future<Output = Result<Metered<Vec<Outcome>>, StoreError>> + Send;
}

/// A store that tries again by itself, and can be told not to. Where it does, its caller does not
/// learn that the answer to an attempt was lost.
pub trait WithoutRetries {
    /// The same store, whose calls make one attempt each.
    #[must_use]
    fn without_retries(&self) -> Self;
}

/// Where a page ended, for asking on.
#[derive(Debug, Clone)]
pub struct PageToken<T>(pub T);

/// A page of a due list, oldest first.
#[derive(Debug)]
pub struct DuePage<P> {
    /// The records on it.
    pub keys: Vec<RecordKey>,
    /// Entries whose key is not that of a record.
    pub malformed: Vec<MalformedRecord>,
    /// Since when the first session of them is due; nothing on a page without sessions.
    pub oldest: Option<Timestamp>,
    /// Where the next page begins, if there may be one.
    pub next: Option<PageToken<P>>,
}

/// Reads the work list.
pub trait ReadDueList {
    /// Where a page ended.
    type LastKey: Clone + Send + Sync;

    /// Reads what on `list` is due by `cutoff`, from `start_after` on.
    fn due_page(
        &self,
        list: DueList,
        cutoff: Timestamp,
        start_after: Option<PageToken<Self::LastKey>>,
    ) -> impl Future<Output = Result<Metered<DuePage<Self::LastKey>>, StoreError>> + Send;

    /// Reads the keys of the malformed records of a shard that were moved off its lists, from
    /// `start_after` on.
    fn malformed_page(
        &self,
        shard: Shard,
        start_after: Option<PageToken<Self::LastKey>>,
    ) -> impl Future<Output = Result<Metered<MalformedPage<Self::LastKey>>, StoreError>> + Send;
}

/// A page of the malformed records that were moved off the lists of a shard.
#[derive(Debug)]
pub struct MalformedPage<P> {
    /// The records on it.
    pub keys: Vec<ItemKey>,
    /// Where the next page begins, if there may be one.
    pub next: Option<PageToken<P>>,
}

/// Reads records themselves: what refused a write, and what a dry run looks at.
pub trait ReadRecords {
    /// The most records that one call takes.
    const MAX_BATCH: usize;

    /// Reads records consistently, in any order; those that are gone are left out.
    fn read(
        &self,
        keys: &[ItemKey],
    ) -> impl Future<Output = Result<Metered<Vec<ParsedRecord>>, StoreError>> + Send;
}

/// A page of a scan.
#[derive(Debug)]
pub struct ScanPage {
    /// The sessions and tokens on it; what else the table holds is left out.
    pub records: Vec<ParsedRecord>,
    /// How many items were read for it, all kinds together.
    pub examined: u64,
    /// The item after which the next page begins, if there may be one.
    pub next: Option<ItemKey>,
}

/// Reads the whole table.
pub trait ScanTable {
    /// Reads a page of one of `segments` equal parts of the table.
    fn scan_page(
        &self,
        segment: u16,
        segments: u16,
        start_after: Option<&ItemKey>,
    ) -> impl Future<Output = Result<Metered<ScanPage>, StoreError>> + Send;
}

/// What the service knows of the table itself. Its counts are up to six hours old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableDescription {
    /// About how many items the table holds.
    pub items: u64,
    /// About how many of them are in the index `due`; nothing where the service does not say.
    pub indexed_items: Option<u64>,
    /// When the table was created.
    pub created_at: Option<DateTime<Utc>>,
}

/// Describes the table.
pub trait DescribeTable {
    /// What the service knows of the table.
    fn describe(&self) -> impl Future<Output = Result<TableDescription, StoreError>> + Send;
}

/// Keeps how far an adoption is, so that the next run goes on there.
pub trait StoreAdoptionCheckpoint {
    /// The place that was last kept.
    fn adoption_checkpoint(
        &self,
    ) -> impl Future<Output = Result<Option<AdoptionCheckpoint>, StoreError>> + Send;

    /// Keeps a place until `ttl`.
    fn store_adoption_checkpoint(
        &self,
        checkpoint: &AdoptionCheckpoint,
        ttl: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Keeps the reports of the cleanups.
pub trait StoreReport {
    /// Stores a report until `ttl`.
    fn store(
        &self,
        report: &CleanupReport,
        ttl: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// A page of reports, newest first.
#[derive(Debug)]
pub struct ReportPage {
    /// The reports.
    pub reports: Vec<CleanupReport>,
    /// The sort key after which the next page begins, if there is one.
    pub next: Option<String>,
}

/// Which reports are asked for: all, where it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReportFilter {
    /// Of runs that this started.
    pub trigger: Option<Trigger>,
    /// Of runs that began then or later.
    pub from: Option<DateTime<Utc>>,
    /// Of runs that began before then.
    pub to: Option<DateTime<Utc>>,
}

/// Reads the reports of the cleanups.
pub trait ReadReports {
    /// The newest report of a run that was not a dry one.
    fn last_cleanup(
        &self,
    ) -> impl Future<Output = Result<Option<CleanupReport>, StoreError>> + Send;

    /// Up to `limit` reports of those asked for, newest first, after the sort key `start_after`, which
    /// is the `next` of the page before. It reads a bounded number of reports, so a page with a
    /// `next` may have fewer than `limit`, or none.
    fn reports(
        &self,
        filter: &ReportFilter,
        limit: u8,
        start_after: Option<&str>,
    ) -> impl Future<Output = Result<ReportPage, StoreError>> + Send;

    /// How many items the partition of the reports holds, counted up to `most` at least.
    fn count_reports(&self, most: u64) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// Which part of a due list is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DueRange {
    /// What is due by then.
    DueBy(Timestamp),
    /// What is due later.
    DueAfter(Timestamp),
    /// All of it.
    All,
}

/// Counts records in the index.
pub trait CountRecords {
    /// How many sessions of a work list are due in `range`; of the malformed records, how many
    /// records of all kinds.
    fn count(
        &self,
        due_key: DueKey,
        range: DueRange,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// When the first session on a list is due, as far as it is among the first entries.
    fn oldest(
        &self,
        list: DueList,
    ) -> impl Future<Output = Result<Option<Timestamp>, StoreError>> + Send;
}

/// A session as an application opens it.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub session: SessionId,
    /// From when on it lets nobody in.
    pub expires_at: Timestamp,
    /// From where the user logged in, where that is recorded.
    pub ip_address: Option<String>,
    /// With what the user logged in, where that is recorded.
    pub user_agent: Option<String>,
}

/// A record that an application creates.
#[derive(Debug, Clone)]
pub enum NewRecord {
    /// A session.
    Session {
        /// What the application says of it.
        new: NewSession,
        /// The stored `created_at`.
        created_at: Timestamp,
    },
    /// A refresh token of a session.
    RefreshToken {
        /// Whose.
        user: UserId,
        /// Of which session.
        session: SessionId,
        /// The token's hash.
        token: RefreshTokenHash,
        /// From when on it is of no use.
        expires_at: Timestamp,
    },
    /// An access token that is refused from now on.
    BlacklistedToken {
        /// Whose.
        user: UserId,
        /// Which.
        token: TokenId,
        /// That token's own `exp`.
        expires_at: Timestamp,
    },
}

impl NewRecord {
    /// Its key.
    #[must_use]
    pub fn key(&self) -> RecordKey {
        match self {
            Self::Session { new, .. } => RecordKey::session(&new.user, &new.session),
            Self::RefreshToken { user, token, .. } => RecordKey::refresh_token(user, token),
            Self::BlacklistedToken { user, token, .. } => RecordKey::blacklisted_token(user, token),
        }
    }
}

/// Creates records.
pub trait CreateRecords {
    /// Stores a record that is due at `due`; false where one of its key is there already, which
    /// stays as it is.
    fn create(
        &self,
        record: &NewRecord,
        due: &DueEntry,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// Reads one record.
pub trait FindRecord {
    /// Reads a record consistently.
    fn find(
        &self,
        key: &RecordKey,
    ) -> impl Future<Output = Result<Option<Record>, StoreError>> + Send;
}
