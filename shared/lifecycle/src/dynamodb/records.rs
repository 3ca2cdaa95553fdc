//! Creating records.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_dynamodb::types::AttributeValue;

use super::Table;
use super::item::{
    CREATED_AT, EXPIRES_AT, IS_ACTIVE, Item, MAX_EXPIRES_AT, PK, REFRESH_FAMILY_HASH, REFRESH_HASH,
    due_attributes, key_item, text, time,
};
use crate::ports::{CreateRecords, NewRecord, StoreError, StoreErrorKind};
use session_domain::DueEntry;

const CREATING: &str = "creating a record";

impl CreateRecords for Table {
    async fn create(&self, record: &NewRecord, due: &DueEntry) -> Result<bool, StoreError> {
        let key = record.key();
        let shard = self.shards.assign(&key);
        let attributes = attributes(record)
            .into_iter()
            .chain(due_attributes(due, shard));
        let mut item = key_item(key.item());
        item.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
        self.put_new(item).await
    }
}

impl Table {
    /// Stores an item. Returns `false` if its key already exists; the existing item stays unchanged.
    pub(crate) async fn put_new(&self, item: Item) -> Result<bool, StoreError> {
        let result = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .condition_expression(format!("attribute_not_exists({PK})"))
            .send()
            .await;
        match result {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(error))
                if error.err().is_conditional_check_failed_exception() =>
            {
                Ok(false)
            }
            // All but the item is constant: this item is invalid, typically because it is too large.
            Err(SdkError::ServiceError(error))
                if error.err().code() == Some("ValidationException") =>
            {
                let problem = error.err().message().unwrap_or("no message").to_owned();
                Err(StoreError::new(
                    StoreErrorKind::RecordRejected,
                    CREATING,
                    problem,
                ))
            }
            Err(error) => Err(StoreError::from_call(CREATING, error)),
        }
    }
}

/// Attributes of a record, without the key and the index attributes.
fn attributes(record: &NewRecord) -> Vec<(&'static str, AttributeValue)> {
    match record {
        NewRecord::Session { new, created_at } => {
            let texts = [
                ("ip_address", &new.ip_address),
                ("user_agent", &new.user_agent),
                ("client_id", &new.client_id),
            ];
            let texts = texts.map(|(name, value)| (name, value.as_ref().map(text)));
            let hashes = [
                (REFRESH_HASH, &new.refresh_hash),
                (REFRESH_FAMILY_HASH, &new.refresh_family_hash),
            ];
            let hashes =
                hashes.map(|(name, hash)| (name, hash.as_ref().map(|it| text(it.as_str()))));
            let times = [
                ("auth_time", new.auth_time),
                (MAX_EXPIRES_AT, new.max_expires_at),
            ];
            let times = times.map(|(name, value)| (name, value.map(time)));
            let optional = texts.into_iter().chain(times).chain(hashes);
            let optional = optional.filter_map(|(name, value)| Some((name, value?)));
            [
                ("user_id", text(new.user.as_str())),
                ("session_id", text(new.session.as_str())),
                (IS_ACTIVE, AttributeValue::Bool(true)),
                (CREATED_AT, time(*created_at)),
                (EXPIRES_AT, time(new.expires_at)),
            ]
            .into_iter()
            .chain(optional)
            .collect()
        }
        NewRecord::RefreshToken {
            user,
            session,
            token: _,
            expires_at,
        } => vec![
            ("user_id", text(user.as_str())),
            ("session_id", text(session.as_str())),
            (EXPIRES_AT, time(*expires_at)),
        ],
        NewRecord::BlacklistedToken {
            user,
            token,
            expires_at,
        } => vec![
            ("user_id", text(user.as_str())),
            ("jti", text(token.as_str())),
            (EXPIRES_AT, time(*expires_at)),
        ],
    }
}
