//! How far an adoption is.

use super::{Days, ItemKey, Shards, Timestamp};

/// Seconds after which a kept place no longer counts: what applications have written meanwhile to
/// the part that was read already would never be looked at.
const VALID_SECONDS: i64 = 24 * 3_600;

/// Seconds by which the clocks of two hosts may differ.
const CLOCK_SKEW_SECONDS: i64 = 300;

/// How far an adoption is: it reads the table in equal parts, the segments of a parallel scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptionCheckpoint {
    /// How far each segment is.
    pub segments: Vec<SegmentProgress>,
    /// How many items were read, all runs of this adoption together.
    pub examined: u64,
    /// When the place was kept.
    pub kept_at: Timestamp,
    /// The settings that decide what an adoption writes. A place that was kept with others does
    /// not count.
    pub settings: AdoptionSettings,
}

/// The settings that decide what an adoption writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdoptionSettings {
    /// How many shards the work list has.
    pub shards: Shards,
    /// How long inactive sessions are kept.
    pub retention: Days,
}

/// How far a segment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentProgress {
    /// Nothing of it was read.
    NotStarted,
    /// It was read up to this item.
    After(ItemKey),
    /// It was read whole.
    Done,
}

impl AdoptionCheckpoint {
    /// The beginning of an adoption in `segments` parts.
    #[must_use]
    pub fn start(segments: u16, settings: AdoptionSettings, now: Timestamp) -> Self {
        Self {
            segments: vec![SegmentProgress::NotStarted; segments.into()],
            examined: 0,
            kept_at: now,
            settings,
        }
    }

    /// Whether a run at `now` with these settings may go on here.
    #[must_use]
    pub fn is_valid(&self, settings: AdoptionSettings, now: Timestamp) -> bool {
        !self.segments.is_empty()
            && !self.is_done()
            && self.settings == settings
            // Hosts' clocks differ a little, and another run may have kept it a moment ago. A place of
            // the far future comes from a clock that was wrong.
            && (-CLOCK_SKEW_SECONDS..VALID_SECONDS).contains(&now.since(self.kept_at))
    }

    /// When the place no longer counts.
    #[must_use]
    pub const fn valid_until(&self) -> Timestamp {
        self.kept_at.plus(VALID_SECONDS)
    }

    /// Whether the whole table was read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.segments.iter().all(|it| *it == SegmentProgress::Done)
    }

    /// How far the adoption is in a table of about `items`, in per cent. It is 100 where it is
    /// done, and only then: the number of items is an estimate.
    #[must_use]
    pub fn percent(&self, items: u64) -> u8 {
        if self.is_done() {
            return 100;
        }
        let percent = self.examined.saturating_mul(100) / items.max(1);
        u8::try_from(percent).map_or(99, |percent| percent.min(99))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn settings(shards: u8, days: u32) -> AdoptionSettings {
        AdoptionSettings {
            shards: Shards::new(shards).unwrap(),
            retention: Days(days),
        }
    }

    fn checkpoint() -> AdoptionCheckpoint {
        AdoptionCheckpoint::start(2, settings(16, 30), NOW)
    }

    #[test]
    fn checkpoint_is_valid_for_one_day_and_same_settings() {
        let checkpoint = checkpoint();
        for (settings, later, valid) in [
            (settings(16, 30), 0, true),
            (settings(16, 30), VALID_SECONDS - 1, true),
            (settings(16, 30), VALID_SECONDS, false),
            (settings(16, 30), -CLOCK_SKEW_SECONDS, true),
            (settings(16, 30), -CLOCK_SKEW_SECONDS - 1, false),
            (settings(17, 30), 0, false),
            (settings(16, 31), 0, false),
        ] {
            let is_valid = checkpoint.is_valid(settings, NOW.plus(later));
            assert_eq!(is_valid, valid, "{settings:?} after {later} s");
        }
    }

    #[test]
    fn finished_checkpoint_is_not_valid() {
        let mut checkpoint = checkpoint();
        checkpoint.segments = vec![SegmentProgress::Done; 2];
        assert!(!checkpoint.is_valid(settings(16, 30), NOW));
        checkpoint.segments.clear();
        assert!(!checkpoint.is_valid(settings(16, 30), NOW));
    }

    #[test]
    fn percent_is_100_only_when_finished() {
        let mut checkpoint = checkpoint();
        for (examined, items, percent) in [(0, 0, 0), (0, 10, 0), (1, 3, 33), (9, 3, 99)] {
            checkpoint.examined = examined;
            assert_eq!(checkpoint.percent(items), percent, "{examined} of {items}");
        }
        checkpoint.segments = vec![SegmentProgress::Done; 2];
        assert_eq!(checkpoint.percent(u64::MAX), 100);
    }
}
