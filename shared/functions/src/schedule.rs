//! When the scheduled cleanup is due: `EventBridge`'s schedule expressions, and the reports.
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html>

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use session_domain::{CleanupReport, Trigger};
use session_lifecycle::ports::{ReadReports, ReportCursor, ReportFilter, StoreError};

/// How long after its due time a run may still come: Lambda repeats an event for an hour.
const LATEST: TimeDelta = TimeDelta::hours(1);

/// How many of the last scheduled runs are looked at. As a rule they are the first ones that are found.
const LOOKED_AT: u8 = 3;

/// Reports of each further page, where attempts failed, and most pages of the search. A page is found among 200 reports
/// at the most; the others are of runs by hand.
const PAGE: u8 = 50;
const MAX_PAGES: usize = 5;

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
    /// It has the form of a cron expression, and is not understood. A stack that was deployed with it must go on.
    Unknown,
}

impl Schedule {
    /// Reads an expression; nothing where it has the form of none.
    #[must_use]
    pub fn parse(expression: &str) -> Option<Self> {
        let (kind, arguments) = expression.strip_suffix(')')?.split_once('(')?;
        let times = match kind {
            "rate" => Times::Every(rate(arguments)?),
            "cron" => cron(arguments)?,
            _ => return None,
        };
        Some(Self {
            expression: expression.to_owned(),
            times,
        })
    }

