//! Sample data: the table of a service that never cleans up its sessions. An application's own
//! library writes it, from a fixed seed.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use session_domain::{InvalidId, SessionId, Timestamp, TokenId, UserId};
use session_lifecycle::{NewSession, Sessions, SessionsError};

/// Number of expired sessions that are still active.
pub const EXPIRED_SESSIONS: u64 = 86;
/// Number of live sessions: the administrator's, the reader's, and one more.
pub const LIVE_SESSIONS: u64 = 3;
/// Number of refresh tokens that are still valid.
pub const LIVE_REFRESH_TOKENS: u64 = 15;
/// Number of expired refresh tokens.
pub const EXPIRED_REFRESH_TOKENS: u64 = 25;
/// Number of expired refresh tokens within the sweep grace.
pub const REFRESH_TOKENS_IN_GRACE: u64 = 7;
/// Number of blacklisted tokens that have not expired.
pub const LIVE_BLACKLISTED_TOKENS: u64 = 5;
/// Number of expired blacklisted tokens.
pub const EXPIRED_BLACKLISTED_TOKENS: u64 = 7;
/// Number of expired blacklisted tokens within the sweep grace.
pub const BLACKLISTED_TOKENS_IN_GRACE: u64 = 2;
/// Number of sessions that have been inactive for more than 30 days.
pub const OLD_INACTIVE_SESSIONS: u64 = 10;
/// Number of those sessions within the sweep grace.
pub const OLD_INACTIVE_SESSIONS_IN_GRACE: u64 = 2;
/// Number of sessions that have been inactive for less than 30 days.
pub const YOUNG_INACTIVE_SESSIONS: u64 = 5;

/// Number of all records.
pub const RECORDS: u64 = EXPIRED_SESSIONS
    + LIVE_SESSIONS
    + LIVE_REFRESH_TOKENS
    + EXPIRED_REFRESH_TOKENS
    + LIVE_BLACKLISTED_TOKENS
    + EXPIRED_BLACKLISTED_TOKENS
    + OLD_INACTIVE_SESSIONS
    + YOUNG_INACTIVE_SESSIONS;

/// User ID of the administrator.
pub const ADMIN: &str = "ada";
/// User ID of the reader.
pub const READER: &str = "rob";

const USERS: [&str; 12] = [
    ADMIN, READER, "ben", "cleo", "dana", "emil", "fatima", "goran", "hana", "igor", "june", "kofi",
];

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A user's session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSession {
    /// User ID.
    pub user: UserId,
    /// Session ID.
    pub session: SessionId,
}

/// The sessions that tokens are signed for.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The administrator's session.
    pub admin: UserSession,
    /// The reader's session.
    pub reader: UserSession,
    /// An expired session.
    pub expired: UserSession,
}

/// Error of filling the table.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// The table failed.
    #[error(transparent)]
    Store(#[from] SessionsError),
    /// An ID of the sample is invalid.
    #[error(transparent)]
    Id(#[from] InvalidId),
}

/// Writes the sample data as of `now`. Calls `progress` after each record.
///
/// # Errors
///
/// The table failed.
pub async fn fill(
    sessions: &Sessions,
    now: Timestamp,
    progress: impl Fn(),
) -> Result<Sample, SampleError> {
    let mut sample = SampleWriter {
        sessions,
        now,
        random: StdRng::seed_from_u64(86),
        progress,
    };
    let mut live = Vec::new();
    for user in [ADMIN, READER, "ben"] {
        live.push(sample.session(user, now.plus(12 * HOUR)).await?);
    }
    let mut expired = Vec::new();
    for _ in 0..EXPIRED_SESSIONS {
        let user = sample.random_user();
        let end = now.minus(sample.random.random_range(MINUTE..28 * DAY));
        expired.push(sample.session(user, end).await?);
    }
    sample.tokens(now).await?;
    sample.inactive_sessions(now).await?;
    let mut live = live.into_iter();
    match (live.next(), live.next(), expired.into_iter().next()) {
        (Some(admin), Some(reader), Some(expired)) => Ok(Sample {
            admin,
            reader,
            expired,
        }),
        _ => Err(InvalidId {
            what: "a session of the sample",
        }
        .into()),
    }
}

/// Creates a live session for the administrator and for the reader, for a table without the sample
/// data.
///
/// # Errors
///
/// The table failed.
pub async fn open_sessions(
    sessions: &Sessions,
    now: Timestamp,
) -> Result<(UserSession, UserSession), SampleError> {
    let random = rand::make_rng();
    let mut writer = SampleWriter {
        sessions,
        now,
        random,
        progress: || (),
    };
    let end = now.plus(12 * HOUR);
    Ok((
        writer.session(ADMIN, end).await?,
        writer.session(READER, end).await?,
    ))
}

/// The same user agent for the same host.
const fn user_agent(host: u32) -> &'static str {
    match host % 4 {
        0 => "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        1 => {
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/141.0.0.0 Safari/537.36"
        }
        2 => {
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 \
             (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"
        }
        _ => "Shop/4.2 (Android 15)",
    }
}

