//! Tests of the time limit of a decision.

use std::num::NonZeroU32;
use std::pin::Pin;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use tokio::time::sleep;

use super::*;
use session_domain::{ActiveSession, ConditionalWrite, Days, DueEntry, Shards};
use session_lifecycle::clock::Stopwatch;
use session_lifecycle::ports::{Metered, NewRecord, Outcome};
use session_token::TokenRules;
use session_token::keys::{CachedKeys, Fetch, FetchKeys, Fetched, KeySet, Keys, VerifyingKey};

const LIMITS: TimeLimits = TimeLimits::INTERACTIVE;

const SECRET: &str = "a secret that only these tests use";

/// Keys without a cache lifetime, whose fetch is slow.
#[derive(Debug)]
struct SlowKeys;

impl FetchKeys for SlowKeys {
    fn fetch(&self, _: Timestamp, _: Duration) -> Pin<Box<dyn Future<Output = Fetch> + Send + '_>> {
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
        let shard = Shards::default().all().next().unwrap();
        let active = ActiveSession::new(Timestamp::from_seconds(1), shard);
        Ok(SessionLookup {
            session: Some(Ok(SessionSnapshot::Active(active))),
            blacklisted: false,
        })
    }
}

impl CreateRecords for SlowTable {
    async fn create(&self, _: &NewRecord, _: &DueEntry) -> Result<bool, StoreError> {
        std::future::pending().await
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
    let authorize = Authorize::new(
        table,
        verifier,
        SessionLifetime::of_application(Days(30)),
        LIMITS.decision,
    );
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
