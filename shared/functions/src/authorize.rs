//! The use case of the authorizer: let in, or refuse with a reason.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::{sleep, timeout};

use session_domain::{
    ConditionalWrite, Days, DenyReason, Reason, RecordKey, RetentionPolicy, SessionId, Shard,
    Timestamp, TokenId, UserId, check_access,
};
use session_lifecycle::clock::Deadline;
use session_lifecycle::ports::{
    ApplyWrites, LookUpSession, Outcome, StoreError, StoreErrorKind, WithoutRetries,
};
use session_token::keys::KeysUnavailable;
use session_token::{Claims, NotVerified, TokenVerifier};

/// How long the authorizer waits, and for what.
#[derive(Debug, Clone, Copy)]
pub struct TimeLimits {
    /// For a decision in all.
    pub decision: Duration,
    /// For keys that have to be fetched.
    pub keys: Duration,
}

impl TimeLimits {
    /// The function has a little longer than a decision, to say why there is none.
    pub const INTERACTIVE: Self = Self {
        decision: Duration::from_millis(4_500),
        keys: Duration::from_secs(3),
    };
}

/// What keys take that are at hand. The table's own limits leave that much of [`TimeLimits::INTERACTIVE`].
const CACHED_KEYS_BUDGET: Duration = Duration::from_millis(100);

/// How often the deactivation of an expired session is tried. The cleanup does what is left.
const MAX_ATTEMPTS: u32 = 2;

/// The operation that a failed lookup names.
const LOOKING_UP: &str = "looking up a session";

/// The pause between two attempts.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// Decides about requests.
#[derive(Debug)]
pub struct Authorize<T> {
    table: T,
    /// The same table, for writes. It is made by the first one: an init has no time for it.
    writes: OnceLock<T>,
    verifier: TokenVerifier,
    policy: RetentionPolicy,
    limit: Duration,
}

/// Whether a request is let in.
#[derive(Debug)]
pub enum Decision {
    /// It is, as that user in that session.
    Allow(Claims),
    /// It is not.
    Deny {
        /// Why.
        reason: DenyReason,
        /// What became of an expired session that was met on the way.
        deactivation: Option<Deactivation>,
    },
}

/// What became of the deactivation of an expired session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deactivation {
    /// This request has deactivated it.
    Done,
    /// Somebody else was quicker, to deactivate it or to refresh it.
    ChangedElsewhere,
    /// It was certainly not deactivated.
    Failed,
    /// The answer was lost: the write may have taken place, or may still do so.
    Unknown,
}

/// Why there is no decision.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizeError {
    /// The table could not be asked, or holds what cannot be understood.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There are no keys to verify the token with.
    #[error(transparent)]
    Keys(#[from] KeysUnavailable),
}

impl<T: LookUpSession + ApplyWrites + WithoutRetries> Authorize<T> {
    /// Decides by `verifier` and the sessions in `table`, within `limit`.
    pub const fn new(table: T, verifier: TokenVerifier, retention: Days, limit: Duration) -> Self {
        Self {
            table,
            writes: OnceLock::new(),
            verifier,
            policy: RetentionPolicy::without_grace(retention),
            limit,
        }
    }

