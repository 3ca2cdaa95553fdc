//! How fast a run goes.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as _, MonotonicClock};
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use session_lifecycle::clock::Deadline;

/// By how much the rate grows in a second in which the table did not throttle, as a part of the
/// whole rate. It halves once a second at the most, so this is also the least that is left of it.
const INCREASE_PER_SECOND: f64 = 1.0 / 16.0;

/// The least rate that is set where there was no limit: what one partition takes, and what is the
/// limit by default. A run that has only just begun says nothing of what the table can do.
const MIN_DISCOVERED_RATE: NonZeroU32 = NonZeroU32::new(1_000).unwrap();

/// Lets so much happen in a second, evenly: half as much each time that the table throttles, and
/// a little more with each second in which it does not (additive increase, multiplicative
/// decrease), so that the logins come first.
///
/// What is limited is the table's own write units. A write of up to 1 KB takes one, and a write
/// of 400 KB four hundred; how many a batch has taken is known from its answer. So each batch is
/// admitted at the average so far, and what it takes beyond that is made up for by the next ones.
pub(super) struct AdaptiveRateLimiter {
    /// The limit that is configured, in units a second.
    configured: Option<NonZeroU32>,
    /// Where there is no limit, one is set when the table throttles for the first time: the run's
    /// rate until then. It is where to begin again, and may be exceeded in time.
    limiter: OnceLock<RateLimiter<NotKeyed, InMemoryState, MonotonicClock>>,
    /// The largest number of writes that start together.
    max_batch: NonZeroU32,
    /// The most units that the limiter takes at once.
    burst: NonZeroU32,
    /// Those who wait go in the order in which they came: the oldest records first, also where
    /// the time ends before the turn of the others.
    fifo: tokio::sync::Mutex<()>,
    /// Held by the first batch until it is known what a write takes.
    first: Arc<tokio::sync::Mutex<()>>,
    acquired: AtomicU64,
    factor: Mutex<RateFactor>,
    cost: Mutex<Cost>,
}

/// What writes take.
struct Cost {
    /// Units that a write takes, on average.
    of_a_write: f64,
    /// Whether a write was measured.
    is_known: bool,
    /// Units that were taken and not admitted; negative where more were admitted than taken.
    debt: f64,
}

/// The part of the rate that is made use of.
struct RateFactor {
    value: f64,
    max: f64,
    /// Since when, on the run's watch.
    updated_at: Duration,
    /// When it was last halved.
    decreased_at: Option<Duration>,
}

/// Permission to write a batch.
pub(super) struct Permit {
    writes: f64,
    units: f64,
    _first: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl AdaptiveRateLimiter {
    /// So many units in a second, in batches of `max_batch` writes at the most.
    pub(super) fn new(units_per_second: Option<NonZeroU32>, max_batch: NonZeroU32) -> Self {
        let burst = units_per_second.map_or(max_batch, |rate| rate.min(max_batch));
        let limiter = units_per_second.map(|rate| limiter(rate, burst));
        Self {
            configured: units_per_second,
            limiter: limiter.map_or_else(OnceLock::new, OnceLock::from),
            max_batch,
            burst,
            fifo: tokio::sync::Mutex::new(()),
            first: Arc::default(),
            acquired: AtomicU64::new(0),
            factor: Mutex::new(RateFactor {
                value: 1.0,
                max: if units_per_second.is_some() {
                    1.0
                } else {
                    f64::INFINITY
                },
                updated_at: Duration::ZERO,
                decreased_at: None,
            }),
            cost: Mutex::new(Cost {
                of_a_write: 1.0,
                is_known: false,
                debt: 0.0,
            }),
        }
    }

    /// The largest number of writes to ask for now: what takes no more than a second.
    pub(super) fn batch_size(&self) -> usize {
        let max_batch = self.max_batch.get();
        let writes = self.configured.map_or(max_batch, |rate| {
            floor_u32(f64::from(rate.get()) / self.cost().of_a_write).clamp(1, max_batch)
        });
        writes as usize
    }

    /// Waits until so many writes may be made; nothing where that takes longer than is left.
    pub(super) async fn acquire(&self, writes: usize, deadline: &Deadline) -> Option<Permit> {
        #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
        let writes = writes as f64;
        let mut first = None;
        if self.configured.is_some() && !self.cost().is_known {
            let guard = Arc::clone(&self.first).lock_owned().await;
            // Who has waited for the first one knows now.
            first = (!self.cost().is_known).then_some(guard);
        }
        let units = writes * self.cost().of_a_write;
        let owed = std::mem::take(&mut self.cost().debt);
        if !self.acquire_units(units + owed, deadline).await {
            self.cost().debt += owed;
            return None;
        }
        Some(Permit {
            writes,
            units,
            _first: first,
        })
    }

    /// Notes how many units an admitted batch has taken; none where it failed.
    pub(super) fn charge(&self, permit: Permit, taken: f64) {
        if taken > 0.0 {
            // A write takes a unit at least, one that is refused too.
            let taken = taken.max(permit.writes);
            let average = taken / permit.writes;
            let mut cost = self.cost();
            cost.of_a_write = if cost.is_known {
                f64::midpoint(cost.of_a_write, average)
            } else {
                average
            };
            cost.is_known = true;
            cost.debt += taken - permit.units;
        }
        drop(permit);
    }

    /// Waits until so many units may be taken; false where that takes longer than is left.
    pub(super) async fn acquire_units(&self, units: f64, deadline: &Deadline) -> bool {
        let _fifo = self.fifo.lock().await;
        let factor = {
            let mut factor = self.factor.lock().unwrap_or_else(PoisonError::into_inner);
            factor.increase(deadline.elapsed());
            factor.value
        };
        let mut left = ceil_u32(units / factor);
        while let (Some(limiter), Some(remaining)) = (self.limiter.get(), NonZeroU32::new(left)) {
            let cells = remaining.min(self.burst);
            // More than a burst can't be asked for.
            while let Ok(Err(later)) = limiter.check_n(cells) {
                let pause = later.wait_time_from(limiter.clock().now());
                if pause > deadline.remaining() {
                    return false;
                }
                tokio::time::sleep(pause).await;
            }
            left -= cells.get();
        }
        self.acquired
            .fetch_add(ceil_u32(units).into(), Ordering::Relaxed);
        true
    }

    fn cost(&self) -> MutexGuard<'_, Cost> {
        self.cost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Slows down, for the table throttles. Those who were under way together slow down once.
    pub(super) fn on_throttle(&self, deadline: &Deadline) {
        let elapsed = deadline.elapsed();
        let mut factor = self.factor.lock().unwrap_or_else(PoisonError::into_inner);
        if !factor.decrease(elapsed) {
            return;
        }
        self.limiter.get_or_init(|| {
            #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
            let rate = self.acquired.load(Ordering::Relaxed) as f64 / elapsed.as_secs_f64();
            let rate = NonZeroU32::new(ceil_u32(rate))
                .map_or(MIN_DISCOVERED_RATE, |rate| rate.max(MIN_DISCOVERED_RATE));
            limiter(rate, self.burst)
        });
    }
}

impl RateFactor {
    /// Halves, unless that was done within this second; whether it was done now.
    fn decrease(&mut self, now: Duration) -> bool {
        if self
            .decreased_at
            .is_some_and(|decreased_at| now < decreased_at + Duration::from_secs(1))
        {
            return false;
        }
        self.increase(now);
        self.value /= 2.0;
        self.updated_at = now;
        self.decreased_at = Some(now);
        true
    }

