//! Sources of the keys that verify tokens.

mod jwks;
mod secrets_manager;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;

pub use jwks::{JwksEndpoint, JwksUrl};
pub use secrets_manager::{SecretReference, StoredSecret};
use session_domain::Timestamp;
use session_lifecycle::clock::Deadline;
use session_token::keys::{
    CachedKeys, Fetch, FetchError, FetchKeys, Fetched, KeySet, Keys, VerifyingKey,
};

/// The configured source of keys.
#[derive(Debug)]
pub enum KeySource {
    /// `JWT_SECRET` or `JWT_PUBLIC_KEY`: the key itself.
    Configured(VerifyingKey),
    /// `JWT_SECRET_ARN`: AWS Secrets Manager.
    StoredSecret(SecretReference),
    /// `JWKS_URL`: a JWK Set (RFC 7517 §5).
    Jwks(JwksUrl),
}

impl KeySource {
    /// The keys of this source, fetched if necessary. `timeout` limits each fetch. If the first fetch
    /// fails with [`FetchError::Transient`], the error is logged, and a request fetches again after a
    /// short cool-down.
    ///
    /// # Errors
    ///
    /// [`FetchError::Permanent`].
    pub async fn load(
        self,
        algorithm: Algorithm,
        now: Timestamp,
        timeout: Duration,
    ) -> Result<Keys, FetchError> {
        let source: Box<dyn FetchKeys> = match self {
            Self::Configured(key) => {
                return Ok(Keys::Fixed(Arc::new(KeySet::Any(vec![key]))));
            }
            Self::StoredSecret(secret) => Box::new(StoredSecret::connect(secret, algorithm).await),
            Self::Jwks(url) => Box::new(JwksEndpoint::new(url, algorithm)),
        };
        let keys = CachedKeys::load(source, now, timeout).await;
        keys.map(Keys::Cached)
    }
}

/// Runs a fetch with a deadline, and measures how long it takes.
fn measured<'a, F>(
    timeout: Duration,
    fetch: impl FnOnce(Deadline) -> F + Send + 'a,
) -> Pin<Box<dyn Future<Output = Fetch> + Send + 'a>>
where
    F: Future<Output = Result<Fetched, FetchError>> + Send + 'a,
{
    Box::pin(async move {
        let deadline = Deadline::after(timeout);
        let outcome = fetch(deadline).await;
        let took = deadline.elapsed();
        Fetch { outcome, took }
    })
}
