//! Rotation of a secret: how long its previous version verifies tokens.

use std::sync::Arc;

use session_domain::{Timestamp, error_chain};
use session_token::keys::{FetchError, Fetched, KeySet, VerifyingKey};

use super::error::SecretError;

/// Cache lifetime of a secret. Every instance uses a new secret after this time at the latest.
const TTL_SECONDS: i64 = 300;

/// How long the previous version verifies after an instance has seen that another version replaced
/// it. Secrets Manager never removes the label `AWSPREVIOUS`. Without a limit, a secret that was
/// replaced because it leaked would be valid until the next rotation.
const GRACE_SECONDS: i64 = 24 * 3_600;

/// How long the previous version verifies for an instance that has not seen the change, counted from
/// the creation of the newer version. No API that the function may call returns the time of the
/// change, only that both versions existed by then. A shorter time would deny all tokens if a version
/// is created days before it becomes current, or becomes current again days later. Without a limit,
/// each new instance would accept the previous version forever.
const UNSEEN_CHANGE_SECONDS: i64 = 7 * 24 * 3_600;

/// How long the previous version verifies while it cannot be read again.
const MAX_STALE_SECONDS: i64 = 24 * 3_600;

/// Cache lifetime of a key set whose previous version could not be read.
const INCOMPLETE_TTL_SECONDS: i64 = 30;

/// A version of the secret.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) id: String,
    pub(super) key: VerifyingKey,
    pub(super) created_at: Option<Timestamp>,
}

/// What this instance has seen of the secret.
#[derive(Debug, Default)]
pub(super) struct SecretState {
    current: Option<Version>,
    /// ID of the version that was current before, and when this instance saw the change.
    replaced: Option<(String, Timestamp)>,
    previous: Previous,
}

/// What is known of the previous version.
#[derive(Debug, Default)]
enum Previous {
    /// It has not been read yet.
    #[default]
    Unread,
    /// There is none, or none that verifies.
    None,
    /// It verifies until this time.
    Until(Timestamp, VerifyingKey),
}

impl SecretState {
    /// Updates the state with the versions that were read. Returns the keys that verify tokens.
    pub(super) fn update(
        &mut self,
        current: Version,
        previous: Result<Version, SecretError>,
        now: Timestamp,
    ) -> Fetched {
        if let Some(replaced) = self.current.take_if(|it| it.id != current.id) {
            self.previous = Previous::Until(now.plus(GRACE_SECONDS), replaced.key);
            self.replaced = Some((replaced.id, now));
        }
        let mut unread = None;
        match previous {
            Ok(previous) => {
                self.previous = match self.verifies_until(&current, &previous) {
                    Some(until) => {
                        let until = until.min(now.plus(MAX_STALE_SECONDS));
                        Previous::Until(until, previous.key)
                    }
                    None => Previous::None,
                };
            }
            Err(error) if error.is_missing() => self.previous = Previous::None,
            Err(error @ SecretError::Unsuitable(_)) => {
                let error = error_chain(&error);
                tracing::warn!(error, "the previous secret cannot be used as a key");
                self.previous = Previous::None;
            }
            // A failed read does not mean a change, so what is known of the version stays valid.
            Err(error @ (SecretError::Call(_) | SecretError::Timeout(_))) => {
                let error = FetchError::from(error);
                let chain = error_chain(&error);
                tracing::warn!(error = chain, "the previous secret could not be read");
                match error {
                    FetchError::Transient(_) => unread = Some(Arc::new(error)),
                    FetchError::Permanent(_) if matches!(self.previous, Previous::Unread) => {
                        self.previous = Previous::None;
                    }
                    FetchError::Permanent(_) => {}
                }
            }
        }
        let mut keys = vec![current.key.clone()];
        let mut ttl_seconds = TTL_SECONDS;
        self.current = Some(current);
        match (&self.previous, unread) {
            (Previous::Unread, Some(error)) => {
                return Fetched {
                    keys: KeySet::Incomplete { keys, error },
                    ttl_seconds: INCOMPLETE_TTL_SECONDS,
                };
            }
            (Previous::Until(until, key), _) if now < *until => {
                keys.push(key.clone());
                ttl_seconds = ttl_seconds.min(until.since(now));
            }
            _ => {}
        }
        Fetched {
            keys: KeySet::Any(keys),
            ttl_seconds,
        }
    }

    /// The time until which the previous version verifies. `None` if it cannot be determined.
    fn verifies_until(&self, current: &Version, previous: &Version) -> Option<Timestamp> {
        match &self.replaced {
            Some((id, seen_at)) if *id == previous.id => Some(seen_at.plus(GRACE_SECONDS)),
            _ => {
                let younger = current.created_at.max(previous.created_at)?;
                Some(younger.plus(UNSEEN_CHANGE_SECONDS))
            }
        }
    }
}
