//! The authorizer's read: a session and a blacklist entry in one request.

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnConsumedCapacity};

use super::Table;
use super::item::{
    CREATED_AT, DUE_AT, DUE_KEY, EXPIRES_AT, IS_ACTIVE, Item, LAST_USED_AT, MAX_EXPIRES_AT, PK, SK,
    indexed_at, key_item, read_keyed, take_key, valid_time,
};
use crate::ports::{LookUpSession, SessionLookup, StoreError, StoreErrorKind};
use session_domain::{
    ActiveSession, MalformedRecord, RecordKey, RecordState, SessionId, SessionSnapshot,
    SessionState, TokenId, UserId,
};

/// The attributes of a session that a decision uses.
const ATTRIBUTES: [&str; 9] = [
    PK,
    SK,
    IS_ACTIVE,
    EXPIRES_AT,
    DUE_KEY,
    DUE_AT,
    CREATED_AT,
    LAST_USED_AT,
    MAX_EXPIRES_AT,
];

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
            .projection_expression(ATTRIBUTES.join(","))
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
                Ok(SessionSnapshot::Active(ActiveSession {
                    expires_at,
                    shard,
                    created_at: valid_time(item, CREATED_AT),
                    last_used_at: valid_time(item, LAST_USED_AT),
                    max_expires_at: record.max_expires_at,
                    due_at: indexed_at(item),
                }))
            }
            RecordState::Session(SessionState::Inactive { .. }) | RecordState::Token { .. } => {
                Ok(SessionSnapshot::Inactive)
            }
        }
    }
}
