//! Refresh tokens that are kept in the record of their session, and their rotation.
//!
//! A refresh token is used once: its use returns its replacement. The record has the hashes of the
//! current token and of the previous one. The replacement of a token is derived from the token and from a
//! random salt in the record: two uses of one token at the same time, or a second use after a lost
//! response, therefore return the same replacement. A reader of the table cannot derive it, because the
//! token is not stored. A thief of the token cannot derive it, because the salt is not sent.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::id::{hex, is_hex_of_256_bits};
use super::{RefreshTokenHash, Timestamp};

/// A refresh token: 256 bits in lower-case hexadecimal. Its text is never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken(String);

impl RefreshToken {
    /// A new token, from a cryptographic random source.
    #[must_use]
    pub fn random() -> Self {
        Self(hex(&rand::random::<[u8; 32]>()))
    }

    /// The token that replaces a used one.
    #[must_use]
    pub fn replacing(used: &str, salt: &RefreshSalt) -> Self {
        // The key of HMAC is a block of the hash; a longer one is hashed first (RFC 2104 §2).
        let mut key = [0; 64];
        match key.get_mut(..used.len()) {
            Some(start) => start.copy_from_slice(used.as_bytes()),
            None => key[..32].copy_from_slice(&Sha256::digest(used)),
        }
        let mut mac = Hmac::<Sha256>::new(&key.into());
        mac.update(salt.0.as_bytes());
        Self(hex(&mac.finalize().into_bytes()))
    }

    /// The text, for the client.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hash, for the record.
    #[must_use]
    pub fn hash(&self) -> RefreshTokenHash {
        RefreshTokenHash::of(&self.0)
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken(…)")
    }
}

/// Salt of a rotation: 256 bits in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshSalt(String);

impl RefreshSalt {
    /// A new salt, from a cryptographic random source.
    #[must_use]
    pub fn random() -> Self {
        Self(hex(&rand::random::<[u8; 32]>()))
    }

    /// Parses a stored salt.
    #[must_use]
    pub fn parse(stored: &str) -> Option<Self> {
        is_hex_of_256_bits(stored).then(|| Self(stored.to_owned()))
    }

    /// The 64 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The refresh tokens of a session, as its record has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshState {
    /// `refresh_hash`: the hash of the current token.
    pub current: RefreshTokenHash,
    /// The last rotation. `None` if there was none.
    pub last: Option<Rotation>,
}

/// A rotation: a token was used, and replaced by the current one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// `refresh_previous_hash`: the hash of the used token.
    pub used: RefreshTokenHash,
    /// `refresh_rotated_at`: when it was used.
    pub at: Timestamp,
    /// `refresh_salt`: what its replacement was derived with. `None` if another writer has not stored it.
    pub salt: Option<RefreshSalt>,
}

/// The replacement of a used refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// Which token was used.
    pub used: UsedToken,
    /// The hash of the used token.
    pub used_hash: RefreshTokenHash,
    /// The hash of the token that replaces it.
    pub new_hash: RefreshTokenHash,
    /// What the new token is derived with.
    pub salt: RefreshSalt,
    /// The time of the use. The session must be live at this time.
    pub at: Timestamp,
    /// The new `expires_at`.
    pub expires_at: Timestamp,
    /// The new `ttl`.
    pub ttl: Timestamp,
    /// The new `due_at`. `None` leaves `due_at` unchanged: see [`Touch::due_at`](super::Touch::due_at).
    pub due_at: Option<Timestamp>,
}

/// The token that is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsedToken {
    /// The current one. It becomes the previous one.
    Current,
    /// The previous one, if the last rotation has no salt. It stays the previous one, and its grace period
    /// is not extended.
    Previous,
}

/// What the use of a refresh token means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefreshUse {
    /// The current token: it is replaced.
    Current,
    /// The previous token, within the grace period. Its replacement is the current token, derived with this
    /// salt. Without a salt, the token is replaced once more.
    Repeated(Option<RefreshSalt>),
    /// The previous token, after the grace period: it was stolen, or the client did not get the answer.
    Reused,
    /// No token of this session.
    Unknown,
}

