//! The authorizer's read: a session and a blacklist entry in one request.

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnConsumedCapacity};

use super::Table;
use super::item::{DUE_KEY, EXPIRES_AT, IS_ACTIVE, Item, PK, SK, key_item, read_keyed, take_key};
use crate::ports::{LookUpSession, SessionLookup, StoreError, StoreErrorKind};
use session_domain::{
    MalformedRecord, RecordKey, RecordState, SessionId, SessionSnapshot, SessionState, TokenId,
    UserId,
};

const READING: &str = "looking up a session";

impl LookUpSession for Table {
    async fn look_up(
        &self,
        user: &UserId,
        session: &SessionId,
        token: Option<&TokenId>,
    ) -> Result<SessionLookup, StoreError> {
        let session = RecordKey::session(user, session);
        let entry = token.map(|token| RecordKey::blacklisted_token(user, token));
        let records = [Some(&session), entry.as_ref()].into_iter().flatten();
        let keys = KeysAndAttributes::builder()
            .set_keys(Some(records.map(|it| key_item(it.item())).collect()))
            .projection_expression([PK, SK, IS_ACTIVE, EXPIRES_AT, DUE_KEY].join(","))
            .consistent_read(true);
        let (items, _) = self
            .batch_get(keys, ReturnConsumedCapacity::None, READING)
            .await?;
        let mut lookup = SessionLookup {
            session: None,
            blacklisted: false,
        };
        for mut item in items {
            let key = take_key(&mut item).map_err(|it| StoreError::malformed(READING, it))?;
            if key == session {
                lookup.session = Some(self.snapshot(key, &item));
            } else if Some(&key) == entry.as_ref() {
                // Its existence is enough; its attributes do not matter.
                lookup.blacklisted = true;
            } else {
                // The response contains an unrelated item, so a missing item proves nothing.
                return Err(StoreError::new(
                    StoreErrorKind::Unavailable,
                    READING,
                    "the response contains another record",
                ));
            }
        }
        Ok(lookup)
    }
}

impl Table {
    fn snapshot(&self, key: RecordKey, item: &Item) -> Result<SessionSnapshot, MalformedRecord> {
        if matches!(item.get(IS_ACTIVE), Some(AttributeValue::Bool(false))) {
            return Ok(SessionSnapshot::Inactive);
        }
        let record = read_keyed(key, item, self.shards)?;
        let shard = record.shard(self.shards);
        match record.state {
            RecordState::Session(SessionState::Active { expires_at }) => {
                Ok(SessionSnapshot::Active { expires_at, shard })
            }
            RecordState::Session(SessionState::Inactive { .. }) | RecordState::Token { .. } => {
                Ok(SessionSnapshot::Inactive)
            }
        }
    }
}
