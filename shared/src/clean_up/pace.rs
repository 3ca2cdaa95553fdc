//! How fast a run writes.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, MonotonicClock};
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// Lets so many writes start in a second, evenly.
pub(super) struct Pace {
    limiter: Option<RateLimiter<NotKeyed, InMemoryState, MonotonicClock>>,
    /// The largest number of writes that start together.
    batch: NonZeroU32,
}

impl Pace {
    /// So many writes in a second, together in batches of `most` at the most; a rate that is
    /// smaller than that makes the batches as small.
    pub(super) fn new(writes_per_second: Option<NonZeroU32>, most: NonZeroU32) -> Self {
        let batch = writes_per_second.map_or(most, |rate| rate.min(most));
        let limiter = writes_per_second.map(|rate| {
            let quota = Quota::per_second(rate).allow_burst(batch);
            RateLimiter::direct_with_clock(quota, MonotonicClock)
        });
        Self { limiter, batch }
    }

    /// The largest number of writes that may be asked for.
    pub(super) const fn batch(&self) -> usize {
        self.batch.get() as usize
    }

    /// Waits until `writes` may start; false where that takes longer than `patience`.
    pub(super) async fn admit(&self, writes: usize, patience: Duration) -> bool {
        let Some(limiter) = &self.limiter else {
            return true;
        };
        let writes = u32::try_from(writes)
            .ok()
            .and_then(NonZeroU32::new)
            .unwrap_or(self.batch);
        let mut waited = Duration::ZERO;
        loop {
            // More than a burst can't be asked for: batches are not larger.
            let Ok(Err(later)) = limiter.check_n(writes) else {
                return true;
            };
            let pause = later.wait_time_from(limiter.clock().now());
            if waited + pause > patience {
                return false;
            }
            tokio::time::sleep(pause).await;
            waited += pause;
        }
    }
}
