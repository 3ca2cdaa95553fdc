//! Pages and counts of the due index.

use std::sync::atomic::Ordering;

use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{ConsumedCapacity, ReturnConsumedCapacity, Select};

use super::item::{
    DUE_AT, DUE_INDEX, DUE_KEY, Item, PK, SK, due_at, item_key, take_key, text, time,
};
use super::{Table, items, metered};
use crate::ports::{
    CountRecords, DuePage, DueRange, MalformedPage, Metered, PageToken, ReadDueList, StoreError,
};
use session_domain::{DueKey, DueList, Kind, Shard, Timestamp};

const READING: &str = "reading the due list";
const COUNTING: &str = "counting records";

/// Maximum number of entries per page, of about 130 bytes each. Large enough that rounding up to the
/// next half read unit is negligible, small enough to keep memory flat.
const PAGE: i32 = 1_000;

/// Maximum number of entries per page that is only counted. DynamoDB ends a page at 1 MB, which is
/// about 8,700 entries if IDs are UUIDs. The limit prevents an emulator that reads ahead up to the
/// limit from reading more than it returns.
const COUNTED_PAGE: i32 = 10_000;

/// Maximum number of entries that are searched for the oldest session of a list.
const OLDEST_PAGE: i32 = 25;

impl Table {
    /// A query for a part of the index.
    fn query_due(&self, due_key: DueKey, range: DueRange) -> QueryFluentBuilder {
        let query = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(DUE_INDEX)
            .expression_attribute_values(":list", text(due_key.to_string()));
        let (comparison, bound) = match range {
            DueRange::DueBy(bound) => ("<=", bound),
            DueRange::DueAfter(bound) => (">", bound),
            DueRange::All => return query.key_condition_expression(format!("{DUE_KEY} = :list")),
        };
        query
            .key_condition_expression(format!(
                "{DUE_KEY} = :list AND {DUE_AT} {comparison} :bound"
            ))
            .expression_attribute_values(":bound", time(bound))
    }

    /// Reads a page of a part of the index.
    async fn index_page(
        &self,
        due_key: DueKey,
        range: DueRange,
        start_after: Option<PageToken<Item>>,
    ) -> Result<IndexPage, StoreError> {
        let response = self
            .query_due(due_key, range)
            .set_exclusive_start_key(start_after.map(|token| token.0))
            .limit(PAGE)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| StoreError::from_call(READING, error))?;
        Ok(IndexPage {
            entries: items(response.items, READING)?,
            next: response.last_evaluated_key.map(PageToken),
            consumed: response.consumed_capacity,
        })
    }

    /// Counts page by page. `of_page` returns the count of one page.
    async fn count_pages(
        mut query: QueryFluentBuilder,
        of_page: impl Fn(QueryOutput) -> Result<u64, StoreError>,
    ) -> Result<u64, CountError> {
        let mut total = 0;
        loop {
            let mut response = query.clone().send().await.map_err(|error| CountError {
                is_invalid: error.code() == Some("ValidationException"),
                error: StoreError::from_call(COUNTING, error),
            })?;
            let next = response.last_evaluated_key.take();
            total += of_page(response).map_err(|error| CountError {
                is_invalid: false,
                error,
            })?;
            if next.is_none() {
                return Ok(total);
            }
            query = query.set_exclusive_start_key(next);
        }
    }
}

/// Error of a count.
struct CountError {
    /// Whether the service rejected the request as invalid.
    is_invalid: bool,
    error: StoreError,
}

/// A page of the due index.
struct IndexPage {
    entries: Vec<Item>,
    next: Option<PageToken<Item>>,
    consumed: Option<ConsumedCapacity>,
}

impl ReadDueList for Table {
    type LastKey = Item;

    async fn due_page(
        &self,
        list: DueList,
        cutoff: Timestamp,
        start_after: Option<PageToken<Item>>,
    ) -> Result<Metered<DuePage<Item>>, StoreError> {
        let page = self
            .index_page(DueKey::List(list), DueRange::DueBy(cutoff), start_after)
            .await?;
        let mut due = DuePage {
            keys: Vec::with_capacity(page.entries.len()),
            malformed: Vec::new(),
            oldest: oldest_session(&page.entries),
            next: page.next,
        };
        for mut entry in page.entries {
            match take_key(&mut entry) {
                Ok(key) => due.keys.push(key),
                Err(malformed) => due.malformed.push(malformed),
            }
        }
        Ok(metered(due, page.consumed.as_slice()))
    }

    async fn malformed_page(
        &self,
        shard: Shard,
        start_after: Option<PageToken<Item>>,
    ) -> Result<Metered<MalformedPage<Item>>, StoreError> {
        let page = self
            .index_page(DueKey::Malformed(shard), DueRange::All, start_after)
            .await?;
        let malformed = MalformedPage {
            keys: page.entries.iter().map(item_key).collect(),
            next: page.next,
        };
        Ok(metered(malformed, page.consumed.as_slice()))
    }
}

impl CountRecords for Table {
    async fn count(&self, due_key: DueKey, range: DueRange) -> Result<u64, StoreError> {
        let query = self.query_due(due_key, range).limit(COUNTED_PAGE);
        let by_service = |query: QueryFluentBuilder| {
            Self::count_pages(query.select(Select::Count), |response| {
                Ok(u64::try_from(response.count).unwrap_or_default())
            })
        };
        if let DueKey::Malformed(_) = due_key {
            return by_service(query).await.map_err(|failed| failed.error);
        }
        // Tokens and other items are on the lists, too. Only sessions are counted.
        if self.filters_index.load(Ordering::Relaxed) {
            let filtered = query
                .clone()
                .filter_expression(format!(
                    "begins_with({PK}, :user) AND begins_with({SK}, :session)"
                ))
                .expression_attribute_values(":user", text("USER#"))
                .expression_attribute_values(":session", text(Kind::Session.prefix()));
            match by_service(filtered).await {
                // The filter uses the table's key, which is in the index but is not the index's key.
                // If the service rejects that, read the keys and count them here.
                Err(failed) if failed.is_invalid => {
                    let error = failed.error.error_chain();
                    tracing::warn!(error, "the index cannot be filtered; counting its keys");
                    self.filters_index.store(false, Ordering::Relaxed);
                }
                counted => return counted.map_err(|failed| failed.error),
            }
        }
        let keys = query.projection_expression([PK, SK].join(","));
        Self::count_pages(keys, |response| {
            let entries = items(response.items, COUNTING)?;
            let keys = entries.iter().map(item_key);
            Ok(keys.filter(|key| key.kind() == Some(Kind::Session)).count() as u64)
        })
        .await
        .map_err(|failed| failed.error)
    }

    async fn oldest(&self, list: DueList) -> Result<Option<Timestamp>, StoreError> {
        let response = self
            .query_due(DueKey::List(list), DueRange::All)
            .limit(OLDEST_PAGE)
            .send()
            .await
            .map_err(|error| StoreError::from_call(COUNTING, error))?;
        Ok(oldest_session(response.items()))
    }
}

/// When the first session among these entries is due. Other entries are ignored.
fn oldest_session(entries: &[Item]) -> Option<Timestamp> {
    let is_session = |entry: &&Item| item_key(entry).kind() == Some(Kind::Session);
    entries.iter().find(is_session).and_then(due_at)
}
