//! Conversion of session tables of another shape. No I/O.
//!
//! A [`Layout`] says what the attributes of the other table mean. Some session stores have a preset;
//! for any other table, write a small JSON document. [`Layout::convert`] converts one item,
//! and [`Sessions::import`](crate::Sessions::import) writes the session, unless the table already has
//! it.
//!
//! ```
//! use std::collections::HashMap;
//!
//! use aws_sdk_dynamodb::types::AttributeValue;
//! use session_lifecycle::migrate::{Conversion, Layout};
//! use session_lifecycle::{Days, Shards, Timestamp};
//!
//! let layout = Layout::parse(
//!     r#"{
//!         "session_id": {"attribute": "sid"},
//!         "user_id": {"attribute": "owner"},
//!         "expires_at": {"attribute": "valid_until", "unit": "ms"}
//!     }"#,
//! )?;
//! let item = HashMap::from([
//!     ("sid".to_owned(), AttributeValue::S("s-1".to_owned())),
//!     ("owner".to_owned(), AttributeValue::S("ann".to_owned())),
//!     ("valid_until".to_owned(), AttributeValue::N("1800028800000".to_owned())),
//! ]);
//! let now = Timestamp::from_seconds(1_800_000_000);
//! let Conversion::Session(session) = layout.convert(&item, now)? else {
//!     panic!("this layout converts every item");
//! };
//! let converted = session.item(Days(30), Shards::default());
//! assert_eq!(converted["pk"], AttributeValue::S("USER#ann".to_owned()));
//! assert_eq!(converted["due_at"], AttributeValue::N("1800028800".to_owned()));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! Attributes are mapped, not copied: an old expiry next to `expires_at` would become stale, and the
//! data of the other store is often large or secret. `keep` names the attributes that the application
//! still needs.
//!
//! In a store for cookies, anyone who knows a session ID may be able to use the session. The presets keep
//! the ID as it is: it is in the record's key, which log lines and reports may name. With
//! `"hash": "sha256"` in `session_id`, the session has the hash of the ID instead, and the application
//! hashes the ID in the cookie to find the session.

mod layout;
mod source;
#[cfg(test)]
mod tests;
mod time;
mod value;

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use session_domain::{
    Days, Reason, RecordKey, RecordState, RetentionPolicy, SessionId, SessionState, Shards,
    Timestamp, UserId,
};

use self::layout::TimeSource;
pub use self::layout::{InvalidLayout, Layout};
pub use self::source::AttributePath;
use super::item::{
    CREATED_AT, DEACTIVATED_AT, DEACTIVATION_REASON, EXPIRES_AT, IS_ACTIVE, Item, LAST_USED_AT,
    MAX_EXPIRES_AT, due_attributes, key_item, text, time,
};

/// What an item of the other table is.
#[derive(Debug, Clone, PartialEq)]
pub enum Conversion {
    /// A session.
    Session(Box<ConvertedSession>),
    /// Something else: the item does not have the attributes that the layout's `only` requires.
    NotASession,
}

/// An item that cannot become a session: the attribute, and what is wrong with it, never its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the attribute {attribute} is {problem}")]
pub struct Unconvertible {
    /// The attribute of the other table, as in `expires`, or in `sess at /passport/user`.
    pub attribute: String,
    /// What is wrong.
    pub problem: String,
}

/// A session that was converted from an item of another table.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvertedSession {
    user: UserId,
    session: SessionId,
    created_at: Timestamp,
    expires_at: Timestamp,
    ended: Option<(Timestamp, Reason)>,
    optional: Vec<(&'static str, AttributeValue)>,
    kept: Item,
}

