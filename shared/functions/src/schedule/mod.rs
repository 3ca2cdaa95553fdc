//! Schedule of the cleanup, and whether its runs are late.
//!
//! | module | what it is |
//! | --- | --- |
//! | `expression` | schedule expressions of `EventBridge`: `rate(…)` and `cron(…)` |
//! | `cron` | translation of `cron(…)` for the parser |
//! | `runs` | the last scheduled runs, according to their reports |

mod cron;
mod expression;
mod runs;

pub use self::expression::Schedule;
pub use self::runs::ScheduledRuns;
