//! IDs of users, sessions and tokens.

use std::fmt;

use serde::Serialize;
use sha2::{Digest, Sha256};

/// Error of a text that is not a valid ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be 1 to 256 characters, in 1,000 bytes, without control characters")]
pub struct InvalidId {
    /// The ID that was expected, for example `a user id`.
    pub what: &'static str,
}

/// Maximum length of an ID in characters.
const MAX_ID_CHARS: usize = 256;

/// Maximum length of an ID in bytes. A sort key has at most 1,024 bytes, including its prefix.
const MAX_ID_BYTES: usize = 1_000;

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
        pub struct $name(String);

        impl $name {
            /// Parses a text of 1 to 256 characters, in 1,000 bytes, without control characters.
            ///
            /// # Errors
            ///
            /// The text does not meet these limits.
            pub fn parse(raw: impl Into<String>) -> Result<Self, InvalidId> {
                let raw = raw.into();
                if raw.is_empty()
                    || raw.chars().count() > MAX_ID_CHARS
                    || raw.len() > MAX_ID_BYTES
                    || raw.chars().any(char::is_control)
                {
                    return Err(InvalidId { what: $what });
                }
                Ok(Self(raw))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

identifier!(
    /// ID of a user: the claim `sub`.
    UserId,
    "a user id"
);
identifier!(
    /// ID of a session: the claim `sid`. It is unique for its user.
    SessionId,
    "a session id"
);
identifier!(
    /// ID of a token: the claim `jti` (RFC 7519 §4.1.7).
    TokenId,
    "a token id"
);

impl SessionId {
    /// A new ID: 128 bits from a cryptographic random source, as 32 hexadecimal digits. It is safe
    /// in URLs.
    #[must_use]
    pub fn random() -> Self {
        Self(random_hex())
    }
}

impl TokenId {
    /// A new ID: 128 bits from a cryptographic random source, as 32 hexadecimal digits.
    #[must_use]
    pub fn random() -> Self {
        Self(random_hex())
    }
}

fn random_hex() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// SHA-256 of a refresh token, in lower-case hexadecimal. The token itself is never stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RefreshTokenHash(String);

impl RefreshTokenHash {
    /// Hashes a refresh token.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(hex(&Sha256::digest(token)))
    }

    /// Parses a stored hash.
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

/// Whether a text is 256 bits in lower-case hexadecimal.
pub(super) fn is_hex_of_256_bits(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it))
}

/// Bytes in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut hex = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn identifier_has_1_to_256_non_control_characters() {
        for good in [
            "a",
            "USER#b",
            "日本",
            &"x".repeat(256),
            &"😀".repeat(250),
            " ",
        ] {
            assert!(UserId::parse(good).is_ok(), "{good:?}");
        }
        for bad in [
            "",
            "a\nb",
            "a\u{0}",
            "\u{7f}",
            &"x".repeat(257),
            &"😀".repeat(251),
        ] {
            assert!(UserId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn random_session_ids_are_distinct_and_valid() {
        let ids: HashSet<_> = (0..1_000).map(|_| SessionId::random()).collect();
        assert_eq!(ids.len(), 1_000);
        for id in ids {
            let text = id.as_str();
            assert_eq!(text.len(), 32, "{text}");
            assert!(text.chars().all(|it| it.is_ascii_hexdigit()), "{text}");
            assert_eq!(SessionId::parse(text).as_ref(), Ok(&id));
        }
    }

    #[test]
    fn hashes_refresh_token_with_sha_256() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            RefreshTokenHash::of("abc").as_str(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
