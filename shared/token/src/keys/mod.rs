//! The keys that verify tokens: what they are, where they come from, how long they are believed.

mod cache;
mod jwks;
mod key;
mod roca;

use std::sync::Arc;

pub use cache::{CachedKeys, Fetch, FetchKeys, Fetched};
pub use jwks::{InvalidJwks, read_jwks};
pub use key::{UnsuitableKey, VerifyingKey};

use session_domain::Timestamp;

/// Keys that are believed at some time.
#[derive(Debug)]
pub enum KeySet {
    /// Any of these may have signed, whatever `kid` a token names.
    Any(Vec<VerifyingKey>),
    /// The one with the token's `kid` must have signed; no `kid` is a name like any other.
    Named(Vec<(Option<String>, VerifyingKey)>),
    /// Any of these may have signed, or one that could not be fetched.
    Incomplete {
        /// Those that are at hand.
        keys: Vec<VerifyingKey>,
        /// Why one is not.
        why: String,
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

    /// Whether there is no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Any(keys) | Self::Incomplete { keys, .. } => keys.is_empty(),
            Self::Named(keys) => keys.is_empty(),
        }
    }

    /// Tells whether these are all the keys that may have signed.
    ///
    /// # Errors
    ///
    /// Why one is not at hand: a signature that none of these verifies may be good.
    pub fn complete(&self) -> Result<(), KeysUnavailable> {
        match self {
            Self::Any(_) | Self::Named(_) => Ok(()),
            Self::Incomplete { why, .. } => Err(KeysUnavailable(why.clone())),
        }
    }
}

/// Why there are no keys to verify a token with, for now. It is not the token's fault.
#[derive(Debug, thiserror::Error)]
#[error("the keys cannot be fetched: {0}")]
pub struct KeysUnavailable(String);

/// Why keys were not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Not reached, too slow, or not what was expected: it may pass.
    #[error("{0}")]
    Transient(String),
    /// It will not pass before somebody acts.
    #[error("{0}")]
    Permanent(String),
}

/// The keys of a verifier.
#[derive(Debug)]
pub enum Keys {
    /// Those do not change.
    Fixed(Arc<KeySet>),
    /// Those do.
    Cached(CachedKeys),
}

impl Keys {
    /// The keys at `now`, fetched again where those at hand are too old, or have none for `kid`.
    ///
    /// # Errors
    ///
    /// There are none, or none for `kid` while it cannot be known whether there is one by now.
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
