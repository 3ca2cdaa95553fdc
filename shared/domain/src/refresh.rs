//! Refresh tokens that are kept in the record of their session, and their rotation.
//!
//! A refresh token is used once: its use returns its replacement. The record has the hashes of the
//! current token and of the previous one. The replacement of a token is derived from the token and from a
//! random salt in the record: two uses of one token at the same time, or a second use after a lost
//! response, therefore return the same replacement. A reader of the table cannot derive it, because the
//! token is not stored. A thief of the token cannot derive it, because the salt is not sent.
//!
//! All tokens of a session begin with the same random part, the family, whose hash is in the record. A token
//! of the family that is neither the current nor the previous one was used before, by its owner or by a thief.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::id::{hex, is_hex, is_hex_of_256_bits};
use super::{RefreshTokenHash, Timestamp};

/// Number of characters of the family in a token.
const FAMILY_CHARS: usize = 32;

/// A refresh token in lower-case hexadecimal: 128 bits of the family, and 256 bits of its own. Its text is never
/// logged.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken(String);

impl RefreshToken {
    /// A new token of a new family, from a cryptographic random source.
    #[must_use]
    pub fn random() -> Self {
        let (family, own) = (rand::random::<[u8; 16]>(), rand::random::<[u8; 32]>());
        Self(hex(&family) + &hex(&own))
    }

    /// The family of a token. `None` if an application made the token in another form.
    fn family(token: &str) -> Option<&str> {
        let (family, own) = token.split_at_checked(FAMILY_CHARS)?;
        (is_hex(family) && is_hex_of_256_bits(own)).then_some(family)
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
        let family = Self::family(used).unwrap_or_default().to_owned();
        Self(family + &hex(&mac.finalize().into_bytes()))
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

    /// The hash of the family, for the record. `None` if the token replaces one of another form.
    #[must_use]
    pub fn family_hash(&self) -> Option<RefreshTokenHash> {
        Self::family(&self.0).map(RefreshTokenHash::of)
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
    /// `refresh_family_hash`: the hash of the family of the session's tokens. `None` if they have none.
    pub family: Option<RefreshTokenHash>,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsedToken {
    /// The current one. It becomes the previous one.
    Current,
    /// The previous one, if the current one is not derived from it. It stays the previous one, and its grace
    /// period is not extended.
    Previous {
        /// The hash of the current token, which must not have changed.
        current: RefreshTokenHash,
    },
}

/// What the use of a refresh token means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefreshUse {
    /// The current token: it is replaced.
    Current,
    /// The previous token, within the grace period. Its replacement is the current token.
    Repeated(RefreshToken),
    /// The previous token, within the grace period, but another writer did not derive the current token from
    /// it. The token is replaced once more.
    RepeatedUnderived,
    /// An older token, after the grace period: it was stolen, or the client did not get the answer.
    Reused,
    /// No token of this session, or an older one so soon that the client may have had a lost response.
    Unknown,
}

impl RefreshState {
    /// Decides what the use of a token at `now` means.
    #[must_use]
    pub fn classify(&self, token: &str, now: Timestamp, grace: GracePeriod) -> RefreshUse {
        let hash = RefreshTokenHash::of(token);
        if hash == self.current {
            return RefreshUse::Current;
        }
        let Some(last) = &self.last else {
            return RefreshUse::Unknown;
        };
        let is_in_grace = now < last.at.plus(grace.seconds());
        if last.used != hash {
            let family = RefreshToken::family(token).map(RefreshTokenHash::of);
            let is_older = family.is_some() && family == self.family;
            return if is_older && !is_in_grace {
                RefreshUse::Reused
            } else {
                RefreshUse::Unknown
            };
        }
        if !is_in_grace {
            return RefreshUse::Reused;
        }
        let derived = last
            .salt
            .as_ref()
            .map(|salt| RefreshToken::replacing(token, salt));
        match derived.filter(|derived| derived.hash() == self.current) {
            Some(derived) => RefreshUse::Repeated(derived),
            None => RefreshUse::RepeatedUnderived,
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
mod tests;
