//! The text that a running stack prints at its start: addresses, tokens, `curl` commands, and last
//! the address of the page. It fits on a terminal with 24 rows.

use std::io;
use std::net::SocketAddr;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::sample::UserSession;
use crate::terminal::{BOLD, DIM, out, styled};
use crate::tokens::{Bearer, Tokens};

/// Lifetime of the printed tokens.
const TOKEN_LIFE: TimeDelta = TimeDelta::hours(12);

/// The parts of the banner that differ between the commands.
pub struct Banner<'a> {
    /// Title, the first line.
    pub title: &'a str,
    /// What runs where: name and description.
    pub rows: Vec<(&'static str, String)>,
    /// The tokens.
    pub sample_tokens: &'a SampleTokens,
    /// Further commands, each with a title.
    pub commands: Vec<(&'static str, String)>,
}

/// Tokens of an administrator and of a reader, and optionally one whose session has expired.
pub struct SampleTokens {
    admin: Credentials,
    reader: Credentials,
    expired: Option<String>,
}

/// A token, or the claims of one.
enum Credentials {
    Token(String),
    /// Another program has to sign these.
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
    /// Signs the tokens of the administrator and the reader.
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

    /// The claims of both tokens, for another program to sign.
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

    /// Adds a token whose session has expired.
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
    /// Prints the banner for an API at this address.
    ///
    /// # Errors
    ///
    /// Standard output cannot be written.
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
                        format!("# {name} is these claims, signed by another program:"),
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
        // Before the cleanup, which deactivates the session.
        if self.sample_tokens.expired.is_some() {
            out(curl("EXPIRED", "$U/stats"))?;
        }
        out(curl("ADMIN", "-X POST \"$U/cleanup?dry_run=true\""))?;
        out(curl("ADMIN", "-X POST $U/cleanup"))?;
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
            "Open the page and paste {token} of ADMIN or READER:"
        ))?;
        out(styled(BOLD, monitoring))
    }
}
