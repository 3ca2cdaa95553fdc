//! Intervals, as the user writes them and as `EventBridge` does.

use std::time::Duration;

use humantime::parse_duration;

/// The variable with the schedule, for the statistics. `EventBridge` has no seconds, so the interval
/// is rounded up to minutes.
pub(crate) fn schedule(every: Duration) -> (&'static str, String) {
    let rate = match every.as_secs().div_ceil(60) {
        1 => "rate(1 minute)".to_owned(),
        minutes => format!("rate({minutes} minutes)"),
    };
    ("CLEANUP_SCHEDULE", rate)
}

/// Parses an interval such as `10s`, `5m` or `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .ok()
        .filter(|it| *it >= Duration::from_secs(1))
        .ok_or_else(|| {
            "must be a number and a unit, one second or more, as in 10s, 5m or 1h".to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_duration_as_number_and_unit() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(duration("1h"), Ok(Duration::from_hours(1)));
        assert_eq!(duration("1d"), Ok(Duration::from_hours(24)));
        for wrong in [
            "",
            "10",
            "s",
            "0s",
            "10ms",
            "-1s",
            "1x",
            "99999999999999999999h",
        ] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }
}