struct SampleWriter<'a, P> {
    sessions: &'a Sessions,
    now: Timestamp,
    random: StdRng,
    progress: P,
}

impl<P: Fn()> SampleWriter<'_, P> {
    fn random_user(&mut self) -> &'static str {
        USERS.choose(&mut self.random).copied().unwrap_or(ADMIN)
    }

    fn random_id(&mut self) -> String {
        format!("{:016x}", self.random.random::<u64>())
    }

    /// Creates a session that expires at `end`, at least eight hours after its creation.
    async fn session(&mut self, user: &str, end: Timestamp) -> Result<UserSession, SampleError> {
        let (user, session) = (UserId::parse(user)?, SessionId::parse(self.random_id())?);
        let host: u32 = self.random.random_range(1..255);
        let new = NewSession::new(user.clone(), session.clone(), end)
            .ip_address(format!("192.0.2.{host}"))
            .user_agent(user_agent(host));
        // Here and below: an existing record stays as it is.
        let _ = self
            .sessions
            .create(new, end.minus(8 * HOUR).min(self.now))
            .await?;
        (self.progress)();
        Ok(UserSession { user, session })
    }

    async fn tokens(&mut self, now: Timestamp) -> Result<(), SampleError> {
        const GRACE: i64 = 48 * HOUR;
        let in_grace = MINUTE..GRACE - HOUR;
        let past_grace = GRACE + HOUR..20 * DAY;
        for number in 0..LIVE_REFRESH_TOKENS + EXPIRED_REFRESH_TOKENS {
            let end = match number {
                it if it < LIVE_REFRESH_TOKENS => now.plus(self.random.random_range(DAY..30 * DAY)),
                it if it < LIVE_REFRESH_TOKENS + REFRESH_TOKENS_IN_GRACE => {
                    now.minus(self.random.random_range(in_grace.clone()))
                }
                _ => now.minus(self.random.random_range(past_grace.clone())),
            };
            let user = UserId::parse(self.random_user())?;
            let session = SessionId::parse(self.random_id())?;
            let token = self.random_id();
            let _ = self
                .sessions
                .add_refresh_token(&user, &session, &token, end)
                .await?;
            (self.progress)();
        }
        for number in 0..LIVE_BLACKLISTED_TOKENS + EXPIRED_BLACKLISTED_TOKENS {
            let end = match number {
                it if it < LIVE_BLACKLISTED_TOKENS => {
                    now.plus(self.random.random_range(MINUTE..HOUR))
                }
                it if it < LIVE_BLACKLISTED_TOKENS + BLACKLISTED_TOKENS_IN_GRACE => {
                    now.minus(self.random.random_range(in_grace.clone()))
                }
                _ => now.minus(self.random.random_range(past_grace.clone())),
            };
            let user = UserId::parse(self.random_user())?;
            let token = TokenId::parse(self.random_id())?;
            let _ = self.sessions.blacklist(&user, &token, end).await?;
            (self.progress)();
        }
        Ok(())
    }

    async fn inactive_sessions(&mut self, now: Timestamp) -> Result<(), SampleError> {
        for number in 0..OLD_INACTIVE_SESSIONS + YOUNG_INACTIVE_SESSIONS {
            let ago = match number {
                it if it < OLD_INACTIVE_SESSIONS_IN_GRACE => 30 * DAY + HOUR..32 * DAY - HOUR,
                it if it < OLD_INACTIVE_SESSIONS => 32 * DAY + HOUR..90 * DAY,
                _ => HOUR..29 * DAY,
            };
            let ended = now.minus(self.random.random_range(ago));
            let user = self.random_user();
            let UserSession { user, session } = self.session(user, ended.plus(HOUR)).await?;
            let _ = self.sessions.logout(&user, &session, ended).await?;
        }
        Ok(())
    }
}
