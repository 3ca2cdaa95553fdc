//! The use case of the statistics: count sessions on the work list, and compare that with the table.

use chrono::{DateTime, Utc};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use session_domain::{Action, Counted, DueKey, DueList, Shard, Shards, Statistics, Timestamp};
use session_lifecycle::ports::{
    CountRecords, DescribeTable, DueRange, ReadReports, StoreError, TableDescription,
};

/// Parts of the work list that are counted at once. Each is read page by page, so this is also how
/// many pages the table is asked for at the same time.
const AT_ONCE: usize = 8;

/// Counts the sessions in `table` at `now`.
///
/// # Errors
///
/// The store's.
pub async fn count<T: CountRecords + Sync>(
    table: &T,
    shards: Shards,
    now: Timestamp,
) -> Result<Statistics, StoreError> {
    let parts = shards.all().flat_map(|shard| {
        let parts = [Part::Expired, Part::Live, Part::Inactive, Part::Malformed];
        parts.map(|part| (shard, part))
    });
    let counts = parts.map(|(shard, part)| count_part(table, shard, part, now));
    let mut counted = stream::iter(counts).buffer_unordered(AT_ONCE);
    let mut total = Counted::default();
    while let Some((part, count, end)) = counted.try_next().await? {
        *match part {
            Part::Live => &mut total.live,
            Part::Expired => &mut total.expired,
            Part::Inactive => &mut total.inactive,
            Part::Malformed => &mut total.malformed,
        } += count;
        total.oldest_expired = [total.oldest_expired, end].into_iter().flatten().min();
    }
    Ok(Statistics::new(&total, now))
}

/// How much of the table the index holds. What it does not hold, neither the cleanup nor the statistics see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Coverage {
    /// About how many items the table holds, as the service says: up to six hours old.
    pub table_items: u64,
    /// About how many of them are neither in the index nor reports of ours; nothing where the service does not count those in
    /// the index.
    pub unindexed_items: Option<u64>,
    /// When the table was created.
    pub table_created: Option<DateTime<Utc>>,
}

/// Compares the table with its index.
///
/// # Errors
///
/// The store's.
pub async fn coverage<T: DescribeTable + ReadReports + Sync>(
    table: &T,
) -> Result<Coverage, StoreError> {
    let TableDescription {
        items,
        indexed_items,
        created_at,
    } = table.describe().await?;
    let mut unindexed = indexed_items.map(|indexed| items.saturating_sub(indexed));
    if let Some(count @ 1..) = unindexed {
        // A count of what is there now; so the reports of the last hours may hide as many others.
        let reports = table.count_reports(count).await?;
        unindexed = Some(count.saturating_sub(reports));
    }
    Ok(Coverage {
        table_items: items,
        unindexed_items: unindexed,
        table_created: created_at,
    })
}

/// The parts of a shard that are counted.
#[derive(Clone, Copy)]
enum Part {
    Live,
    Expired,
    Inactive,
    Malformed,
}

/// How many records are in a part, and the end of the oldest where they have expired.
async fn count_part<T: CountRecords + Sync>(
    table: &T,
    shard: Shard,
    part: Part,
    now: Timestamp,
) -> Result<(Part, u64, Option<Timestamp>), StoreError> {
    let (action, range) = match part {
        Part::Live => (Action::Deactivate, DueRange::DueAfter(now)),
        Part::Expired => (Action::Deactivate, DueRange::DueBy(now)),
        Part::Inactive => (Action::Delete, DueRange::All),
        Part::Malformed => {
            let count = table.count(DueKey::Malformed(shard), DueRange::All).await?;
            return Ok((part, count, None));
        }
    };
    let list = DueList { action, shard };
    let count = table.count(DueKey::List(list), range).await?;
    let oldest = match part {
        // A cleanup may have been here since; then a live one comes first.
        Part::Expired if count > 0 => table.oldest(list).await?.filter(|end| *end <= now),
        Part::Live | Part::Expired | Part::Inactive | Part::Malformed => None,
    };
    Ok((part, count, oldest))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use session_lifecycle::clock::Stopwatch;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    /// A table that takes a second for each list, and knows how many it is asked for at once.
    struct Slow {
        waiting: AtomicUsize,
        most: AtomicUsize,
        oldest: Timestamp,
    }

    fn slow(oldest: Timestamp) -> Slow {
        Slow {
            waiting: AtomicUsize::default(),
            most: AtomicUsize::default(),
            oldest,
        }
    }

    impl CountRecords for Slow {
        async fn count(&self, due_key: DueKey, range: DueRange) -> Result<u64, StoreError> {
            let waiting = self.waiting.fetch_add(1, Ordering::Relaxed) + 1;
            self.most.fetch_max(waiting, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            let DueKey::List(list) = due_key else {
                return Ok(1_000);
            };
            Ok(match (list.action, range) {
                (Action::Deactivate, DueRange::DueAfter(_)) => 100,
                (Action::Deactivate, DueRange::DueBy(_)) => 10,
                _ => 1,
            })
        }

        async fn oldest(&self, _: DueList) -> Result<Option<Timestamp>, StoreError> {
            Ok(Some(self.oldest))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn counts_all_due_lists_eight_at_a_time() {
        let table = slow(NOW.plus(-60));
        let timer = Stopwatch::start();
        let counted = count(&table, Shards::default(), NOW).await.unwrap();
        let expected = Counted {
            live: 1_600,
            expired: 160,
            inactive: 16,
            malformed: 16_000,
            oldest_expired: Some(NOW.plus(-60)),
        };
        assert_eq!(counted, Statistics::new(&expected, NOW));
        assert_eq!(table.most.into_inner(), AT_ONCE);
        assert_eq!(timer.elapsed(), Duration::from_secs(4 * 16 / 8));
    }

    /// Between two questions, a cleanup may take all expired sessions off a list.
    #[tokio::test(start_paused = true)]
    async fn never_reports_live_session_as_oldest_expired() {
        let table = slow(NOW.plus(60));
        let counted = count(&table, Shards::default(), NOW).await.unwrap();
        assert_eq!(counted.oldest_expired_age_seconds, None);
    }
}
