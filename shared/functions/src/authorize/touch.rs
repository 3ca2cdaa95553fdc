//! Idle time: a request moves the expiry time of its session.

use std::time::Duration;

use session_domain::{ActiveSession, ConditionalWrite, RecordKey, Timestamp};
use session_lifecycle::clock::Deadline;
use session_lifecycle::ports::{
    ApplyWrites, CreateRecords, LookUpSession, Outcome, WithoutRetries,
};
use session_token::Claims;

use super::Authorize;

/// Maximum time to wait for the write. The request is allowed whether it succeeds or not.
const LIMIT: Duration = Duration::from_secs(1);

impl<T: LookUpSession + CreateRecords + ApplyWrites + WithoutRetries> Authorize<T> {
    /// Records the use of a session, at most once per tenth of the idle time. After an error, the next
    /// request tries again.
    pub(super) async fn touch(
        &self,
        claims: &Claims,
        session: &ActiveSession,
        now: Timestamp,
        deadline: &Deadline,
    ) {
        let Some(touch) = self.lifetime.touch(session, now) else {
            return;
        };
        let key = RecordKey::session(&claims.user, &claims.session);
        let session = key.to_string();
        let write = ConditionalWrite::touch(key, touch);
        let limit = deadline.remaining().min(LIMIT);
        match self.write_once(&write, limit).await {
            Outcome::Applied => tracing::debug!(session, "recorded the use of a session"),
            // Another request has recorded it, or the session was deactivated meanwhile.
            Outcome::ConditionFailed | Outcome::Gone => {
                tracing::debug!(session, "the session was changed elsewhere");
            }
            Outcome::Failed(error) => tracing::warn!(
                session,
                error = error.error_chain(),
                "could not record the use of a session; the next request will"
            ),
        }
    }
}
