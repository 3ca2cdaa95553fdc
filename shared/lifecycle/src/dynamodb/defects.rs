//! Differences between a table and the one that the functions need, and how to repair them.
//!
//! Pure: it compares descriptions from DynamoDB. The commands contain no double quotes, because the log
//! escapes them.

use std::fmt::Write as _;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, GlobalSecondaryIndexDescription, IndexStatus, KeySchemaElement, KeyType,
    ProjectionType, TableDescription, TableStatus, TimeToLiveDescription, TimeToLiveStatus,
};

use super::item::{DUE_AT, DUE_INDEX, DUE_KEY, PK, SK, TTL};
use crate::ports::{Severity, TableDefect};

/// Maximum length of a table's name.
const NAME_LENGTH: usize = 255;

/// The defect of a table that does not exist.
pub(super) fn missing() -> TableDefect {
    unfit("it does not exist in this account and region: `aws dynamodb list-tables`".to_owned())
}

/// The defects of a table. A description is `None` if it could not be read; it then causes no defect.
pub(super) fn defects(
    name: &str,
    table: Option<&TableDescription>,
    ttl: Option<&TimeToLiveDescription>,
) -> Vec<TableDefect> {
    // DynamoDB does not change a table in such a state, so other defects can wait.
    if let Some(status) = table.and_then(|table| status_defect(name, table.table_status()?)) {
        return vec![status];
    }
    let keys = table.and_then(|table| keys_defect(name, table));
    // Keys cannot be changed: the other commands are for the table that replaces this one.
    let replacement = keys.as_ref().map(|_| replacement(name));
    let index = table.and_then(|table| index_defect(name, table, replacement.is_some()));
    let ttl = ttl.and_then(|ttl| ttl_defect(name, replacement.as_deref(), ttl));
    [keys, index, ttl].into_iter().flatten().collect()
}

fn unfit(text: String) -> TableDefect {
    TableDefect {
        severity: Severity::Unfit,
        text,
    }
}

/// Name of the table that replaces one with wrong keys.
fn replacement(name: &str) -> String {
    const SUFFIX: &str = "-new";
    let length = name.len().min(NAME_LENGTH - SUFFIX.len());
    format!("{}{SUFFIX}", name.get(..length).unwrap_or_default())
}

/// The keys of a table or an index, such as `pk (S, HASH), sk (S, RANGE)`.
fn keys(schema: &[KeySchemaElement], attributes: &[AttributeDefinition]) -> String {
    let key = |key: &KeySchemaElement| {
        let name = key.attribute_name();
        let mut attributes = attributes.iter();
        let attribute = attributes.find(|it| it.attribute_name() == name);
        let kind = attribute.map_or("?", |it| it.attribute_type().as_str());
        format!("{name} ({kind}, {})", key.key_type().as_str())
    };
    schema.iter().map(key).collect::<Vec<_>>().join(", ")
}

/// The keys that a table or an index must have, each with its type.
fn needed_keys([hash, range]: [(&str, &str); 2]) -> String {
    let (hash_key, range_key) = (KeyType::Hash, KeyType::Range);
    format!(
        "{} ({}, {hash_key}), {} ({}, {range_key})",
        hash.0, hash.1, range.0, range.1
    )
}

const TABLE_KEYS: [(&str, &str); 2] = [(PK, "S"), (SK, "S")];
const INDEX_KEYS: [(&str, &str); 2] = [(DUE_KEY, "S"), (DUE_AT, "N")];

fn keys_defect(name: &str, table: &TableDescription) -> Option<TableDefect> {
    let (found, needed) = (
        keys(table.key_schema(), table.attribute_definitions()),
        needed_keys(TABLE_KEYS),
    );
    if found == needed {
        return None;
    }
    let command = format!(
        "aws dynamodb create-table --table-name {} --billing-mode PAY_PER_REQUEST \
         --attribute-definitions {} --key-schema AttributeName={PK},KeyType=HASH \
         AttributeName={SK},KeyType=RANGE --global-secondary-indexes '{}'",
        replacement(name),
        attribute_definitions(),
        index_definition(),
    );
    Some(unfit(format!(
        "its keys are {found} instead of {needed} and cannot be changed; create another table and \
         convert the records (docs/setup/migrate.md): `{command}`"
    )))
}

/// The key attributes of table and index, in the AWS CLI's shorthand syntax.
fn attribute_definitions() -> String {
    let keys = [TABLE_KEYS, INDEX_KEYS].concat();
    let define = |(name, kind)| format!("AttributeName={name},AttributeType={kind}");
    keys.into_iter().map(define).collect::<Vec<_>>().join(" ")
}

/// The index, in the AWS CLI's shorthand syntax.
fn index_definition() -> String {
    format!(
        "IndexName={DUE_INDEX},KeySchema=[{{AttributeName={DUE_KEY},KeyType=HASH}},\
         {{AttributeName={DUE_AT},KeyType=RANGE}}],Projection={{ProjectionType=KEYS_ONLY}}"
    )
}