    /// Decides about a request with this `Authorization` header. An expired session that it
    /// meets is deactivated on the spot; where that fails, the scheduled cleanup does it.
    ///
    /// # Errors
    ///
    /// The keys' or the store's: nobody is let in, and nobody is told that the token is invalid or
    /// that there is no such session.
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
            Err(NotVerified::Invalid(why)) => {
                return Ok(deny(DenyReason::InvalidToken, why, None));
            }
            Err(NotVerified::Keys(error)) => return Err(error.into()),
        };
        let lookup = self
            .table
            .look_up(&claims.user, &claims.session, &claims.token);
        let lookup = if deadline.elapsed() < CACHED_KEYS_BUDGET {
            lookup.await
        } else {
            timeout(deadline.remaining(), lookup)
                .await
                .unwrap_or_else(|_| {
                    Err(StoreError::new(
                        StoreErrorKind::Unavailable,
                        LOOKING_UP,
                        "the keys took too long to leave time for it",
                    ))
                })
        }?;
        let session = match lookup.session {
            // That a token was revoked is enough to know.
            Some(Err(_)) if lookup.blacklisted => None,
            session => session
                .transpose()
                .map_err(|it| StoreError::malformed(LOOKING_UP, it))?,
        };
        let expired = session.and_then(|session| session.expired_at(now));
        let deactivation = match expired {
            Some(shard) => {
                let key = RecordKey::session(&claims.user, &claims.session);
                Some(self.deactivate(key, shard, now, &deadline).await)
            }
            None => None,
        };
        match check_access(session, lookup.blacklisted, claims.expires_at, now) {
            Ok(()) => Ok(Decision::Allow(claims)),
            Err(reason) => Ok(deny(reason, reason, deactivation)),
        }
    }

    /// Makes the connection to the table that the first request would wait for otherwise: asks for
    /// a session that does not exist. Where that fails, it is logged, and the first request tries.
    pub async fn warm_up(&self) {
        let ids = (
            UserId::parse("-"),
            SessionId::parse("-"),
            TokenId::parse("-"),
        );
        if let (Ok(user), Ok(session), Ok(token)) = ids
            && let Err(error) = self.table.look_up(&user, &session, &token).await
        {
            let error = error.error_chain();
            tracing::warn!(
                error,
                "the table could not be reached ahead of the first request"
            );
        }
    }

    /// Deactivates an expired session.
    async fn deactivate(
        &self,
        key: RecordKey,
        shard: Shard,
        now: Timestamp,
        deadline: &Deadline,
    ) -> Deactivation {
        let session = key.to_string();
        let reason = Reason::ExpiredOnValidation;
        let change = ConditionalWrite::deactivate(key, shard, &self.policy, reason, now);
        let mut lost_answer = None;
        for attempt in 1.. {
            match self.write(&change, deadline.remaining()).await {
                Outcome::Applied => {
                    tracing::info!(session, "deactivated an expired session");
                    return Deactivation::Done;
                }
                Outcome::Gone | Outcome::ConditionFailed if lost_answer.is_none() => {
                    tracing::info!(session, "an expired session was changed elsewhere");
                    return Deactivation::ChangedElsewhere;
                }
                // The attempt whose answer was lost may have been the one that changed it.
                Outcome::Gone | Outcome::ConditionFailed => break,
                Outcome::Failed(error) => {
                    let again = error.is_retryable()
                        && attempt < MAX_ATTEMPTS
                        && deadline.remaining() > RETRY_DELAY;
                    if error.outcome_unknown() {
                        lost_answer = Some(error);
                    } else if !again && lost_answer.is_none() {
                        tracing::error!(
                            session,
                            error = error.error_chain(),
                            "could not deactivate an expired session; the cleanup will"
                        );
                        return Deactivation::Failed;
                    }
                    if !again {
                        break;
                    }
                    sleep(RETRY_DELAY).await;
                }
            }
        }
        tracing::error!(
            session,
            error = lost_answer.map(|error| error.error_chain()),
            "whether an expired session was deactivated is unknown; if not, the cleanup will"
        );
        Deactivation::Unknown
    }

    /// Tries to make a change, once: only so is it known whether an answer was lost.
    async fn write(&self, change: &ConditionalWrite, left: Duration) -> Outcome {
        let unavailable = |why: &str| {
            Outcome::Failed(StoreError::new(StoreErrorKind::Unavailable, "writing", why))
        };
        let writes = self.writes.get_or_init(|| self.table.without_retries());
        match timeout(left, writes.apply(std::slice::from_ref(change))).await {
            Ok(Ok(outcomes)) => {
                let outcome = outcomes.value.into_iter().next();
                outcome.unwrap_or_else(|| unavailable("the answer is empty"))
            }
            Ok(Err(error)) => Outcome::Failed(error),
            Err(_) => unavailable("no time was left for an answer"),
        }
    }
}

