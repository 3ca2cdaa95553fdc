//! Use case of the statistics: count the sessions in the due index, and compare it with the table.

use chrono::{DateTime, Utc};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use session_domain::{Action, Counted, DueKey, DueList, Shard, Shards, Statistics, Timestamp};
use session_lifecycle::ports::{
    CountRecords, DescribeTable, DueRange, ReadReports, StoreError, TableDescription,
};

/// Number of counts that run concurrently. Each reads page by page, so this is also the number of
/// concurrent requests.
const CONCURRENT_COUNTS: usize = 8;

/// Counts the sessions in `table` at `now`.
///
/// # Errors
///
/// The table cannot be read.
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
    let mut counted = stream::iter(counts).buffer_unordered(CONCURRENT_COUNTS);
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

/// Comparison of the table with the due index. The cleanup and the statistics do not see items outside
/// the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Coverage {
    /// Approximate number of items in the table, as DynamoDB reports it. Up to six hours old.
    pub table_items: u64,
    /// Approximate number of items that are neither in the index nor reports. `None` if DynamoDB
    /// does not report the size of the index.
    pub unindexed_items: Option<u64>,
    /// Creation time of the table.
    pub table_created: Option<DateTime<Utc>>,
}

/// Compares the table with the due index.
///
/// # Errors
///
/// The table cannot be described, or the reports cannot be counted.
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
        // This count is current, but DynamoDB's counts are up to six hours old. Each report that
        // was stored since then hides one unindexed item.
        let reports = table.count_reports(count).await?;
        unindexed = Some(count.saturating_sub(reports));
    }
    Ok(Coverage {
        table_items: items,
        unindexed_items: unindexed,
        table_created: created_at,
    })
}

/// Parts of a shard that are counted separately.
#[derive(Clone, Copy)]
enum Part {
    Live,
    Expired,
    Inactive,
    Malformed,
}

/// Counts the records of a part. For expired sessions, also returns the expiry time of the oldest.
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
        // A cleanup may have processed the list since the count. Then a live session comes first.
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

    /// A table that takes one second for each count, and tracks how many run concurrently.
    struct Slow {
        running: AtomicUsize,
        max_running: AtomicUsize,
        oldest: Timestamp,
    }

    fn slow(oldest: Timestamp) -> Slow {
        Slow {
            running: AtomicUsize::default(),
            max_running: AtomicUsize::default(),
            oldest,
        }
    }

    impl CountRecords for Slow {
        async fn count(&self, due_key: DueKey, range: DueRange) -> Result<u64, StoreError> {
            let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
            self.max_running.fetch_max(running, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.running.fetch_sub(1, Ordering::Relaxed);
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
        assert_eq!(table.max_running.into_inner(), CONCURRENT_COUNTS);
        assert_eq!(timer.elapsed(), Duration::from_secs(4 * 16 / 8));
    }

    /// A cleanup may process all expired sessions of a list between the two requests.
    #[tokio::test(start_paused = true)]
    async fn never_reports_live_session_as_oldest_expired() {
        let table = slow(NOW.plus(60));
        let counted = count(&table, Shards::default(), NOW).await.unwrap();
        assert_eq!(counted.oldest_expired_age_seconds, None);
    }
}
