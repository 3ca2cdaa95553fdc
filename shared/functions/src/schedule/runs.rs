//! The last scheduled runs, according to their reports.

use chrono::{DateTime, TimeDelta, Utc};

use super::Schedule;
use session_domain::{CleanupReport, Trigger};
use session_lifecycle::ports::{ReadReports, ReportCursor, ReportFilter, StoreError};

/// How late a run may start before it is overdue. Lambda retries an event for one hour.
const MAX_DELAY: TimeDelta = TimeDelta::hours(1);

/// Number of successful runs that are examined. Usually they are the newest reports.
const EXAMINED_RUNS: u8 = 3;

/// Size of the pages after the first one, which are read if runs failed. A page reads at most 200
/// reports, and skips those of manual runs and of the API.
const PAGE_SIZE: u8 = 50;

/// Maximum number of pages.
const MAX_PAGES: usize = 5;

/// The last scheduled runs, according to their reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScheduledRuns {
    /// Start time of the last run. If no run was found, the time back to which the reports were
    /// searched: a run, if there was one, started earlier. `None` if that is unknown, too.
    pub last: Option<DateTime<Utc>>,
    /// The same for the last successful run.
    pub last_success: Option<DateTime<Utc>>,
    /// Number of consecutive successful runs, from the last one back, that left work. At most 3.
    pub incomplete: u8,
    /// Number of consecutive successful runs, from the last one back, with failed records. At most
    /// 3.
    pub with_failures: u8,
}

impl ScheduledRuns {
    /// Reads the last runs.
    ///
    /// No report is older than `begin`, because the table did not exist or the report has expired.
    /// So a run that was due before then does not count as missed.
    ///
    /// # Errors
    ///
    /// The reports cannot be read.
    pub async fn read<T: ReadReports + Sync>(
        table: &T,
        begin: Option<DateTime<Utc>>,
    ) -> Result<Self, StoreError> {
        let filter = ReportFilter {
            trigger: Some(Trigger::Schedule),
            ..ReportFilter::default()
        };
        let (mut last, mut successes) = (None, Vec::new());
        let mut searched_back_to = begin;
        let mut after: Option<ReportCursor> = None;
        for _ in 0..MAX_PAGES {
            let limit = if after.is_none() {
                EXAMINED_RUNS
            } else {
                PAGE_SIZE
            };
            let page = table.reports(&filter, limit, after.as_ref()).await?;
            last = last.or(page.reports.first().map(|report| report.started_at));
            let succeeded = |report: &CleanupReport| report.error.is_none();
            successes.extend(page.reports.into_iter().filter(succeeded));
            let next = page.next.as_ref().and_then(ReportCursor::started_at);
            searched_back_to = next.or(begin);
            after = page.next;
            if successes.len() >= EXAMINED_RUNS.into() || after.is_none() {
                break;
            }
        }
        let last_success = successes.first().map(|report| report.started_at);
        Ok(Self {
            last: last.or(searched_back_to),
            last_success: last_success.or(searched_back_to),
            incomplete: consecutive(&successes, |report| !report.complete),
            with_failures: consecutive(&successes, |report| report.counts.failed > 0),
        })
    }

    /// Due time of the next run. It is in the past if the run is late.
    #[must_use]
    pub fn next(&self, schedule: &Schedule) -> Option<DateTime<Utc>> {
        schedule.next_after(self.last?)
    }

    /// How long a successful run has been overdue at `now`. Zero if no run is overdue, `None` if
    /// that is unknown.
    #[must_use]
    pub fn overdue(&self, schedule: &Schedule, now: DateTime<Utc>) -> Option<TimeDelta> {
        let late = now - schedule.next_after(self.last_success?)?;
        Some(if late > MAX_DELAY {
            late
        } else {
            TimeDelta::zero()
        })
    }
}

/// Counts the consecutive runs, from the newest one back, that match. At most [`EXAMINED_RUNS`].
fn consecutive(newest_first: &[CleanupReport], matches: fn(&CleanupReport) -> bool) -> u8 {
    let examined = newest_first.iter().take(EXAMINED_RUNS.into());
    let count = examined.take_while(|report| matches(report)).count();
    u8::try_from(count).unwrap_or(EXAMINED_RUNS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn runs(last_success: DateTime<Utc>) -> ScheduledRuns {
        ScheduledRuns {
            last: Some(last_success),
            last_success: Some(last_success),
            incomplete: 0,
            with_failures: 0,
        }
    }

    #[test]
    fn reports_run_overdue_after_one_hour() {
        let last = at("2026-11-25T17:00:00Z");
        for (minutes, overdue) in [(0, 0), (60, 0), (120, 0), (121, 61), (660, 600)] {
            let now = last + TimeDelta::minutes(minutes);
            assert_eq!(
                runs(last).overdue(&Schedule::default(), now),
                Some(TimeDelta::minutes(overdue)),
                "{minutes}"
            );
        }
        let unknown = Schedule::parse("cron(60 * * * ? *)").unwrap();
        assert_eq!(runs(last).overdue(&unknown, last), None);
    }
}
