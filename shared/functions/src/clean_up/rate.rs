//! Rate limiter with additive increase and multiplicative decrease (AIMD).

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as _, MonotonicClock};
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use session_lifecycle::clock::Deadline;

/// Increase per second without throttling, as a fraction of the full rate. The rate halves at most once
/// per second, so it also never falls below this fraction.
const INCREASE_PER_SECOND: f64 = 1.0 / 16.0;

/// Minimum of a rate that is derived from the run's own speed: the write limit of one partition, and the
/// default limit. The speed of a run that has just started says nothing about the table.
const MIN_DISCOVERED_RATE: NonZeroU32 = NonZeroU32::new(1_000).unwrap();

/// Limits the table's write units per second. The rate halves when the table throttles and grows a
/// little each second that it does not, so that logins have priority over the cleanup.
///
/// A write of up to 1 KB consumes one unit, and a write of 400 KB consumes 400. The units of a batch are
/// known only from its response. A batch therefore acquires the average of earlier writes, and the next
/// batches pay the difference.
pub(super) struct AdaptiveRateLimiter {
    /// The configured limit in units per second.
    configured: Option<NonZeroU32>,
    /// The limiter of the full rate. Without a configured limit, the first throttling creates it
    /// with the run's rate until then, which the rate may exceed later.
    limiter: OnceLock<RateLimiter<NotKeyed, InMemoryState, MonotonicClock>>,
    /// Maximum number of writes per batch.
    max_batch: NonZeroU32,
    /// Maximum units per call of the limiter.
    burst: NonZeroU32,
    /// Waiting callers proceed in order of arrival, so that the oldest records are written first even if
    /// the time runs out.
    fifo: tokio::sync::Mutex<()>,
    /// Held by the first batch until the cost of a write is known.
    first: Arc<tokio::sync::Mutex<()>>,
    acquired: AtomicU64,
    factor: Mutex<RateFactor>,
    cost: Mutex<Cost>,
}

/// Cost of writes in units.
struct Cost {
    /// Average units per write.
    per_write: f64,
    /// Whether the average is measured.
    is_known: bool,
    /// Units that were consumed but not acquired. Negative if more were acquired than consumed.
    debt: f64,
}

/// The fraction of the rate that is in use.
struct RateFactor {
    value: f64,
    max: f64,
    /// When `value` was last changed, as time since the run started.
    updated_at: Duration,
    /// When `value` was last halved.
    decreased_at: Option<Duration>,
}

/// Permission to write a batch.
pub(super) struct Permit {
    writes: f64,
    units: f64,
    _first: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl AdaptiveRateLimiter {
    /// A limiter for batches of at most `max_batch` writes. Without `units_per_second` it is unlimited
    /// until the table throttles.
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
                per_write: 1.0,
                is_known: false,
                debt: 0.0,
            }),
        }
    }

    /// Number of writes to acquire together: at most what one second allows.
    pub(super) fn batch_size(&self) -> usize {
        let max_batch = self.max_batch.get();
        let writes = self.configured.map_or(max_batch, |rate| {
            saturating_u32((f64::from(rate.get()) / self.cost().per_write).floor())
                .clamp(1, max_batch)
        });
        writes as usize
    }

    /// Waits until `writes` writes are allowed. Returns `None` if that would take longer than the
    /// deadline.
    pub(super) async fn acquire(&self, writes: usize, deadline: &Deadline) -> Option<Permit> {
        #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
        let writes = writes as f64;
        let mut first = None;
        if self.configured.is_some() && !self.cost().is_known {
            let guard = Arc::clone(&self.first).lock_owned().await;
            // A caller that waited for the first batch knows the cost now.
            first = (!self.cost().is_known).then_some(guard);
        }
        let units = writes * self.cost().per_write;
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

    /// Notes how many units a batch consumed. A batch that failed consumed none.
    pub(super) fn charge(&self, permit: Permit, consumed: f64) {
        if consumed > 0.0 {
            // Every write consumes at least one unit, even if its condition fails.
            let consumed = consumed.max(permit.writes);
            let average = consumed / permit.writes;
            let mut cost = self.cost();
            cost.per_write = if cost.is_known {
                f64::midpoint(cost.per_write, average)
            } else {
                average
            };
            cost.is_known = true;
            cost.debt += consumed - permit.units;
        }
        drop(permit);
    }

    /// Waits until `units` are allowed. Returns `false` if that would take longer than the deadline.
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
            // The limiter rejects more than one burst per call.
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

    /// Reduces the rate because the table throttled. Several throttled calls within a second count once.
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
    /// Halves the value at most once per second. Returns whether it did.
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

/// Rounds up. Negative values become 0.
fn ceil_u32(units: f64) -> u32 {
    saturating_u32(units.ceil())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturating is intended"
)]
const fn saturating_u32(value: f64) -> u32 {
    value as u32
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
            "throttled within the same second"
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
        let limiter = rate_limiter.limiter.get().expect("throttled above");
        assert_eq!(limiter.check_n(rate_limiter.burst), Ok(Ok(())));
        if let Ok(Err(later)) = limiter.check_n(rate_limiter.burst) {
            let pause = later.wait_time_from(limiter.clock().now());
            assert!(pause <= Duration::from_millis(25), "{pause:?}");
        }
        let mut factor = rate_limiter.factor.lock().expect("not poisoned");
        assert!(
            value_after(&mut factor, 100_000) > 1.0,
            "the rate may exceed the discovered one"
        );
    }
}
