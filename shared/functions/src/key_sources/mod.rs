//! Where the keys that verify tokens come from.

mod jwks;
mod secrets_manager;

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;

pub use jwks::{JwksEndpoint, JwksUrl};
pub use secrets_manager::{SecretReference, StoredSecret};
use session_domain::Timestamp;
use session_token::keys::{CachedKeys, FetchError, FetchKeys, KeySet, Keys, VerifyingKey};

/// Where keys come from, as it is configured.
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
    /// The keys of this source, fetched where they have to be; a fetch may take `timeout`. Where
    /// the first one fails and may pass, it is logged, and tried again after a short pause.
    ///
    /// # Errors
    ///
    /// What does not pass before somebody acts, in a sentence.
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
