//! Counting sessions on the work list.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::Select;

use super::Table;
use super::item::{DUE_INDEX, DUE_KEY, SK, due_at, text, time};
use crate::domain::{DueList, Timestamp};
use crate::ports::{CountSessions, StoreError, Window};

const WHAT: &str = "counting sessions";

/// The most entries of a page. DynamoDB ends a page at 1 MB in any case, which is some 8,700 entries
/// where ids are UUIDs; a store that reads ahead as far as it may does not read for nothing.
const PAGE: i32 = 10_000;

impl Table {
    fn query_list(&self, list: DueList, window: Window) -> QueryFluentBuilder {
        let query = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(DUE_INDEX)
            .expression_attribute_values(":list", text(list.to_string()));
        let (comparison, bound) = match window {
            Window::DueBy(bound) => (" AND due_at <= :bound", Some(bound)),
            Window::DueAfter(bound) => (" AND due_at > :bound", Some(bound)),
            Window::All => ("", None),
        };
        let query = query.key_condition_expression(format!("{DUE_KEY} = :list{comparison}"));
        match bound {
            Some(bound) => query.expression_attribute_values(":bound", time(bound)),
            None => query,
        }
    }
}

impl CountSessions for Table {
    async fn count(&self, list: DueList, window: Window) -> Result<u64, StoreError> {
        let mut query = self
            .query_list(list, window)
            .select(Select::Count)
            .limit(PAGE)
            // Tokens stand on the lists too; only sessions count.
            .filter_expression(format!("begins_with({SK}, :session)"))
            .expression_attribute_values(":session", text("SESSION#"));
        let mut total = 0;
        loop {
            let answer = query
                .clone()
                .send()
                .await
                .map_err(|error| StoreError::from_call(WHAT, error))?;
            total += u64::try_from(answer.count).unwrap_or_default();
            if answer.last_evaluated_key.is_none() {
                return Ok(total);
            }
            query = query.set_exclusive_start_key(answer.last_evaluated_key);
        }
    }

    async fn oldest(&self, list: DueList) -> Result<Option<Timestamp>, StoreError> {
        let answer = self
            .query_list(list, Window::All)
            .limit(1)
            .send()
            .await
            .map_err(|error| StoreError::from_call(WHAT, error))?;
        Ok(answer.items().first().and_then(due_at))
    }
}
