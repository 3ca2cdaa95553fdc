//! A session, as the API returns it.

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;
use session_domain::{Reason, Session, SessionId, Timestamp};

/// Maximum length of a text in an answer. An item may have 400 KB, and the response of a Lambda function at most
/// 6 MB, with up to 100 sessions.
const MAX_TEXT_CHARS: usize = 1_000;

/// A page of sessions.
#[derive(Debug, Serialize)]
pub struct SessionPage {
    /// The sessions, newest first.
    pub sessions: Vec<SessionView>,
    /// Cursor of the next page. `None` if this is the last one.
    pub next: Option<String>,
}

/// A session, without the hashes of its tokens and without attributes of the application. Times are in
/// RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionView {
    /// Session ID.
    pub session_id: String,
    /// Whether this is the session of the caller's own token. Only among the caller's own sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_current: Option<bool>,
    /// Whether the session is active and has not expired.
    pub is_active: bool,
    /// Time of the login.
    pub created_at: Option<String>,
    /// Expiry time.
    pub expires_at: Option<String>,
    /// The session's absolute end.
    pub max_expires_at: Option<String>,
    /// Time of the last use that was recorded.
    pub last_used_at: Option<String>,
    /// When the session became inactive. `None` if it has expired and is not deactivated yet.
    pub deactivated_at: Option<String>,
    /// Why the session is not active. A session that has expired and is not deactivated yet has the reason
    /// that the cleanup will store.
    pub deactivation_reason: Option<String>,
    /// IP address at login.
    pub ip_address: Option<String>,
    /// User agent at login.
    pub user_agent: Option<String>,
    /// Client that the user signed in with.
    pub client_id: Option<String>,
}

impl SessionView {
    /// A session at `now`. `current` is the session of the caller's token, if the session is the caller's own.
    #[must_use]
    pub fn at(session: &Session, current: Option<&SessionId>, now: Timestamp) -> Self {
        let is_active = session.is_live_at(now);
        let expired = session.is_active && session.expires_at.is_some() && !is_active;
        let expired = expired.then(|| Reason::ExpiredByCleanup.as_str().to_owned());
        Self {
            session_id: session.id.as_str().to_owned(),
            is_current: current.map(|current| session.id == *current),
            is_active,
            created_at: session.created_at.and_then(rfc3339),
            expires_at: session.expires_at.and_then(rfc3339),
            max_expires_at: session.max_expires_at.and_then(rfc3339),
            last_used_at: session.last_used_at.and_then(rfc3339),
            deactivated_at: session.deactivated_at.and_then(rfc3339),
            deactivation_reason: expired.or_else(|| cut(session.deactivation_reason.as_ref())),
            ip_address: cut(session.ip_address.as_ref()),
            user_agent: cut(session.user_agent.as_ref()),
            client_id: cut(session.client_id.as_ref()),
        }
    }
}

/// A text of another writer, cut off at [`MAX_TEXT_CHARS`].
fn cut(text: Option<&String>) -> Option<String> {
    text.map(|text| text.chars().take(MAX_TEXT_CHARS).collect())
}

fn rfc3339(time: Timestamp) -> Option<String> {
    let time = DateTime::from_timestamp(time.seconds(), 0)?;
    Some(time.to_rfc3339_opts(SecondsFormat::Secs, true))
}
