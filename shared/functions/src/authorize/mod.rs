//! Use case of the authorizer: allow a request, or deny it with a reason.
//!
//! ```text
//!   Authorization header ──▶ bearer token ──▶ claims ──▶ session and blacklist ──▶ decision
//!                            (`bearer`)       (verify)   (one read of the table)
//! ```
//!
//! An expired session is deactivated before the request is denied (`deactivate`). With `OPEN_SESSIONS`, a
//! session that does not exist is opened (`open`). With an idle time, the expiry time of a session moves
//! when it is used (`touch`).

mod bearer;
mod deactivate;
mod deny;
mod open;
mod touch;

use std::sync::OnceLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::timeout;

use self::bearer::bearer_token;
pub use self::deactivate::Deactivation;
use self::deny::{deny, deny_token, deny_unknown_session};
use self::open::Opened;
use session_domain::{
    ConditionalWrite, DenyReason, SessionId, SessionLifetime, SessionSnapshot, Timestamp, TokenId,
    UserId, check_access,
};
use session_lifecycle::clock::Deadline;
use session_lifecycle::ports::{
    ApplyWrites, CreateRecords, LookUpSession, Outcome, SessionLookup, StoreError, StoreErrorKind,
    WithoutRetries,
};
use session_token::keys::KeysUnavailable;
use session_token::{Claims, NotVerified, TokenVerifier};

/// Time limits of the authorizer.
#[derive(Debug, Clone, Copy)]
pub struct TimeLimits {
    /// Time limit of a decision.
    pub decision: Duration,
    /// Time limit of a key fetch.
    pub keys: Duration,
}

impl TimeLimits {
    /// Limits for requests of users. The timeout of the function is longer than `decision`, so that
    /// the function can report why it made no decision.
    pub const INTERACTIVE: Self = Self {
        decision: Duration::from_millis(4_500),
        keys: Duration::from_secs(3),
    };
}

/// Maximum time to get cached keys. The timeouts of the table leave this part of
/// [`TimeLimits::INTERACTIVE`] unused.
const CACHED_KEYS_BUDGET: Duration = Duration::from_millis(100);

/// The operation that reads a session, as errors name it.
const LOOKING_UP: &str = "looking up a session";

/// Makes the decisions of the authorizer.
#[derive(Debug)]
pub struct Authorize<T> {
    table: T,
    verifier: TokenVerifier,
    lifetime: SessionLifetime,
    /// The table without retries of the SDK. The first write creates it, to keep init short.
    writes: OnceLock<T>,
    limit: Duration,
}

/// Decision about a request.
#[derive(Debug)]
pub enum Decision {
    /// Allow the request, for the user and the session in the claims.
    Allow(Claims),
    /// Deny the request.
    Deny {
        /// Reason of the denial.
        reason: DenyReason,
        /// Result of the deactivation, if the session was expired.
        deactivation: Option<Deactivation>,
    },
}

/// Error that prevents a decision: the request is neither allowed nor denied.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizeError {
    /// The session could not be read, or its record is malformed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There are no keys to verify the token with.
    #[error(transparent)]
    Keys(#[from] KeysUnavailable),
}

impl<T: LookUpSession + CreateRecords + ApplyWrites + WithoutRetries> Authorize<T> {
    /// Decides with the keys of `verifier` and the sessions of `table`. A decision takes at most
    /// `limit`.
    pub const fn new(
        table: T,
        verifier: TokenVerifier,
        lifetime: SessionLifetime,
        limit: Duration,
    ) -> Self {
        Self {
            table,
            verifier,
            lifetime,
            writes: OnceLock::new(),
            limit,
        }
    }

