//! The use case of the statistics: count sessions on the work list.

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::domain::{Action, DueList, Shard, Shards, Statistics, Timestamp};
use crate::ports::{CountSessions, StoreError, Window};

/// Shards that are counted at once, each by four queries at once. All of them, where there are as
/// many as by default: most of the time is spent waiting for pages.
const AT_ONCE: usize = 16;

/// Counts the sessions in `table` at `now`.
///
/// # Errors
///
/// The store's.
pub async fn count<T: CountSessions + Sync>(
    table: &T,
    shards: Shards,
    now: Timestamp,
) -> Result<Statistics, StoreError> {
    let (mut live, mut expired, mut inactive, mut oldest) = (0, 0, 0, None);
    let mut counted = stream::iter(shards.all().map(|shard| count_shard(table, shard, now)))
        .buffer_unordered(AT_ONCE);
    while let Some(shard) = counted.try_next().await? {
        live += shard.live;
        expired += shard.expired;
        inactive += shard.inactive;
        oldest = [oldest, shard.oldest_expired].into_iter().flatten().min();
    }
    Ok(Statistics::new(live, expired, inactive, oldest, now))
}

struct ShardCount {
    live: u64,
    expired: u64,
    inactive: u64,
    oldest_expired: Option<Timestamp>,
}

async fn count_shard<T: CountSessions + Sync>(
    table: &T,
    shard: Shard,
    now: Timestamp,
) -> Result<ShardCount, StoreError> {
    let active = DueList {
        action: Action::Deactivate,
        shard,
    };
    let to_delete = DueList {
        action: Action::Delete,
        shard,
    };
    let (live, expired, inactive, oldest) = tokio::try_join!(
        table.count(active, Window::DueAfter(now)),
        table.count(active, Window::DueBy(now)),
        table.count(to_delete, Window::All),
        table.oldest(active),
    )?;
    Ok(ShardCount {
        live,
        expired,
        inactive,
        // The first on the list is live where none has expired.
        oldest_expired: oldest.filter(|end| *end <= now),
    })
}