impl Layout {
    /// Converts an item of the other table, at the time `now`.
    ///
    /// An active session stays active even if it has expired: the next cleanup deactivates it, as
    /// it does with all others.
    ///
    /// # Errors
    ///
    /// The session has no user ID, no session ID or no expiry time, or an attribute is not what the
    /// layout says.
    pub fn convert(
        &self,
        item: &HashMap<String, AttributeValue>,
        now: Timestamp,
    ) -> Result<Conversion, Unconvertible> {
        if !self
            .only
            .iter()
            .all(|(name, expected)| expected.is_met_by(item.get(name)))
        {
            return Ok(Conversion::NotASession);
        }
        let time_of = |source: &Option<TimeSource>| match source {
            Some(source) => source.read(item),
            None => Ok(None),
        };
        let session = self.session_id.require(item, SessionId::parse)?;
        let user = self.user_id.require(item, UserId::parse)?;
        let created_at = time_of(&self.created_at)?;
        let max_expires_at = time_of(&self.max_expires_at)?;
        let lifetime = self.expires_at.default_lifetime_seconds;
        let expires_at = match (self.expires_at.read(item)?, lifetime) {
            (Some(expires_at), _) => expires_at,
            (None, Some(lifetime)) => created_at.unwrap_or(now).plus(lifetime.into()),
            (None, None) => return Err(self.expires_at.missing()),
        };
        let expires_at = expires_at.min(max_expires_at.unwrap_or(Timestamp::MAX_VALID));
        let ended = self.ended(item, now)?;
        let mut optional = Vec::new();
        for (name, source) in [
            ("ip_address", &self.ip_address),
            ("user_agent", &self.user_agent),
            ("client_id", &self.client_id),
        ] {
            if let Some(value) = source.as_ref().map_or(Ok(None), |it| it.read(item))? {
                optional.push((name, text(value)));
            }
        }
        for (name, value) in [
            ("auth_time", time_of(&self.auth_time)?),
            (LAST_USED_AT, time_of(&self.last_used_at)?),
            (MAX_EXPIRES_AT, max_expires_at),
        ] {
            optional.extend(value.map(|value| (name, time(value))));
        }
        let kept = self.keep.iter().filter_map(|name| item.get_key_value(name));
        Ok(Conversion::Session(Box::new(ConvertedSession {
            user,
            session,
            created_at: created_at.unwrap_or_else(|| now.min(expires_at)),
            expires_at,
            ended,
            optional,
            kept: kept
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        })))
    }

    /// The preset whose sessions look like this item, if there is one.
    #[must_use]
    pub fn recognize(item: &HashMap<String, AttributeValue>) -> Option<&'static str> {
        let fits = |layout: Self| {
            let id = layout.session_id.read(item);
            matches!(id, Ok(Some(_)))
                && item.contains_key(&layout.user_id.attribute)
                && item.contains_key(&layout.expires_at.attribute)
                && layout
                    .only
                    .iter()
                    .all(|(name, expected)| expected.is_met_by(item.get(name)))
        };
        let mut presets = Self::PRESETS.into_iter().map(|(name, _)| name);
        presets.find(|name| Self::preset(name).is_some_and(fits))
    }
}

impl ConvertedSession {
    /// Owner of the session.
    #[must_use]
    pub const fn user(&self) -> &UserId {
        &self.user
    }

    /// Session ID.
    #[must_use]
    pub const fn session(&self) -> &SessionId {
        &self.session
    }

    /// Primary key of the record.
    #[must_use]
    pub fn key(&self) -> RecordKey {
        RecordKey::session(&self.user, &self.session)
    }

    /// Whether the session was not deactivated. It may have expired.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.ended.is_none()
    }

    /// State of the session.
    #[must_use]
    pub const fn state(&self) -> SessionState {
        match self.ended {
            None => SessionState::Active {
                expires_at: self.expires_at,
            },
            Some((deactivated_at, _)) => SessionState::Inactive { deactivated_at },
        }
    }

    /// The item of this session in a stack with these settings.
    #[must_use]
    pub fn item(&self, retention: Days, shards: Shards) -> HashMap<String, AttributeValue> {
        let key = self.key();
        let policy = RetentionPolicy::without_grace(retention);
        let due = policy.due_entry(&RecordState::Session(self.state()));
        let own = [
            ("user_id", text(self.user.as_str())),
            ("session_id", text(self.session.as_str())),
            (IS_ACTIVE, AttributeValue::Bool(self.is_active())),
            (CREATED_AT, time(self.created_at)),
            (EXPIRES_AT, time(self.expires_at)),
        ];
        let end = self.ended.into_iter().flat_map(|(at, reason)| {
            [
                (DEACTIVATED_AT, time(at)),
                (DEACTIVATION_REASON, text(reason.as_str())),
            ]
        });
        let ours = own
            .into_iter()
            .chain(end)
            .chain(self.optional.iter().cloned());
        let mut item = self.kept.clone();
        item.extend(key_item(key.item()));
        item.extend(
            ours.chain(due_attributes(&due, shards.assign(&key)))
                .map(|(name, value)| (name.to_owned(), value)),
        );
        item
    }
}
