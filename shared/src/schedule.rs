//! When the scheduled cleanup is due: `EventBridge`'s schedule expressions, and the reports.
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html>

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use crate::domain::{CleanupReport, Trigger};
use crate::ports::{ReadReports, ReportFilter, StoreError};

/// How long after its due time a run may still come: Lambda repeats an event for an hour.
const LATEST: TimeDelta = TimeDelta::hours(1);

/// How many of the last scheduled runs are looked at.
const LOOKED_AT: u8 = 3;

/// Most pages of reports that the search for them reads. The others on a page are of runs by hand.
const MOST_PAGES: usize = 5;

/// An expression of `EventBridge`, `rate(…)` or `cron(…)`. Its times are in UTC.
#[derive(Debug, Clone)]
pub struct Schedule {
    expression: String,
    times: Times,
}

#[derive(Debug, Clone)]
enum Times {
    Every(TimeDelta),
    At(Box<Cron>),
}

impl Schedule {
    /// Reads an expression; nothing where `EventBridge` would refuse it.
    #[must_use]
    pub fn parse(expression: &str) -> Option<Self> {
        let (kind, arguments) = expression.strip_suffix(')')?.split_once('(')?;
        let times = match kind {
            "rate" => Times::Every(rate(arguments)?),
            "cron" => Times::At(Box::new(cron(arguments)?)),
            _ => return None,
        };
        Some(Self {
            expression: expression.to_owned(),
            times,
        })
    }

    /// When the first run after `time` is due; nothing where there is none any more.
    #[must_use]
    pub fn next_after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match &self.times {
            Times::Every(interval) => time.checked_add_signed(*interval),
            Times::At(cron) => cron.find_next_occurrence(&time, false).ok(),
        }
    }

    /// For how long no run has come, at `now`, although the one that was due at `next` may no longer come.
    #[must_use]
    pub fn overdue(next: Option<DateTime<Utc>>, now: DateTime<Utc>) -> TimeDelta {
        let late = next.map_or(TimeDelta::zero(), |next| now - next);
        if late > LATEST {
            late
        } else {
            TimeDelta::zero()
        }
    }
}

impl Default for Schedule {
    /// The template's: every hour.
    fn default() -> Self {
        Self {
            expression: "rate(1 hour)".to_owned(),
            times: Times::Every(TimeDelta::hours(1)),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.expression)
    }
}

/// The last scheduled runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScheduledRuns {
    /// When the last one began that did not fail.
    pub last: Option<DateTime<Utc>>,
    /// How many of the last ones, without a break, ended with work left; three at the most.
    pub incomplete: u8,
    /// How many of the last ones, without a break, failed on a record; three at the most.
    pub with_failures: u8,
}

impl ScheduledRuns {
    /// Reads the last ones.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn read<T: ReadReports + Sync>(table: &T) -> Result<Self, StoreError> {
        let filter = ReportFilter {
            trigger: Some(Trigger::Schedule),
            ..ReportFilter::default()
        };
        let mut reports = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let page = table.reports(&filter, LOOKED_AT, after.as_deref()).await?;
            reports.extend(page.reports);
            after = page.next;
            if reports.len() >= LOOKED_AT.into() || after.is_none() {
                break;
            }
        }
        reports.truncate(LOOKED_AT.into());
        let in_a_row = |holds: fn(&CleanupReport) -> bool| {
            let count = reports.iter().take_while(|report| holds(report)).count();
            u8::try_from(count).unwrap_or(LOOKED_AT)
        };
        let ended = reports.iter().find(|report| report.error.is_none());
        Ok(Self {
            last: ended.map(|report| report.started_at),
            incomplete: in_a_row(|report| !report.complete),
            with_failures: in_a_row(|report| report.counts.failed > 0),
        })
    }

    /// When the next one is due: after the last one or, where there is none, after the table was created. In the past where
    /// it is late.
    #[must_use]
    pub fn next(
        &self,
        schedule: &Schedule,
        table_created: Option<DateTime<Utc>>,
    ) -> Option<DateTime<Utc>> {
        schedule.next_after(self.last.or(table_created)?)
    }
}

/// Reads what is between the brackets of `rate(…)`. A unit is singular for 1 and plural otherwise.
fn rate(arguments: &str) -> Option<TimeDelta> {
    let (value, unit) = arguments.split_once(' ')?;
    let value: u32 = whole_number(value)?;
    let unit = match (value, unit) {
        (1, "minute") | (2.., "minutes") => TimeDelta::minutes(1),
        (1, "hour") | (2.., "hours") => TimeDelta::hours(1),
        (1, "day") | (2.., "days") => TimeDelta::days(1),
        _ => return None,
    };
    unit.checked_mul(value.try_into().ok()?)
}

