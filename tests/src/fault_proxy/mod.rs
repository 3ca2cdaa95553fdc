//! A proxy that injects faults between a client and the table.
//!
//! The embedded DynamoDB never fails, is never slow and never throttles. This proxy does, in front
//! of it. It speaks HTTP, so tests cover the whole path: the SDK's retries and timeouts, the
//! mapping of its errors, and what the use case does with them. It serves clients in this process
//! and release binaries (`AWS_ENDPOINT_URL_DYNAMODB`). A test passes a rule, a function that
//! decides what happens to each request:
//!
//! ```no_run
//! # use session_cleanup_tests::World;
//! # use session_cleanup_tests::fault_proxy::{Fault, NO_TIMEOUT};
//! # async fn example() {
//! // A quarter of the reads is throttled, and the response to the first write is lost.
//! let (world, faults) = World::with_faults(NO_TIMEOUT, [], |request| {
//!     match (request.operation.as_str(), request.number) {
//!         ("BatchGetItem", _) if request.hits_percent(25) => Fault::THROTTLED,
//!         ("BatchExecuteStatement", 1) => Fault::DroppedAfter,
//!         _ => Fault::None,
//!     }
//! })
//! .await;
//! # }
//! ```
//!
//! [`Request::rng`] makes a rule random and repeatable. [`Fault::after_commit`] executes the
//! request, and still returns the fault.
//!
//! The functions of the world go through the proxy; the test's own client does not. The proxy
//! records what passes: [`FaultProxy::requests`] by operation, and [`FaultProxy::writes`], the writes that
//! the table executed, whatever response the client got. [`FaultProxy::without_faults`] only counts.

mod answers;
mod older_index;
mod proxy;
mod record;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryPartition;
use session_cleanup_local::dynamodb;
use session_lifecycle::aws::CallPolicy;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use self::older_index::OlderIndex;
use self::proxy::{Proxy, serve};
pub use self::record::{Exchange, Usage};
use self::rules::Decide;
pub use self::rules::{Fault, Request, StatementError};

/// The authorizer's call policy with its number of attempts, and timeouts that even a busy machine
/// does not reach.
pub const NO_TIMEOUT: CallPolicy = CallPolicy {
    attempt_timeout: Duration::from_mins(2),
    operation_timeout: Duration::from_mins(5),
    max_attempts: CallPolicy::INTERACTIVE.max_attempts,
};

/// The cleanup's call policy with the same timeouts: one attempt, because the run itself retries.
pub const NO_TIMEOUT_NO_RETRY: CallPolicy = CallPolicy {
    max_attempts: CallPolicy::BATCH.max_attempts,
    ..NO_TIMEOUT
};

/// A running proxy. Dropping it closes all its connections.
pub struct FaultProxy {
    address: SocketAddr,
    proxy: Arc<Proxy>,
    _server: JoinSet<()>,
}

impl FaultProxy {
    /// Starts a proxy in front of the table at `store`, on a free port.
    pub async fn before(
        store: SocketAddr,
        decide: impl Fn(&Request) -> Fault + Send + Sync + 'static,
    ) -> Self {
        Self::start(store, Box::new(decide), false).await
    }

    /// Starts a proxy without faults that counts requests and capacity. It keeps no single
    /// requests, so millions may pass. It asks the table for the capacity of each request.
    pub async fn without_faults(store: SocketAddr) -> Self {
        Self::start(store, Box::new(|_| Fault::None), true).await
    }

    async fn start(store: SocketAddr, decide: Box<Decide>, only_counts: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let proxy = Arc::new(Proxy::new(store, decide, only_counts));
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::clone(&proxy)));
        Self {
            address,
            proxy,
            _server: server,
        }
    }

    /// Endpoint of the proxy, for `AWS_ENDPOINT_URL_DYNAMODB`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client that goes through the proxy, with these timeouts and attempts.
    #[must_use]
    pub fn client(&self, policy: CallPolicy) -> Client {
        let config = dynamodb::client(self.address)
            .config()
            .to_builder()
            .timeout_config(policy.timeouts())
            .retry_config(policy.retries())
            // By default the SDK has one retry budget per process, which all tests would share.
            .retry_partition(RetryPartition::new(self.url()))
            .build();
        Client::from_conf(config)
    }

    /// Stops injecting faults.
    pub fn end(&self) {
        self.proxy.over.store(true, Ordering::SeqCst);
    }

    /// All requests so far.
    #[must_use]
    pub fn record(&self) -> Vec<Exchange> {
        self.proxy.record().exchanges.clone()
    }

    /// Requests and capacity units by operation.
    #[must_use]
    pub fn usage(&self) -> BTreeMap<String, Usage> {
        self.proxy.record().usage.clone()
    }

    /// Number of requests by operation.
    #[must_use]
    pub fn requests(&self) -> BTreeMap<String, usize> {
        let usage = self.usage().into_iter();
        usage.map(|(name, usage)| (name, usage.requests)).collect()
    }

    /// Number of writes that the table executed: statements without an error, and items put,
    /// updated or deleted.
    #[must_use]
    pub fn writes(&self) -> usize {
        let record = self.proxy.record();
        record.exchanges.iter().map(Exchange::writes).sum()
    }
}
