//! Cleanup use case: reads what is due from the due index, writes it, and reports.
//!
//! ```text
//!   due lists ──pages──▶ batches ──conditional writes──▶ outcomes ──▶ totals ──▶ report
//!   (one per shard,      (several at once,               │
//!    several at once)     rate limited)                  └─ condition failed: read the record,
//!                                                           decide again, write again
//! ```
//!
//! The index is only a hint: every write checks the record's attributes in its condition. A run keeps
//! counts, and the keys of malformed records until it has moved them, so its memory use does not grow
//! with the due lists. A run can stop at any point: the remaining work stays on the due lists.
//!
//! From a page of a due list to the write, there are six functions: `process_due_lists` →
//! `process_action` → `read_list` → `process_batch` → `execute` → `write_batch`.
//!
//! | module | responsibility |
//! | --- | --- |
//! | `run` | the state of one run: its request, deadline and mode |
//! | `due_lists` | reads the due lists page by page |
//! | `batch` | decides on the writes of a batch, and executes or predicts them |
//! | `pending` | one write until its outcome is known |
//! | `malformed` | records that cannot be interpreted |
//! | `scan` | scans the whole table, to repair index attributes and to revoke sessions |
//! | `retry` | retries, backoff, and when to give up |
//! | `rate` | the adaptive rate limiter |
//! | `totals` | what a run has counted |
//! | `report` | progress, and the report at the end |

mod batch;
mod due_lists;
mod malformed;
mod pending;
mod rate;
mod report;
mod retry;
mod run;
mod scan;
mod totals;

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use self::run::Run;
use self::totals::RunTotals;
use session_domain::{CleanupReport, Days, Hours, Revocation, Shards, Trigger};
use session_lifecycle::ports::{
    ApplyWrites, DescribeTable, ReadDueList, ReadRecords, ScanTable, StoreError, StoreReport,
    StoreScanCheckpoint,
};

/// Settings that all runs share.
#[derive(Debug, Clone, Copy)]
pub struct CleanupSettings {
    /// How long inactive sessions are kept.
    pub retention: Days,
    /// How long reports are kept.
    pub report_retention: Days,
    /// Limit of the table's write units per second, without those of its index. A write of up to
    /// 1 KB is one unit. `None` means no limit.
    pub max_writes_per_second: Option<std::num::NonZeroU32>,
    /// Number of shards of the due index.
    pub shards: Shards,
}

/// How long a run may start new work if its invocation has `left`. The rest is reserved for the
/// batches in flight (a call takes at most [`CallPolicy::BATCH`]) and for the report.
///
/// [`CallPolicy::BATCH`]: session_lifecycle::aws::CallPolicy::BATCH
#[must_use]
pub fn time_limit(left: Duration) -> Duration {
    const MARGIN: Duration = Duration::from_secs(11);
    left.saturating_sub(MARGIN.min(left / 2))
}

/// What one run has to do.
#[derive(Debug, Clone)]
pub struct CleanupRequest {
    /// Identifies the run.
    pub run_id: Uuid,
    /// What started the run.
    pub trigger: Trigger,
    /// The user who requested the run over the API.
    pub requested_by: Option<String>,
    /// Count what the run would do, and write only the report.
    pub dry_run: bool,
    /// Scan the whole table first, and give each record the index attributes it should have.
    pub adopt: bool,
    /// Scan the whole table first, and revoke these sessions.
    pub revoke: Option<Revocation>,
    /// How long due deletions are left to native TTL.
    pub sweep_grace: Hours,
    /// Start time of the run. All its decisions use this time as `now`.
    pub started_at: DateTime<Utc>,
    /// How long the run may start new work.
    pub time_limit: Duration,
}

/// A run that stopped because of an error, not because its time ran out.
#[derive(Debug, thiserror::Error)]
#[error("the cleanup {} could not finish", report.run_id)]
pub struct CleanupFailed {
    /// What the run did before the error. This report is stored like any other.
    pub report: Box<CleanupReport>,
    /// The first error that a retry could not solve.
    #[source]
    pub source: StoreError,
}

impl CleanupFailed {
    /// The report of a run, whether the run finished or not.
    #[must_use]
    pub fn report(result: &Result<CleanupReport, Self>) -> &CleanupReport {
        result.as_ref().unwrap_or_else(|failed| &failed.report)
    }
}

/// What a cleanup needs from a table.
pub trait CleanupTable: ReadDueList + ReadRecords + ApplyWrites + StoreReport + Sync {}

impl<T: ReadDueList + ReadRecords + ApplyWrites + StoreReport + Sync> CleanupTable for T {}

/// What a cleanup needs from a table that it also scans.
pub trait ScannedTable: CleanupTable + ScanTable + DescribeTable + StoreScanCheckpoint {}

impl<T: CleanupTable + ScanTable + DescribeTable + StoreScanCheckpoint> ScannedTable for T {}

/// Executes a request and ignores its `adopt` and `revoke`, which need a scan.
///
/// The future is boxed because the compiler cannot prove that it is `Send`.
///
/// # Errors
///
/// [`CleanupFailed`] if an error stopped the run. It contains the report of what the run did.
pub fn clean_up<'a, T: CleanupTable>(
    table: &'a T,
    settings: &'a CleanupSettings,
    request: &'a CleanupRequest,
) -> BoxFuture<'a, Result<CleanupReport, CleanupFailed>> {
    let run = Run::new(table, settings, request);
    Box::pin(async move {
        let mut totals = RunTotals::default();
        run.process_due_lists(&mut totals).await;
        run.finish(totals).await
    })
}

/// Executes a request, `adopt` and `revoke` included.
///
/// # Errors
///
/// [`CleanupFailed`] if an error stopped the run. It contains the report of what the run did.
pub fn scan_and_clean_up<'a, T: ScannedTable>(
    table: &'a T,
    settings: &'a CleanupSettings,
    request: &'a CleanupRequest,
) -> BoxFuture<'a, Result<CleanupReport, CleanupFailed>> {
    if !request.adopt && request.revoke.is_none() {
        return clean_up(table, settings, request);
    }
    let run = Run::new(table, settings, request);
    Box::pin(async move {
        let mut totals = RunTotals::default();
        run.scan(&mut totals).await;
        // A scan stops a little before the run's deadline. The due lists must not be processed in
        // the time between: records that the scan has not reached would be counted as reindexed
        // instead of adopted.
        if !totals.time_ran_out {
            run.process_due_lists(&mut totals).await;
        }
        run.finish(totals).await
    })
}
