//! Reading records by their keys.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::types::builders::KeysAndAttributesBuilder;
use aws_sdk_dynamodb::types::{ConsumedCapacity, KeysAndAttributes, ReturnConsumedCapacity};
use tokio::time::{sleep, timeout};

use super::item::{Item, READ_ATTRIBUTES, TTL_NAME, key_item, read_record};
use super::{Table, metered};
use crate::clock::Deadline;
use crate::ports::{Metered, ParsedRecord, ReadRecords, StoreError, StoreErrorKind};
use session_domain::ItemKey;

/// Maximum number of attempts in a row in which the service processes no key.
const MAX_ATTEMPTS: u32 = 4;

impl ReadRecords for Table {
    const MAX_BATCH: usize = 100;

    async fn read(&self, keys: &[ItemKey]) -> Result<Metered<Vec<ParsedRecord>>, StoreError> {
        let (ttl, attribute) = TTL_NAME;
        let keys = KeysAndAttributes::builder()
            .set_keys(Some(keys.iter().map(key_item).collect()))
            .projection_expression(READ_ATTRIBUTES.join(","))
            .expression_attribute_names(ttl, attribute)
            .consistent_read(true);
        let capacity = ReturnConsumedCapacity::Total;
        let (items, consumed) = self.batch_get(keys, capacity, "reading records").await?;
        let records = items
            .into_iter()
            .map(|item| read_record(item, self.shards))
            .collect();
        Ok(metered(records, &consumed))
    }
}

impl Table {
    /// Reads items by key, and retries keys that the service left unprocessed: an unprocessed key
    /// does not mean that the record does not exist. All requests share one operation timeout.
    pub(super) async fn batch_get(
        &self,
        keys: KeysAndAttributesBuilder,
        capacity: ReturnConsumedCapacity,
        operation: &'static str,
    ) -> Result<(Vec<Item>, Vec<ConsumedCapacity>), StoreError> {
        let keys = keys
            .build()
            .map_err(|error| StoreError::new(StoreErrorKind::Rejected, operation, error))?;
        let unavailable = |why| StoreError::new(StoreErrorKind::Unavailable, operation, why);
        let timeouts = self.client.config().timeout_config();
        let limit = timeouts.and_then(TimeoutConfig::operation_timeout);
        let deadline = Deadline::after(limit.unwrap_or(Duration::MAX));
        let mut left = keys.keys().len();
        let mut wanted = HashMap::from([(self.name.clone(), keys)]);
        let (mut items, mut consumed) = (Vec::new(), Vec::new());
        let (mut first, mut attempt) = (true, 1);
        loop {
            let request = self
                .client
                .batch_get_item()
                .set_request_items(Some(wanted))
                .return_consumed_capacity(capacity.clone())
                .send();
            let response = if first {
                // The client applies the operation timeout.
                request.await
            } else {
                timeout(deadline.remaining(), request)
                    .await
                    .map_err(|_| unavailable("some keys were not read before the deadline"))?
            };
            first = false;
            let response = response.map_err(|error| StoreError::from_call(operation, error))?;
            consumed.extend(response.consumed_capacity.unwrap_or_default());
            wanted = response.unprocessed_keys.unwrap_or_default();
            let tables = response.responses.unwrap_or_default();
            // The service names each table that it read, even if it found nothing. An empty response
            // does not come from the service, and does not mean that there is no record.
            if tables.is_empty() && wanted.is_empty() {
                return Err(unavailable("the response names no table"));
            }
            items.extend(tables.into_values().flatten());
            if wanted.is_empty() {
                return Ok((items, consumed));
            }
            // A response ends at 16 MB. If some keys were processed, request the rest immediately.
            let before = left;
            left = wanted.values().map(|keys| keys.keys().len()).sum();
            if left < before {
                continue;
            }
            if attempt == MAX_ATTEMPTS {
                return Err(StoreError::new(
                    StoreErrorKind::Throttled,
                    operation,
                    "keys were left unprocessed",
                ));
            }
            sleep(Duration::from_millis(25 << attempt)).await;
            attempt += 1;
        }
    }
}
