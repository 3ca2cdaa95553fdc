//! Denials and their log line.

use std::fmt;

use session_domain::{DenyReason, NotOpened};
use session_token::{InvalidToken, TokenRules};

use super::{Deactivation, Decision};
use crate::config::token_setting;

pub(super) fn deny(
    reason: DenyReason,
    why: impl fmt::Display,
    deactivation: Option<Deactivation>,
) -> Decision {
    tracing::info!(reason = %reason, %why, "denied");
    Decision::Deny {
        reason,
        deactivation,
    }
}

/// Denies a token that failed a check. The log names the claim and the setting that the check depends on,
/// and never a value of the token.
pub(super) fn deny_token(why: InvalidToken, rules: &TokenRules) -> Decision {
    let reason = DenyReason::InvalidToken;
    let claim = rules.failed_claim(why);
    let setting = token_setting(why);
    tracing::info!(%reason, %why, claim, setting, "denied");
    Decision::Deny {
        reason,
        deactivation: None,
    }
}

/// Denies a token whose session does not exist and cannot be opened. The log says why.
pub(super) fn deny_unknown_session(why: NotOpened, rules: &TokenRules) -> Decision {
    let reason = DenyReason::SessionNotFound;
    let auth_time = rules.claims.auth_time.as_str();
    let (claim, setting) = match why {
        NotOpened::Disabled => return deny(reason, reason, None),
        NotOpened::NoAuthTime | NotOpened::AuthTimeInFuture => {
            (Some(auth_time), "JWT_AUTH_TIME_CLAIM")
        }
        NotOpened::AuthenticatedTooLongAgo => (Some(auth_time), "SESSION_MAX_HOURS"),
    };
    tracing::info!(%reason, %why, claim, setting, "denied");
    Decision::Deny {
        reason,
        deactivation: None,
    }
}
