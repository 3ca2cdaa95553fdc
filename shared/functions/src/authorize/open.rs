//! Opening of a session that does not exist, when a token first names it.

use session_domain::{NotOpened, RecordState, RetentionPolicy, SessionState, Timestamp};
use session_lifecycle::clock::Deadline;
use session_lifecycle::ports::{
    ApplyWrites, CreateRecords, LookUpSession, NewRecord, NewSession, StoreError, StoreErrorKind,
    WithoutRetries,
};
use session_token::Claims;
use tokio::time::timeout;

use super::Authorize;

const OPENING: &str = "opening a session";

/// Outcome of opening a session.
pub(super) enum Opened {
    /// This request opened the session.
    Here,
    /// The session exists: another request, or the login service, has opened it meanwhile.
    Elsewhere,
}

impl<T: LookUpSession + CreateRecords + ApplyWrites + WithoutRetries> Authorize<T> {
    /// Opens the session of a token, on condition that it does not exist. Returns the reason if the token
    /// cannot open it.
    pub(super) async fn open(
        &self,
        claims: &Claims,
        now: Timestamp,
        deadline: &Deadline,
    ) -> Result<Result<Opened, NotOpened>, StoreError> {
        let opening = match self.lifetime.open(claims.auth_time, now) {
            Ok(opening) => opening,
            Err(why) => return Ok(Err(why)),
        };
        let expires_at = opening.expires_at;
        let new = NewSession::new(claims.user.clone(), claims.session.clone(), expires_at)
            .auth_time(opening.auth_time)
            .max_expires_at(opening.max_expires_at);
        let new = match &claims.client {
            Some(client) => new.client_id(client),
            None => new,
        };
        let record = NewRecord::Session {
            new,
            created_at: now,
        };
        let state = RecordState::Session(SessionState::Active { expires_at });
        let due = RetentionPolicy::without_grace(self.lifetime.retention).due_entry(&state);
        let key = record.key();
        let creating = timeout(deadline.remaining(), self.table.create(&record, &due));
        let created = creating.await.unwrap_or_else(|_| {
            let kind = StoreErrorKind::Unavailable;
            Err(StoreError::new(kind, OPENING, "timed out"))
        })?;
        if !created {
            return Ok(Ok(Opened::Elsewhere));
        }
        tracing::info!(session = %key, "opened a session at its first use");
        Ok(Ok(Opened::Here))
    }
}
