//! Interfaces that the use cases depend on: one trait per capability.
//!
//! The traits correspond to the functions' IAM permissions, so a use case cannot do what its
//! function is not allowed to do. [`Table`](crate::Table) implements all of them. There is one
//! module per consumer; everything is re-exported here.

mod check;
mod cleanup;
mod error;
mod reports;
mod sessions;
mod statistics;
mod validation;

use std::future::Future;
use std::num::NonZeroU32;

use session_domain::{ConditionalWrite, MalformedRecord, Record};

pub use self::check::{CheckTable, Severity, TableCheck, TableDefect};
pub use self::cleanup::{
    DuePage, MalformedPage, PageToken, ReadDueList, ReadRecords, ScanPage, ScanTable,
    StoreScanCheckpoint,
};
pub use self::error::{BoxError, StoreError, StoreErrorKind};
pub use self::reports::{ReadReports, ReportCursor, ReportFilter, ReportPage, StoreReport};
pub use self::sessions::{CreateRecords, NewRecord, NewSession, ReadSessions, SessionStore};
pub use self::statistics::{CountRecords, DescribeTable, DueRange, TableDescription};
pub use self::validation::{LookUpSession, SessionLookup, WithoutRetries};

/// A response and the capacity units that it consumed.
#[derive(Debug)]
pub struct Metered<T> {
    /// The response.
    pub value: T,
    /// Read and write units, as the service reports them.
    pub capacity_units: f64,
    /// The part of the units that the table itself consumed, without its indexes.
    pub table_units: f64,
}

/// A record that was read, well-formed or malformed.
pub type ParsedRecord = Result<Record, MalformedRecord>;

/// Outcome of a [`ConditionalWrite`].
#[derive(Debug)]
pub enum Outcome {
    /// The write took place.
    Applied,
    /// A deletion found no record.
    Gone,
    /// The condition failed: either the record's attributes did not allow the write, or the record
    /// does not exist. Read the record to find out which.
    ConditionFailed,
    /// The store failed.
    Failed(StoreError),
}

/// Conditional writes. The authorizer, the cleanup and applications use them.
pub trait ApplyWrites {
    /// Maximum number of changes per call.
    const MAX_BATCH: NonZeroU32;

    /// Applies each change independently. The changes must be to different records. Returns one
    /// outcome per change, in the order of `changes`.
    fn apply(
        &self,
        changes: &[ConditionalWrite],
    ) -> impl Future<Output = Result<Metered<Vec<Outcome>>, StoreError>> + Send;
}
