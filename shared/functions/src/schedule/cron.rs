//! Cron expressions of `EventBridge`, translated for the parser of `croner`.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// The fields of `cron(…)`.
pub(super) struct Fields<'a> {
    minutes: &'a str,
    hours: &'a str,
    day_of_month: &'a str,
    month: &'a str,
    day_of_week: &'a str,
    year: &'a str,
}

impl<'a> Fields<'a> {
    /// Splits the arguments of `cron(…)`. Exactly one of the two days must be `?`.
    pub(super) fn parse(arguments: &'a str) -> Option<Self> {
        let fields: Vec<&str> = arguments.split(' ').collect();
        let [minutes, hours, day_of_month, month, day_of_week, year] = fields[..] else {
            return None;
        };
        if (day_of_month == "?") == (day_of_week == "?") || fields.contains(&"") {
            return None;
        }
        Some(Self {
            minutes,
            hours,
            day_of_month,
            month,
            day_of_week,
            year,
        })
    }

    /// Translates the fields. Returns `None` if `croner` does not support them.
    pub(super) fn to_cron(&self) -> Option<Cron> {
        // The last day of the week. `croner` supports `L` only after a weekday.
        let day_of_week = if self.day_of_week == "L" {
            "SAT"
        } else {
            self.day_of_week
        };
        let fields = [
            "0".to_owned(),
            expand_wrapping_ranges(self.minutes, 0, 59, &[]),
            expand_wrapping_ranges(self.hours, 0, 23, &[]),
            self.day_of_month.to_owned(),
            expand_wrapping_ranges(self.month, 1, 12, &MONTHS),
            expand_wrapping_ranges(day_of_week, 1, 7, &WEEKDAYS),
            self.year.to_owned(),
        ];
        let parser = CronParser::builder()
            .seconds(Seconds::Required)
            .year(Year::Required)
            // 1 is Sunday.
            .alternative_weekdays(true)
            // A start and a step, as in 0/15.
            .sloppy_ranges(true)
            .build();
        parser.parse(&fields.join(" ")).ok()
    }
}

/// Replaces ranges that wrap around, such as `20-2` in the hours, by lists of their values, because
/// `croner` does not support them. `names` are the names of the values from `min` on.
fn expand_wrapping_ranges(field: &str, min: usize, max: usize, names: &[&str]) -> String {
    let value = |text: &str| {
        let index = names
            .iter()
            .position(|name| text.eq_ignore_ascii_case(name));
        index.map_or_else(|| text.parse().ok(), |index| Some(index + min))
    };
    let expand = |part: &str| {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let (start, end) = range.split_once('-')?;
        let (start, end, step): (usize, usize, usize) =
            (value(start)?, value(end)?, step.parse().ok()?);
        let wraps_around = start > end && start <= max && end >= min && step > 0;
        wraps_around.then(|| {
            let count = max - min + 1;
            let values = (start..=end + count).step_by(step);
            let values = values.map(|value| if value > max { value - count } else { value });
            let values: Vec<_> = values.map(|value| value.to_string()).collect();
            values.join(",")
        })
    };
    let parts = field
        .split(',')
        .map(|part| expand(part).unwrap_or_else(|| part.to_owned()));
    parts.collect::<Vec<_>>().join(",")
}