fn deny(
    reason: DenyReason,
    why: impl fmt::Display,
    deactivation: Option<Deactivation>,
) -> Decision {
    tracing::info!(reason = %reason, %why, "refused");
    Decision::Deny {
        reason,
        deactivation,
    }
}

/// Takes the token out of an `Authorization` header: `Bearer`, in any case, one space or more,
/// and one token (RFC 6750 §2.1, RFC 9110 §11.1).
fn bearer_token(header: &str) -> Option<&str> {
    let (scheme, rest) = header.trim_matches(' ').split_once(' ')?;
    let token = rest.trim_start_matches(' ');
    let one = !token.is_empty() && !token.contains(char::is_whitespace);
    (scheme.eq_ignore_ascii_case("Bearer") && one).then_some(token)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::pin::Pin;

    use jsonwebtoken::{Algorithm, EncodingKey, Header};
    use serde_json::json;

    use super::*;
    use session_domain::{SessionSnapshot, Shards};
    use session_lifecycle::ports::{Metered, SessionLookup};
    use session_token::TokenRules;
    use session_token::keys::{CachedKeys, Fetch, FetchKeys, Fetched, KeySet, Keys, VerifyingKey};

    const LIMITS: TimeLimits = TimeLimits::INTERACTIVE;

    const SECRET: &str = "a secret of the tests, and of nobody else";

    /// Keys that are always old, and slow to be fetched.
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

    /// Finds an expired session after a while, and never answers a write.
    #[derive(Debug, Clone)]
    struct SlowTable {
        read: Duration,
    }

    impl LookUpSession for SlowTable {
        async fn look_up(
            &self,
            _: &UserId,
            _: &SessionId,
            _: &TokenId,
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

    /// Decides with slow keys and such a table; also, how long it took.
    async fn decide_with(read: Duration) -> (Result<Decision, AuthorizeError>, Duration) {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let keys = CachedKeys::load(Box::new(SlowKeys), now.into(), LIMITS.keys).await;
        let rules = TokenRules {
            algorithm: Algorithm::HS256,
            issuer: "i".to_owned(),
            audience: "a".to_owned(),
            leeway_seconds: 0,
        };
        let verifier = TokenVerifier::new(rules, Keys::Cached(keys.unwrap()));
        let table = SlowTable { read };
        let authorize = Authorize::new(table, verifier, Days(30), LIMITS.decision);
        let claims = json!({
            "iss": "i", "aud": "a", "sub": "u", "sid": "s", "jti": "j", "exp": 1_800_000_060,
        });
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let token = jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap();
        let timer = Deadline::after(Duration::MAX);
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
            "the write got no answer"
        );
        assert!(time <= LIMITS.decision, "{time:?}");

        let (decision, time) = decide_with(Duration::MAX).await;
        assert!(
            matches!(decision, Err(AuthorizeError::Store(_))),
            "{decision:?}"
        );
        assert!(time <= LIMITS.decision, "{time:?}");
    }

    #[test]
    fn parses_bearer_token_as_one_word_after_scheme() {
        for (header, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer abc", Some("abc")),
            ("BEARER   abc", Some("abc")),
            (" Bearer abc ", Some("abc")),
            ("Bearer", None),
            ("Bearer ", None),
            ("", None),
            ("abc", None),
            ("Basic abc", None),
            ("Bearer abc def", None),
            ("Bearer abc, Bearer def", None),
            ("Bearer abc,Bearer def", None),
            ("Bearer\tabc", None),
            ("Bearerabc", None),
        ] {
            assert_eq!(bearer_token(header), token, "{header:?}");
        }
    }
}
