//! The due index: its entries, lists and shards.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::{RecordKey, Timestamp};

/// Action that a record is due for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Deactivate an active session.
    Deactivate,
    /// Delete the record.
    Delete,
}

/// Entry of a record in the due index, and its `ttl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueEntry {
    /// The action that is due.
    pub action: Action,
    /// `due_at`: the time when the action is due.
    pub at: Timestamp,
    /// `ttl`: the time from which native TTL may delete the record.
    pub ttl: Timestamp,
}

/// A due list: one action and one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DueList {
    /// The action that is due for the records on the list.
    pub action: Action,
    /// The shard of the records.
    pub shard: Shard,
}

/// Value of `due_key`: the partition of the index `due` that a record is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DueKey {
    /// A due list.
    List(DueList),
    /// The malformed records that runs moved off the due lists. They keep their shard.
    Malformed(Shard),
}

impl DueKey {
    /// Parses a `due_key`. `None` if a stack with `shards` does not write this value.
    #[must_use]
    pub fn parse(due_key: &str, shards: Shards) -> Option<Self> {
        let (list, shard) = due_key.split_once('#')?;
        let digits = shard.len() == 2 && shard.bytes().all(|digit| digit.is_ascii_digit());
        let number = shard.parse().ok();
        let shard = Shard(number.filter(|number| digits && *number < shards.0)?);
        let on_list = |action| Self::List(DueList { action, shard });
        match list {
            "deactivate" => Some(on_list(Action::Deactivate)),
            "delete" => Some(on_list(Action::Delete)),
            "malformed" => Some(Self::Malformed(shard)),
            _ => None,
        }
    }

    /// The shard of the record.
    #[must_use]
    pub const fn shard(self) -> Shard {
        match self {
            Self::List(list) => list.shard,
            Self::Malformed(shard) => shard,
        }
    }
}

impl fmt::Display for DueKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(list) => list.fmt(f),
            Self::Malformed(shard) => write!(f, "malformed#{shard}"),
        }
    }
}

impl fmt::Display for DueList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            Action::Deactivate => "deactivate",
            Action::Delete => "delete",
        };
        write!(f, "{action}#{}", self.shard)
    }
}

/// Number of a shard. A record keeps its shard for life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(u8);

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}", self.0)
    }
}

/// Number of shards, 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shards(u8);

/// Error of a number of shards that is not 1 to 100.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the number of shards must be 1 to 100")]
pub struct InvalidShard;

impl Default for Shards {
    fn default() -> Self {
        Self(16)
    }
}

impl Shards {
    /// A number from 1 to 100.
    ///
    /// # Errors
    ///
    /// The number is not 1 to 100.
    pub const fn new(count: u8) -> Result<Self, InvalidShard> {
        if count >= 1 && count <= 100 {
            Ok(Self(count))
        } else {
            Err(InvalidShard)
        }
    }

    /// The number of shards.
    #[must_use]
    pub const fn count(self) -> u8 {
        self.0
    }

    /// All shards, in order.
    pub fn all(self) -> impl Iterator<Item = Shard> {
        (0..self.0).map(Shard)
    }

    /// The shard for a record that has none yet. Any shard is valid. A hash of the key distributes
    /// the records evenly, without random numbers.
    #[must_use]
    pub fn assign(self, key: &RecordKey) -> Shard {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the remainder is below 100"
        )]
        Shard((hasher.finish() % u64::from(self.0)) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_written_due_keys_and_rejects_others() {
        let shards = Shards::new(100).unwrap();
        for shard in shards.all() {
            for action in [Action::Deactivate, Action::Delete] {
                let key = DueKey::List(DueList { action, shard });
                assert_eq!(DueKey::parse(&key.to_string(), shards), Some(key));
            }
            let key = DueKey::Malformed(shard);
            assert_eq!(DueKey::parse(&key.to_string(), shards), Some(key));
            assert_eq!(key.shard(), shard);
        }
        let shards = Shards::new(16).unwrap();
        for stray in [
            "delete#16",
            "delete#99",
            "delete#1",
            "delete#001",
            "delete#+1",
            "Delete#01",
            "delete",
            "",
            "keep#01",
            "malformed#16",
            "delete#01#",
        ] {
            assert_eq!(DueKey::parse(stray, shards), None, "{stray:?}");
        }
    }
}
