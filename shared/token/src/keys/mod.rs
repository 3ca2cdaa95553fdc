//! The keys that verify tokens: key sets, their sources and their cache.

mod cache;
mod error;
mod fetch;
mod jwks;
mod key;
mod roca;

use std::sync::Arc;

pub use cache::CachedKeys;
pub use error::{BoxError, FetchError, KeysUnavailable};
pub use fetch::{Fetch, FetchKeys, Fetched};
pub use jwks::{InvalidJwks, read_jwks};
pub use key::{UnsuitableKey, VerifyingKey};

use session_domain::Timestamp;

/// The keys that may have signed a token.
#[derive(Debug)]
pub enum KeySet {
    /// Any of these keys may have signed, whatever `kid` the token has.
    Any(Vec<VerifyingKey>),
    /// Only the key with the token's `kid` may have signed. A missing `kid` is a name, too.
    Named(Vec<(Option<String>, VerifyingKey)>),
    /// Any of these keys may have signed, or one that could not be fetched.
    Incomplete {
        /// The keys that were fetched.
        keys: Vec<VerifyingKey>,
        /// Why the other key was not fetched.
        error: Arc<FetchError>,
    },
}

impl KeySet {
    /// The keys that may have signed a token with this `kid`.
    pub fn of(&self, kid: Option<&str>) -> impl Iterator<Item = &VerifyingKey> {
        let (any, named) = match self {
            Self::Any(keys) | Self::Incomplete { keys, .. } => (&keys[..], &[][..]),
            Self::Named(keys) => (&[][..], &keys[..]),
        };
        let named = named.iter().filter(move |(name, _)| name.as_deref() == kid);
        any.iter().chain(named.map(|(_, key)| key))
    }

    /// Whether the set contains no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Any(keys) | Self::Incomplete { keys, .. } => keys.is_empty(),
            Self::Named(keys) => keys.is_empty(),
        }
    }

    /// Checks that the set contains every key that may have signed.
    ///
    /// # Errors
    ///
    /// A key could not be fetched. A signature that no key of the set verifies may be valid.
    pub fn complete(&self) -> Result<(), KeysUnavailable> {
        match self {
            Self::Any(_) | Self::Named(_) => Ok(()),
            Self::Incomplete { error, .. } => Err(KeysUnavailable {
                source: Some(Arc::clone(error)),
            }),
        }
    }
}

/// The keys of a [`TokenVerifier`](crate::TokenVerifier).
#[derive(Debug)]
pub enum Keys {
    /// Static keys.
    Fixed(Arc<KeySet>),
    /// Keys that are fetched and cached.
    Cached(CachedKeys),
}

impl Keys {
    /// The keys at `now`. They are fetched again if the cached ones are stale or have none for `kid`.
    ///
    /// # Errors
    ///
    /// There are no keys; or there are none for `kid`, and the last fetch failed, so that one may
    /// exist.
    pub async fn at(
        &self,
        now: Timestamp,
        kid: Option<&str>,
    ) -> Result<Arc<KeySet>, KeysUnavailable> {
        match self {
            Self::Fixed(keys) => Ok(Arc::clone(keys)),
            Self::Cached(keys) => keys.at(now, kid).await,
        }
    }
}
