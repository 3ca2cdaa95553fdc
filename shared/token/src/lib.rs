//! JSON Web Tokens: form, signature and claims, and the keys that verify them.
//!
//! A [`TokenVerifier`] checks everything about a token except its expiry and its revocation: an expired
//! token still names its session. It accepts one algorithm and one issuer. [`TokenRules`]
//! say which claims it reads.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use jsonwebtoken::Algorithm;
//! use session_domain::Timestamp;
//! use session_token::keys::{KeySet, Keys, VerifyingKey};
//! use session_token::{TokenRules, TokenVerifier};
//!
//! # async fn example(token: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let rules = TokenRules::new(Algorithm::HS256, "https://login.example.com", "api");
//! let key = VerifyingKey::from_secret(rules.algorithm, "a secret of at least 32 bytes, please")?;
//! let verifier = TokenVerifier::new(rules, Keys::Fixed(Arc::new(KeySet::Any(vec![key]))));
//! let claims = verifier.verify(token, Timestamp::from_seconds(1_800_000_000)).await?;
//! println!("{:?}", claims.session);
//! # Ok(())
//! # }
//! ```
//!
//! - [`keys`]: keys, JWK Sets (RFC 7517), and a cache of keys that are fetched through
//!   [`keys::FetchKeys`].
//! - [`json`]: strict JSON objects, which reject duplicate names.
//!
//! The crate has no network access and reads no clock. The sources of keys are in
//! `session_functions`.

mod claim_name;
mod claims;
pub mod json;
pub mod keys;
mod kind;
mod rules;
mod token;

pub use claim_name::{ClaimName, InvalidClaimName};
pub use claims::{AudienceRule, ClaimMapping, ClaimRole, Claims};
pub use kind::RequiredClaim;
pub use rules::{TokenRules, media_type};
pub use token::{
    InvalidToken, MAX_TOKEN_BYTES, NotVerified, RequiredClaimIndex, TokenVerifier, parse_algorithm,
};
