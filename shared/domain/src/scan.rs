//! Checkpoint of a scan of the whole table: an adoption, a revocation, or both.

use super::{Days, ItemKey, Revocation, Shards, Timestamp};

/// Lifetime of a checkpoint. A scan that continued later would miss what applications have
/// written in the meantime to the part that was already read.
const VALID_SECONDS: i64 = 24 * 3_600;

/// Maximum difference between the clocks of two hosts.
const CLOCK_SKEW_SECONDS: i64 = 300;

/// Checkpoint of a scan, which reads the table in segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanCheckpoint {
    /// Progress of each segment.
    pub segments: Vec<SegmentProgress>,
    /// Number of items that all runs of this scan have read.
    pub examined: u64,
    /// Time when the checkpoint was stored.
    pub kept_at: Timestamp,
    /// Settings of the scan. With other settings, the checkpoint is invalid.
    pub settings: ScanSettings,
}

/// Settings that determine what a scan writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanSettings {
    /// Number of shards.
    pub shards: Shards,
    /// How long inactive sessions are kept.
    pub retention: Days,
    /// Whether the scan repairs index attributes.
    pub adopt: bool,
    /// Which sessions the scan revokes.
    pub revoke: Option<Revocation>,
}

/// Progress of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentProgress {
    /// No item was read.
    NotStarted,
    /// All items up to this key were read.
    After(ItemKey),
    /// All items were read.
    Done,
}

impl ScanCheckpoint {
    /// Checkpoint of a new scan, which has read nothing yet.
    #[must_use]
    pub fn start(segments: u16, settings: ScanSettings, now: Timestamp) -> Self {
        Self {
            segments: vec![SegmentProgress::NotStarted; segments.into()],
            examined: 0,
            kept_at: now,
            settings,
        }
    }

    /// Whether a run at `now` with these settings may continue from here.
    #[must_use]
    pub fn is_valid(&self, settings: &ScanSettings, now: Timestamp) -> bool {
        !self.segments.is_empty()
            && !self.is_done()
            && self.settings == *settings
            // Another run may have stored it a moment ago, on a host whose clock is ahead. A time in the
            // far future comes from a wrong clock.
            && (-CLOCK_SKEW_SECONDS..VALID_SECONDS).contains(&now.since(self.kept_at))
    }

    /// Time when the checkpoint becomes invalid.
    #[must_use]
    pub const fn valid_until(&self) -> Timestamp {
        self.kept_at.plus(VALID_SECONDS)
    }

    /// Whether all segments were read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.segments.iter().all(|it| *it == SegmentProgress::Done)
    }

    /// Progress as a percentage of a table with about `items` items. It is 100 only if the scan is
    /// done, because the number of items is an estimate.
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

    fn settings(shards: u8, days: u32) -> ScanSettings {
        ScanSettings {
            shards: Shards::new(shards).unwrap(),
            retention: Days(days),
            adopt: true,
            revoke: None,
        }
    }

    fn checkpoint() -> ScanCheckpoint {
        ScanCheckpoint::start(2, settings(16, 30), NOW)
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
            let is_valid = checkpoint.is_valid(&settings, NOW.plus(later));
            assert_eq!(is_valid, valid, "{settings:?} after {later} s");
        }
    }

    #[test]
    fn finished_checkpoint_is_not_valid() {
        let mut checkpoint = checkpoint();
        checkpoint.segments = vec![SegmentProgress::Done; 2];
        assert!(!checkpoint.is_valid(&settings(16, 30), NOW));
        checkpoint.segments.clear();
        assert!(!checkpoint.is_valid(&settings(16, 30), NOW));
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
