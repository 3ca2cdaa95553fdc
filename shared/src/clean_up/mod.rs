//! The use case of the cleanup: take from the work list what is due, do it, report.
//!
//! ```text
//!   due lists ──pages──▶ batches ──conditional writes──▶ outcomes ──▶ tally ──▶ report
//!   (a shard each,        (several at once, paced)         │
//!    several at once)                                      └─ refused: look at the record,
//!                                                             decide again, write again
//! ```
//!
//! The work list is believed only as far as the conditions of the writes go: each compares the
//! record's own attributes. A run keeps nothing but counts, so that its memory does not grow with
//! the list, and it may end at any point: what is left is still on the list.

mod adopt;
mod malformed;
mod pace;
mod settle;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::{self, BoxFuture, FutureExt as _};
use futures_util::stream::{self, Stream, StreamExt as _};
use rand::seq::SliceRandom as _;
use uuid::Uuid;

use self::malformed::MalformedRecords;
use self::pace::Pace;
use crate::clock::Stopwatch;
use crate::domain::{
    Action, CleanupReport, Counts, Days, DueList, Hours, RecordKey, Rules, Shards, Timestamp,
    Trigger,
};
use crate::ports::{
    ApplyChanges, KeepReport, Metered, ReadDueList, ReadRecords, ScanTable, StoreError,
};

/// Lists that are read at once.
const LISTS_AT_ONCE: usize = 8;

/// Batches that are under way at once.
const BATCHES_AT_ONCE: usize = 8;

/// For how long a run goes on to ask a table that does not answer at all.
const SILENCE: Duration = Duration::from_mins(1);

/// How often a run says in the log how far it is.
const PROGRESS: Duration = Duration::from_secs(10);

/// How often the report is tried to be stored.
const REPORT_ATTEMPTS: u32 = 3;

/// What is the same for all runs.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long inactive sessions are kept.
    pub retention: Days,
    /// How long reports are kept.
    pub report_retention: Days,
    /// Writes that a run starts in a second at the most; unlimited where there is none.
    pub max_writes_per_second: Option<std::num::NonZeroU32>,
    /// How many shards the work list has.
    pub shards: Shards,
}

/// How long a run may take up work when its invocation has `left`: the rest is for the batches
/// that are under way then (a call takes [`Patience::RUN`] at the most) and for the report.
///
/// [`Patience::RUN`]: crate::dynamodb::Patience::RUN
#[must_use]
pub fn time_limit(left: Duration) -> Duration {
    const MARGIN: Duration = Duration::from_secs(11);
    left.saturating_sub(MARGIN.min(left / 2))
}

/// What one run is to do.
#[derive(Debug, Clone)]
pub struct Order {
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
#[error("the cleanup {} could not finish: {}", report.run_id, source.causes())]
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
pub trait CleanupTable: ReadDueList + ReadRecords + ApplyChanges + KeepReport + Sync {}

impl<T: ReadDueList + ReadRecords + ApplyChanges + KeepReport + Sync> CleanupTable for T {}

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
    settings: &'a Settings,
    order: &'a Order,
) -> BoxFuture<'a, Result<CleanupReport, CleanupFailed>> {
    let run = Run::new(table, settings, order);
    Box::pin(async move {
        let mut tally = Tally::default();
        run.work_off(&mut tally).await;
        run.finish(tally).await
    })
}

/// Runs an order, `adopt` included.
///
/// # Errors
///
/// What kept it from doing all its work, with the report of what it did.
pub fn adopt_and_clean_up<'a, T: CleanupTable + ScanTable>(
    table: &'a T,
    settings: &'a Settings,
    order: &'a Order,
) -> BoxFuture<'a, Result<CleanupReport, CleanupFailed>> {
    let run = Run::new(table, settings, order);
    Box::pin(async move {
        let mut tally = Tally::default();
        if order.adopt {
            run.adopt(&mut tally).await;
        }
        run.work_off(&mut tally).await;
        run.finish(tally).await
    })
}

/// One run under way.
struct Run<'a, T> {
    table: &'a T,
    order: &'a Order,
    settings: &'a Settings,
    rules: Rules,
    now: Timestamp,
    watch: Stopwatch,
    pace: Pace,
    /// For the reads of a scan: as many units in a second as there may be writes.
    scan_pace: Pace,
    malformed: MalformedRecords,
    /// When the table last answered, and when the log last told how far the run is, in
    /// milliseconds on the watch.
    answered_at: AtomicU64,
    told_at: AtomicU64,
}

/// What a part of a run did.
#[derive(Debug, Default)]
struct Tally {
    counts: Counts,
    capacity_units: f64,
    /// Since when the session has been expired that has been for the longest time.
    oldest_expired: Option<Timestamp>,
    /// Whether the time ran out with work left.
    time_ran_out: bool,
    /// The first error that no patience helps against.
    error: Option<StoreError>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.counts.add(other.counts);
        self.capacity_units += other.capacity_units;
        let oldest = [self.oldest_expired, other.oldest_expired];
        self.oldest_expired = oldest.into_iter().flatten().min();
        self.time_ran_out |= other.time_ran_out;
        self.note(other.error);
    }

    fn note(&mut self, error: Option<StoreError>) {
        if self.error.is_none() {
            self.error = error;
        }
    }

    /// Keeps the capacity of an answer, and gives the answer.
    fn meter<V>(&mut self, answer: Metered<V>) -> V {
        self.capacity_units += answer.capacity_units;
        answer.value
    }
}