    /// Decides about a request with this `Authorization` header.
    ///
    /// Deactivates the session if it has expired. If that fails, the scheduled cleanup does it.
    ///
    /// # Errors
    ///
    /// The keys or the session could not be read. The request is not allowed, and the caller is not
    /// told that the token is invalid or that the session does not exist.
    pub async fn decide(
        &self,
        authorization: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Decision, AuthorizeError> {
        let Some(token) = authorization.and_then(bearer_token) else {
            let why = "no Authorization header with one bearer token";
            return Ok(deny(DenyReason::MissingBearerToken, why, None));
        };
        let now = Timestamp::from(now);
        let deadline = Deadline::after(self.limit);
        let claims = match self.verifier.verify(token, now).await {
            Ok(claims) => claims,
            Err(NotVerified::Invalid(why)) => return Ok(deny_token(why, self.verifier.rules())),
            Err(NotVerified::Keys(error)) => return Err(error.into()),
        };
        let mut lookup = self.look_up(&claims, &deadline).await?;
        let opens = lookup.session.is_none() && !lookup.blacklisted && claims.expires_at > now;
        if opens {
            match self.open(&claims, now, &deadline).await? {
                Ok(Opened::Here) => return Ok(Decision::Allow(claims)),
                Ok(Opened::Elsewhere) => lookup = self.look_up(&claims, &deadline).await?,
                Err(why) => return Ok(deny_unknown_session(why, self.verifier.rules())),
            }
        }
        let is_blacklisted = lookup.blacklisted;
        let session = readable_session(lookup)?;
        let deactivation = match session.and_then(|session| session.expired_at(now)) {
            Some(shard) => Some(self.deactivate(&claims, shard, now, &deadline).await),
            None => None,
        };
        match check_access(session, is_blacklisted, claims.expires_at, now) {
            Ok(()) => {
                if let Some(SessionSnapshot::Active(session)) = session {
                    self.touch(&claims, &session, now, &deadline).await;
                }
                Ok(Decision::Allow(claims))
            }
            Err(reason) => Ok(deny(reason, reason, deactivation)),
        }
    }

    /// Reads what the table holds about a token.
    async fn look_up(
        &self,
        claims: &Claims,
        deadline: &Deadline,
    ) -> Result<SessionLookup, StoreError> {
        let lookup = self
            .table
            .look_up(&claims.user, &claims.session, claims.token.as_ref());
        // After a fast verification, the timeouts of the table are sufficient.
        if deadline.elapsed() < CACHED_KEYS_BUDGET {
            return lookup.await;
        }
        timeout(deadline.remaining(), lookup)
            .await
            .unwrap_or_else(|_| {
                let kind = StoreErrorKind::Unavailable;
                let problem = "timed out, because fetching the keys took long";
                Err(StoreError::new(kind, LOOKING_UP, problem))
            })
    }

    /// Sends a write once, and waits up to `limit` for the response. If the SDK retried the write, a lost
    /// response would go unnoticed.
    async fn write_once(&self, write: &ConditionalWrite, limit: Duration) -> Outcome {
        let unavailable = |problem: &str| {
            let kind = StoreErrorKind::Unavailable;
            Outcome::Failed(StoreError::new(kind, "writing", problem))
        };
        let writes = self.writes.get_or_init(|| self.table.without_retries());
        match timeout(limit, writes.apply(std::slice::from_ref(write))).await {
            Ok(Ok(outcomes)) => {
                let outcome = outcomes.value.into_iter().next();
                outcome.unwrap_or_else(|| unavailable("the response is empty"))
            }
            Ok(Err(error)) => Outcome::Failed(error),
            Err(_) => unavailable("timed out"),
        }
    }

    /// Connects to the table, so that the first request need not wait for it: looks up a session
    /// that does not exist.
    ///
    /// # Errors
    ///
    /// The table cannot be read. The first request connects then.
    pub async fn warm_up(&self) -> Result<(), StoreError> {
        let ids = (
            UserId::parse("-"),
            SessionId::parse("-"),
            TokenId::parse("-"),
        );
        if let (Ok(user), Ok(session), Ok(token)) = ids {
            self.table.look_up(&user, &session, Some(&token)).await?;
        }
        Ok(())
    }
}

/// Returns the session of a lookup. A malformed session is an error, unless the token is
/// blacklisted, which decides without the session.
fn readable_session(lookup: SessionLookup) -> Result<Option<SessionSnapshot>, StoreError> {
    match lookup.session {
        Some(Err(_)) if lookup.blacklisted => Ok(None),
        session => session
            .transpose()
            .map_err(|record| StoreError::malformed(LOOKING_UP, record)),
    }
}

#[cfg(test)]
mod tests;
