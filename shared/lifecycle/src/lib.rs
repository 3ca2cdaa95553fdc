//! Sessions in DynamoDB, for applications: open, refresh, list and close them.
//!
//! A login service creates a session with a refresh token, and closes it at sign-out.
//! Each record is written with the attributes that the authorizer, the cleanup and native TTL expect.
//!
//! ```no_run
//! use session_lifecycle::{
//!     CallPolicy, Days, NewSession, SessionId, Sessions, Shards, Table, Timestamp, UserId, clock,
//!     connect,
//! };
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = connect(CallPolicy::INTERACTIVE).await;
//! let sessions = Sessions::new(Table::new(client, "sessions", Shards::default()), Days(30));
//!
//! let (user, session) = (UserId::parse("ann")?, SessionId::random());
//! let now = Timestamp::from(clock::now());
//! let new = NewSession::new(user.clone(), session.clone(), now.plus(3_600));
//! let refresh_token = sessions.login(new, now).await?;
//!
//! let outcome = sessions.logout(&user, &session, now.plus(60)).await?;
//! println!("{outcome:?}");
//! # Ok(())
//! # }
//! ```
//!
//! An application that has kept its sessions in another table converts them with `migrate`, a module
//! of the feature with this name.
//!
//! Everything that an application needs is at the root, and the current time is [`clock::now`]. The
//! other modules are for the Lambda functions and for tests:
//!
//! - [`ports`]: the interfaces that the use cases depend on, one trait per capability.
//! - [`dynamodb`]: the adapter that implements them for one table.
//! - [`aws`]: timeouts and retry limits for calls to AWS.
//! - [`clock`]: the only code that reads a clock.
//!
//! The decisions about records are in `session_domain`, which is re-exported for those who implement
//! another store ([`Sessions::with_store`]). Tokens and keys are in `session_token`.

pub mod aws;
pub mod clock;
pub mod dynamodb;
pub mod ports;
mod sessions;

pub use aws::{CallPolicy, connect};
pub use dynamodb::Table;
#[cfg(feature = "migrate")]
pub use dynamodb::migrate;
pub use ports::{NewSession, StoreError, StoreErrorKind};
pub use session_domain;
pub use session_domain::{
    Days, GracePeriod, InvalidGracePeriod, InvalidId, InvalidShard, MalformedRecord, RefreshToken,
    Session, SessionId, Shards, Timestamp, TokenId, UserId,
};
pub use sessions::{
    AccessTokenClaims, CreateOutcome, RefreshOutcome, Sessions, SessionsError, UpdateOutcome,
};