/// What reading a due list yields.
enum Piece {
    /// Records to see to.
    Batch(DueList, Vec<RecordKey>),
    /// What the reading itself amounted to.
    Reading(Tally),
}

impl<'a, T: CleanupTable> Run<'a, T> {
    fn new(table: &'a T, settings: &'a Settings, order: &'a Order) -> Self {
        Self {
            table,
            order,
            settings,
            rules: Rules {
                retention: settings.retention,
                sweep_grace: order.sweep_grace,
            },
            now: order.started_at.into(),
            watch: Stopwatch::start(order.time_limit),
            pace: Pace::new(settings.max_writes_per_second, <T as ApplyChanges>::MOST),
            scan_pace: Pace::new(settings.max_writes_per_second, <T as ApplyChanges>::MOST),
            malformed: MalformedRecords::default(),
            answered_at: AtomicU64::new(0),
            told_at: AtomicU64::new(0),
        }
    }

    fn time_is_up(&self) -> bool {
        self.watch.left().is_zero()
    }

    /// Notes that the table answers.
    fn answered(&self) {
        let now = milliseconds(self.watch.elapsed());
        self.answered_at.store(now, Ordering::Relaxed);
    }

    /// Whether it makes sense to try again what ended with this error. A table that throttles is
    /// there, and says when it can do more.
    fn is_worth_a_retry(&self, error: &StoreError) -> bool {
        let answered_at = Duration::from_millis(self.answered_at.load(Ordering::Relaxed));
        matches!(error, StoreError::Throttled { .. })
            || error.may_pass() && self.watch.elapsed() < answered_at + SILENCE
    }

    /// Gives way to others where the table throttles.
    fn heed(&self, error: &StoreError) {
        if matches!(error, StoreError::Throttled { .. }) {
            self.answered();
            self.pace.slow_down(&self.watch);
            self.scan_pace.slow_down(&self.watch);
        }
    }

    /// Says every now and then how far the run is.
    fn tell_progress(&self, tally: &Tally) {
        let elapsed = self.watch.elapsed();
        let told_at = Duration::from_millis(self.told_at.load(Ordering::Relaxed));
        if elapsed < told_at + PROGRESS {
            return;
        }
        self.told_at.store(milliseconds(elapsed), Ordering::Relaxed);
        let Counts {
            sessions_deactivated,
            adopted,
            changed_elsewhere,
            failed,
            ..
        } = tally.counts;
        tracing::info!(
            run_id = %self.order.run_id,
            duration_ms = milliseconds(elapsed),
            sessions_deactivated,
            deleted = tally.counts.deleted(),
            adopted,
            changed_elsewhere,
            failed,
            capacity_units = tally.capacity_units,
            "cleanup goes on"
        );
    }

    /// Works off the lists: deactivations first, for until then an expired session is open.
    async fn work_off(&self, tally: &mut Tally) {
        for action in [Action::Deactivate, Action::Delete] {
            let mut lists: Vec<DueList> = self
                .settings
                .shards
                .all()
                .map(|shard| DueList { action, shard })
                .collect();
            // Runs at the same time help each other: each takes the lists in an order of its own.
            lists.shuffle(&mut rand::rng());
            let pieces = stream::iter(lists)
                .map(|list| self.read(list).boxed())
                .flatten_unordered(LISTS_AT_ONCE);
            let mut done = pieces
                .map(|piece| match piece {
                    Piece::Batch(list, keys) => self.settle(list, keys).boxed(),
                    Piece::Reading(tally) => future::ready(tally).boxed(),
                })
                .buffer_unordered(BATCHES_AT_ONCE);
            while let Some(part) = done.next().await {
                tally.add(part);
                self.tell_progress(tally);
            }
        }
    }

    /// Reads a list page by page, oldest first, and cuts the pages into batches.
    fn read(&self, list: DueList) -> impl Stream<Item = Piece> {
        let batch = if self.order.dry_run {
            <T as ReadRecords>::MOST
        } else {
            self.pace.batch()
        };
        let due_by = self.rules.due_by(list.action, self.now);
        stream::unfold(Some(None), move |place| async move {
            let after: Option<_> = place?;
            let mut tally = Tally::default();
            if self.time_is_up() {
                tally.time_ran_out = true;
                return Some((vec![Piece::Reading(tally)], None));
            }
            let page = self
                .patiently(&mut tally, || {
                    self.table.due_page(list, due_by, after.clone())
                })
                .await;
            let Some(page) = page else {
                return Some((vec![Piece::Reading(tally)], None));
            };
            if list.action == Action::Deactivate {
                tally.oldest_expired = page.oldest;
            }
            for malformed in page.malformed {
                tally.counts.malformed += self.malformed.note(&malformed);
            }
            let pieces = page
                .keys
                .chunks(batch)
                .map(|keys| Piece::Batch(list, keys.to_vec()))
                .chain([Piece::Reading(tally)])
                .collect();
            Some((pieces, page.next.map(Some)))
        })
        .flat_map(stream::iter)
    }

