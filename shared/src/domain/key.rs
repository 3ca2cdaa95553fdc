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

    const fn prefix(self) -> &'static str {
        match self {
            Self::Session => "SESSION#",
            Self::RefreshToken => "REFRESH#",
            Self::BlacklistedToken => "BLACKLIST#",
        }
    }
}

const USER: &str = "USER#";

/// The key of a session, a refresh token or a blacklisted token.
///
/// A partition key holds one user id and a sort key one other identifier, each up to its end: a
/// `#` inside an identifier can't lead to another record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RecordKey {
    partition: String,
    sort: String,
    kind: Kind,
}

/// A key that is none of this table's records'.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the key of a session, a refresh token or a blacklisted token")]
pub struct UnknownKey;

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
        Self {
            partition: format!("{USER}{user}"),
            sort: format!("{}{id}", kind.prefix()),
            kind,
        }
    }

    /// Reads a key as the table holds it.
    ///
    /// # Errors
    ///
    /// A key that is not one of these records'.
    pub fn parse(partition: String, sort: String) -> Result<Self, UnknownKey> {
        let kind = Kind::ALL
            .into_iter()
            .find(|kind| sort.len() > kind.prefix().len() && sort.starts_with(kind.prefix()))
            .filter(|_| partition.len() > USER.len() && partition.starts_with(USER))
            .ok_or(UnknownKey)?;
        Ok(Self {
            partition,
            sort,
            kind,
        })
    }

    /// The partition key, `USER#<user id>`.
    #[must_use]
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// The sort key: the kind and the identifier.
    #[must_use]
    pub fn sort(&self) -> &str {
        &self.sort
    }

    /// What the record is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.partition, self.sort)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        let user = UserId::parse("a#SESSION#b").unwrap();
        for key in [
            RecordKey::session(&user, &SessionId::parse("s#1").unwrap()),
            RecordKey::refresh_token(&user, &RefreshTokenHash::of("t")),
            RecordKey::blacklisted_token(&user, &TokenId::parse("j").unwrap()),
        ] {
            let read = RecordKey::parse(key.partition().to_owned(), key.sort().to_owned());
            assert_eq!(read, Ok(key));
        }
    }

    #[test]
    fn other_keys_are_not_taken_for_records() {
        for (partition, sort) in [
            ("CLEANUP", "RUN#2026-01-01T00:00:00.000Z#x"),
            ("USER#", "SESSION#s"),
            ("USER#u", "SESSION#"),
            ("USER#u", "PROFILE"),
            ("user#u", "SESSION#s"),
            ("", ""),
        ] {
            assert_eq!(
                RecordKey::parse(partition.into(), sort.into()),
                Err(UnknownKey)
            );
        }
    }
}
