//! Deactivation of an expired session that the authorizer finds.

use std::time::Duration;

use session_domain::{
    ConditionalWrite, DeactivateIf, Reason, RecordKey, RetentionPolicy, Shard, Timestamp,
};
use session_lifecycle::clock::Deadline;
use session_lifecycle::ports::{
    ApplyWrites, CreateRecords, LookUpSession, Outcome, WithoutRetries,
};
use session_token::Claims;
use tokio::time::sleep;

use super::Authorize;

/// Maximum number of attempts. If all fail, the cleanup deactivates the session.
const MAX_ATTEMPTS: u32 = 2;

/// Delay between two attempts.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// Result of the deactivation of an expired session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deactivation {
    /// This request deactivated the session.
    Done,
    /// Another writer deactivated or refreshed the session first.
    ChangedElsewhere,
    /// The session was not deactivated.
    Failed,
    /// The response was lost. The write may have taken place, or may still do so.
    Unknown,
}

impl<T: LookUpSession + CreateRecords + ApplyWrites + WithoutRetries> Authorize<T> {
    /// Deactivates the expired session of a token, with one retry if there is time.
    pub(super) async fn deactivate(
        &self,
        claims: &Claims,
        shard: Shard,
        now: Timestamp,
        deadline: &Deadline,
    ) -> Deactivation {
        let key = RecordKey::session(&claims.user, &claims.session);
        let session = key.to_string();
        let reason = Reason::ExpiredOnValidation;
        let policy = RetentionPolicy::without_grace(self.lifetime.retention);
        let only_if = DeactivateIf::ExpiredBy(now);
        let write = ConditionalWrite::deactivate(key, shard, &policy, reason, now, only_if);
        let mut lost_response = None;
        for attempt in 1.. {
            match self.write_once(&write, deadline.remaining()).await {
                Outcome::Applied => {
                    tracing::info!(session, "deactivated an expired session");
                    return Deactivation::Done;
                }
                Outcome::Gone | Outcome::ConditionFailed if lost_response.is_none() => {
                    tracing::info!(session, "an expired session was changed elsewhere");
                    return Deactivation::ChangedElsewhere;
                }
                // The attempt whose response was lost may have changed the session.
                Outcome::Gone | Outcome::ConditionFailed => break,
                Outcome::Failed(error) => {
                    let will_retry = error.is_retryable()
                        && attempt < MAX_ATTEMPTS
                        && deadline.remaining() > RETRY_DELAY;
                    if error.outcome_unknown() {
                        lost_response = Some(error);
                    } else if !will_retry && lost_response.is_none() {
                        tracing::error!(
                            session,
                            error = error.error_chain(),
                            "could not deactivate an expired session; the cleanup will"
                        );
                        return Deactivation::Failed;
                    }
                    if !will_retry {
                        break;
                    }
                    sleep(RETRY_DELAY).await;
                }
            }
        }
        tracing::error!(
            session,
            error = lost_response.map(|error| error.error_chain()),
            "whether an expired session was deactivated is unknown; if not, the cleanup will"
        );
        Deactivation::Unknown
    }
}
