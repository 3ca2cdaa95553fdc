//! How often: as a person writes it, and as `EventBridge` does.

use std::time::Duration;

use humantime::parse_duration;

/// The variable that tells the statistics of the schedule. `EventBridge` knows no seconds: a part of
/// a minute counts as a whole one.
pub(crate) fn schedule(every: Duration) -> (&'static str, String) {
    let rate = match every.as_secs().div_ceil(60) {
        1 => "rate(1 minute)".to_owned(),
        minutes => format!("rate({minutes} minutes)"),
    };
    ("CLEANUP_SCHEDULE", rate)
}

/// Reads `10s`, `5m`, `1h` and the like.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .ok()
        .filter(|it| *it >= Duration::from_secs(1))
        .ok_or_else(|| {
            "a duration is a number and a unit, one second or more, as in 10s, 5m or 1h".to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
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