    /// Asks until there is an answer, with growing pauses. Where there is none, notes why: the
    /// time ran out, or an error that would not pass.
    async fn patiently<V, F>(&self, tally: &mut Tally, ask: impl Fn() -> F) -> Option<V>
    where
        F: Future<Output = Result<Metered<V>, StoreError>>,
    {
        let mut attempt = 1;
        loop {
            match ask().await {
                Ok(answer) => {
                    self.answered();
                    return Some(tally.meter(answer));
                }
                Err(error) if error.may_pass() && self.time_is_up() => {
                    tally.time_ran_out = true;
                    return None;
                }
                Err(error) if self.is_worth_a_retry(&error) => {
                    tracing::debug!(attempt, error = error.causes(), "trying again");
                    self.heed(&error);
                    self.back_off(attempt).await;
                    attempt += 1;
                }
                Err(error) => {
                    tally.note(Some(error));
                    return None;
                }
            }
        }
    }

    /// Pauses before the next attempt.
    async fn back_off(&self, attempt: u32) {
        tokio::time::sleep(pause(attempt).min(self.watch.left())).await;
    }

    /// Stores the report. Where that fails, what was done is done: the log has the report.
    async fn keep(&self, report: &CleanupReport, ttl: Timestamp) {
        let mut attempt = 1;
        while let Err(error) = self.table.keep(report, ttl).await {
            if attempt == REPORT_ATTEMPTS || !error.may_pass() {
                tracing::error!(error = error.causes(), "could not store the report");
                return;
            }
            tokio::time::sleep(pause(attempt)).await;
            attempt += 1;
        }
    }

    /// Closes the account: makes the report, stores it, logs it.
    async fn finish(self, tally: Tally) -> Result<CleanupReport, CleanupFailed> {
        self.malformed.summarise();
        let order = self.order;
        let report = CleanupReport {
            run_id: order.run_id,
            trigger: order.trigger,
            requested_by: order.requested_by.clone(),
            dry_run: order.dry_run,
            started_at: order.started_at,
            duration_ms: milliseconds(self.watch.elapsed()),
            complete: !tally.time_ran_out && tally.error.is_none(),
            counts: tally.counts,
            capacity_units: tally.capacity_units,
            oldest_expired_age_seconds: tally.oldest_expired.map(|end| self.now.since(end)),
            error: tally.error.as_ref().map(StoreError::causes),
        };
        let ttl = self.now.plus(self.settings.report_retention.seconds());
        self.keep(&report, ttl).await;
        log(&report);
        match tally.error {
            None => Ok(report),
            Some(source) => Err(CleanupFailed {
                report: Box::new(report),
                source,
            }),
        }
    }
}

/// The pause after an attempt: up to twice as long each time, at random, so that those who failed
/// together do not come back together.
fn pause(attempt: u32) -> Duration {
    longest_pause(attempt).mul_f64(rand::random_range(0.5..=1.0))
}

fn longest_pause(attempt: u32) -> Duration {
    Duration::from_millis(100 << attempt.min(6))
}

fn milliseconds(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

fn log(report: &CleanupReport) {
    let CleanupReport {
        run_id,
        trigger,
        dry_run,
        duration_ms,
        complete,
        counts,
        ..
    } = report;
    tracing::info!(
        %run_id,
        trigger = trigger.as_str(),
        requested_by = report.requested_by.as_deref(),
        dry_run,
        started_at = report.started_at_text(),
        duration_ms,
        complete,
        sessions_deactivated = counts.sessions_deactivated,
        sessions_deleted = counts.sessions_deleted,
        refresh_tokens_deleted = counts.refresh_tokens_deleted,
        blacklisted_tokens_deleted = counts.blacklisted_tokens_deleted,
        changed_elsewhere = counts.changed_elsewhere,
        reindexed = counts.reindexed,
        adopted = counts.adopted,
        malformed = counts.malformed,
        failed = counts.failed,
        capacity_units = report.capacity_units,
        oldest_expired_age_seconds = report.oldest_expired_age_seconds,
        error = report.error.as_deref(),
        "cleanup ended"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamodb::Patience;

    #[test]
    fn when_a_run_stops_there_is_time_for_what_is_under_way_and_for_the_report() {
        let call = Patience::RUN.call;
        let pauses: Duration = (1..REPORT_ATTEMPTS).map(longest_pause).sum();
        let needed = call + REPORT_ATTEMPTS * call + pauses;
        for left in [22, 29, 60, 900].map(Duration::from_secs) {
            let limit = time_limit(left);
            assert!(limit + needed <= left, "{limit:?} of {left:?}");
        }
        assert_eq!(time_limit(Duration::from_secs(4)), Duration::from_secs(2));
        assert_eq!(time_limit(Duration::ZERO), Duration::ZERO);
    }
}
