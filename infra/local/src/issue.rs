//! Tokens for anybody, for trying things out: opens a session in the running stack, and signs a
//! token for it. No Lambda function does this; the login service would.

use std::sync::Arc;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use session_domain::{
    InvalidId, RecordKey, RecordState, SessionId, SessionState, Shards, Timestamp, UserId,
};
use session_lifecycle::clock;
use session_lifecycle::dynamodb::Table;
use session_lifecycle::ports::{FindRecord as _, NewSession, StoreError};
use session_lifecycle::{CreateOutcome, Sessions};
use uuid::Uuid;

use crate::dynamodb::{EmbeddedDynamoDb, TABLE_NAME};
use crate::jwt::Trust;
use crate::tokens::Bearer;

/// Where the running stack takes a [`TokenRequest`].
pub const PATH: &str = "/local/tokens";

/// The longest life of a session that is opened here, in hours: 30 days.
pub const MAX_HOURS: u32 = 720;

/// What token is asked for.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// `sub`.
    pub user: String,
    /// `scope`.
    pub scope: String,
    /// `sid`: a session of this user, which is opened if there is none; a new one without it.
    #[serde(default)]
    pub session: Option<String>,
    /// The life of the session and of the token, in hours.
    pub hours: u32,
    /// Whether the token's own `exp` has passed already.
    #[serde(default)]
    pub expired: bool,
}

/// What came of it.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Issued {
    /// The token, where the stack can sign.
    pub token: Option<String>,
    /// Its claims.
    pub claims: Value,
    /// The algorithm that it is to be signed with.
    pub algorithm: String,
    /// Why the authorizer refuses the session, if it was there before and is refused.
    pub refused: Option<String>,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum NotIssued {
    /// What was asked for.
    #[error("{0}")]
    Request(String),
    /// An invalid user ID or session ID.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// The table.
    #[error(transparent)]
    Table(#[from] StoreError),
}

/// Opens sessions and signs tokens for them.
pub struct TokenDesk {
    sessions: Sessions,
    table: Table,
    trust: Arc<Trust>,
}

impl TokenDesk {
    /// For the sessions of a table, and the tokens that its authorizer takes.
    #[must_use]
    pub fn new(dynamodb: &EmbeddedDynamoDb, trust: Arc<Trust>) -> Self {
        Self {
            sessions: dynamodb.sessions(),
            table: Table::new(dynamodb.client(), TABLE_NAME, Shards::default()),
            trust,
        }
    }

    /// Does what is asked for.
    ///
    /// # Errors
    ///
    /// A sentence.
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
            let sentence =
                format!("hours must be from 1 to {MAX_HOURS}, for each session has an end");
            return Err(NotIssued::Request(sentence));
        }
        if !is_scope(&scope) {
            let sentence = "scope must be names with one space between them, as in \
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
            algorithm: format!("{:?}", self.trust.issuer().algorithm),
            refused,
        })
    }

    /// Opens a session. One that is there already stays as it is; says why it is refused, if so.
    async fn open(
        &self,
        user: &UserId,
        session: &SessionId,
        end: Timestamp,
        now: Timestamp,
    ) -> Result<Option<String>, NotIssued> {
        let new = NewSession {
            user: user.clone(),
            session: session.clone(),
            expires_at: end,
            ip_address: None,
            user_agent: None,
        };
        if self.sessions.create(new, now).await? == CreateOutcome::Created {
            return Ok(None);
        }
        let key = RecordKey::session(user, session);
        let found = self.table.find(&key).await?;
        Ok(match found.map(|stored| stored.state) {
            Some(RecordState::Session(SessionState::Active { expires_at })) if expires_at > now => {
                None
            }
            Some(RecordState::Session(SessionState::Active { .. })) => {
                Some("has expired".to_owned())
            }
            Some(_) => Some("is inactive".to_owned()),
            None => Some("has just been deleted".to_owned()),
        })
    }
}

/// Whether a text is one scope or several (RFC 6749 §3.3).
fn is_scope(text: &str) -> bool {
    let allowed = |it: char| it.is_ascii_graphic() && !['"', '\\'].contains(&it);
    text.split(' ')
        .all(|name| !name.is_empty() && name.chars().all(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_scopes_with_one_space_between_them() {
        for good in ["sessions:read", "a b", "https://api.example/read"] {
            assert!(is_scope(good), "{good:?}");
        }
        for bad in ["", " ", "a  b", " a", "a ", "a\nb", "\"a\"", "größe"] {
            assert!(!is_scope(bad), "{bad:?}");
        }
    }
}