fn index_defect(name: &str, table: &TableDescription, is_replaced: bool) -> Option<TableDefect> {
    let mut indexes = table.global_secondary_indexes().iter();
    let index = indexes.find(|index| index.index_name() == Some(DUE_INDEX));
    let (problem, commands) = match index {
        None => (
            format!("it has no index {DUE_INDEX}"),
            vec![create_index(name, table)],
        ),
        Some(index) => match (index_difference(index, table), index.index_status()) {
            (Some(difference), _) => (
                format!("its index {DUE_INDEX} has {difference}"),
                vec![delete_index(name), create_index(name, table)],
            ),
            (None, Some(IndexStatus::Deleting)) => (
                format!("its index {DUE_INDEX} is being deleted"),
                vec![show_indexes(name), create_index(name, table)],
            ),
            (None, Some(IndexStatus::Creating)) => (
                format!("its index {DUE_INDEX} is still being created, wait until it is ACTIVE"),
                vec![show_indexes(name)],
            ),
            (None, _) => return None,
        },
    };
    let text = if is_replaced {
        problem
    } else {
        let commands = commands.join("`, then, when it is deleted: `");
        format!("{problem}: `{commands}`")
    };
    let severity = Severity::Index;
    Some(TableDefect { severity, text })
}

/// What is wrong with an index, if anything.
fn index_difference(
    index: &GlobalSecondaryIndexDescription,
    table: &TableDescription,
) -> Option<String> {
    let (found, needed) = (
        keys(index.key_schema(), table.attribute_definitions()),
        needed_keys(INDEX_KEYS),
    );
    if found != needed {
        return Some(format!("the keys {found} instead of {needed}"));
    }
    // A wider projection would work, but each write of a projected attribute would cost more.
    let projection = index.projection().and_then(|it| it.projection_type());
    let projection = projection.filter(|it| **it != ProjectionType::KeysOnly)?;
    Some(format!("the projection {projection} instead of KEYS_ONLY"))
}

fn create_index(name: &str, table: &TableDescription) -> String {
    let mut index = index_definition();
    // In a table with provisioned capacity, an index has its own.
    let provisioned = table.provisioned_throughput();
    let units =
        provisioned.and_then(|it| Some((it.read_capacity_units?, it.write_capacity_units?)));
    if let Some((read @ 1.., write @ 1..)) = units {
        let _ = write!(
            index,
            ",ProvisionedThroughput={{ReadCapacityUnits={read},WriteCapacityUnits={write}}}"
        );
    }
    format!(
        "aws dynamodb update-table --table-name {name} --attribute-definitions {} \
         --global-secondary-index-updates 'Create={{{index}}}'",
        attribute_definitions(),
    )
}

fn delete_index(name: &str) -> String {
    format!(
        "aws dynamodb update-table --table-name {name} \
         --global-secondary-index-updates 'Delete={{IndexName={DUE_INDEX}}}'"
    )
}

fn show_indexes(name: &str) -> String {
    format!(
        "aws dynamodb describe-table --table-name {name} \
         --query 'Table.GlobalSecondaryIndexes[].[IndexName,IndexStatus]'"
    )
}

fn status_defect(name: &str, status: &TableStatus) -> Option<TableDefect> {
    let problem = if *status == TableStatus::Creating {
        "it is still being created or restored, wait until it is ACTIVE"
    } else if *status == TableStatus::Deleting {
        "it is being deleted"
    } else {
        return None;
    };
    let command =
        format!("aws dynamodb describe-table --table-name {name} --query Table.TableStatus");
    Some(unfit(format!("{problem}: `{command}`")))
}

fn ttl_defect(
    name: &str,
    replacement: Option<&str>,
    ttl: &TimeToLiveDescription,
) -> Option<TableDefect> {
    let update = |name: &str, enabled: bool, attribute: &str| {
        format!(
            "`aws dynamodb update-time-to-live --table-name {name} \
             --time-to-live-specification Enabled={enabled},AttributeName={attribute}`"
        )
    };
    let enable = update(replacement.unwrap_or(name), true, TTL);
    let attribute = ttl.attribute_name().unwrap_or_default();
    let is_on = matches!(
        ttl.time_to_live_status(),
        Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
    );
    if is_on && attribute == TTL {
        return None;
    }
    if is_on {
        let disable = match replacement {
            // DynamoDB accepts one change an hour.
            None => format!("{}, then, an hour later: ", update(name, false, attribute)),
            Some(_) => String::new(),
        };
        return Some(unfit(format!(
            "its TTL is on the attribute {attribute} instead of {TTL}: {disable}{enable}"
        )));
    }
    Some(TableDefect {
        severity: Severity::TtlOff,
        text: format!("its TTL is off: {enable}"),
    })
}

#[cfg(test)]
mod tests;
