//! Scan of the whole table, and its checkpoint.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};

use super::item::{
    Item, PK, READ_ATTRIBUTES, SK, TTL, TTL_NAME, item_key, key_item, read_keyed, take_key, time,
};
use super::report_item::PARTITION;
use super::{Table, items, metered};
use crate::ports::{Metered, ScanPage, ScanTable, StoreError, StoreErrorKind, StoreScanCheckpoint};
use session_domain::{
    Days, ItemKey, Revocation, ScanCheckpoint, ScanSettings, SegmentProgress, Shards, Timestamp,
};

const SCANNING: &str = "scanning the table";
const CHECKPOINTING: &str = "accessing the checkpoint of a scan";

/// Maximum number of items per page. DynamoDB also ends a page at 1 MB.
const PAGE: i32 = 250;

/// Sort keys of the checkpoints. Their partition is that of the reports. A revocation does not replace the
/// checkpoint of an adoption, which can continue afterwards.
const ADOPTION: &str = "ADOPTION";
const REVOCATION: &str = "REVOCATION";

const SEGMENTS: &str = "segments";
const EXAMINED: &str = "examined";
const KEPT_AT: &str = "kept_at";
const DUE_SHARDS: &str = "due_shards";
const RETENTION_DAYS: &str = "retention_days";
const ADOPT: &str = "adopt";
const REVOKE: &str = "revoke";

impl ScanTable for Table {
    async fn scan_page(
        &self,
        segment: u16,
        segments: u16,
        start_after: Option<&ItemKey>,
    ) -> Result<Metered<ScanPage>, StoreError> {
        let (ttl, attribute) = TTL_NAME;
        let response = self
            .client
            .scan()
            .table_name(&self.name)
            .segment(segment.into())
            .total_segments(segments.into())
            .set_exclusive_start_key(start_after.map(key_item))
            .projection_expression(READ_ATTRIBUTES.join(","))
            .expression_attribute_names(ttl, attribute)
            .consistent_read(true)
            .limit(PAGE)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| StoreError::from_call(SCANNING, error))?;
        let consumed = response.consumed_capacity.as_slice();
        let records = items(response.items, SCANNING)?
            .into_iter()
            // Ignore items with other keys: the table may be shared.
            .filter_map(|mut item| Some((take_key(&mut item).ok()?, item)))
            .map(|(key, item)| read_keyed(key, &item, self.shards))
            .collect();
        let page = ScanPage {
            records,
            examined: u64::try_from(response.scanned_count).unwrap_or_default(),
            next: response.last_evaluated_key.as_ref().map(item_key),
        };
        Ok(metered(page, consumed))
    }
}

impl StoreScanCheckpoint for Table {
    async fn scan_checkpoint(
        &self,
        settings: &ScanSettings,
    ) -> Result<Option<ScanCheckpoint>, StoreError> {
        let response = self
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(key_item(&checkpoint_key(settings))))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::from_call(CHECKPOINTING, error))?;
        // With a malformed checkpoint, the scan starts from the beginning.
        Ok(response.item.as_ref().and_then(from_item))
    }

    async fn store_scan_checkpoint(
        &self,
        checkpoint: &ScanCheckpoint,
        ttl: Timestamp,
    ) -> Result<(), StoreError> {
        let item = to_item(checkpoint, ttl)
            .map_err(|error| StoreError::new(StoreErrorKind::Rejected, CHECKPOINTING, error))?;
        self.client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .send()
            .await
            .map_err(|error| StoreError::from_call(CHECKPOINTING, error))?;
        Ok(())
    }
}

fn checkpoint_key(settings: &ScanSettings) -> ItemKey {
    let sort = match settings.revoke {
        Some(_) => REVOCATION,
        None => ADOPTION,
    };
    ItemKey {
        partition: PARTITION.to_owned(),
        sort: sort.to_owned(),
    }
}

/// The item of a checkpoint. A segment is `true` if it is done, the last key that was read if it is in
/// progress, and null if it has not started.
fn to_item(checkpoint: &ScanCheckpoint, ttl: Timestamp) -> Result<Item, serde_dynamo::Error> {
    let segments = checkpoint.segments.iter().map(|segment| match segment {
        SegmentProgress::NotStarted => AttributeValue::Null(true),
        SegmentProgress::After(key) => AttributeValue::M(key_item(key)),
        SegmentProgress::Done => AttributeValue::Bool(true),
    });
    let number = |value: &dyn ToString| AttributeValue::N(value.to_string());
    let ScanSettings {
        shards,
        retention,
        adopt,
        revoke,
    } = &checkpoint.settings;
    let mut item = key_item(&checkpoint_key(&checkpoint.settings));
    item.extend(
        [
            (SEGMENTS, AttributeValue::L(segments.collect())),
            (EXAMINED, number(&checkpoint.examined)),
            (KEPT_AT, time(checkpoint.kept_at)),
            (DUE_SHARDS, number(&shards.count())),
            (RETENTION_DAYS, number(&retention.0)),
            (ADOPT, AttributeValue::Bool(*adopt)),
            (REVOKE, serde_dynamo::to_attribute_value(revoke)?),
            (TTL, time(ttl)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    Ok(item)
}

fn from_item(item: &Item) -> Option<ScanCheckpoint> {
    let number = |name: &str| item.get(name)?.as_n().ok();
    let segment = |value: &AttributeValue| {
        if value.is_null() {
            Some(SegmentProgress::NotStarted)
        } else if value.as_bool() == Ok(&true) {
            Some(SegmentProgress::Done)
        } else {
            after(value.as_m().ok()?).map(SegmentProgress::After)
        }
    };
    let segments = item.get(SEGMENTS)?.as_l().ok()?;
    let revoke: Option<Revocation> =
        serde_dynamo::from_attribute_value(item.get(REVOKE)?.clone()).ok()?;
    Some(ScanCheckpoint {
        segments: segments.iter().map(segment).collect::<Option<_>>()?,
        examined: number(EXAMINED)?.parse().ok()?,
        kept_at: Timestamp::parse(number(KEPT_AT)?).ok()?,
        settings: ScanSettings {
            shards: Shards::new(number(DUE_SHARDS)?.parse().ok()?).ok()?,
            retention: Days(number(RETENTION_DAYS)?.parse().ok()?),
            adopt: *item.get(ADOPT)?.as_bool().ok()?,
            revoke,
        },
    })
}

fn after(key: &HashMap<String, AttributeValue>) -> Option<ItemKey> {
    Some(ItemKey {
        partition: key.get(PK)?.as_s().ok()?.clone(),
        sort: key.get(SK)?.as_s().ok()?.clone(),
    })
}
