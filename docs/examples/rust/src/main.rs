//! What an application does with its sessions: log in, refresh, revoke a token, log out.
//!
//! It runs against an embedded DynamoDB of its own:
//! `cargo run -p session-example`. An application makes its client with
//! [`session_lifecycle::connect`] instead.

use std::error::Error;
use std::io::{Write as _, stdout};
use std::net::Ipv4Addr;
use std::time::{SystemTime, UNIX_EPOCH};

use session_cleanup_local::dynamodb::{EmbeddedDynamoDb, TABLE_NAME, open};
use session_cleanup_local::template::Template;
use session_lifecycle::{
    CreateOutcome, Days, NewSession, Reason, SessionId, Sessions, Shards, Table, Timestamp,
    TokenId, UpdateOutcome, UserId,
};
use tokio::net::TcpListener;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let dynamodb = EmbeddedDynamoDb::start(open(None)?, listener, &Template::read()?.table)?;

    // The shards and the retention are those of the stack: DUE_SHARDS, SESSION_RETENTION_DAYS.
    let table = Table::new(dynamodb.client(), TABLE_NAME, Shards::default());
    let sessions = Sessions::new(table, Days(30));

    // At login: a session, whose id goes into the access token as `sid`, and a refresh token.
    let (user, session) = (UserId::parse("ann")?, SessionId::parse("5f2c")?);
    let new = NewSession {
        user: user.clone(),
        session: session.clone(),
        expires_at: now()?.plus(8 * HOUR),
        ip_address: Some("192.0.2.7".to_owned()),
        user_agent: None,
    };
    let created = sessions.create(new, now()?).await?;
    assert_eq!(created, CreateOutcome::Created);
    sessions
        .add_refresh_token(&user, &session, "a long random text", now()?.plus(30 * DAY))
        .await?;
    tell("logged in: the session is stored, and the refresh token's hash")?;

    // At a refresh: the session lives longer, index and ttl move along.
    let extended = sessions
        .extend(&user, &session, now()?.plus(16 * HOUR), now()?)
        .await?;
    assert_eq!(extended, UpdateOutcome::Updated);
    tell("refreshed: the session ends eight hours later")?;

    // When an access token must not be taken any more although its time is not over.
    let token = TokenId::parse("jti-of-the-token")?;
    sessions.blacklist(&user, &token, now()?.plus(HOUR)).await?;
    tell("blacklisted an access token, until its own end")?;

    // At logout. A session that has ended never comes back.
    let closed = sessions
        .deactivate(&user, &session, Reason::Logout, now()?)
        .await?;
    assert_eq!(closed, UpdateOutcome::Updated);
    let late = sessions
        .extend(&user, &session, now()?.plus(DAY), now()?)
        .await?;
    assert_eq!(late, UpdateOutcome::Ended);
    tell("logged out: the session is inactive for good")?;

    dynamodb.stop().await;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "an application has a clock of its own"
)]
fn now() -> Result<Timestamp, Box<dyn Error>> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    Ok(Timestamp::from_seconds(seconds.try_into()?))
}

fn tell(line: &str) -> std::io::Result<()> {
    writeln!(stdout(), "{line}")
}
