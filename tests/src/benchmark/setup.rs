//! Set-up of the benchmarks that run release binaries: filling a table, starting a function, and
//! measuring what it uses.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use session_cleanup_local::template::FunctionName;

use crate::emulator::Emulator;
use crate::fault_proxy::{FaultProxy, Usage};
use crate::process::Process;
use crate::{World, sample};

/// Number of shards of the due lists, the default of the functions.
pub const SHARDS: u8 = 16;

/// Number of items stored at once. More would need more memory than the table itself.
const AT_ONCE: usize = 20_000;

/// Stores `count` items in parts; `items` makes a part of the given size.
pub fn store_in_parts(world: &World, count: usize, mut items: impl FnMut(usize) -> Vec<Value>) {
    let mut left = count;
    while left > 0 {
        let some = left.min(AT_ONCE);
        sample::store(world, items(some));
        left -= some;
    }
}

/// Starts the release binary of a function and invokes it once, so that its init is not part of
/// what is measured. Returns the answer as well.
///
/// # Panics
///
/// If the function fails.
pub async fn start<'a>(
    world: &World,
    function: FunctionName,
    variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    first: &Value,
) -> (Emulator, Value) {
    let emulator = Emulator::start(world, function, variables).await;
    let answer = emulator.invoke(first).await.expect("an answer");
    (emulator, answer)
}

/// A function whose requests to the table, capacity, CPU time and memory are measured.
pub struct Metered {
    /// Invokes the function.
    pub emulator: Emulator,
    meter: FaultProxy,
    process: Process,
}

/// What a function has used.
pub struct Measured {
    /// Requests and capacity units by operation.
    pub usage: BTreeMap<String, Usage>,
    /// CPU time of the function.
    pub cpu: Duration,
}

impl Metered {
    /// Starts a function as [`start()`] does, behind a proxy that counts its requests.
    pub async fn start(
        world: &World,
        function: FunctionName,
        variables: &[(&str, &str)],
        first: &Value,
    ) -> (Self, Value) {
        let meter = FaultProxy::without_faults(world.dynamodb.address()).await;
        let url = meter.url();
        let endpoint = ("AWS_ENDPOINT_URL_DYNAMODB", &*url);
        let variables = variables.iter().copied().chain([endpoint]);
        let (emulator, answer) = start(world, function, variables, first).await;
        let process = emulator.function().expect("it has answered");
        let metered = Self {
            emulator,
            meter,
            process,
        };
        (metered, answer)
    }

    /// What the function has used since it was started.
    #[must_use]
    pub fn total(&self) -> Measured {
        Measured {
            usage: self.meter.usage(),
            cpu: self.process.cpu(),
        }
    }

    /// What the function has used since `before`.
    #[must_use]
    pub fn since(&self, before: &Measured) -> Measured {
        let total = self.total();
        let difference = |(operation, usage): (String, Usage)| {
            let before = before.usage.get(&operation).copied().unwrap_or_default();
            let usage = Usage {
                requests: usage.requests - before.requests,
                units: usage.units - before.units,
            };
            (operation, usage)
        };
        Measured {
            usage: total.usage.into_iter().map(difference).collect(),
            cpu: total.cpu.saturating_sub(before.cpu),
        }
    }

    /// Stops the function. Returns its peak resident memory in bytes.
    pub async fn stop(self) -> u64 {
        let most = self.process.most_resident();
        self.emulator.stop().await;
        most
    }
}