    /// When the first run after `time` is due; nothing where there is none any more, or the expression is not understood.
    #[must_use]
    pub fn next_after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match &self.times {
            Times::Every(interval) => time.checked_add_signed(*interval),
            Times::At(cron) => cron.find_next_occurrence(&time, false).ok(),
            Times::Unknown => None,
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

/// The last scheduled runs, by their reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScheduledRuns {
    /// When the last one began; where none was found, a time before which it began, if there was one. Nothing where that
    /// is not known either.
    pub last: Option<DateTime<Utc>>,
    /// The same of the last one that did not fail.
    pub last_success: Option<DateTime<Utc>>,
    /// How many of the last ones that did not fail, without a break, ended with work left; three at the most.
    pub incomplete: u8,
    /// How many of them, without a break, failed on a record; three at the most.
    pub with_failures: u8,
}

impl ScheduledRuns {
    /// Reads the last ones. No report is older than `begin`: the table did not exist, or the report has expired. A run that
    /// was due before is not missed.
    ///
    /// # Errors
    ///
    /// The store's.
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
            let limit = if after.is_none() { LOOKED_AT } else { PAGE };
            let page = table.reports(&filter, limit, after.as_ref()).await?;
            last = last.or(page.reports.first().map(|report| report.started_at));
            let succeeded = |report: &CleanupReport| report.error.is_none();
            successes.extend(page.reports.into_iter().filter(succeeded));
            let next = page.next.as_ref().and_then(ReportCursor::started_at);
            searched_back_to = next.or(begin);
            after = page.next;
            if successes.len() >= LOOKED_AT.into() || after.is_none() {
                break;
            }
        }
        let in_a_row = |holds: fn(&CleanupReport) -> bool| {
            let first = successes.iter().take(LOOKED_AT.into());
            let count = first.take_while(|report| holds(report)).count();
            u8::try_from(count).unwrap_or(LOOKED_AT)
        };
        Ok(Self {
            last: last.or(searched_back_to),
            last_success: successes
                .first()
                .map(|report| report.started_at)
                .or(searched_back_to),
            incomplete: in_a_row(|report| !report.complete),
            with_failures: in_a_row(|report| report.counts.failed > 0),
        })
    }

    /// When the next run is due. In the past where it is late.
    #[must_use]
    pub fn next(&self, schedule: &Schedule) -> Option<DateTime<Utc>> {
        schedule.next_after(self.last?)
    }

    /// For how long at `now` a successful run has been due that may no longer come; zero where none is, and nothing where
    /// that is not known.
    #[must_use]
    pub fn overdue(&self, schedule: &Schedule, now: DateTime<Utc>) -> Option<TimeDelta> {
        let late = now - schedule.next_after(self.last_success?)?;
        Some(if late > LATEST {
            late
        } else {
            TimeDelta::zero()
        })
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

/// Reads what is between the brackets of `cron(…)`: minutes, hours, day of the month, month, day of the week, year.
/// One of the two days is `?`.
fn cron(arguments: &str) -> Option<Times> {
    let fields: Vec<&str> = arguments.split(' ').collect();
    let [minutes, hours, day_of_month, month, day_of_week, year] = fields.as_slice() else {
        return None;
    };
    if (*day_of_month == "?") == (*day_of_week == "?") || fields.contains(&"") {
        return None;
    }
    // The last day of the week, which the parser knows of a weekday alone.
    let day_of_week = if *day_of_week == "L" {
        "SAT"
    } else {
        day_of_week
    };
    let fields = [
        unwrapped(minutes, 0, 59, &[]),
        unwrapped(hours, 0, 23, &[]),
        (*day_of_month).to_owned(),
        unwrapped(month, 1, 12, &MONTHS),
        unwrapped(day_of_week, 1, 7, &WEEKDAYS),
        (*year).to_owned(),
    ];
    let parser = CronParser::builder()
        .seconds(Seconds::Required)
        .year(Year::Required)
        // 1 is Sunday.
        .alternative_weekdays(true)
        // A start and a step, as in 0/15.
        .sloppy_ranges(true)
        .build();
    let parsed = parser.parse(&format!("0 {}", fields.join(" ")));
    Some(parsed.map_or(Times::Unknown, |cron| Times::At(Box::new(cron))))
}

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// A field whose ranges that go over its end, such as `20-2` of the hours, are lists of their values. `names` are those of
/// its values from `least` on.
fn unwrapped(field: &str, least: usize, most: usize, names: &[&str]) -> String {
    let value = |text: &str| {
        let place = names
            .iter()
            .position(|name| text.eq_ignore_ascii_case(name));
        place.map_or_else(|| text.parse().ok(), |at| Some(at + least))
    };
    let part = |part: &str| {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let (start, end) = range.split_once('-')?;
        let (start, end, step): (usize, usize, usize) =
            (value(start)?, value(end)?, step.parse().ok()?);
        let is_over_the_end = start > end && start <= most && end >= least && step > 0;
        is_over_the_end.then(|| {
            let count = most - least + 1;
            let values = (start..=end + count).step_by(step);
            let values = values.map(|value| if value > most { value - count } else { value });
            values
                .map(|value| value.to_string())
                .collect::<Vec<_>>()
                .join(",")
        })
    };
    let parts = field
        .split(',')
        .map(|it| part(it).unwrap_or_else(|| it.to_owned()));
    parts.collect::<Vec<_>>().join(",")
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
            // Over the end of a field.
            ("cron(5 22-17/4 * * ? *)", "2026-11-25T22:05:00Z"),
            ("cron(0 0 1 NOV-FEB ? *)", "2026-12-01T00:00:00Z"),
            ("cron(0 0 ? * FRI-MON *)", "2026-11-27T00:00:00Z"),
            // 1 is Sunday.
            ("cron(0 0 ? * 1 *)", "2026-11-29T00:00:00Z"),
            ("cron(0 0 ? * SUN *)", "2026-11-29T00:00:00Z"),
            ("cron(0 0 ? * 7 *)", "2026-11-28T00:00:00Z"),
            // The last day of a month, its last Friday, its second Tuesday, the weekday nearest to the 15th.
            ("cron(0 0 L * ? *)", "2026-11-30T00:00:00Z"),
            ("cron(0 0 ? * 6L *)", "2026-11-27T00:00:00Z"),
            ("cron(0 0 ? * L *)", "2026-11-28T00:00:00Z"),
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
    fn rejects_expressions_that_eventbridge_rejects() {
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
            "cron(0  * * ? *)",
            "at(2026-11-25T18:00:00)",
        ] {
            assert!(Schedule::parse(wrong).is_none(), "{wrong:?}");
        }
        assert!(Schedule::parse(&Schedule::default().to_string()).is_some());
    }

    /// What `EventBridge` takes is more than what is understood here.
    #[test]
    fn returns_no_next_run_for_unsupported_cron_expression() {
        for odd in [
            "cron(60 * * * ? *)",
            "cron(0 24 * * ? *)",
            "cron(0 0 ? * X *)",
        ] {
            let schedule = Schedule::parse(odd).expect(odd);
            assert_eq!(
                schedule.next_after(at("2026-11-25T17:20:31Z")),
                None,
                "{odd}"
            );
            assert_eq!(schedule.to_string(), odd);
        }
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
