//! Check of the table: reads its descriptions from DynamoDB.

use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;

use super::Table;
use super::defects::{defects, missing};
use crate::ports::{CheckTable, StoreError, TableCheck};

impl CheckTable for Table {
    async fn check(&self) -> TableCheck {
        let table = self.client.describe_table().table_name(&self.name);
        let ttl = self.client.describe_time_to_live().table_name(&self.name);
        // Boxed, because the SDK's futures are large.
        let (table, ttl) = tokio::join!(Box::pin(table.send()), Box::pin(ttl.send()));
        let is_missing = table.as_ref().is_err_and(|error| {
            let error = error.as_service_error();
            error.is_some_and(DescribeTableError::is_resource_not_found_exception)
        });
        let mut check = TableCheck {
            table: self.name.clone(),
            defects: Vec::new(),
            errors: Vec::new(),
        };
        if is_missing {
            check.defects.push(missing());
            return check;
        }
        let mut failed = |error| check.errors.push(error);
        let table = match table {
            Ok(response) => response.table,
            Err(error) => {
                failed(StoreError::from_call("describing the table", error));
                None
            }
        };
        let ttl = match ttl {
            Ok(response) => response.time_to_live_description,
            Err(error) => {
                failed(StoreError::from_call("describing the table's TTL", error));
                None
            }
        };
        check.defects = defects(&self.name, table.as_ref(), ttl.as_ref());
        check
    }
}
