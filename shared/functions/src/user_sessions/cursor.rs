//! Cursor of a list of sessions.

use std::cmp::Reverse;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use session_domain::{Session, SessionId, Timestamp};

/// The position of a session in the list of its user's sessions, newest first. It stays valid if sessions
/// are created, closed or deleted between two pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionCursor {
    created_at: Option<Timestamp>,
    id: SessionId,
}

impl SessionCursor {
    /// The position of a session.
    #[must_use]
    pub fn of(session: &Session) -> Self {
        Self {
            created_at: session.created_at,
            id: session.id.clone(),
        }
    }

    /// Whether `session` is after this position, in the order of [`Sessions::list`].
    ///
    /// [`Sessions::list`]: session_lifecycle::Sessions::list
    #[must_use]
    pub fn is_before(&self, session: &Session) -> bool {
        let position = (Reverse(self.created_at), self.id.as_str());
        position < (Reverse(session.created_at), session.id.as_str())
    }

    /// The cursor for the API: base64url, so that it is opaque to callers and safe in URLs.
    #[must_use]
    pub fn encode(&self) -> String {
        let created_at = self.created_at.map(|it| it.to_string());
        let (created_at, id) = (created_at.unwrap_or_default(), &self.id);
        URL_SAFE_NO_PAD.encode(format!("{created_at}#{id}"))
    }

    /// Decodes a cursor that an earlier page returned.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (created_at, id) = text.split_once('#')?;
        let created_at = match created_at {
            "" => None,
            seconds => Some(Timestamp::from_seconds(seconds.parse().ok()?)),
        };
        let id = SessionId::parse(id).ok()?;
        Some(Self { created_at, id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_is_the_same_after_encoding_and_decoding() {
        for created_at in [None, Some(Timestamp::from_seconds(1_800_000_000))] {
            let id = SessionId::parse("a#b/ü").unwrap();
            let cursor = SessionCursor { created_at, id };
            assert_eq!(SessionCursor::decode(&cursor.encode()), Some(cursor));
        }
    }

    #[test]
    fn rejects_text_that_is_not_a_cursor() {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        for wrong in ["", "?", &encode("7"), &encode("x#id"), &encode("7#")] {
            assert_eq!(SessionCursor::decode(wrong), None, "{wrong}");
        }
    }
}
