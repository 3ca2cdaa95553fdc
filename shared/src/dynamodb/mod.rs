//! The DynamoDB adapter: the only place that knows the SDK, attribute names and expressions.

mod authorize;
#[cfg(feature = "functions")]
mod describe;
mod due_list;
mod error;
mod item;
mod read;
mod records;
#[cfg(feature = "functions")]
mod reports;
#[cfg(feature = "functions")]
mod scan;
mod statement;
mod write;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::ConsumedCapacity;

use self::item::Item;
use crate::domain::Shards;
use crate::ports::WithoutRetries;
use crate::ports::{Metered, StoreError};

/// The sessions table, behind the SDK's client.
#[derive(Debug, Clone)]
pub struct Table {
    client: Client,
    name: String,
    shards: Shards,
    /// Whether the service takes a filter on the table's key in a query of the index.
    filters_index: Arc<AtomicBool>,
}

impl Table {
    /// The table `name`, whose work list has `shards` shards.
    #[must_use]
    pub fn new(client: Client, name: impl Into<String>, shards: Shards) -> Self {
        Self {
            client,
            name: name.into(),
            shards,
            filters_index: Arc::new(AtomicBool::new(true)),
        }
    }

    /// How many shards the work list has.
    #[must_use]
    pub const fn shards(&self) -> Shards {
        self.shards
    }
}

impl WithoutRetries for Table {
    /// The same table, over the same connections.
    fn without_retries(&self) -> Self {
        let config = self.client.config().to_builder();
        let config = config.retry_config(RetryConfig::disabled()).build();
        Self {
            client: Client::from_conf(config),
            ..self.clone()
        }
    }
}

/// How long a caller waits for the table.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For one attempt.
    pub attempt: Duration,
    /// For the call, all attempts and the pauses between them together; and for what takes
    /// several calls because the table leaves keys unprocessed.
    pub call: Duration,
    /// How many attempts.
    pub attempts: u32,
}

impl Patience {
    /// A user waits. The authorizer has five seconds, and makes two calls at the most: the second
    /// closes an expired session.
    pub const LOGIN: Self = Self {
        attempt: Duration::from_secs(1),
        call: Duration::from_millis(2_200),
        attempts: 3,
    };
    /// Somebody looks at a page.
    pub const LOOK: Self = Self {
        attempt: Duration::from_secs(2),
        call: Duration::from_secs(5),
        attempts: 4,
    };
    /// A run tries again by itself, as long as it has time: only so does it know that the answer to
    /// a write was lost, and is slow where the table throttles.
    pub const RUN: Self = Self {
        attempt: Duration::from_secs(2),
        call: Duration::from_secs(2),
        attempts: 1,
    };

    /// The SDK's configuration from its own variables and what Lambda provides, with this patience.
    pub(crate) fn configure(self) -> ConfigLoader {
        aws_config::defaults(BehaviorVersion::latest())
            .timeout_config(self.timeouts())
            .retry_config(self.retries())
            // It watches each request for a time in which no attempt of ours is still under way.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
    }

    /// The SDK's timeouts.
    #[must_use]
    pub fn timeouts(self) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(1))
            .operation_attempt_timeout(self.attempt)
            .operation_timeout(self.call)
            .build()
    }

    /// The SDK's retries.
    #[must_use]
    pub fn retries(self) -> RetryConfig {
        RetryConfig::standard()
            .with_max_attempts(self.attempts)
            .with_initial_backoff(Duration::from_millis(50))
    }
}

/// Makes a client from the SDK's own variables and what Lambda provides.
pub async fn connect(patience: Patience) -> Client {
    Client::new(&patience.configure().load().await)
}

/// An answer with the capacity that it consumed.
fn metered<T>(value: T, consumed: &[ConsumedCapacity]) -> Metered<T> {
    let units = |of: fn(&ConsumedCapacity) -> Option<f64>| consumed.iter().filter_map(of).sum();
    Metered {
        value,
        capacity_units: units(ConsumedCapacity::capacity_units),
        // Where the service does not tell its share, the table may have consumed all of them.
        table_units: units(|consumed| match consumed.table() {
            Some(table) => table.capacity_units(),
            None => consumed.capacity_units(),
        }),
    }
}

/// The items of a page. The service sends a list of them also where it has found nothing; an answer
/// without one comes from something else, and does not tell that there is nothing left.
fn items(items: Option<Vec<Item>>, what: &'static str) -> Result<Vec<Item>, StoreError> {
    items.ok_or_else(|| StoreError::Unavailable {
        what,
        source: "the answer has no list of items".into(),
    })
}
