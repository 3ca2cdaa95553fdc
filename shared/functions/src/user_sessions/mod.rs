//! Use case of the session service: list the sessions of a user, page by page, and close one of them.

mod cursor;
mod view;

use session_domain::{Session, SessionId, Timestamp, UserId};
use session_lifecycle::ports::SessionStore;
use session_lifecycle::{Sessions, SessionsError, UpdateOutcome};

pub use self::cursor::SessionCursor;
pub use self::view::{SessionPage, SessionView};

/// Which sessions of a user to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionQuery {
    /// Whether sessions that have ended are listed, too.
    pub include_inactive: bool,
    /// Maximum number of sessions.
    pub limit: usize,
    /// The last session of the page before this one.
    pub after: Option<SessionCursor>,
}

/// Lists the sessions of a user at `now`, newest first. `current` is the session of the caller's own token.
///
/// # Errors
///
/// The store fails.
pub async fn list<T: SessionStore>(
    sessions: &Sessions<T>,
    user: &UserId,
    query: &SessionQuery,
    current: Option<&SessionId>,
    now: Timestamp,
) -> Result<SessionPage, SessionsError> {
    let all = sessions.list(user).await?;
    let is_listed = |session: &Session| {
        (query.include_inactive || session.is_live_at(now))
            && query.after.as_ref().is_none_or(|it| it.is_before(session))
    };
    let mut listed = all.iter().filter(|session| is_listed(session)).peekable();
    let page: Vec<_> = listed.by_ref().take(query.limit).collect();
    let last = page.last().filter(|_| listed.peek().is_some());
    Ok(SessionPage {
        next: last.map(|session| SessionCursor::of(session).encode()),
        sessions: page
            .into_iter()
            .map(|session| SessionView::at(session, current, now))
            .collect(),
    })
}

/// A session after the call of [`close`].
#[derive(Debug)]
pub struct Closed {
    /// The session.
    pub session: SessionView,
    /// Whether this call closed it. `false` if it was closed before.
    pub by_this_call: bool,
}

/// Closes a session of a user, who signs out if it is the `current` one. `None` if the user has no such session.
///
/// # Errors
///
/// The store fails.
pub async fn close<T: SessionStore>(
    sessions: &Sessions<T>,
    user: &UserId,
    session: &SessionId,
    current: Option<&SessionId>,
    now: Timestamp,
) -> Result<Option<Closed>, SessionsError> {
    let outcome = if current == Some(session) {
        sessions.logout(user, session, now).await?
    } else {
        sessions.revoke(user, session, now).await?
    };
    // Another writer may have closed it first, with its own reason.
    let found = sessions.get(user, session).await?;
    Ok(found.map(|found| Closed {
        session: SessionView::at(&found, current, now),
        by_this_call: outcome == UpdateOutcome::Updated,
    }))
}
