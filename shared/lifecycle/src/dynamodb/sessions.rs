//! Reading sessions with all their attributes.

use aws_sdk_dynamodb::types::AttributeValue;

use super::item::{
    CREATED_AT, DEACTIVATED_AT, DEACTIVATION_REASON, DUE_KEY, EXPIRES_AT, IS_ACTIVE, Item,
    LAST_USED_AT, PK, REFRESH_FAMILY_HASH, REFRESH_HASH, REFRESH_PREVIOUS_HASH, REFRESH_ROTATED_AT,
    REFRESH_SALT, SK, absolute_end, indexed_at, key_item, take_key, text, valid_time,
};
use super::{Table, items};
use crate::ports::{ReadSessions, StoreError};
use session_domain::{
    DueKey, Kind, RecordKey, RefreshSalt, RefreshState, RefreshTokenHash, Rotation, Session,
    SessionId, Shards, UserId,
};

const READING: &str = "reading a session";
const LISTING: &str = "listing sessions";

impl ReadSessions for Table {
    async fn session(
        &self,
        user: &UserId,
        session: &SessionId,
    ) -> Result<Option<Session>, StoreError> {
        let key = RecordKey::session(user, session);
        let response = self
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(key_item(key.item())))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::from_call(READING, error))?;
        let item = response.item;
        Ok(item.map(|item| read_session(user.clone(), session.clone(), &key, &item, self.shards)))
    }

    async fn sessions_of(&self, user: &UserId) -> Result<Vec<Session>, StoreError> {
        let partition = format!("USER#{user}");
        let mut sessions = Vec::new();
        let mut start = None;
        loop {
            let page = self
                .client
                .query()
                .table_name(&self.name)
                .consistent_read(true)
                .key_condition_expression(format!("{PK} = :user AND begins_with({SK}, :session)"))
                .expression_attribute_values(":user", text(&partition))
                .expression_attribute_values(":session", text(Kind::Session.prefix()))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| StoreError::from_call(LISTING, error))?;
            for mut item in items(page.items, LISTING)? {
                // The sort key of another item may begin like that of a session, as in "SESSION#".
                let Ok(key) = take_key(&mut item) else {
                    continue;
                };
                let id = key.item().sort.get(Kind::Session.prefix().len()..);
                if let Some(Ok(id)) = id.map(SessionId::parse) {
                    sessions.push(read_session(user.clone(), id, &key, &item, self.shards));
                }
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(sessions);
            }
        }
    }
}

fn read_session(
    user: UserId,
    id: SessionId,
    key: &RecordKey,
    item: &Item,
    shards: Shards,
) -> Session {
    let string = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
    let due_key = string(DUE_KEY).and_then(|due_key| DueKey::parse(due_key, shards));
    Session {
        user,
        id,
        is_active: matches!(item.get(IS_ACTIVE), Some(AttributeValue::Bool(true))),
        created_at: valid_time(item, CREATED_AT),
        expires_at: valid_time(item, EXPIRES_AT),
        max_expires_at: absolute_end(item),
        last_used_at: valid_time(item, LAST_USED_AT),
        deactivated_at: valid_time(item, DEACTIVATED_AT),
        deactivation_reason: string(DEACTIVATION_REASON).cloned(),
        ip_address: string("ip_address").cloned(),
        user_agent: string("user_agent").cloned(),
        client_id: string("client_id").cloned(),
        refresh: read_refresh_state(item),
        shard: due_key.map_or_else(|| shards.assign(key), DueKey::shard),
        due_at: indexed_at(item),
    }
}

fn read_refresh_state(item: &Item) -> Option<RefreshState> {
    let string = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
    let hash = |name: &str| string(name).and_then(|hash| RefreshTokenHash::parse(hash));
    let last = hash(REFRESH_PREVIOUS_HASH).and_then(|used| {
        Some(Rotation {
            used,
            at: valid_time(item, REFRESH_ROTATED_AT)?,
            salt: string(REFRESH_SALT).and_then(|salt| RefreshSalt::parse(salt)),
        })
    });
    Some(RefreshState {
        current: hash(REFRESH_HASH)?,
        last,
        family: hash(REFRESH_FAMILY_HASH),
    })
}