    fn increase(&mut self, now: Duration) {
        let seconds = now.saturating_sub(self.updated_at).as_secs();
        let steps = u32::try_from(seconds).unwrap_or(u32::MAX);
        self.value = INCREASE_PER_SECOND
            .mul_add(f64::from(steps), self.value)
            .min(self.max);
        self.updated_at += Duration::from_secs(seconds);
    }
}

fn limiter(
    rate: NonZeroU32,
    batch: NonZeroU32,
) -> RateLimiter<NotKeyed, InMemoryState, MonotonicClock> {
    RateLimiter::direct_with_clock(Quota::per_second(rate).allow_burst(batch), MonotonicClock)
}

/// Rounds down.
fn floor_u32(writes: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is not negative, and saturating is what is meant"
    )]
    let whole = writes.floor() as u32;
    whole
}

/// Rounds up; nothing of what is negative.
fn ceil_u32(units: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturating is what is meant"
    )]
    let whole = units.ceil() as u32;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factor() -> RateFactor {
        RateFactor {
            value: 1.0,
            max: 1.0,
            updated_at: Duration::ZERO,
            decreased_at: None,
        }
    }

    fn value_after(factor: &mut RateFactor, milliseconds: u64) -> f64 {
        factor.increase(Duration::from_millis(milliseconds));
        factor.value
    }

    fn same(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-9, "{left} for {right}");
    }

    #[test]
    fn rate_halves_once_per_second_and_recovers_in_steps() {
        let mut factor = factor();
        let at = Duration::from_millis;
        assert!(factor.decrease(at(100)));
        same(factor.value, 0.5);
        assert!(
            !factor.decrease(at(1_099)),
            "those who were under way together"
        );
        same(value_after(&mut factor, 1_099), 0.5);
        same(value_after(&mut factor, 1_100), 0.5 + INCREASE_PER_SECOND);
        same(
            value_after(&mut factor, 3_100),
            0.5 + 3.0 * INCREASE_PER_SECOND,
        );
        assert!(factor.decrease(at(4_100)));
        same(factor.value, 0.25 + 2.0 * INCREASE_PER_SECOND);
        same(value_after(&mut factor, 100_000), 1.0);
    }

    #[test]
    fn rate_never_falls_below_minimum() {
        let mut factor = factor();
        for second in 1..100 {
            factor.decrease(Duration::from_secs(second));
            assert!(factor.value >= INCREASE_PER_SECOND, "{}", factor.value);
        }
        assert!(factor.value < 0.1, "{}", factor.value);
    }

    #[tokio::test]
    async fn unlimited_rate_becomes_limited_on_first_throttle() {
        let deadline = Deadline::after(Duration::from_mins(1));
        let max_batch = NonZeroU32::new(25).expect("not zero");
        let rate_limiter = AdaptiveRateLimiter::new(None, max_batch);
        assert!(rate_limiter.acquire(25, &deadline).await.is_some());
        assert!(rate_limiter.limiter.get().is_none());
        rate_limiter.on_throttle(&deadline);
        assert!(rate_limiter.limiter.get().is_some());
    }

    #[test]
    fn unlimited_run_throttled_at_start_keeps_minimum_rate() {
        let deadline = Deadline::after(Duration::from_mins(1));
        let rate_limiter = AdaptiveRateLimiter::new(None, NonZeroU32::new(25).expect("not zero"));
        rate_limiter.on_throttle(&deadline);
        let limiter = rate_limiter.limiter.get().expect("the table has throttled");
        assert_eq!(limiter.check_n(rate_limiter.burst), Ok(Ok(())));
        if let Ok(Err(later)) = limiter.check_n(rate_limiter.burst) {
            let pause = later.wait_time_from(limiter.clock().now());
            assert!(pause <= Duration::from_millis(25), "{pause:?}");
        }
        let mut factor = rate_limiter.factor.lock().expect("nobody panicked");
        assert!(
            value_after(&mut factor, 100_000) > 1.0,
            "it may become faster than it was"
        );
    }
}
