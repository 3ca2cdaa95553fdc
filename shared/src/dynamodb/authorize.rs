//! The authorizer's one read.

use aws_sdk_dynamodb::types::KeysAndAttributes;

use super::Table;
use super::item::{
    DEACTIVATED_AT, DUE_KEY, EXPIRES_AT, IS_ACTIVE, PK, SK, key_item, read_record, take_key,
};
use crate::domain::{Kind, RecordKey, SessionId, TokenId, UserId};
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
            .projection_expression(
                [PK, SK, IS_ACTIVE, EXPIRES_AT, DEACTIVATED_AT, DUE_KEY].join(","),
            )
            .consistent_read(true);
        let (items, _) = self.batch_get(keys, "looking up a session").await?;
        let mut lookup = Lookup {
            session: None,
            blacklisted: false,
        };
        for item in items {
            match take_key(&mut item.clone())?.kind() {
                Kind::Session => lookup.session = Some(read_record(item, self.shards)?),
                // That the entry is there is enough, whatever else it says.
                Kind::BlacklistedToken => lookup.blacklisted = true,
                Kind::RefreshToken => {}
            }
        }
        Ok(lookup)
    }
}
