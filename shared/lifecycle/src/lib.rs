//! The life of a session in DynamoDB.
//!
//! - [`domain`]: pure decisions; what is due, who is let in.
//! - [`ports`]: what the use cases need of the world, one trait per capability.
//! - The use cases, a file each: [`sessions`] for applications that log users in and out; with
//!   the feature `functions`, `authorize`, `clean_up`, `statistics`, `schedule` and `reports` for the
//!   Lambda functions.
//! - [`dynamodb`]: the table behind the ports.
//! - With the feature `functions`: `config`, `keys`, `token`, `http`, `telemetry`, `metrics`, for the
//!   functions.
//!
//! # For applications
//!
//! ```no_run
//! use session_lifecycle::{
//!     Days, NewSession, CallPolicy, Reason, SessionId, Sessions, Shards, Table, Timestamp, UserId, connect,
//! };
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = connect(CallPolicy::INTERACTIVE).await;
//! let sessions = Sessions::new(Table::new(client, "sessions", Shards::default()), Days(30));
//!
//! let (user, session) = (UserId::parse("ann")?, SessionId::parse("s-1")?);
//! let now = Timestamp::from_seconds(1_800_000_000);
//! let expires_at = now.plus(3_600);
//! let new = NewSession {
//!     user: user.clone(),
//!     session: session.clone(),
//!     expires_at,
//!     ip_address: None,
//!     user_agent: None,
//! };
//! sessions.create(new, now).await?;
//! sessions.add_refresh_token(&user, &session, "the token", now.plus(86_400)).await?;
//! sessions.deactivate(&user, &session, Reason::Logout, now.plus(60)).await?;
//! # Ok(())
//! # }
//! ```

pub mod aws;
pub mod clock;
pub mod dynamodb;
pub mod ports;
mod sessions;

pub use aws::{CallPolicy, connect};
pub use dynamodb::Table;
pub use ports::{NewSession, StoreError};
pub use session_domain::{Days, Reason, SessionId, Shards, Timestamp, TokenId, UserId};
pub use sessions::{CreateOutcome, Sessions, UpdateOutcome};
