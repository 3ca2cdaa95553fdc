//! Summary of the imported items.

use std::fmt;

use dynoxide::AttributeValue;
use dynoxide::types::Item;
use session_domain::{ItemKey, Kind};

/// Number of items of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Contents {
    sessions: usize,
    refresh_tokens: usize,
    blacklisted_tokens: usize,
    others: usize,
}

impl Contents {
    /// Counts items by their keys.
    #[must_use]
    pub fn of(items: &[Item]) -> Self {
        let mut contents = Self::default();
        for item in items {
            let part = |name| match item.get(name) {
                Some(AttributeValue::S(part)) => part.clone(),
                _ => String::new(),
            };
            let key = ItemKey {
                partition: part("pk"),
                sort: part("sk"),
            };
            *match key.kind() {
                Some(Kind::Session) => &mut contents.sessions,
                Some(Kind::RefreshToken) => &mut contents.refresh_tokens,
                Some(Kind::BlacklistedToken) => &mut contents.blacklisted_tokens,
                None => &mut contents.others,
            } += 1;
        }
        contents
    }
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sessions,
            refresh_tokens,
            blacklisted_tokens,
            others,
        } = self;
        write!(
            f,
            "{sessions} sessions, {refresh_tokens} refresh tokens, \
             {blacklisted_tokens} blacklisted tokens, {others} other items"
        )
    }
}
