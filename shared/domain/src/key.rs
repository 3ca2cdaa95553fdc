//! Primary keys of records.

use std::fmt;

use super::{RefreshTokenHash, SessionId, TokenId, UserId};

/// Kind of a record, from its sort key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A session.
    Session,
    /// A refresh token, stored as its hash.
    RefreshToken,
    /// A blacklisted token: an access token that is denied before it expires.
    BlacklistedToken,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Session, Self::RefreshToken, Self::BlacklistedToken];

    /// Prefix of the sort key.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Session => "SESSION#",
            Self::RefreshToken => "REFRESH#",
            Self::BlacklistedToken => "BLACKLIST#",
        }
    }
}

const USER: &str = "USER#";

/// Primary key of any item of the table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ItemKey {
    /// The partition key, `pk`.
    pub partition: String,
    /// The sort key, `sk`.
    pub sort: String,
}

impl ItemKey {
    /// Whether the item is in a user's partition. Reports and the checkpoint of an adoption are
    /// not.
    #[must_use]
    pub fn is_of_a_user(&self) -> bool {
        self.partition.len() > USER.len() && self.partition.starts_with(USER)
    }

    /// Kind of the record. `None` if the key does not belong to a record.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| {
            let prefix = kind.prefix();
            self.is_of_a_user() && self.sort.len() > prefix.len() && self.sort.starts_with(prefix)
        })
    }
}

impl fmt::Display for ItemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.partition, self.sort)
    }
}

/// Primary key of a session, a refresh token or a blacklisted token.
///
/// A partition key contains one user ID, and a sort key one other ID. Each ID ends where the key
/// ends, so an ID that contains `#` cannot form the key of another record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RecordKey {
    item: ItemKey,
    kind: Kind,
}

/// Error of a key that does not belong to a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the key of a session, a refresh token or a blacklisted token")]
pub struct UnknownKey(pub ItemKey);

impl RecordKey {
    /// The key of a user's session.
    #[must_use]
    pub fn session(user: &UserId, session: &SessionId) -> Self {
        Self::new(user, Kind::Session, session.as_str())
    }

    /// The key of a user's refresh token.
    #[must_use]
    pub fn refresh_token(user: &UserId, token: &RefreshTokenHash) -> Self {
        Self::new(user, Kind::RefreshToken, token.as_str())
    }

    /// The key of a user's blacklisted token.
    #[must_use]
    pub fn blacklisted_token(user: &UserId, token: &TokenId) -> Self {
        Self::new(user, Kind::BlacklistedToken, token.as_str())
    }

    fn new(user: &UserId, kind: Kind, id: &str) -> Self {
        let item = ItemKey {
            partition: format!("{USER}{user}"),
            sort: format!("{}{id}", kind.prefix()),
        };
        Self { item, kind }
    }

    /// Parses a stored key.
    ///
    /// # Errors
    ///
    /// The key does not belong to a record.
    pub fn parse(item: ItemKey) -> Result<Self, UnknownKey> {
        match item.kind() {
            Some(kind) => Ok(Self { item, kind }),
            None => Err(UnknownKey(item)),
        }
    }

    /// The key as an [`ItemKey`].
    #[must_use]
    pub const fn item(&self) -> &ItemKey {
        &self.item
    }

    /// Converts the key into an [`ItemKey`].
    #[must_use]
    pub fn into_item(self) -> ItemKey {
        self.item
    }

    /// The partition key, `USER#<user id>`.
    #[must_use]
    pub fn partition(&self) -> &str {
        &self.item.partition
    }

    /// The sort key: the prefix of the kind, and the ID.
    #[must_use]
    pub fn sort(&self) -> &str {
        &self.item.sort
    }

    /// Kind of the record.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.item.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_record_keys_that_it_wrote() {
        let user = UserId::parse("a#SESSION#b").unwrap();
        for key in [
            RecordKey::session(&user, &SessionId::parse("s#1").unwrap()),
            RecordKey::refresh_token(&user, &RefreshTokenHash::of("t")),
            RecordKey::blacklisted_token(&user, &TokenId::parse("j").unwrap()),
        ] {
            assert_eq!(RecordKey::parse(key.item().clone()), Ok(key));
        }
    }

    #[test]
    fn rejects_keys_of_other_items() {
        for (partition, sort) in [
            ("CLEANUP", "RUN#2026-01-01T00:00:00.000Z#x"),
            ("USER#", "SESSION#s"),
            ("USER#u", "SESSION#"),
            ("USER#u", "PROFILE"),
            ("user#u", "SESSION#s"),
            ("", ""),
        ] {
            let key = ItemKey {
                partition: partition.into(),
                sort: sort.into(),
            };
            assert_eq!(RecordKey::parse(key.clone()), Err(UnknownKey(key)));
        }
    }
}
