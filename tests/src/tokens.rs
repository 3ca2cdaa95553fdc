//! The local stack's tokens, which must not appear in the log.

use session_cleanup_local::tokens::{self, Bearer};

use crate::log::forbid_in_log;

/// Signs tokens.
#[derive(Default)]
pub struct Tokens(tokens::Tokens);

impl Tokens {
    /// Signs with a new random secret.
    #[must_use]
    pub fn new() -> Self {
        let tokens = Self::default();
        let secret = tokens
            .variables()
            .into_iter()
            .find(|it| it.0 == "JWT_SECRET");
        forbid_in_log(&secret.expect("the tokens have a secret").1);
        tokens
    }

    /// The environment variables of an authorizer that accepts these tokens.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, String); 4] {
        self.0.variables()
    }

    /// Signs a token, with a new `jti`.
    #[must_use]
    pub fn sign(&self, bearer: Bearer<'_>) -> String {
        let token = self.0.sign(bearer);
        forbid_in_log(&token);
        token
    }
}
