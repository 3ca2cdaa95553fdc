//! Peak memory of a cleanup with records of DynamoDB's maximum size.

use serde_json::{Value, json};
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::emulator::Emulator;
use session_cleanup_tests::{DAY, HOUR, World, active_session, counts, inactive_session, sample};

use crate::now;

/// Number of records of a kind: enough for the maximum number of concurrent batches.
const RECORDS: usize = 320;

/// Number of records for a scan, whose pages have at most 1 MB. The embedded DynamoDB reads much
/// more than it returns for each page.
const SCANNED: usize = 64;

/// Maximum resident memory.
const MOST: u64 = 64 * 1024 * 1024;

/// Records of about 390 KB, on all shards.
fn large(records: usize, record: impl Fn(&str) -> Value, list: Option<&str>) -> Vec<Value> {
    let records = (0..records).map(|number| {
        let mut item = record(&format!("s{number}"));
        item["data"] = json!({ "S": "x".repeat(390_000) });
        match list {
            Some(list) => item["due_key"] = json!({ "S": format!("{list}#{:02}", number % 16) }),
            None => {
                for name in ["due_key", "due_at", "ttl"] {
                    item.as_object_mut().unwrap().remove(name);
                }
            }
        }
        item
    });
    records.collect()
}

/// Runs the cleanup on these records, without a rate limit, and checks counts and memory.
async fn run_within_bounds(records: Vec<Value>, event: Value, expected: &[(&str, u64)]) {
    let world = World::new().await;
    sample::store(&world, records);
    let unlimited = [("MAX_WRITES_PER_SECOND", "0")];
    let cleanup = Emulator::start(&world, FunctionName::Cleanup, unlimited).await;
    let report = cleanup.invoke(&event).await.unwrap();
    let expected = expected
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count));
    assert_eq!(counts(&report), expected.collect(), "{event}: {report}");
    let resident = cleanup.function().unwrap().most_resident();
    assert!(resident <= MOST, "{event}: {resident} bytes");
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn stays_below_64_mib_with_records_of_400_kb() {
    let count = RECORDS as u64;
    let expired = |name: &str| active_session("ann", name, now() - HOUR);
    let old = |name: &str| inactive_session("ann", name, now() - 60 * DAY);
    let malformed = |name: &str| {
        let mut item = expired(name);
        item["is_active"] = json!({ "N": "1" });
        item
    };
    for dry_run in [true, false] {
        let event = json!({ "dry_run": dry_run });
        let done = [("sessions_deactivated", count)];
        run_within_bounds(
            large(RECORDS, expired, Some("deactivate")),
            event.clone(),
            &done,
        )
        .await;
        let done = [("sessions_deleted", count)];
        run_within_bounds(large(RECORDS, old, Some("delete")), event.clone(), &done).await;
        let done = [("malformed", count)];
        run_within_bounds(large(RECORDS, malformed, Some("deactivate")), event, &done).await;
        let event = json!({ "dry_run": dry_run, "adopt": true });
        let count = SCANNED as u64;
        let done = [("adopted", count), ("sessions_deactivated", count)];
        run_within_bounds(large(SCANNED, expired, None), event, &done).await;
    }
}
