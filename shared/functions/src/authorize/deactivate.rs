//! Deactivation of an expired session that the authorizer finds.

use std::sync::OnceLock;
use std::time::Duration;

use session_domain::{
    ConditionalWrite, Days, Reason, RecordKey, RetentionPolicy, Shard, Timestamp,
};
use session_lifecycle::clock::Deadline;
use session_lifecycle::ports::{ApplyWrites, Outcome, StoreError, StoreErrorKind, WithoutRetries};
use tokio::time::{sleep, timeout};

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

/// Deactivates expired sessions.
#[derive(Debug)]
pub(super) struct Deactivator<T> {
    policy: RetentionPolicy,
    /// The table without retries of the SDK. The first write creates it, to keep init short.
    writes: OnceLock<T>,
}

impl<T: ApplyWrites + WithoutRetries> Deactivator<T> {
    pub(super) const fn new(retention: Days) -> Self {
        Self {
            policy: RetentionPolicy::without_grace(retention),
            writes: OnceLock::new(),
        }
    }

    /// Deactivates a session in `table`, with one retry if there is time.
    pub(super) async fn deactivate(
        &self,
        table: &T,
        key: RecordKey,
        shard: Shard,
        now: Timestamp,
        deadline: &Deadline,
    ) -> Deactivation {
        let session = key.to_string();
        let reason = Reason::ExpiredOnValidation;
        let write = ConditionalWrite::deactivate(key, shard, &self.policy, reason, now);
        let mut lost_response = None;
        for attempt in 1.. {
            match self.write_once(table, &write, deadline.remaining()).await {
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

    /// Sends a write once. If the SDK retried it, a lost response would go unnoticed.
    async fn write_once(&self, table: &T, write: &ConditionalWrite, limit: Duration) -> Outcome {
        let unavailable = |problem: &str| {
            let kind = StoreErrorKind::Unavailable;
            Outcome::Failed(StoreError::new(kind, "writing", problem))
        };
        let writes = self.writes.get_or_init(|| table.without_retries());
        match timeout(limit, writes.apply(std::slice::from_ref(write))).await {
            Ok(Ok(outcomes)) => {
                let outcome = outcomes.value.into_iter().next();
                outcome.unwrap_or_else(|| unavailable("the response is empty"))
            }
            Ok(Err(error)) => Outcome::Failed(error),
            Err(_) => unavailable("timed out"),
        }
    }
}
