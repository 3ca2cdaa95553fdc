//! How often: as a person writes it, and as `EventBridge` does.

use std::time::Duration;

use humantime::parse_duration;

/// The variable that tells the statistics of the schedule. `EventBridge` knows no seconds: with a
/// part of a minute, they go on to tell of the template's.
pub(crate) fn schedule(every: Duration) -> Option<(&'static str, String)> {
    let seconds = every.as_secs();
    let rate = match seconds / 60 {
        _ if !seconds.is_multiple_of(60) => return None,
        1 => "rate(1 minute)".to_owned(),
        minutes => format!("rate({minutes} minutes)"),
    };
    Some(("CLEANUP_SCHEDULE", rate))
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
