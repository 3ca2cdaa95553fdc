//! The keys of the table's records.

use std::fmt;

use super::{RefreshTokenHash, SessionId, TokenId, UserId};

/// What a record is, by its sort key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A session.
    Session,
    /// A refresh token, by its hash.
    RefreshToken,
    /// An access token that is refused before its time.
    BlacklistedToken,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Session, Self::RefreshToken, Self::BlacklistedToken];

    /// How its sort key begins.
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

/// The primary key of an item of the table, whatever the item is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ItemKey {
    /// The partition key, `pk`.
    pub partition: String,
    /// The sort key, `sk`.
    pub sort: String,
}

impl ItemKey {
    /// Whether the item is in a user's partition. All other partitions are the stack's own.
    #[must_use]
    pub fn is_of_a_user(&self) -> bool {
        self.partition.len() > USER.len() && self.partition.starts_with(USER)
    }

    /// What the item is, where its key is that of a record.
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

/// The key of a session, a refresh token or a blacklisted token.
///
/// A partition key holds one user id and a sort key one other identifier, each up to its end: a
/// `#` inside an identifier can't lead to another record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RecordKey {
    item: ItemKey,
    kind: Kind,
}

/// A key that is none of this table's records'.
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

    /// Reads a key as the table holds it.
    ///
    /// # Errors
    ///
    /// A key that is not one of these records'.
    pub fn parse(item: ItemKey) -> Result<Self, UnknownKey> {
        match item.kind() {
            Some(kind) => Ok(Self { item, kind }),
            None => Err(UnknownKey(item)),
        }
    }

    /// The key as any item has it.
    #[must_use]
    pub const fn item(&self) -> &ItemKey {
        &self.item
    }

    /// The key as any item has it.
    #[must_use]
    pub fn into_item(self) -> ItemKey {
        self.item
    }

    /// The partition key, `USER#<user id>`.
    #[must_use]
    pub fn partition(&self) -> &str {
        &self.item.partition
    }

    /// The sort key: the kind and the identifier.
    #[must_use]
    pub fn sort(&self) -> &str {
        &self.item.sort
    }

    /// What the record is.
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