impl RefreshState {
    /// Decides what the use of a token at `now` means.
    #[must_use]
    pub fn classify(
        &self,
        token: &RefreshTokenHash,
        now: Timestamp,
        grace: GracePeriod,
    ) -> RefreshUse {
        if *token == self.current {
            return RefreshUse::Current;
        }
        match &self.last {
            Some(last) if last.used == *token => {
                if now < last.at.plus(grace.seconds()) {
                    RefreshUse::Repeated(last.salt.clone())
                } else {
                    RefreshUse::Reused
                }
            }
            _ => RefreshUse::Unknown,
        }
    }
}

/// Time after a rotation in which the used token may be used again: 0 to 300 seconds. Two tabs of a
/// browser, or a lost response, use it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GracePeriod(u16);

/// Error of a grace period that is not 0 to 300 seconds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the grace period must be 0 to 300 seconds")]
pub struct InvalidGracePeriod;

impl GracePeriod {
    /// 30 seconds.
    pub const DEFAULT: Self = Self(30);

    /// A period of 0 to 300 seconds.
    ///
    /// # Errors
    ///
    /// The number is not 0 to 300.
    pub const fn from_seconds(seconds: u16) -> Result<Self, InvalidGracePeriod> {
        if seconds <= 300 {
            Ok(Self(seconds))
        } else {
            Err(InvalidGracePeriod)
        }
    }

    const fn seconds(self) -> i64 {
        self.0 as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    #[test]
    fn classifies_token_by_its_hash_and_the_grace_period() {
        let (first, salt) = (RefreshToken::random(), RefreshSalt::random());
        let second = RefreshToken::replacing(first.as_str(), &salt);
        let state = RefreshState {
            current: second.hash(),
            last: Some(Rotation {
                used: first.hash(),
                at: NOW,
                salt: Some(salt.clone()),
            }),
        };
        let grace = GracePeriod::DEFAULT;
        for (token, later, expected) in [
            (&second, 0, RefreshUse::Current),
            (&second, 9_999, RefreshUse::Current),
            (&first, -5, RefreshUse::Repeated(Some(salt.clone()))),
            (&first, 29, RefreshUse::Repeated(Some(salt))),
            (&first, 30, RefreshUse::Reused),
            (&RefreshToken::random(), 0, RefreshUse::Unknown),
        ] {
            let use_ = state.classify(&token.hash(), NOW.plus(later), grace);
            assert_eq!(use_, expected, "after {later} s");
        }
    }

    #[test]
    fn replacement_is_hmac_sha_256_of_token_and_salt() {
        // Computed with `openssl dgst -sha256 -hmac`.
        let salt = RefreshSalt::parse(&"0".repeat(64)).unwrap();
        for (used, expected) in [
            (
                "Jefe".to_owned(),
                "ce7f39a529500ab28a97f8a830b2ca2cf051fef53232e3317d80407210b884d1",
            ),
            (
                "a".repeat(65),
                "ea129661021804121e150d8d2cc241547999cc8cdcc2bffedb02717eec3eeea1",
            ),
        ] {
            let token = RefreshToken::replacing(&used, &salt);
            assert_eq!(token.as_str(), expected, "{used}");
            let other = RefreshToken::replacing(&used, &RefreshSalt::random());
            assert_ne!(token, other);
        }
    }

    #[test]
    fn debug_output_has_no_token() {
        let token = RefreshToken::random();
        assert!(!format!("{token:?}").contains(token.as_str()));
    }

    #[test]
    fn grace_period_is_up_to_300_seconds() {
        assert!(GracePeriod::from_seconds(300).is_ok());
        assert_eq!(GracePeriod::from_seconds(301), Err(InvalidGracePeriod));
    }
}
