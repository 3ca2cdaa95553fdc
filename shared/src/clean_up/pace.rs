//! How fast a run writes.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, MonotonicClock};
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// Lets so many writes start in a second, evenly.
pub(super) struct Pace {
    limiter: Option<RateLimiter<NotKeyed, InMemoryState, MonotonicClock>>,
}

/// The largest number of writes that start together: one batch.
const BURST: NonZeroU32 = NonZeroU32::new(25).unwrap();

impl Pace {
    pub(super) fn new(writes_per_second: Option<NonZeroU32>) -> Self {
        let limiter = writes_per_second.map(|rate| {
            let quota = Quota::per_second(rate).allow_burst(BURST);
            RateLimiter::direct_with_clock(quota, MonotonicClock)
        });
        Self { limiter }
    }

    /// Waits until `writes` may start; false where that takes longer than `patience`.
    pub(super) async fn admit(&self, writes: usize, patience: Duration) -> bool {
        let Some(limiter) = &self.limiter else {
            return true;
        };
        let writes = u32::try_from(writes)
            .ok()
            .and_then(NonZeroU32::new)
            .unwrap_or(BURST);
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