fn whole_number(text: &str) -> Option<u32> {
    // `parse` takes a leading plus.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// Reads what is between the brackets of `cron(…)`: minutes, hours, day of the month, month, day of the week (1 is
/// Sunday), year. One of the two days is `?`.
fn cron(arguments: &str) -> Option<Cron> {
    let fields: Vec<&str> = arguments.split(' ').collect();
    let [_, _, day_of_month, _, day_of_week, _] = fields.as_slice() else {
        return None;
    };
    if (*day_of_month == "?") == (*day_of_week == "?") {
        return None;
    }
    let parser = CronParser::builder()
        .seconds(Seconds::Required)
        .year(Year::Required)
        .alternative_weekdays(true)
        .build();
    parser.parse(&format!("0 {arguments}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn finds_next_run_of_each_kind_of_expression() {
        // A Wednesday.
        let now = at("2026-11-25T17:20:31Z");
        for (expression, expected) in [
            ("rate(1 minute)", "2026-11-25T17:21:31Z"),
            ("rate(5 minutes)", "2026-11-25T17:25:31Z"),
            ("rate(1 hour)", "2026-11-25T18:20:31Z"),
            ("rate(12 hours)", "2026-11-26T05:20:31Z"),
            ("rate(1 day)", "2026-11-26T17:20:31Z"),
            ("rate(7 days)", "2026-12-02T17:20:31Z"),
            // The examples of EventBridge's documentation.
            ("cron(0 10 * * ? *)", "2026-11-26T10:00:00Z"),
            ("cron(15 12 * * ? *)", "2026-11-26T12:15:00Z"),
            ("cron(0 18 ? * MON-FRI *)", "2026-11-25T18:00:00Z"),
            ("cron(0 8 1 * ? *)", "2026-12-01T08:00:00Z"),
            ("cron(0/15 * * * ? *)", "2026-11-25T17:30:00Z"),
            ("cron(0/10 * ? * MON-FRI *)", "2026-11-25T17:30:00Z"),
            ("cron(0/5 8-17 ? * MON-FRI *)", "2026-11-25T17:25:00Z"),
            ("cron(0/30 20-2 ? * MON-FRI *)", "2026-11-25T20:00:00Z"),
            // 1 is Sunday.
            ("cron(0 0 ? * 1 *)", "2026-11-29T00:00:00Z"),
            ("cron(0 0 ? * SUN *)", "2026-11-29T00:00:00Z"),
            ("cron(0 0 ? * 7 *)", "2026-11-28T00:00:00Z"),
            // The last day of a month, its last Friday, its second Tuesday, the weekday nearest to the 15th.
            ("cron(0 0 L * ? *)", "2026-11-30T00:00:00Z"),
            ("cron(0 0 ? * 6L *)", "2026-11-27T00:00:00Z"),
            ("cron(0 0 ? * 3#2 *)", "2026-12-08T00:00:00Z"),
            ("cron(0 0 15W * ? *)", "2026-12-15T00:00:00Z"),
            ("cron(0 3 1 1,7 ? *)", "2027-01-01T03:00:00Z"),
            ("cron(0 3 1 JUL ? 2027-2030)", "2027-07-01T03:00:00Z"),
            ("cron(0 3 1 1/3 ? 2026/2)", "2028-01-01T03:00:00Z"),
        ] {
            let schedule = Schedule::parse(expression).expect(expression);
            let next = schedule.next_after(now);
            assert_eq!(next, Some(at(expected)), "{expression}");
            assert_eq!(schedule.to_string(), expression);
        }
        let past = Schedule::parse("cron(0 0 1 1 ? 2020)").unwrap();
        assert_eq!(past.next_after(now), None);
    }

    #[test]
    fn refuses_what_eventbridge_refuses() {
        for wrong in [
            "",
            "1 hour",
            "rate(1 hour",
            "rate(0 hours)",
            "rate(1 hours)",
            "rate(2 hour)",
            "rate(+1 hour)",
            "rate(1.5 hours)",
            "rate(1 week)",
            "rate(10 seconds)",
            "rate( 1 hour)",
            "Rate(1 hour)",
            "cron(0 * * * *)",
            "cron(0 * * * * *)",
            "cron(0 * ? * ? *)",
            "cron(0 0 * * * ? *)",
            "cron(60 * * * ? *)",
            "cron(0 24 * * ? *)",
            "cron(0 0 ? * 8 *)",
            "cron(0 0 ? * 0 *)",
            "cron(0 0 32 * ? *)",
            "at(2026-11-25T18:00:00)",
        ] {
            assert!(Schedule::parse(wrong).is_none(), "{wrong:?}");
        }
        assert!(Schedule::parse(&Schedule::default().to_string()).is_some());
    }

    #[test]
    fn calls_a_run_overdue_after_an_hour() {
        let due = at("2026-11-25T18:00:00Z");
        for (minutes, overdue) in [(-5, 0), (0, 0), (60, 0), (61, 61), (600, 600)] {
            let now = due + TimeDelta::minutes(minutes);
            assert_eq!(
                Schedule::overdue(Some(due), now),
                TimeDelta::minutes(overdue),
                "{minutes}"
            );
        }
        assert_eq!(Schedule::overdue(None, due), TimeDelta::zero());
    }
}
