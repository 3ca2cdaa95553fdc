//! The authorizer's one read.

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};

use super::Table;
use super::item::{DUE_KEY, EXPIRES_AT, IS_ACTIVE, Item, PK, SK, key_item, read_keyed, take_key};
use crate::domain::{
    Kind, MalformedRecord, Record, RecordKey, SeenSession, Session, SessionId, TokenId, UserId,
};
use crate::ports::{LookUpSession, Lookup, StoreError};

impl LookUpSession for Table {
    async fn look_up(
        &self,
        user: &UserId,
        session: &SessionId,
        token: &TokenId,
    ) -> Result<Lookup, StoreError> {
        let keys = KeysAndAttributes::builder()
            .keys(key_item(&RecordKey::session(user, session)))
            .keys(key_item(&RecordKey::blacklisted_token(user, token)))
            .projection_expression([PK, SK, IS_ACTIVE, EXPIRES_AT, DUE_KEY].join(","))
            .consistent_read(true);
        let (items, _) = self.batch_get(keys, "looking up a session").await?;
        let mut lookup = Lookup {
            session: None,
            blacklisted: false,
        };
        for mut item in items {
            let key = take_key(&mut item)?;
            match key.kind() {
                Kind::Session => lookup.session = Some(self.seen(key, &item)),
                // That the entry is there is enough, whatever else it says.
                Kind::BlacklistedToken => lookup.blacklisted = true,
                Kind::RefreshToken => {}
            }
        }
        Ok(lookup)
    }
}

impl Table {
    fn seen(&self, key: RecordKey, item: &Item) -> Result<SeenSession, MalformedRecord> {
        if matches!(item.get(IS_ACTIVE), Some(AttributeValue::Bool(false))) {
            return Ok(SeenSession::Inactive);
        }
        let record = read_keyed(key, item, self.shards)?;
        let shard = record.shard(self.shards);
        match record.record {
            Record::Session(Session::Active { expires_at }) => {
                Ok(SeenSession::Active { expires_at, shard })
            }
            Record::Session(Session::Inactive { .. }) | Record::Token { .. } => {
                Ok(SeenSession::Inactive)
            }
        }
    }
}
