//! Denials and their log line.

use std::fmt;

use session_domain::DenyReason;
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
