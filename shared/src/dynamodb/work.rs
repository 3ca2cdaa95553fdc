//! The cleanup's side of the table: the work list, the records on it, and the writes.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::types::builders::KeysAndAttributesBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, BatchStatementErrorCodeEnum, BatchStatementResponse, ConsumedCapacity,
    KeysAndAttributes, ReturnConsumedCapacity,
};
use tokio::time::{sleep, timeout};

use super::Table;
use super::item::{
    DUE_AT, DUE_INDEX, DUE_KEY, Item, due_at, key_item, read_keyed, read_record, take_key, text,
    time,
};
use super::statement::statement;
use crate::clock::Stopwatch;
use crate::domain::{Change, DueList, RecordKey, Timestamp, Write};
use crate::ports::{
    ApplyChanges, DuePage, Found, Metered, Outcome, Position, ReadDueList, ReadRecords, ScanPage,
    ScanTable, StoreError,
};

/// A page of the work list holds this many entries of about 130 bytes: large enough that
/// rounding up to the next half read unit does not count, small enough for flat memory.
const PAGE: i32 = 1_000;

/// A scanned page holds records of unknown size; fewer of them keep the memory flat.
const SCAN_PAGE: i32 = 250;

fn units<'a>(consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) -> f64 {
    consumed
        .into_iter()
        .filter_map(ConsumedCapacity::capacity_units)
        .sum()
}

/// The items of a page. The service sends a list of them also where it has found nothing; an answer
/// without one comes from something else, and does not tell that there is nothing left.
fn items(items: Option<Vec<Item>>, what: &'static str) -> Result<Vec<Item>, StoreError> {
    items.ok_or_else(|| StoreError::Unavailable {
        what,
        source: "the answer has no list of items".into(),
    })
}

impl ReadDueList for Table {
    type Place = Item;

    async fn due_page(
        &self,
        list: DueList,
        due_by: Timestamp,
        after: Option<Position<Item>>,
    ) -> Result<Metered<DuePage<Item>>, StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(DUE_INDEX)
            .key_condition_expression(format!("{DUE_KEY} = :list AND {DUE_AT} <= :due_by"))
            .expression_attribute_values(":list", text(list.to_string()))
            .expression_attribute_values(":due_by", time(due_by))
            .set_exclusive_start_key(after.map(|position| position.0))
            .limit(PAGE)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| StoreError::from_call("reading the due list", error))?;
        let capacity_units = units(answer.consumed_capacity());
        let entries = items(answer.items, "reading the due list")?;
        let mut page = DuePage {
            keys: Vec::with_capacity(entries.len()),
            malformed: Vec::new(),
            oldest: entries.first().and_then(due_at),
            next: answer.last_evaluated_key.map(Position),
        };
        for mut entry in entries {
            match take_key(&mut entry) {
                Ok(key) => page.keys.push(key),
                Err(malformed) => page.malformed.push(malformed),
            }
        }
        Ok(Metered {
            value: page,
            capacity_units,
        })
    }
}

impl ReadRecords for Table {
    const MOST: usize = 100;

    async fn read(&self, keys: &[RecordKey]) -> Result<Metered<Vec<Found>>, StoreError> {
        let keys = KeysAndAttributes::builder()
            .set_keys(Some(keys.iter().map(key_item).collect()))
            .consistent_read(true);
        let capacity = ReturnConsumedCapacity::Total;
        let (items, capacity_units) = self.batch_get(keys, capacity, "reading records").await?;
        let records = items
            .into_iter()
            .map(|item| read_record(item, self.shards))
            .collect();
        Ok(Metered {
            value: records,
            capacity_units,
        })
    }
}

