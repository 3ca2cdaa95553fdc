//! Scheduler that polls tasks in a random, repeatable order.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::future::BoxFuture;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

/// Relative speeds of tasks. A task with a small one falls behind all others.
const SPEEDS: [u32; 4] = [1, 8, 8, 64];

/// A task, until it returns its output.
struct Task<'a, T> {
    future: BoxFuture<'a, T>,
    speed: u32,
    wakeup: Arc<Wakeup>,
    output: Option<T>,
}

/// Whether a task can continue, and who waits for that.
struct Wakeup {
    is_ready: AtomicBool,
    scheduler: Mutex<Option<Waker>>,
}

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        self.is_ready.store(true, Ordering::Relaxed);
        if let Some(scheduler) = self.scheduler.lock().unwrap().take() {
            scheduler.wake();
        }
    }
}

/// Runs all tasks on this thread until they have ended. `seed` decides which of the tasks that can
/// continue is polled next. Returns their outputs, in the order of `tasks`.
pub async fn interleave<T>(seed: u64, tasks: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut tasks: Vec<_> = tasks
        .into_iter()
        .map(|future| Task {
            future,
            speed: *SPEEDS.choose(&mut random).unwrap(),
            wakeup: Arc::new(Wakeup {
                is_ready: AtomicBool::new(true),
                scheduler: Mutex::new(None),
            }),
            output: None,
        })
        .collect();
    // Tokio's budget per poll would make a timer wait although its time has come.
    tokio::task::unconstrained(poll_fn(|context| {
        poll_all(&mut tasks, &mut random, context)
    }))
    .await;
    let outputs = tasks.into_iter().map(|task| task.output.unwrap());
    outputs.collect()
}

/// Polls tasks until all have ended, or each of the others waits for a timer.
fn poll_all<T>(
    tasks: &mut [Task<'_, T>],
    random: &mut StdRng,
    context: &mut Context<'_>,
) -> Poll<()> {
    for task in &*tasks {
        let scheduler = Some(context.waker().clone());
        *task.wakeup.scheduler.lock().unwrap() = scheduler;
    }
    loop {
        let can_continue = |task: &&mut Task<'_, T>| {
            task.output.is_none() && task.wakeup.is_ready.load(Ordering::Relaxed)
        };
        let mut ready: Vec<_> = tasks.iter_mut().filter(can_continue).collect();
        let total: u32 = ready.iter().map(|task| task.speed).sum();
        if total == 0 {
            break;
        }
        let mut chosen = random.random_range(0..total);
        let next = ready.iter_mut().find(|task| {
            let is_chosen = chosen < task.speed;
            chosen = chosen.saturating_sub(task.speed);
            is_chosen
        });
        let task = next.unwrap();
        task.wakeup.is_ready.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&task.wakeup));
        let polled = Pin::new(&mut task.future).poll(&mut Context::from_waker(&waker));
        if let Poll::Ready(output) = polled {
            task.output = Some(output);
        }
    }
    if tasks.iter().all(|task| task.output.is_some()) {
        Poll::Ready(())
    } else {
        Poll::Pending
    }
}
