//! The claims of an access token.

use serde::Serialize;
use session_domain::{SessionId, Timestamp, TokenId, UserId};

use super::Sessions;

/// Claims of an access token that the authorizer accepts. The JWT library of the application signs them.
///
/// The claims have the names that the authorizer reads by default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AccessTokenClaims {
    /// Issuer: the stack's `JWT_ISSUER`.
    pub iss: String,
    /// Audience: the stack's `JWT_AUDIENCE`.
    pub aud: String,
    /// User ID.
    pub sub: UserId,
    /// Session ID.
    pub sid: SessionId,
    /// Token ID, random. [`Sessions::blacklist`] denies the token by it.
    pub jti: TokenId,
    /// Time of issue.
    pub iat: Timestamp,
    /// Expiry time.
    pub exp: Timestamp,
    /// Scopes, separated by spaces.
    pub scope: String,
    /// Time of the authentication, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<Timestamp>,
    /// Client that the user signed in with, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

impl AccessTokenClaims {
    /// Grants scopes, separated by spaces.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = scope.into();
        self
    }

    /// States the time of the authentication.
    #[must_use]
    pub const fn auth_time(mut self, auth_time: Timestamp) -> Self {
        self.auth_time = Some(auth_time);
        self
    }

    /// States the client that the user signed in with.
    #[must_use]
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = Some(client_id.into());
        self
    }
}

impl<T> Sessions<T> {
    /// The claims of a new access token for a session that expires at `expires_at`.
    ///
    /// The token expires after its [lifetime](Self::access_token_lifetime), or with the session if that is
    /// earlier: the authorizer denies it from then on, and a client that reads `exp` should know this.
    #[must_use]
    pub fn access_token_claims(
        &self,
        user: &UserId,
        session: &SessionId,
        expires_at: Timestamp,
        issuer: &str,
        audience: &str,
        now: Timestamp,
    ) -> AccessTokenClaims {
        AccessTokenClaims {
            iss: issuer.to_owned(),
            aud: audience.to_owned(),
            sub: user.clone(),
            sid: session.clone(),
            jti: TokenId::random(),
            iat: now,
            exp: expires_at.min(now.plus(self.access_token_seconds.into())),
            scope: String::new(),
            auth_time: None,
            client_id: None,
        }
    }
}
