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

/// How often keys that the service leaves unprocessed, all of them, are asked for.
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
    /// Reads items by key until none is left unprocessed: a key that was not processed is not
    /// a record that does not exist. It takes as long as one call may, however many it makes.
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
            let asked = self
                .client
                .batch_get_item()
                .set_request_items(Some(wanted))
                .return_consumed_capacity(capacity.clone())
                .send();
            let answer = if first {
                // The client ends it in time by itself.
                asked.await
            } else {
                timeout(deadline.remaining(), asked)
                    .await
                    .map_err(|_| unavailable("not all was read in time"))?
            };
            first = false;
            let answer = answer.map_err(|error| StoreError::from_call(operation, error))?;
            consumed.extend(answer.consumed_capacity.unwrap_or_default());
            wanted = answer.unprocessed_keys.unwrap_or_default();
            let tables = answer.responses.unwrap_or_default();
            // The service names each table that it has read, also where it has found nothing. An
            // empty answer comes from something else, and does not tell that there is no record.
            if tables.is_empty() && wanted.is_empty() {
                return Err(unavailable("the response names no table"));
            }
            items.extend(tables.into_values().flatten());
            if wanted.is_empty() {
                return Ok((items, consumed));
            }
            // An answer ends at 16 MB. Where some keys were processed, the rest is asked for at once.
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
