//! Schedule expressions of `EventBridge`.
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html>

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use croner::Cron;

use super::cron;

/// Schedule expression of `EventBridge`: `rate(…)` or `cron(…)`. Times are in UTC.
#[derive(Debug, Clone)]
pub struct Schedule {
    expression: String,
    times: Times,
}

#[derive(Debug, Clone)]
enum Times {
    Every(TimeDelta),
    At(Box<Cron>),
    /// A cron expression that this parser does not support. A stack that was deployed with it must
    /// keep working.
    Unsupported,
}

impl Schedule {
    /// Parses an expression. Returns `None` if it is neither `rate(…)` nor `cron(…)`.
    #[must_use]
    pub fn parse(expression: &str) -> Option<Self> {
        let (kind, arguments) = expression.strip_suffix(')')?.split_once('(')?;
        let times = match kind {
            "rate" => Times::Every(rate(arguments)?),
            "cron" => {
                let fields = cron::Fields::parse(arguments)?;
                let cron = fields.to_cron();
                cron.map_or(Times::Unsupported, |cron| Times::At(Box::new(cron)))
            }
            _ => return None,
        };
        Some(Self {
            expression: expression.to_owned(),
            times,
        })
    }

    /// The time of the first run after `time`. `None` if there is no such run, or if the expression
    /// is not supported.
    #[must_use]
    pub fn next_after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match &self.times {
            Times::Every(interval) => time.checked_add_signed(*interval),
            Times::At(cron) => cron.find_next_occurrence(&time, false).ok(),
            Times::Unsupported => None,
        }
    }
}

impl Default for Schedule {
    /// The default of the template: every hour.
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

/// Parses the arguments of `rate(…)`. The unit is singular for 1 and plural otherwise.
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
    // `str::parse` accepts a leading plus sign.
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_digits)
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
            // Examples from the documentation of EventBridge.
            ("cron(0 10 * * ? *)", "2026-11-26T10:00:00Z"),
            ("cron(15 12 * * ? *)", "2026-11-26T12:15:00Z"),
            ("cron(0 18 ? * MON-FRI *)", "2026-11-25T18:00:00Z"),
            ("cron(0 8 1 * ? *)", "2026-12-01T08:00:00Z"),
            ("cron(0/15 * * * ? *)", "2026-11-25T17:30:00Z"),
            ("cron(0/10 * ? * MON-FRI *)", "2026-11-25T17:30:00Z"),
            ("cron(0/5 8-17 ? * MON-FRI *)", "2026-11-25T17:25:00Z"),
            ("cron(0/30 20-2 ? * MON-FRI *)", "2026-11-25T20:00:00Z"),
            // Ranges that wrap around.
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

    /// `EventBridge` accepts more expressions than this parser.
    #[test]
    fn returns_no_next_run_for_unsupported_cron_expression() {
        for unsupported in [
            "cron(60 * * * ? *)",
            "cron(0 24 * * ? *)",
            "cron(0 0 ? * X *)",
        ] {
            let schedule = Schedule::parse(unsupported).expect(unsupported);
            assert_eq!(
                schedule.next_after(at("2026-11-25T17:20:31Z")),
                None,
                "{unsupported}"
            );
            assert_eq!(schedule.to_string(), unsupported);
        }
    }
}