impl Table {
    /// Reads items by key until none is left unprocessed: a key that was not processed is not
    /// a record that does not exist. It takes as long as one call may, however many it makes.
    pub(super) async fn batch_get(
        &self,
        keys: KeysAndAttributesBuilder,
        capacity: ReturnConsumedCapacity,
        what: &'static str,
    ) -> Result<(Vec<Item>, f64), StoreError> {
        const ATTEMPTS: u32 = 4;
        let keys = keys.build().map_err(|error| StoreError::Rejected {
            what,
            source: error.into(),
        })?;
        let timeouts = self.client.config().timeout_config();
        let limit = timeouts.and_then(TimeoutConfig::operation_timeout);
        let watch = Stopwatch::start(limit.unwrap_or(Duration::MAX));
        let mut wanted = HashMap::from([(self.name.clone(), keys)]);
        let (mut items, mut capacity_units) = (Vec::new(), 0.0);
        for attempt in 1..=ATTEMPTS {
            let asked = self
                .client
                .batch_get_item()
                .set_request_items(Some(wanted))
                .return_consumed_capacity(capacity.clone())
                .send();
            let answer = if attempt == 1 {
                // The client ends it in time by itself.
                asked.await
            } else {
                timeout(watch.left(), asked).await.map_err(|_| {
                    let source = "not all was read in time".into();
                    StoreError::Unavailable { what, source }
                })?
            };
            let answer = answer.map_err(|error| StoreError::from_call(what, error))?;
            capacity_units += units(answer.consumed_capacity());
            wanted = answer.unprocessed_keys.unwrap_or_default();
            let tables = answer.responses.unwrap_or_default();
            // The service names each table that it has read, also where it has found nothing. An
            // empty answer comes from something else, and does not tell that there is no record.
            if tables.is_empty() && wanted.is_empty() {
                let source = "the answer is about no table".into();
                return Err(StoreError::Unavailable { what, source });
            }
            items.extend(tables.into_values().flatten());
            if wanted.is_empty() {
                return Ok((items, capacity_units));
            }
            if attempt < ATTEMPTS {
                sleep(Duration::from_millis(25 << attempt)).await;
            }
        }
        Err(StoreError::Throttled {
            what,
            source: "keys were left unprocessed".into(),
        })
    }
}

impl ApplyChanges for Table {
    const MOST: NonZeroU32 = NonZeroU32::new(25).unwrap();

    async fn apply(&self, changes: &[Change]) -> Result<Metered<Vec<Outcome>>, StoreError> {
        let statements = changes
            .iter()
            .map(|change| statement(&self.name, change))
            .collect();
        let answer = self
            .client
            .batch_execute_statement()
            .set_statements(Some(statements))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| StoreError::from_call("writing", error))?;
        let capacity_units = units(answer.consumed_capacity());
        let mut answers = answer.responses.unwrap_or_default().into_iter();
        let outcomes = changes
            .iter()
            .map(|change| self.outcome(change, answers.next()))
            .collect();
        Ok(Metered {
            value: outcomes,
            capacity_units,
        })
    }
}

impl Table {
    fn outcome(&self, change: &Change, answer: Option<BatchStatementResponse>) -> Outcome {
        let Some(answer) = answer else {
            return Outcome::Failed(StoreError::Unavailable {
                what: "writing",
                source: "the answer is shorter than the request".into(),
            });
        };
        let deletes = matches!(change.write, Write::Delete { .. });
        match (answer.error, answer.item) {
            (None, None) if deletes => Outcome::Gone,
            (None, _) => Outcome::Applied,
            (Some(error), _)
                if error.code == Some(BatchStatementErrorCodeEnum::ConditionalCheckFailed) =>
            {
                error.item.map_or(Outcome::Gone, |item| {
                    Outcome::Refused(read_record(item, self.shards))
                })
            }
            (Some(error), _) => {
                let code = error.code.as_ref().map(BatchStatementErrorCodeEnum::as_str);
                let message = format!(
                    "{}: {}",
                    code.unwrap_or("no code"),
                    error.message.as_deref().unwrap_or("no message")
                );
                Outcome::Failed(StoreError::from_code("writing", code, message.into()))
            }
        }
    }
}

impl ScanTable for Table {
    type Place = HashMap<String, AttributeValue>;

    async fn scan_page(
        &self,
        segment: u16,
        segments: u16,
        after: Option<Position<Item>>,
    ) -> Result<Metered<ScanPage<Item>>, StoreError> {
        let answer = self
            .client
            .scan()
            .table_name(&self.name)
            .segment(segment.into())
            .total_segments(segments.into())
            .set_exclusive_start_key(after.map(|position| position.0))
            .consistent_read(true)
            .limit(SCAN_PAGE)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| StoreError::from_call("scanning the table", error))?;
        let capacity_units = units(answer.consumed_capacity());
        let records = items(answer.items, "scanning the table")?
            .into_iter()
            // What has another key is somebody else's: a table may be shared.
            .filter_map(|mut item| Some((take_key(&mut item).ok()?, item)))
            .map(|(key, item)| read_keyed(key, &item, self.shards))
            .collect();
        let next = answer.last_evaluated_key.map(Position);
        Ok(Metered {
            value: ScanPage { records, next },
            capacity_units,
        })
    }
}
