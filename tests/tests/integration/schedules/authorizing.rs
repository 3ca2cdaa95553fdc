//! The authorizer's decisions on a table in memory.

use std::sync::Arc;

use jsonwebtoken::Algorithm;
use session_cleanup_tests::benchmark::mappings::verifier_with;
use session_cleanup_tests::simulation::MemoryTable;
use session_cleanup_tests::token_factory::{Signer, good_claims};
use session_cleanup_tests::{DAY, NOW};
use session_domain::{DenyReason, SessionLifetime};
use session_functions::authorize::{Authorize, Decision, TimeLimits};
use session_token::keys::{KeySet, Keys};
use session_token::{TokenRules, TokenVerifier};

/// Signs tokens of `ann`, and makes authorizers that accept them.
pub(super) struct Issuer {
    signer: Signer,
    rules: TokenRules,
    keys: Arc<KeySet>,
}

impl Issuer {
    pub(super) fn new() -> Self {
        let signer = Signer::of(Algorithm::HS256);
        Self {
            rules: verifier_with(&signer, &[]).rules().clone(),
            keys: Arc::new(KeySet::Any(vec![signer.verifying_key()])),
            signer,
        }
    }

    pub(super) fn authorizer(
        &self,
        table: MemoryTable,
        lifetime: SessionLifetime,
    ) -> Authorize<MemoryTable> {
        let keys = Keys::Fixed(Arc::clone(&self.keys));
        let verifier = TokenVerifier::new(self.rules.clone(), keys);
        Authorize::new(table, verifier, lifetime, TimeLimits::INTERACTIVE.decision)
    }

    /// The header with a token of a session whose user authenticated at [`NOW`].
    pub(super) fn header(&self, session: &str) -> String {
        let mut claims = good_claims();
        claims["sid"] = session.into();
        claims["exp"] = (NOW + 30 * DAY).into();
        claims["auth_time"] = NOW.into();
        let token = self.signer.sign(self.signer.header(), claims.to_string());
        format!("Bearer {token}")
    }
}

/// Authorizes a request at `now`. Returns why it is denied, if it is.
pub(super) async fn request(
    authorizer: &Authorize<MemoryTable>,
    header: &str,
    now: i64,
) -> Option<DenyReason> {
    let time = session_cleanup_tests::at(now);
    let decision = authorizer.decide(Some(header), time).await;
    match decision.expect("the table responds") {
        Decision::Allow(_) => None,
        Decision::Deny { reason, .. } => Some(reason),
    }
}
