//! Use case of the authorizer: allow a request, or deny it with a reason.
//!
//! ```text
//!   Authorization header ──▶ bearer token ──▶ claims ──▶ session and blacklist ──▶ decision
//!                            (`bearer`)       (verify)   (one read of the table)
//! ```
//!
//! An expired session is deactivated before the request is denied (`deactivate`).

mod bearer;
mod deactivate;
mod deny;

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::timeout;

use self::bearer::bearer_token;
pub use self::deactivate::Deactivation;
use self::deactivate::Deactivator;
use self::deny::{deny, deny_token};
use session_domain::{
    Days, DenyReason, RecordKey, SessionId, SessionSnapshot, Timestamp, TokenId, UserId,
    check_access,
};
use session_lifecycle::clock::Deadline;
use session_lifecycle::ports::{
    ApplyWrites, LookUpSession, SessionLookup, StoreError, StoreErrorKind, WithoutRetries,
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
    deactivator: Deactivator<T>,
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

impl<T: LookUpSession + ApplyWrites + WithoutRetries> Authorize<T> {
    /// Decides with the keys of `verifier` and the sessions of `table`. A decision takes at most
    /// `limit`.
    pub const fn new(table: T, verifier: TokenVerifier, retention: Days, limit: Duration) -> Self {
        Self {
            table,
            verifier,
            deactivator: Deactivator::new(retention),
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
        let lookup = self.look_up(&claims, &deadline).await?;
        let is_blacklisted = lookup.blacklisted;
        let session = readable_session(lookup)?;
        let deactivation = match session.and_then(|session| session.expired_at(now)) {
            Some(shard) => {
                let key = RecordKey::session(&claims.user, &claims.session);
                let deactivating =
                    self.deactivator
                        .deactivate(&self.table, key, shard, now, &deadline);
                Some(deactivating.await)
            }
            None => None,
        };
        match check_access(session, is_blacklisted, claims.expires_at, now) {
            Ok(()) => Ok(Decision::Allow(claims)),
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
mod tests {
    use std::num::NonZeroU32;
    use std::pin::Pin;

    use jsonwebtoken::{Algorithm, EncodingKey, Header};
    use serde_json::json;
    use tokio::time::sleep;

    use super::*;
    use session_domain::{ConditionalWrite, Shards};
    use session_lifecycle::clock::Stopwatch;
    use session_lifecycle::ports::{Metered, Outcome};
    use session_token::TokenRules;
    use session_token::keys::{CachedKeys, Fetch, FetchKeys, Fetched, KeySet, Keys, VerifyingKey};

    const LIMITS: TimeLimits = TimeLimits::INTERACTIVE;

    const SECRET: &str = "a secret that only these tests use";

    /// Keys without a cache lifetime, whose fetch is slow.
    #[derive(Debug)]
    struct SlowKeys;

    impl FetchKeys for SlowKeys {
        fn fetch(
            &self,
            _: Timestamp,
            _: Duration,
        ) -> Pin<Box<dyn Future<Output = Fetch> + Send + '_>> {
            Box::pin(async {
                let took = Duration::from_millis(2_900);
                sleep(took).await;
                let key = VerifyingKey::from_secret(Algorithm::HS256, SECRET).unwrap();
                let outcome = Ok(Fetched {
                    keys: KeySet::Any(vec![key]),
                    ttl_seconds: 0,
                });
                Fetch { outcome, took }
            })
        }
    }

    /// A table that finds an expired session after a delay, and never responds to a write.
    #[derive(Debug, Clone)]
    struct SlowTable {
        read: Duration,
    }

    impl LookUpSession for SlowTable {
        async fn look_up(
            &self,
            _: &UserId,
            _: &SessionId,
            _: Option<&TokenId>,
        ) -> Result<SessionLookup, StoreError> {
            sleep(self.read).await;
            let active = SessionSnapshot::Active {
                expires_at: Timestamp::from_seconds(1),
                shard: Shards::default().all().next().unwrap(),
            };
            Ok(SessionLookup {
                session: Some(Ok(active)),
                blacklisted: false,
            })
        }
    }

    impl WithoutRetries for SlowTable {
        fn without_retries(&self) -> Self {
            self.clone()
        }
    }

    impl ApplyWrites for SlowTable {
        const MAX_BATCH: NonZeroU32 = NonZeroU32::MIN;

        async fn apply(&self, _: &[ConditionalWrite]) -> Result<Metered<Vec<Outcome>>, StoreError> {
            std::future::pending().await
        }
    }

    /// Decides with slow keys and a slow table. Also returns the elapsed time.
    async fn decide_with(read: Duration) -> (Result<Decision, AuthorizeError>, Duration) {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let keys = CachedKeys::load(Box::new(SlowKeys), now.into(), LIMITS.keys).await;
        let rules = TokenRules::new(Algorithm::HS256, "i", "a");
        let verifier = TokenVerifier::new(rules, Keys::Cached(keys.unwrap()));
        let table = SlowTable { read };
        let authorize = Authorize::new(table, verifier, Days(30), LIMITS.decision);
        let claims = json!({
            "iss": "i", "aud": "a", "sub": "u", "sid": "s", "jti": "j", "exp": 1_800_000_060,
        });
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let token = jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap();
        let timer = Stopwatch::start();
        let decision = authorize
            .decide(Some(&format!("Bearer {token}")), now)
            .await;
        (decision, timer.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn answers_in_time_despite_slow_keys_and_slow_table() {
        let (decision, time) = decide_with(Duration::from_millis(900)).await;
        let Ok(Decision::Deny {
            reason,
            deactivation,
        }) = decision
        else {
            panic!("{decision:?}");
        };
        assert_eq!(
            (reason, deactivation),
            (DenyReason::SessionExpired, Some(Deactivation::Unknown)),
            "the write got no response"
        );
        assert!(time <= LIMITS.decision, "{time:?}");

        let (decision, time) = decide_with(Duration::MAX).await;
        assert!(
            matches!(decision, Err(AuthorizeError::Store(_))),
            "{decision:?}"
        );
        assert!(time <= LIMITS.decision, "{time:?}");
    }
}
