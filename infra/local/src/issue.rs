//! Tokens for any user, for trying things out: creates a session in the running stack and signs a
//! token for it. No Lambda function does this; in production the login service does.

use std::sync::Arc;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use session_domain::{InvalidId, SessionId, Shards, Timestamp, UserId};
use session_lifecycle::clock;
use session_lifecycle::dynamodb::Table;
use session_lifecycle::ports::{NewSession, ReadSessions as _, StoreError};
use session_lifecycle::{CreateOutcome, Sessions, SessionsError};
use uuid::Uuid;

use crate::dynamodb::{EmbeddedDynamoDb, TABLE_NAME};
use crate::jwt::Trust;
use crate::tokens::Bearer;

/// Path of the running stack that accepts a [`TokenRequest`].
pub const PATH: &str = "/local/tokens";

/// Maximum lifetime of a session that is created here, in hours: 30 days.
pub const MAX_HOURS: u32 = 720;

/// A request for a token.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// User ID, the claim `sub`.
    pub user: String,
    /// Scopes, the claim `scope`.
    pub scope: String,
    /// Session ID, the claim `sid`. The session is created if it does not exist. Without an ID, a new
    /// session is created.
    #[serde(default)]
    pub session: Option<String>,
    /// Lifetime of the session and of the token, in hours.
    pub hours: u32,
    /// Whether the token has already expired.
    #[serde(default)]
    pub expired: bool,
}

/// The answer to a [`TokenRequest`].
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Issued {
    /// The token, if the stack has a key to sign with.
    pub token: Option<String>,
    /// Claims of the token.
    pub claims: Value,
    /// Algorithm of the signature.
    pub algorithm: String,
    /// Why the authorizer denies the session, if the session existed and is denied.
    pub refused: Option<String>,
}

/// Error of issuing a token.
#[derive(Debug, thiserror::Error)]
pub enum NotIssued {
    /// The request is invalid.
    #[error("{0}")]
    Request(String),
    /// An invalid user ID or session ID.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// The session could not be created.
    #[error(transparent)]
    Session(#[from] SessionsError),
    /// The table failed.
    #[error(transparent)]
    Table(#[from] StoreError),
}

/// Creates sessions and signs tokens for them.
pub struct TokenDesk {
    sessions: Sessions,
    table: Table,
    trust: Arc<Trust>,
}

impl TokenDesk {
    /// Issues tokens that the table's authorizer accepts.
    #[must_use]
    pub fn new(dynamodb: &EmbeddedDynamoDb, trust: Arc<Trust>) -> Self {
        Self {
            sessions: dynamodb.sessions(),
            table: Table::new(dynamodb.client(), TABLE_NAME, Shards::default()),
            trust,
        }
    }

    /// Creates the session if needed, and signs a token for it.
    ///
    /// # Errors
    ///
    /// The request is invalid, or the table failed.
    pub async fn issue(&self, asked: TokenRequest) -> Result<Issued, NotIssued> {
        let now = clock::now();
        let TokenRequest {
            user,
            scope,
            session,
            hours,
            expired,
        } = asked;
        if !(1..=MAX_HOURS).contains(&hours) {
            let sentence = format!("hours must be from 1 to {MAX_HOURS}");
            return Err(NotIssued::Request(sentence));
        }
        if !is_scope(&scope) {
            let sentence = "scope must be names separated by one space, as in \
                            \"sessions:read orders:write\"";
            return Err(NotIssued::Request(sentence.to_owned()));
        }
        let user = UserId::parse(user)?;
        let session = session.unwrap_or_else(|| Uuid::new_v4().to_string());
        let session = SessionId::parse(session)?;
        let end = now + TimeDelta::hours(hours.into());
        let refused = self.open(&user, &session, end.into(), now.into()).await?;
        let claims = self.trust.claims(Bearer {
            user: user.as_str(),
            session: session.as_str(),
            scope: &scope,
            expires_at: if expired { now } else { end },
        });
        let tokens = self.trust.tokens();
        Ok(Issued {
            token: tokens.map(|tokens| tokens.sign_claims(&claims)),
            claims,
            algorithm: format!("{:?}", self.trust.issuer().rules().algorithm),
            refused,
        })
    }

    /// Creates a session. An existing session stays unchanged; if the authorizer denies it, the
    /// reason is returned.
    async fn open(
        &self,
        user: &UserId,
        session: &SessionId,
        end: Timestamp,
        now: Timestamp,
    ) -> Result<Option<String>, NotIssued> {
        let new = NewSession::new(user.clone(), session.clone(), end);
        if self.sessions.create(new, now).await? == CreateOutcome::Created {
            return Ok(None);
        }
        Ok(match self.table.session(user, session).await? {
            Some(found) if found.is_live_at(now) => None,
            Some(found) if found.is_active => Some("has expired".to_owned()),
            Some(_) => Some("is inactive".to_owned()),
            None => Some("has just been deleted".to_owned()),
        })
    }
}

/// Whether a text is a valid list of scopes (RFC 6749 §3.3).
fn is_scope(text: &str) -> bool {
    let allowed = |it: char| it.is_ascii_graphic() && !['"', '\\'].contains(&it);
    text.split(' ')
        .all(|name| !name.is_empty() && name.chars().all(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_scopes_separated_by_single_spaces() {
        for valid in ["sessions:read", "a b", "https://api.example/read"] {
            assert!(is_scope(valid), "{valid:?}");
        }
        for invalid in ["", " ", "a  b", " a", "a ", "a\nb", "\"a\"", "größe"] {
            assert!(!is_scope(invalid), "{invalid:?}");
        }
    }
}
