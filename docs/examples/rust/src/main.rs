//! A login service with the library: log in, refresh, blacklist an access token, log out.
//!
//! `cargo run -p session-example` runs it with an embedded DynamoDB. A real login service creates
//! its client with [`session_lifecycle::connect`].

use std::error::Error;
use std::io::{Write as _, stdout};
use std::net::Ipv4Addr;
use std::time::{SystemTime, UNIX_EPOCH};

use session_cleanup_local::dynamodb::{EmbeddedDynamoDb, TABLE_NAME, open};
use session_cleanup_local::template::Template;
use session_lifecycle::{
    CreateOutcome, Days, NewSession, RefreshOutcome, SessionId, Sessions, Shards, Table, Timestamp,
    UpdateOutcome, UserId,
};
use tokio::net::TcpListener;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const ISSUER: &str = "https://id.example";
const AUDIENCE: &str = "my-api";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let dynamodb = EmbeddedDynamoDb::start(open(None)?, listener, &Template::read()?.table)?;

    // Use the stack's values of DUE_SHARDS and SESSION_RETENTION_DAYS.
    let table = Table::new(dynamodb.client(), TABLE_NAME, Shards::default());
    let sessions = Sessions::new(table, Days(30));

    // At login: create a session with a refresh token, which goes to the client. The session ID is the
    // claim `sid` of the access token. No refresh extends the session past its absolute end.
    let (user, session) = (UserId::parse("ann")?, SessionId::random());
    let new = NewSession::new(user.clone(), session.clone(), now()?.plus(8 * HOUR))
        .ip_address("192.0.2.7")
        .max_expires_at(now()?.plus(30 * DAY));
    let token = sessions.login(new, now()?).await?;
    let token = token.ok_or("a session with this ID exists")?;
    let expires_at = now()?.plus(8 * HOUR);
    let claims = sessions
        .access_token_claims(&user, &session, expires_at, ISSUER, AUDIENCE, now()?)
        .scope("orders:read");
    print_line("logged in: the session is stored, with the hash of its refresh token")?;

    // At a refresh: the session expires later, and the client gets another refresh token.
    let later = now()?.plus(16 * HOUR);
    let refreshed = sessions.refresh(&user, &session, token.as_str(), later, now()?);
    let refreshed = refreshed.await?;
    assert!(matches!(refreshed, RefreshOutcome::Refreshed { .. }));
    print_line("refreshed: the session ends eight hours later, and has a new refresh token")?;

    // Another tab of the browser uses the same token at the same time.
    let repeated = sessions.refresh(&user, &session, token.as_str(), later, now()?);
    assert_eq!(repeated.await?, refreshed);
    print_line("repeated: the used refresh token returned the same new one")?;

    // Deny this one access token while its session continues.
    let stored = sessions.blacklist(&user, &claims.jti, claims.exp).await?;
    assert_eq!(stored, CreateOutcome::Created);
    print_line("blacklisted: the access token is denied until it expires")?;

    // At sign-out: close the session. It never becomes active again.
    let closed = sessions.logout(&user, &session, now()?).await?;
    assert_eq!(closed, UpdateOutcome::Updated);
    let late = sessions.refresh(&user, &session, token.as_str(), now()?.plus(DAY), now()?);
    assert_eq!(late.await?, RefreshOutcome::Ended);
    print_line("logged out: the session is inactive and stays inactive")?;

    dynamodb.stop().await;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the application reads its own clock"
)]
fn now() -> Result<Timestamp, Box<dyn Error>> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    Ok(Timestamp::from_seconds(seconds.try_into()?))
}

fn print_line(line: &str) -> std::io::Result<()> {
    writeln!(stdout(), "{line}")
}
