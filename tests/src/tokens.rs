//! The local stack's tokens, which the log must not show.

use session_cleanup_local::tokens::{self, Bearer};

use crate::log::forbid_in_log;

/// Signs tokens.
#[derive(Default)]
pub struct Tokens(tokens::Tokens);

impl Tokens {
    /// With a new secret.
    #[must_use]
    pub fn new() -> Self {
        let tokens = Self::default();
        let secret = tokens
            .variables()
            .into_iter()
            .find(|it| it.0 == "JWT_SECRET");
        forbid_in_log(&secret.expect("they are signed with one").1);
        tokens
    }

    /// The variables that make an authorizer take these tokens.
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
