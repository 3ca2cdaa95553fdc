//! Lifetime of a session that the authorizer opens, and of a session that is used.

use super::access::ActiveSession;
use super::{Days, Hours, Minutes, Timestamp};

/// Maximum difference between the clocks of two hosts.
const CLOCK_SKEW_SECONDS: i64 = 300;

/// Settings of the authorizer that determine how long sessions live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLifetime {
    /// How long an inactive session is kept.
    pub retention: Days,
    /// Whether the authorizer opens a session that does not exist when a token first names it.
    pub opens_on_first_use: bool,
    /// Maximum time from the authentication of the user, or from `created_at`, to the absolute end of the
    /// session.
    pub max: Option<Hours>,
    /// Time without a request after which a session expires. `None`: requests do not change the
    /// expiry time.
    pub idle: Option<Minutes>,
}

/// Times of a session that is opened at its first use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// Expiry time.
    pub expires_at: Timestamp,
    /// The session's absolute end.
    pub max_expires_at: Timestamp,
    /// When the user authenticated.
    pub auth_time: Timestamp,
}

/// Reason not to open a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotOpened {
    /// The stack does not open sessions.
    #[error("there is no such session")]
    Disabled,
    /// The token does not say when the user authenticated.
    #[error(
        "there is no such session, and the token has no valid time of authentication to open it"
    )]
    NoAuthTime,
    /// The time of authentication is in the future.
    #[error("there is no such session, and the token's time of authentication is in the future")]
    AuthTimeInFuture,
    /// The session would have expired already, or the record of an earlier one may have been deleted.
    #[error(
        "there is no such session, and the user authenticated too long ago to open it (SESSION_MAX_HOURS)"
    )]
    AuthenticatedTooLongAgo,
}

/// Change of a session that is used: its expiry time moves, and its last use is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touch {
    /// Time of the request: the new `last_used_at`.
    pub at: Timestamp,
    /// A session that was used after this time and before `used_until` is not touched again.
    pub used_since: Timestamp,
    /// A later `last_used_at` comes from a wrong clock or a wrong unit, and does not count.
    pub used_until: Timestamp,
    /// The new `expires_at`.
    pub expires_at: Timestamp,
    /// The new `ttl`.
    pub ttl: Timestamp,
    /// The new `due_at`. `None` leaves `due_at` unchanged, because a write to the index costs two more
    /// units: the session is then due too early, and the cleanup repairs the entry.
    pub due_at: Option<Timestamp>,
}

impl SessionLifetime {
    /// A lifetime that only the application determines.
    #[must_use]
    pub const fn of_application(retention: Days) -> Self {
        Self {
            retention,
            opens_on_first_use: false,
            max: None,
            idle: None,
        }
    }

    /// Decides whether a token of a user who authenticated at `auth_time` opens a session at `now`.
    ///
    /// An inactive session must never be opened again. Its record is kept for the retention after its
    /// deactivation, so a token may open a session only for the retention after the authentication, less
    /// a margin for the clocks of the hosts that open, deactivate and delete it.
    ///
    /// # Errors
    ///
    /// The reason not to open it.
    pub fn open(&self, auth_time: Option<Timestamp>, now: Timestamp) -> Result<Opening, NotOpened> {
        let Some(max) = self.max.filter(|_| self.opens_on_first_use) else {
            return Err(NotOpened::Disabled);
        };
        let auth_time = auth_time.ok_or(NotOpened::NoAuthTime)?;
        if auth_time > now.plus(CLOCK_SKEW_SECONDS) {
            return Err(NotOpened::AuthTimeInFuture);
        }
        let max_expires_at = auth_time.plus(max.seconds());
        let last_opening = auth_time
            .plus(self.retention.seconds())
            .minus(3 * CLOCK_SKEW_SECONDS);
        if now >= max_expires_at || now >= last_opening {
            return Err(NotOpened::AuthenticatedTooLongAgo);
        }
        let idle_end = self.idle.map(|idle| now.plus(idle.seconds()));
        Ok(Opening {
            expires_at: idle_end.map_or(max_expires_at, |end| end.min(max_expires_at)),
            max_expires_at,
            auth_time,
        })
    }

    /// The change of a session that is used at `now`. `None` without an idle time, if the session was
    /// touched within the last tenth of it, or if the session's absolute end has passed or is unknown:
    /// there is a maximum lifetime, and neither the end nor the start of the session can be read.
    #[must_use]
    pub fn touch(&self, session: &ActiveSession, now: Timestamp) -> Option<Touch> {
        let idle = self.idle?.seconds();
        let window = idle / 10;
        let used_since = now.minus(window);
        // The clock of another host may be ahead.
        let used_until = now.plus(window.max(CLOCK_SKEW_SECONDS));
        let end = match (session.max_expires_at, self.max) {
            (Some(end), _) => end,
            (None, Some(max)) => session.created_at?.plus(max.seconds()),
            (None, None) => Timestamp::MAX_VALID,
        };
        let expires_after_use = |at: Timestamp| at.plus(idle).min(end);
        // The request that opens a session uses it.
        let opened_at = session
            .created_at
            .filter(|at| session.expires_at == expires_after_use(*at));
        let last_used_at = session.last_used_at.or(opened_at);
        if last_used_at.is_some_and(|at| used_since < at && at < used_until) {
            return None;
        }
        let expires_at = expires_after_use(now);
        (expires_at > now).then(|| Touch {
            at: now,
            used_since,
            used_until,
            expires_at,
            ttl: expires_at.plus(self.retention.seconds()),
            // An entry that is too late would hide the expired session from the cleanup.
            due_at: session
                .due_at
                .filter(|due_at| *due_at > expires_at)
                .map(|_| expires_at),
        })
    }
}

#[cfg(test)]
mod tests;
