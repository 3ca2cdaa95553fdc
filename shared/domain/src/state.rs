//! State of a record: the attributes that decide what happens to it.

use super::{Days, NextAction, RetentionPolicy, Timestamp};

/// State of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// `is_active` is true.
    Active {
        /// Expiry time. The authorizer denies requests from this second on.
        expires_at: Timestamp,
    },
    /// `is_active` is false.
    Inactive {
        /// Time of the deactivation.
        deactivated_at: Timestamp,
    },
}

impl SessionState {
    /// Whether the session is active and expired, and must be deactivated.
    #[must_use]
    pub fn is_expired_at(self, now: Timestamp) -> bool {
        // The retention does not affect deactivations.
        RetentionPolicy::without_grace(Days(0)).next_action(&RecordState::Session(self), now)
            == NextAction::Deactivate
    }
}

/// State of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordState {
    /// A session.
    Session(SessionState),
    /// A refresh token or a blacklisted token.
    Token {
        /// Expiry time. The record has no effect from this second on.
        expires_at: Timestamp,
    },
}

/// Reason of a deactivation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The authorizer validated a token of the session after the session's expiry.
    ExpiredOnValidation,
    /// The cleanup found the session after its expiry.
    ExpiredByCleanup,
    /// The user signed out.
    Logout,
    /// Someone other than the user revoked the session.
    Revoked,
    /// A refresh token was used again after its grace period.
    RefreshReused,
}

impl Reason {
    /// The value of `deactivation_reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ExpiredOnValidation => "expired_on_validation",
            Self::ExpiredByCleanup => "expired_by_cleanup",
            Self::Logout => "logout",
            Self::Revoked => "revoked",
            Self::RefreshReused => "refresh_reused",
        }
    }

    /// Parses a value of `deactivation_reason`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [
            Self::ExpiredOnValidation,
            Self::ExpiredByCleanup,
            Self::Logout,
            Self::Revoked,
            Self::RefreshReused,
        ]
        .into_iter()
        .find(|it| it.as_str() == name)
    }
}
