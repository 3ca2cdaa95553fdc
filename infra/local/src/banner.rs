//! What a stack that stays up prints first: what runs where, tokens, short `curl` lines; and at
//! last its page, where the eye is when it has printed all. It fits on a terminal's 24 rows.

use std::io;
use std::net::SocketAddr;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::sample::UserSession;
use crate::terminal::{BOLD, DIM, out, styled};
use crate::tokens::{Bearer, Tokens};

/// How long the printed tokens are good.
const TOKEN_LIFE: TimeDelta = TimeDelta::hours(12);

/// What is printed before and between the tokens, which are the same everywhere.
pub struct Banner<'a> {
    /// What this is.
    pub title: &'a str,
    /// What runs where: names, and what is to be said of each.
    pub rows: Vec<(&'static str, String)>,
    /// Who may call, and who may not.
    pub sample_tokens: &'a SampleTokens,
    /// More commands, each with what it does.
    pub commands: Vec<(&'static str, String)>,
}

/// Those who may call, and where there is one, somebody who may not.
pub struct SampleTokens {
    admin: Credentials,
    reader: Credentials,
    expired: Option<String>,
}

/// What somebody shows, or needs to.
enum Credentials {
    Token(String),
    /// Somebody else has to sign these.
    Claims(Value),
}

fn bearer<'a>(session: &'a UserSession, scope: &'a str, now: DateTime<Utc>) -> Bearer<'a> {
    Bearer {
        user: session.user.as_str(),
        session: session.session.as_str(),
        scope,
        expires_at: now + TOKEN_LIFE,
    }
}

const ADMIN: &str = "sessions:admin";
const READER: &str = "sessions:read";

impl SampleTokens {
    /// Signs their tokens.
    #[must_use]
    pub fn new(
        tokens: &Tokens,
        admin: &UserSession,
        reader: &UserSession,
        now: DateTime<Utc>,
    ) -> Self {
        let token = |session, scope| Credentials::Token(tokens.sign(bearer(session, scope, now)));
        Self {
            admin: token(admin, ADMIN),
            reader: token(reader, READER),
            expired: None,
        }
    }

    /// With the claims that others have to sign for them.
    #[must_use]
    pub fn unsigned(
        claims: impl Fn(Bearer<'_>) -> Value,
        admin: &UserSession,
        reader: &UserSession,
        now: DateTime<Utc>,
    ) -> Self {
        let claims = |session, scope| Credentials::Claims(claims(bearer(session, scope, now)));
        Self {
            admin: claims(admin, ADMIN),
            reader: claims(reader, READER),
            expired: None,
        }
    }

    /// Beside them, somebody whose session has expired.
    #[must_use]
    pub fn and_expired(
        mut self,
        tokens: &Tokens,
        session: &UserSession,
        now: DateTime<Utc>,
    ) -> Self {
        self.expired = Some(tokens.sign(bearer(session, READER, now)));
        self
    }
}

impl Banner<'_> {
    /// Prints it, for an API at this address.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn print(&self, api: SocketAddr) -> io::Result<()> {
        out(styled(BOLD, self.title))?;
        let rows = self.rows.iter().map(|(name, _)| name.len());
        let width = rows.max().unwrap_or_default();
        for (name, text) in &self.rows {
            out(format!("  {name:<width$}  {text}"))?;
        }
        out("")?;
        let monitoring = format!("http://{api}/api/v1/monitoring");
        out(format!("export U={monitoring}/sessions"))?;
        let mut to_sign = false;
        for (name, caller) in [
            ("READER", &self.sample_tokens.reader),
            ("ADMIN", &self.sample_tokens.admin),
        ] {
            match caller {
                Credentials::Token(token) => out(format!("export {name}={token}"))?,
                Credentials::Claims(claims) => {
                    to_sign = true;
                    out(styled(
                        DIM,
                        format!("# {name} is these claims, signed elsewhere:"),
                    ))?;
                    out(claims)?;
                }
            }
        }
        if let Some(expired) = &self.sample_tokens.expired {
            out(format!("export EXPIRED={expired}"))?;
        }
        let curl = |who, rest: &str| format!("curl -H \"Authorization: Bearer ${who}\" {rest}");
        out(curl("READER", "$U/stats"))?;
        out(curl("READER", "$U/cleanups"))?;
        out(curl("ADMIN", "-X POST \"$U/cleanup?dry_run=true\""))?;
        out(curl("ADMIN", "-X POST $U/cleanup"))?;
        if self.sample_tokens.expired.is_some() {
            out(curl("EXPIRED", "$U/stats"))?;
        }
        for (title, command) in &self.commands {
            out(format!("{}\n{command}", styled(DIM, format!("# {title}"))))?;
        }
        out("")?;
        let token = if to_sign {
            "a signed token"
        } else {
            "the token"
        };
        out(format!(
            "Open the page, and paste {token} of ADMIN or READER:"
        ))?;
        out(styled(BOLD, monitoring))
    }
}
