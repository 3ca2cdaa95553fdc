//! The service's description of the table.

use chrono::DateTime;

use super::Table;
use super::item::DUE_INDEX;
use crate::ports::{DescribeTable, StoreError, TableDescription};

impl DescribeTable for Table {
    async fn describe(&self) -> Result<TableDescription, StoreError> {
        let response = self
            .client
            .describe_table()
            .table_name(&self.name)
            .send()
            .await
            .map_err(|error| StoreError::from_call("describing the table", error))?;
        let Some(table) = response.table else {
            return Ok(TableDescription::default());
        };
        let mut indexes = table.global_secondary_indexes().iter();
        let index = indexes.find(|index| index.index_name() == Some(DUE_INDEX));
        Ok(TableDescription {
            // Missing until the service has counted for the first time.
            items: count(table.item_count()).unwrap_or_default(),
            indexed_items: index.and_then(|index| count(index.item_count())),
            created_at: table
                .creation_date_time()
                .and_then(|time| DateTime::from_timestamp(time.secs(), 0)),
        })
    }
}

fn count(items: Option<i64>) -> Option<u64> {
    items?.try_into().ok()
}
