//! JSON Web Tokens: form, signature and claims, and the keys that verify them.

pub mod json;
pub mod keys;
mod token;

pub use token::{Claims, InvalidToken, NotVerified, TokenRules, TokenVerifier};
