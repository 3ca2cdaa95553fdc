//! Use case of the cleanup: read from the due index what is due, write it, report.
//!
//! ```text
//!   due lists ──pages──▶ work items ──conditional writes──▶ outcomes ──▶ totals ──▶ report
//!   (one per shard,      (several at once,                  │
//!    several at once)     rate limited)                     └─ condition failed: read the record,
//!                                                              decide again, write again
//! ```
//!
//! The index is only a hint: every write checks the record's own attributes in its condition. A run
//! keeps counts, and the keys of malformed records until it has moved them, so its memory use does not
//! grow with the due list. A run can stop at any point; the remaining work stays on the due list.
//!
//! | module | what it is |
//! | --- | --- |
//! | `run` | one run: its deadline, its retries, its report |
//! | `lists` | reading the due lists |
//! | `batch` | writing a batch of records |
//! | `malformed` | records that cannot be interpreted |
//! | `adopt` | the scan of the whole table |
//! | `rate` | the rate limiter |
//! | `totals` | what a run has counted so far |

mod adopt;
mod batch;
mod lists;
mod malformed;
mod rate;
mod run;
mod totals;

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use self::run::Run;
use self::totals::RunTotals;
use session_domain::{CleanupReport, Days, Hours, Shards, Trigger};
use session_lifecycle::ports::{
    ApplyWrites, DescribeTable, ReadDueList, ReadRecords, ScanTable, StoreAdoptionCheckpoint,
    StoreError, StoreReport,
};

/// What is the same for all runs.
#[derive(Debug, Clone, Copy)]
pub struct CleanupSettings {
    /// How long inactive sessions are kept.
    pub retention: Days,
    /// How long reports are kept.
    pub report_retention: Days,
    /// The most write units of the table, without its index, that a run consumes in a second: as
    /// many records of up to 1 KB. Unlimited where there is none.
    pub max_writes_per_second: Option<std::num::NonZeroU32>,
    /// How many shards the work list has.
    pub shards: Shards,
}

/// How long a run may take up work when its invocation has `left`: the rest is for the batches
/// that are under way then (a call takes [`CallPolicy::BATCH`] at the most) and for the report.
///
/// [`CallPolicy::BATCH`]: session_lifecycle::aws::CallPolicy::BATCH
#[must_use]
pub fn time_limit(left: Duration) -> Duration {
    const MARGIN: Duration = Duration::from_secs(11);
    left.saturating_sub(MARGIN.min(left / 2))
}

/// What one run is to do.
#[derive(Debug, Clone)]
pub struct CleanupRequest {
    /// Names the run.
    pub run_id: Uuid,
    /// What started it.
    pub trigger: Trigger,
    /// Who asked for it, where it came over the API.
    pub requested_by: Option<String>,
    /// Only count what the run would do.
    pub dry_run: bool,
    /// Read the whole table first, and give each record the index attributes it should have.
    pub adopt: bool,
    /// How long deletions that are due are left to native TTL.
    pub sweep_grace: Hours,
    /// When it began: its `now`, from beginning to end.
    pub started_at: DateTime<Utc>,
    /// When it has to stop taking up work.
    pub time_limit: Duration,
}

/// A run that could not do all its work for another reason than time.
#[derive(Debug, thiserror::Error)]
#[error("the cleanup {} could not finish", report.run_id)]
pub struct CleanupFailed {
    /// What it did all the same; stored as every report is.
    pub report: Box<CleanupReport>,
    /// Why.
    #[source]
    pub source: StoreError,
}

impl CleanupFailed {
    /// The report of a run, whether or not it could finish.
    #[must_use]
    pub fn report(done: &Result<CleanupReport, Self>) -> &CleanupReport {
        done.as_ref().unwrap_or_else(|failed| &failed.report)
    }
}

/// Everything that a cleanup may do to a table.
pub trait CleanupTable: ReadDueList + ReadRecords + ApplyWrites + StoreReport + Sync {}

impl<T: ReadDueList + ReadRecords + ApplyWrites + StoreReport + Sync> CleanupTable for T {}

/// Everything that a cleanup may do to a table that it adopts.
pub trait AdoptionTable:
    CleanupTable + ScanTable + DescribeTable + StoreAdoptionCheckpoint
{
}

impl<T: CleanupTable + ScanTable + DescribeTable + StoreAdoptionCheckpoint> AdoptionTable for T {}

/// Runs an order, without `adopt`, for which a scan is needed.
///
/// The future is boxed because the compiler cannot see through the streams inside that it may be
/// sent between threads.
///
/// # Errors
///
/// What kept it from doing all its work, with the report of what it did.
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

/// Runs an order, `adopt` included.
///
/// # Errors
///
/// What kept it from doing all its work, with the report of what it did.
pub fn adopt_and_clean_up<'a, T: AdoptionTable>(
    table: &'a T,
    settings: &'a CleanupSettings,
    request: &'a CleanupRequest,
) -> BoxFuture<'a, Result<CleanupReport, CleanupFailed>> {
    let run = Run::new(table, settings, request);
    Box::pin(async move {
        let mut totals = RunTotals::default();
        if request.adopt {
            run.adopt(&mut totals).await;
        }
        // An adoption stops a little before the run's end. What it has not reached yet is not settled
        // in that time: it would count as something else.
        if !totals.time_ran_out {
            run.process_due_lists(&mut totals).await;
        }
        run.finish(totals).await
    })
}
