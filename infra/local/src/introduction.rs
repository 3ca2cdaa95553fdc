//! What a stack that stays up prints first: its page, and `curl` lines with ready-made tokens.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;

use chrono::{DateTime, TimeDelta, Utc};

use crate::sample::UserSession;
use crate::terminal::{BOLD, DIM, say, styled};
use crate::tokens::{Bearer, Tokens};

/// How long the printed tokens are good.
const TOKEN_LIFE: TimeDelta = TimeDelta::hours(12);

/// The tokens of those who may call, and of two who may not.
pub struct Callers {
    admin: String,
    reader: String,
    late: String,
    expired: Option<String>,
}

impl Callers {
    /// Signs them.
    #[must_use]
    pub fn new(
        tokens: &Tokens,
        admin: &UserSession,
        reader: &UserSession,
        expired: Option<&UserSession>,
        now: DateTime<Utc>,
    ) -> Self {
        let token = |session: &UserSession, scope, life| {
            tokens.sign(Bearer {
                user: session.user.as_str(),
                session: session.session.as_str(),
                scope,
                expires_at: now + life,
            })
        };
        Self {
            admin: token(admin, "sessions:admin", TOKEN_LIFE),
            reader: token(reader, "sessions:read", TOKEN_LIFE),
            late: token(reader, "sessions:read", TimeDelta::zero()),
            expired: expired.map(|session| token(session, "sessions:read", TOKEN_LIFE)),
        }
    }

    /// Prints the page at this address, and a token that it takes.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn print_page(&self, api: SocketAddr) -> io::Result<()> {
        let page = format!("See it: http://{api}/api/v1/monitoring");
        say(styled(BOLD, page))?;
        line("with this token, as administrator", &self.admin)?;
        say("")
    }

    /// Prints the calls of the API at this address.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn print(&self, api: SocketAddr) -> io::Result<()> {
        let monitoring = format!("http://{api}/api/v1/monitoring/sessions");
        let with = |token: &str| format!("curl -s -H 'Authorization: Bearer {token}'");
        line(
            "statistics, as a reader",
            format!("{} {monitoring}/stats", with(&self.reader)),
        )?;
        if let Some(expired) = &self.expired {
            line(
                "a user whose session has expired: refused, and the session is closed",
                format!("{} {monitoring}/stats", with(expired)),
            )?;
        }
        line(
            "a reader whose token has expired: refused",
            format!("{} {monitoring}/stats", with(&self.late)),
        )?;
        line(
            "what a cleanup would do, as administrator",
            format!(
                "{} -X POST '{monitoring}/cleanup?dry_run=true'",
                with(&self.admin)
            ),
        )?;
        line(
            "clean up, as administrator",
            format!("{} -X POST {monitoring}/cleanup", with(&self.admin)),
        )?;
        line(
            "the reports, as a reader",
            format!("{} {monitoring}/cleanups", with(&self.reader)),
        )
    }
}

/// Prints a command under its title.
///
/// # Errors
///
/// The system's.
pub fn line(title: &str, command: impl Display) -> io::Result<()> {
    say("")?;
    say(styled(DIM, format!("# {title}")))?;
    say(command)
}
