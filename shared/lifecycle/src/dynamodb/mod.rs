//! The DynamoDB adapter. Only this module knows the SDK, attribute names and expressions.

mod authorize;
mod check;
mod defects;
mod describe;
mod due_list;
mod error;
mod item;
#[cfg(feature = "migrate")]
pub mod migrate;
mod read;
mod records;
mod report_item;
mod reports;
mod scan;
mod sessions;
mod statement;
mod write;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use aws_config::retry::RetryConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::ConsumedCapacity;

use self::item::Item;
use crate::ports::{Metered, StoreError, StoreErrorKind, WithoutRetries};
use session_domain::Shards;

/// The sessions table.
#[derive(Debug, Clone)]
pub struct Table {
    client: Client,
    name: String,
    shards: Shards,
    /// Whether the service accepts a filter on the table's key in a query of the index.
    filters_index: Arc<AtomicBool>,
}

impl Table {
    /// The table `name`. `shards` is the stack's `DUE_SHARDS`.
    #[must_use]
    pub fn new(client: Client, name: impl Into<String>, shards: Shards) -> Self {
        Self {
            client,
            name: name.into(),
            shards,
            filters_index: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Number of shards of each due list.
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

/// A response with the capacity units that it consumed.
fn metered<T>(value: T, consumed: &[ConsumedCapacity]) -> Metered<T> {
    let units = |of: fn(&ConsumedCapacity) -> Option<f64>| consumed.iter().filter_map(of).sum();
    Metered {
        value,
        capacity_units: units(ConsumedCapacity::capacity_units),
        // Without a breakdown, assume that the table consumed all units.
        table_units: units(|consumed| match consumed.table() {
            Some(table) => table.capacity_units(),
            None => consumed.capacity_units(),
        }),
    }
}

/// The items of a page. The service always sends a list, even an empty one. A response without a list
/// does not come from the service, and does not mean that nothing is left.
fn items(items: Option<Vec<Item>>, operation: &'static str) -> Result<Vec<Item>, StoreError> {
    items.ok_or_else(|| {
        StoreError::new(
            StoreErrorKind::Unavailable,
            operation,
            "the response has no list of items",
        )
    })
}
