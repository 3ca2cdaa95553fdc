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
pub use jwks::{InvalidJwks, JwkSet, UnusedKeys, read_jwks};
pub use key::{UnsuitableKey, VerifyingKey};

use session_domain::Timestamp;

/// Maximum number of keys that a token is verified with. Each key costs a verification, also for a forged token,
/// and issuers publish two or three keys.
pub const MAX_TRIED_KEYS: usize = 20;

/// The keys that may have signed a token.
#[derive(Debug)]
pub enum KeySet {
    /// Any of these keys may have signed, whatever `kid` the token has.
    Any(Vec<VerifyingKey>),
    /// Only a key with the token's `kid` may have signed, or one without `kid`. If the token has no `kid`,
    /// any key may have signed. Of these keys, [`MAX_TRIED_KEYS`] are tried.
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
    /// The keys to verify a token with this `kid` with: the one with this `kid` first, at most
    /// [`MAX_TRIED_KEYS`].
    pub fn of(&self, kid: Option<&str>) -> impl Iterator<Item = &VerifyingKey> {
        let (any, named) = match self {
            Self::Any(keys) | Self::Incomplete { keys, .. } => (&keys[..], &[][..]),
            Self::Named(keys) => (&[][..], &keys[..]),
        };
        let has_kid = move |name: &Option<String>| kid.is_some() && name.as_deref() == kid;
        let may_have_signed = move |name: &Option<String>| kid.is_none() || name.is_none();
        let first = named.iter().filter(move |(name, _)| has_kid(name));
        let others = named.iter().filter(move |(name, _)| may_have_signed(name));
        let named = first.chain(others).map(|(_, key)| key);
        any.iter().chain(named).take(MAX_TRIED_KEYS)
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
