//! Configuration of the functions: which environment variables each of them reads.
//!
//! | module | what it is |
//! | --- | --- |
//! | `authorizer`, `cleanup`, `stats`, `sessions` | configuration of each function |
//! | `common` | variables that several functions share |
//! | `tokens` | variables for the verification of tokens |

mod authorizer;
mod cleanup;
mod common;
mod lifetime;
mod sessions;
mod stats;
mod tokens;

pub use self::authorizer::AuthorizerConfig;
pub use self::cleanup::{CleanupConfig, ForceCleanupConfig};
pub use self::common::TableConfig;
pub use self::sessions::SessionsConfig;
pub use self::stats::StatsConfig;
pub use self::tokens::token_setting;
