//! How fast a run goes.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as _, MonotonicClock};
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use session_lifecycle::clock::Stopwatch;

/// By how much the rate grows in a second in which the table did not throttle, as a part of the
/// whole rate. It halves once a second at the most, so this is also the least that is left of it.
const STEP: f64 = 1.0 / 16.0;

/// The least rate that is set where there was no limit: what one partition takes, and what is the
/// limit by default. A run that has only just begun says nothing of what the table can do.
const LEAST_FOUND: NonZeroU32 = NonZeroU32::new(1_000).unwrap();

/// Lets so much happen in a second, evenly: half as much each time that the table throttles, and
/// a little more with each second in which it does not (additive increase, multiplicative
/// decrease), so that the logins come first.
///
/// What is limited is the table's own write units. A write of up to 1 KB takes one, and a write
/// of 400 KB four hundred; how many a batch has taken is known from its answer. So each batch is
/// admitted at the average so far, and what it takes beyond that is made up for by the next ones.
pub(super) struct Pace {
    /// The limit that is configured, in units a second.
    configured: Option<NonZeroU32>,
    /// Where there is no limit, one is set when the table throttles for the first time: the run's
    /// rate until then. It is where to begin again, and may be exceeded in time.
    limiter: OnceLock<RateLimiter<NotKeyed, InMemoryState, MonotonicClock>>,
    /// The largest number of writes that start together.
    most: NonZeroU32,
    /// The most units that the limiter takes at once.
    burst: NonZeroU32,
    /// Those who wait go in the order in which they came: the oldest records first, also where
    /// the time ends before the turn of the others.
    turn: tokio::sync::Mutex<()>,
    /// Held by the first batch until it is known what a write takes.
    first: Arc<tokio::sync::Mutex<()>>,
    admitted: AtomicU64,
    part: Mutex<Part>,
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
struct Part {
    size: f64,
    most: f64,
    /// Since when, on the run's watch.
    since: Duration,
    /// When it was last halved.
    cut_at: Option<Duration>,
}

/// Permission to write a batch.
pub(super) struct Admission {
    writes: f64,
    units: f64,
    _first: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl Pace {
    /// So many units in a second, in batches of `most` writes at the most.
    pub(super) fn new(units_per_second: Option<NonZeroU32>, most: NonZeroU32) -> Self {
        let burst = units_per_second.map_or(most, |rate| rate.min(most));
        let limiter = units_per_second.map(|rate| limiter(rate, burst));
        Self {
            configured: units_per_second,
            limiter: limiter.map_or_else(OnceLock::new, OnceLock::from),
            most,
            burst,
            turn: tokio::sync::Mutex::new(()),
            first: Arc::default(),
            admitted: AtomicU64::new(0),
            part: Mutex::new(Part {
                size: 1.0,
                most: if units_per_second.is_some() {
                    1.0
                } else {
                    f64::INFINITY
                },
                since: Duration::ZERO,
                cut_at: None,
            }),
            cost: Mutex::new(Cost {
                of_a_write: 1.0,
                is_known: false,
                debt: 0.0,
            }),
        }
    }

    /// The largest number of writes to ask for now: what takes no more than a second.
    pub(super) fn batch(&self) -> usize {
        let most = self.most.get();
        let writes = self.configured.map_or(most, |rate| {
            floor(f64::from(rate.get()) / self.cost().of_a_write).clamp(1, most)
        });
        writes as usize
    }

    /// Waits until so many writes may be made; nothing where that takes longer than is left.
    pub(super) async fn admit(&self, writes: usize, watch: &Stopwatch) -> Option<Admission> {
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
        if !self.admit_units(units + owed, watch).await {
            self.cost().debt += owed;
            return None;
        }
        Some(Admission {
            writes,
            units,
            _first: first,
        })
    }

    /// Notes how many units an admitted batch has taken; none where it failed.
    pub(super) fn charge(&self, admission: Admission, taken: f64) {
        if taken > 0.0 {
            // A write takes a unit at least, one that is refused too.
            let taken = taken.max(admission.writes);
            let average = taken / admission.writes;
            let mut cost = self.cost();
            cost.of_a_write = if cost.is_known {
                f64::midpoint(cost.of_a_write, average)
            } else {
                average
            };
            cost.is_known = true;
            cost.debt += taken - admission.units;
        }
        drop(admission);
    }

    /// Waits until so many units may be taken; false where that takes longer than is left.
    pub(super) async fn admit_units(&self, units: f64, watch: &Stopwatch) -> bool {
        let _turn = self.turn.lock().await;
        let part = {
            let mut part = self.part.lock().unwrap_or_else(PoisonError::into_inner);
            part.grow(watch.elapsed());
            part.size
        };
        let mut left = whole(units / part);
        while let (Some(limiter), Some(most)) = (self.limiter.get(), NonZeroU32::new(left)) {
            let cells = most.min(self.burst);
            // More than a burst can't be asked for.
            while let Ok(Err(later)) = limiter.check_n(cells) {
                let pause = later.wait_time_from(limiter.clock().now());
                if pause > watch.left() {
                    return false;
                }
                tokio::time::sleep(pause).await;
            }
            left -= cells.get();
        }
        self.admitted
            .fetch_add(whole(units).into(), Ordering::Relaxed);
        true
    }

    fn cost(&self) -> MutexGuard<'_, Cost> {
        self.cost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Slows down, for the table throttles. Those who were under way together slow down once.
    pub(super) fn slow_down(&self, watch: &Stopwatch) {
        let elapsed = watch.elapsed();
        let mut part = self.part.lock().unwrap_or_else(PoisonError::into_inner);
        if !part.cut(elapsed) {
            return;
        }
        self.limiter.get_or_init(|| {
            #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
            let rate = self.admitted.load(Ordering::Relaxed) as f64 / elapsed.as_secs_f64();
            let rate =
                NonZeroU32::new(whole(rate)).map_or(LEAST_FOUND, |rate| rate.max(LEAST_FOUND));
            limiter(rate, self.burst)
        });
    }
}

impl Part {
    /// Halves, unless that was done within this second; whether it was done now.
    fn cut(&mut self, now: Duration) -> bool {
        if self
            .cut_at
            .is_some_and(|cut_at| now < cut_at + Duration::from_secs(1))
        {
            return false;
        }
        self.grow(now);
        self.size /= 2.0;
        self.since = now;
        self.cut_at = Some(now);
        true
    }

