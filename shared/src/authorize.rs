//! The use case of the authorizer: let in, or refuse with a reason.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::domain::{
    Change, Days, Reason, RecordKey, Refusal, Rules, SessionId, Shard, Timestamp, TokenId, UserId,
    judge,
};
use crate::keys::KeysUnavailable;
use crate::ports::{ApplyChanges, LookUpSession, Outcome, StoreError};
use crate::token::{Claims, NotVerified, TokenVerifier};

/// Decides about requests.
#[derive(Debug)]
pub struct Authorize<T> {
    table: T,
    verifier: TokenVerifier,
    rules: Rules,
}

/// Whether a request is let in.
#[derive(Debug)]
pub enum Decision {
    /// It is, as that user in that session.
    Allow(Claims),
    /// It is not.
    Refuse(Refusal),
}

/// Why there is no decision.
#[derive(Debug, thiserror::Error)]
pub enum Undecided {
    /// The table could not be asked, or holds what cannot be understood.
    #[error("{}", .0.causes())]
    Store(#[from] StoreError),
    /// There are no keys to verify the token with.
    #[error(transparent)]
    Keys(#[from] KeysUnavailable),
}

impl<T: LookUpSession + ApplyChanges> Authorize<T> {
    /// Decides by `verifier` and the sessions in `table`.
    pub const fn new(table: T, verifier: TokenVerifier, retention: Days) -> Self {
        Self {
            table,
            verifier,
            rules: Rules::keeping(retention),
        }
    }

    /// Decides about a request with this `Authorization` header. An expired session that it
    /// meets is deactivated on the spot; where that fails, the hourly cleanup does it.
    ///
    /// # Errors
    ///
    /// The keys' or the store's: nobody is let in, and nobody is told that the token is invalid or
    /// that there is no such session.
    pub async fn decide(
        &self,
        authorization: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Decision, Undecided> {
        let Some(token) = authorization.and_then(bearer_token) else {
            return Ok(refuse(
                Refusal::MissingBearerToken,
                "no Authorization: Bearer <token>",
            ));
        };
        let now = Timestamp::from(now);
        let claims = match self.verifier.verify(token, now).await {
            Ok(claims) => claims,
            Err(NotVerified::Invalid(why)) => return Ok(refuse(Refusal::InvalidToken, why)),
            Err(NotVerified::Keys(error)) => return Err(error.into()),
        };
        let lookup = self
            .table
            .look_up(&claims.user, &claims.session, &claims.token)
            .await?;
        let session = match lookup.session {
            // That a token was revoked is enough to know.
            Some(Err(_)) if lookup.blacklisted => None,
            session => session.transpose().map_err(StoreError::from)?,
        };
        if let Some(shard) = session.and_then(|session| session.expired_at(now)) {
            self.deactivate(
                RecordKey::session(&claims.user, &claims.session),
                shard,
                now,
            )
            .await;
        }
        match judge(session, lookup.blacklisted, claims.expires_at, now) {
            Ok(()) => Ok(Decision::Allow(claims)),
            Err(refusal) => Ok(refuse(refusal, refusal)),
        }
    }

    /// Makes the connection to the table that the first request would wait for otherwise: asks for
    /// a session that does not exist. Where that fails, it is logged, and the first request tries.
    pub async fn warm_up(&self) {
        let ids = (
            UserId::parse("-"),
            SessionId::parse("-"),
            TokenId::parse("-"),
        );
        if let (Ok(user), Ok(session), Ok(token)) = ids
            && let Err(error) = self.table.look_up(&user, &session, &token).await
        {
            let error = error.causes();
            tracing::warn!(
                error,
                "the table could not be reached ahead of the first request"
            );
        }
    }

    async fn deactivate(&self, key: RecordKey, shard: Shard, now: Timestamp) {
        let session = key.to_string();
        let reason = Reason::ExpiredOnValidation;
        let change = Change::deactivate(key, shard, &self.rules, reason, now);
        let outcome = match self.table.apply(&[change]).await {
            Ok(outcomes) => outcomes.value.into_iter().next(),
            Err(error) => Some(Outcome::Failed(error)),
        };
        match outcome {
            Some(Outcome::Applied) => tracing::info!(session, "deactivated an expired session"),
            Some(Outcome::Failed(error)) => tracing::error!(
                session,
                error = error.causes(),
                "could not deactivate an expired session; the cleanup will"
            ),
            Some(Outcome::Gone | Outcome::Refused(_)) | None => {
                tracing::info!(session, "an expired session was changed elsewhere");
            }
        }
    }
}

fn refuse(refusal: Refusal, why: impl fmt::Display) -> Decision {
    tracing::info!(reason = %refusal, %why, "refused");
    Decision::Refuse(refusal)
}

/// Takes the token out of an `Authorization` header: `Bearer`, in any case, one space or more,
/// and one token (RFC 6750 §2.1, RFC 9110 §11.1).
fn bearer_token(header: &str) -> Option<&str> {
    let (scheme, rest) = header.trim_matches(' ').split_once(' ')?;
    let token = rest.trim_start_matches(' ');
    let one = !token.is_empty() && !token.contains(char::is_whitespace);
    (scheme.eq_ignore_ascii_case("Bearer") && one).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_one_word_after_the_scheme() {
        for (header, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer abc", Some("abc")),
            ("BEARER   abc", Some("abc")),
            (" Bearer abc ", Some("abc")),
            ("Bearer", None),
            ("Bearer ", None),
            ("", None),
            ("abc", None),
            ("Basic abc", None),
            ("Bearer abc def", None),
            ("Bearer abc, Bearer def", None),
            ("Bearer abc,Bearer def", None),
            ("Bearer\tabc", None),
            ("Bearerabc", None),
        ] {
            assert_eq!(bearer_token(header), token, "{header:?}");
        }
    }
}
