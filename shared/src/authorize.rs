//! The use case of the authorizer: let in, or refuse with a reason.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::timeout;

use crate::clock::Stopwatch;
use crate::domain::{
    Change, Days, Reason, RecordKey, Refusal, Rules, SessionId, Shard, Timestamp, TokenId, UserId,
    judge,
};
use crate::keys::KeysUnavailable;
use crate::ports::{ApplyChanges, LookUpSession, Outcome, StoreError};
use crate::token::{Claims, NotVerified, TokenVerifier};

/// How long a decision may take. The function has a little longer, to say why there is none.
pub const PATIENCE: Duration = Duration::from_millis(4_500);

/// What keys take that are at hand. The table's own limits leave that much of [`PATIENCE`].
const NO_FETCH: Duration = Duration::from_millis(100);

/// Decides about requests.
#[derive(Debug)]
pub struct Authorize<T> {
    table: T,
    verifier: TokenVerifier,
    rules: Rules,
}

/// Whether a request is let in.
#[derive(Debug)]
pub enum Decision {
    /// It is, as that user in that session.
    Allow(Claims),
    /// It is not.
    Refuse {
        /// Why.
        refusal: Refusal,
        /// Whether an expired session was met, and closed by this request.
        deactivated: bool,
    },
}

/// Why there is no decision.
#[derive(Debug, thiserror::Error)]
pub enum Undecided {
    /// The table could not be asked, or holds what cannot be understood.
    #[error("{}", .0.causes())]
    Store(#[from] StoreError),
    /// There are no keys to verify the token with.
    #[error(transparent)]
    Keys(#[from] KeysUnavailable),
}

impl<T: LookUpSession + ApplyChanges> Authorize<T> {
    /// Decides by `verifier` and the sessions in `table`.
    pub const fn new(table: T, verifier: TokenVerifier, retention: Days) -> Self {
        Self {
            table,
            verifier,
            rules: Rules::keeping(retention),
        }
    }

    /// Decides about a request with this `Authorization` header. An expired session that it
    /// meets is deactivated on the spot; where that fails, the hourly cleanup does it.
    ///
    /// # Errors
    ///
    /// The keys' or the store's: nobody is let in, and nobody is told that the token is invalid or
    /// that there is no such session.
    pub async fn decide(
        &self,
        authorization: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Decision, Undecided> {
        let Some(token) = authorization.and_then(bearer_token) else {
            let why = "no Authorization header with one bearer token";
            return Ok(refuse(Refusal::MissingBearerToken, why, false));
        };
        let now = Timestamp::from(now);
        let watch = Stopwatch::start(PATIENCE);
        let claims = match self.verifier.verify(token, now).await {
            Ok(claims) => claims,
            Err(NotVerified::Invalid(why)) => {
                return Ok(refuse(Refusal::InvalidToken, why, false));
            }
            Err(NotVerified::Keys(error)) => return Err(error.into()),
        };
        let lookup = self
            .table
            .look_up(&claims.user, &claims.session, &claims.token);
        let lookup = if watch.elapsed() < NO_FETCH {
            lookup.await
        } else {
            timeout(watch.left(), lookup).await.unwrap_or_else(|_| {
                Err(StoreError::Unavailable {
                    what: "looking up a session",
                    source: "the keys took too long to leave time for it".into(),
                })
            })
        }?;
        let session = match lookup.session {
            // That a token was revoked is enough to know.
            Some(Err(_)) if lookup.blacklisted => None,
            session => session.transpose().map_err(StoreError::from)?,
        };
        let expired = session.and_then(|session| session.expired_at(now));
        let deactivated = match expired {
            Some(shard) => {
                let key = RecordKey::session(&claims.user, &claims.session);
                self.deactivate(key, shard, now, watch.left()).await
            }
            None => false,
        };
        match judge(session, lookup.blacklisted, claims.expires_at, now) {
            Ok(()) => Ok(Decision::Allow(claims)),
            Err(refusal) => Ok(refuse(refusal, refusal, deactivated)),
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
            let error = error.causes();
            tracing::warn!(
                error,
                "the table could not be reached ahead of the first request"
            );
        }
    }

    /// Closes an expired session; whether it was this call that did it.
    async fn deactivate(
        &self,
        key: RecordKey,
        shard: Shard,
        now: Timestamp,
        left: Duration,
    ) -> bool {
        let session = key.to_string();
        let reason = Reason::ExpiredOnValidation;
        let change = Change::deactivate(key, shard, &self.rules, reason, now);
        let outcome = match timeout(left, self.table.apply(&[change])).await {
            Ok(Ok(outcomes)) => outcomes.value.into_iter().next(),
            Ok(Err(error)) => Some(Outcome::Failed(error)),
            Err(_) => Some(Outcome::Failed(StoreError::Unavailable {
                what: "writing",
                source: "no time was left for an answer".into(),
            })),
        };
        match outcome {
            Some(Outcome::Applied) => {
                tracing::info!(session, "deactivated an expired session");
                true
            }
            Some(Outcome::Failed(error)) => {
                tracing::error!(
                    session,
                    error = error.causes(),
                    "could not deactivate an expired session; the cleanup will"
                );
                false
            }
            Some(Outcome::Gone | Outcome::Refused) | None => {
                tracing::info!(session, "an expired session was changed elsewhere");
                false
            }
        }
    }
}

fn refuse(refusal: Refusal, why: impl fmt::Display, deactivated: bool) -> Decision {
    tracing::info!(reason = %refusal, %why, "refused");
    Decision::Refuse {
        refusal,
        deactivated,
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
    use tokio::time::sleep;

    use super::*;
    use crate::domain::{SeenSession, Shards};
    use crate::keys::{CachedKeys, FetchError, FetchKeys, Fetched, KeySet, Keys, VerifyingKey};
    use crate::ports::{Lookup, Metered};
    use crate::token::TokenRules;

    const SECRET: &str = "a secret of the tests, and of nobody else";

    /// Keys that are always old, and slow to be fetched.
    #[derive(Debug)]
    struct SlowKeys;

    impl FetchKeys for SlowKeys {
        fn fetch(
            &self,
            _: Timestamp,
        ) -> Pin<Box<dyn Future<Output = Result<Fetched, FetchError>> + Send + '_>> {
            Box::pin(async {
                sleep(Duration::from_millis(2_900)).await;
                let key = VerifyingKey::from_secret(Algorithm::HS256, SECRET).unwrap();
                Ok(Fetched {
                    keys: KeySet::Any(vec![key]),
                    fresh_seconds: 0,
                })
            })
        }
    }

    /// Finds an expired session after a while, and never answers a write.
    #[derive(Debug)]
    struct SlowTable {
        read: Duration,
    }

    impl LookUpSession for SlowTable {
        async fn look_up(
            &self,
            _: &UserId,
            _: &SessionId,
            _: &TokenId,
        ) -> Result<Lookup, StoreError> {
            sleep(self.read).await;
            let active = SeenSession::Active {
                expires_at: Timestamp::from_seconds(1),
                shard: Shards::default().all().next().unwrap(),
            };
            Ok(Lookup {
                session: Some(Ok(active)),
                blacklisted: false,
            })
        }
    }

    impl ApplyChanges for SlowTable {
        const MOST: NonZeroU32 = NonZeroU32::MIN;

        async fn apply(&self, _: &[Change]) -> Result<Metered<Vec<Outcome>>, StoreError> {
            std::future::pending().await
        }
    }

    /// Decides with slow keys and such a table; also, how long it took.
    async fn decide_with(read: Duration) -> (Result<Decision, Undecided>, Duration) {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let keys = CachedKeys::load(Box::new(SlowKeys), now.into()).await;
        let rules = TokenRules {
            algorithm: Algorithm::HS256,
            issuer: "i".to_owned(),
            audience: "a".to_owned(),
            leeway_seconds: 0,
        };
        let verifier = TokenVerifier::new(rules, Keys::Cached(keys.unwrap()));
        let authorize = Authorize::new(SlowTable { read }, verifier, Days(30));
        let claims = json!({
            "iss": "i", "aud": "a", "sub": "u", "sid": "s", "jti": "j", "exp": 1_800_000_060,
        });
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let token = jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap();
        let watch = Stopwatch::start(Duration::MAX);
        let decision = authorize
            .decide(Some(&format!("Bearer {token}")), now)
            .await;
        (decision, watch.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn slow_keys_and_a_slow_table_together_leave_the_function_time_to_answer() {
        let (decision, time) = decide_with(Duration::from_millis(900)).await;
        let Ok(Decision::Refuse {
            refusal,
            deactivated,
        }) = decision
        else {
            panic!("{decision:?}");
        };
        assert_eq!(
            (refusal, deactivated),
            (Refusal::SessionExpired, false),
            "the write got no answer"
        );
        assert!(time <= PATIENCE, "{time:?}");

        let (decision, time) = decide_with(Duration::MAX).await;
        assert!(matches!(decision, Err(Undecided::Store(_))), "{decision:?}");
        assert!(time <= PATIENCE, "{time:?}");
    }

    #[test]
    fn a_bearer_token_is_one_word_after_the_scheme() {
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
