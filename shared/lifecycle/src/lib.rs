//! Sessions in DynamoDB, for applications: create them, extend them, close them.
//!
//! A login service opens a session, stores its refresh token, and closes it at sign-out. Each record
//! is written with the attributes that the authorizer, the cleanup and native TTL expect.
//!
//! ```no_run
//! use session_lifecycle::{
//!     CallPolicy, Days, NewSession, Reason, SessionId, Sessions, Shards, Table, Timestamp, UserId,
//!     connect,
//! };
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = connect(CallPolicy::INTERACTIVE).await;
//! let sessions = Sessions::new(Table::new(client, "sessions", Shards::default()), Days(30));
//!
//! let (user, session) = (UserId::parse("ann")?, SessionId::parse("s-1")?);
//! let now = Timestamp::from_seconds(1_800_000_000);
//! let new = NewSession {
//!     user: user.clone(),
//!     session: session.clone(),
//!     expires_at: now.plus(3_600),
//!     ip_address: None,
//!     user_agent: None,
//! };
//! sessions.create(new, now).await?;
//! sessions.add_refresh_token(&user, &session, "the token", now.plus(86_400)).await?;
//! sessions.deactivate(&user, &session, Reason::Logout, now.plus(60)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! What an application needs is at the root. The modules are for the Lambda functions:
//!
//! - [`ports`]: the interfaces that the use cases depend on, one trait per capability.
//! - [`dynamodb`]: the adapter that implements them for one table.
//! - [`aws`]: timeouts and retry limits for calls to AWS.
//! - [`clock`]: the only place that reads a clock.
//!
//! The decisions about records are in `session_domain`; tokens and keys are in `session_token`.

pub mod aws;
pub mod clock;
pub mod dynamodb;
pub mod ports;
mod sessions;

pub use aws::{CallPolicy, connect};
pub use dynamodb::Table;
pub use ports::{NewSession, StoreError, StoreErrorKind};
pub use session_domain::{Days, Reason, SessionId, Shards, Timestamp, TokenId, UserId};
pub use sessions::{CreateOutcome, Sessions, UpdateOutcome};
