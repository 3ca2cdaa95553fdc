//! Reading and writing the records of a world's table.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Value;
use session_domain::{SessionId, Timestamp, TokenId, UserId};
use session_lifecycle::CreateOutcome;
use session_lifecycle::ports::NewSession;

use super::World;
use crate::clock::{HOUR, NOW};
use crate::items::{Item, item_from, text};

impl World {
    /// Creates a session that expires at `expires_at`.
    pub async fn open(&self, user: &str, session: &str, expires_at: i64) {
        let end = Timestamp::from_seconds(expires_at);
        let new = NewSession::new(user_id(user), session_id(session), end);
        let created_at = Timestamp::from_seconds((expires_at - HOUR).min(NOW));
        let created = self
            .sessions
            .create(new, created_at)
            .await
            .expect("the table accepts it");
        assert_eq!(created, CreateOutcome::Created);
    }

    /// Blacklists a token that expires at `expires_at`. A blacklisted token stays unchanged.
    pub async fn blacklist(&self, user: &str, token: &str, expires_at: i64) {
        let token = TokenId::parse(token).expect("a token id");
        let _ = self
            .sessions
            .blacklist(&user_id(user), &token, Timestamp::from_seconds(expires_at))
            .await
            .expect("the table accepts it");
    }

    /// Stores a refresh token that expires at `expires_at`.
    pub async fn refresh_token(&self, user: &str, token: &str, expires_at: i64) {
        let created = self
            .sessions
            .add_refresh_token(
                &user_id(user),
                &session_id("any"),
                token,
                Timestamp::from_seconds(expires_at),
            )
            .await
            .expect("the table accepts it");
        assert_eq!(created, CreateOutcome::Created);
    }

    /// Stores an item unchanged, as a writer in any language may.
    pub async fn put(&self, item: Value) {
        self.client
            .put_item()
            .table_name(self.table_name())
            .set_item(Some(item_from(&item)))
            .send()
            .await
            .expect("the table accepts it");
    }

    /// The item with this key.
    pub async fn item(&self, pk: &str, sk: &str) -> Option<Item> {
        self.client
            .get_item()
            .table_name(self.table_name())
            .key("pk", AttributeValue::S(pk.to_owned()))
            .key("sk", AttributeValue::S(sk.to_owned()))
            .consistent_read(true)
            .send()
            .await
            .expect("the table responds")
            .item
    }

    /// The item of a session.
    pub async fn session(&self, user: &str, session: &str) -> Option<Item> {
        self.item(&format!("USER#{user}"), &format!("SESSION#{session}"))
            .await
    }

    /// All items of the table.
    pub async fn items(&self) -> Vec<Item> {
        self.client
            .scan()
            .table_name(self.table_name())
            .consistent_read(true)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<_, _>>()
            .await
            .expect("the table responds")
    }

    /// All items of the table except reports, by key.
    pub async fn records(&self) -> Vec<(String, Item)> {
        let mut records: Vec<_> = self
            .items()
            .await
            .into_iter()
            .filter(|item| text(item, "pk") != "CLEANUP")
            .map(|item| (format!("{} {}", text(&item, "pk"), text(&item, "sk")), item))
            .collect();
        records.sort_by(|a, b| a.0.cmp(&b.0));
        records
    }
}

#[must_use]
pub fn user_id(id: &str) -> UserId {
    UserId::parse(id).expect("a user id")
}

#[must_use]
pub fn session_id(id: &str) -> SessionId {
    SessionId::parse(id).expect("a session id")
}