    fn grow(&mut self, now: Duration) {
        let seconds = now.saturating_sub(self.since).as_secs();
        let steps = u32::try_from(seconds).unwrap_or(u32::MAX);
        self.size = STEP.mul_add(f64::from(steps), self.size).min(self.most);
        self.since += Duration::from_secs(seconds);
    }
}

fn limiter(
    rate: NonZeroU32,
    batch: NonZeroU32,
) -> RateLimiter<NotKeyed, InMemoryState, MonotonicClock> {
    RateLimiter::direct_with_clock(Quota::per_second(rate).allow_burst(batch), MonotonicClock)
}

/// Rounds down.
fn floor(writes: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is not negative, and saturating is what is meant"
    )]
    let whole = writes.floor() as u32;
    whole
}

/// Rounds up; nothing of what is negative.
fn whole(units: f64) -> u32 {
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

    fn part() -> Part {
        Part {
            size: 1.0,
            most: 1.0,
            since: Duration::ZERO,
            cut_at: None,
        }
    }

    fn after(part: &mut Part, milliseconds: u64) -> f64 {
        part.grow(Duration::from_millis(milliseconds));
        part.size
    }

    fn same(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-9, "{left} for {right}");
    }

    #[test]
    fn the_rate_halves_once_a_second_and_comes_back_step_by_step() {
        let mut part = part();
        let at = Duration::from_millis;
        assert!(part.cut(at(100)));
        same(part.size, 0.5);
        assert!(!part.cut(at(1_099)), "those who were under way together");
        same(after(&mut part, 1_099), 0.5);
        same(after(&mut part, 1_100), 0.5 + STEP);
        same(after(&mut part, 3_100), 0.5 + 3.0 * STEP);
        assert!(part.cut(at(4_100)));
        same(part.size, 0.25 + 2.0 * STEP);
        same(after(&mut part, 100_000), 1.0);
    }

    #[test]
    fn the_rate_never_falls_to_nothing() {
        let mut part = part();
        for second in 1..100 {
            part.cut(Duration::from_secs(second));
            assert!(part.size >= STEP, "{}", part.size);
        }
        assert!(part.size < 0.1, "{}", part.size);
    }

    #[tokio::test]
    async fn without_a_limit_there_is_one_once_the_table_throttles() {
        let watch = Stopwatch::start(Duration::from_mins(1));
        let most = NonZeroU32::new(25).expect("not zero");
        let pace = Pace::new(None, most);
        assert!(pace.admit(25, &watch).await.is_some());
        assert!(pace.limiter.get().is_none());
        pace.slow_down(&watch);
        assert!(pace.limiter.get().is_some());
    }

    #[test]
    fn a_run_without_a_limit_that_is_throttled_as_it_begins_does_not_crawl() {
        let watch = Stopwatch::start(Duration::from_mins(1));
        let pace = Pace::new(None, NonZeroU32::new(25).expect("not zero"));
        pace.slow_down(&watch);
        let limiter = pace.limiter.get().expect("the table has throttled");
        assert_eq!(limiter.check_n(pace.burst), Ok(Ok(())));
        if let Ok(Err(later)) = limiter.check_n(pace.burst) {
            let pause = later.wait_time_from(limiter.clock().now());
            assert!(pause <= Duration::from_millis(25), "{pause:?}");
        }
        let mut part = pace.part.lock().expect("nobody panicked");
        assert!(
            after(&mut part, 100_000) > 1.0,
            "it may become faster than it was"
        );
    }
}
