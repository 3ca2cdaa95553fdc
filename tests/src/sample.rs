//! Random records of all kinds, states and times, including invalid ones.

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};

use crate::model::{Options, Revoke};
use crate::{DAY, HOUR, NOW, World, active_session};

/// Distances from now around each second that matters: the expiry, the end of the grace, long
/// before and long after.
const DISTANCES: [i64; 13] = [
    -400 * DAY,
    -9 * DAY,
    -48 * HOUR - 1,
    -48 * HOUR,
    -48 * HOUR + 1,
    -HOUR,
    -1,
    0,
    1,
    HOUR,
    30 * DAY,
    400 * DAY,
    -3 * DAY,
];

/// Stores `count` random records.
pub fn fill(world: &World, rng: &mut StdRng, count: usize, options: &Options) {
    let items: Vec<Value> = (0..count)
        .map(|number| record(rng, number, options))
        .collect();
    store(world, items);
}

/// Active sessions of many users, on random shards. IDs have 36 characters, because the size of an
/// item determines the cost of a read. `end` returns the expiry of each session.
pub fn active_sessions(
    rng: &mut StdRng,
    count: usize,
    shards: u8,
    end: impl Fn(&mut StdRng) -> i64,
) -> Vec<Value> {
    let session = |_| {
        let [user, session] = [(); 2].map(|()| id(rng));
        let mut item = active_session(&user, &session, end(rng));
        let shard = rng.random_range(0..shards);
        item["due_key"] = json!({ "S": format!("deactivate#{shard:02}") });
        item["ip_address"] = json!({ "S": "192.0.2.7" });
        item["user_agent"] = json!({ "S": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0)" });
        item
    };
    (0..count).map(session).collect()
}

/// A random ID in the form of a UUID.
fn id(rng: &mut StdRng) -> String {
    let hex = format!("{:032x}", rng.random::<u128>());
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

/// Stores items unchanged, all at once.
pub fn store(world: &World, items: Vec<Value>) {
    world.dynamodb.import(world.table_name(), items);
}

/// A random record. `number` makes its key unique.
pub fn record(rng: &mut StdRng, number: usize, options: &Options) -> Value {
    let user = format!("u{}", number % 7);
    let distance = *DISTANCES.choose(rng).expect("a choice");
    let mut end = options.now + distance;
    let retention = options.retention_days * DAY;
    let kind = ["SESSION", "SESSION", "SESSION", "REFRESH", "BLACKLIST"];
    let kind = *kind.choose(rng).expect("a choice");
    let mut item = json!({
        "pk": { "S": format!("USER#{user}") },
        "sk": { "S": format!("{kind}#{number}") },
        "user_id": { "S": user },
        "expires_at": { "N": end.to_string() },
    });
    let (list, ttl) = match kind {
        "SESSION" if rng.random() => {
            item["is_active"] = json!({ "BOOL": true });
            ("deactivate", end + retention)
        }
        "SESSION" => {
            let since = end - retention;
            item["is_active"] = json!({ "BOOL": false });
            item["deactivated_at"] = json!({ "N": since.to_string() });
            item["deactivation_reason"] = json!({ "S": "logout" });
            item["expires_at"] = json!({ "N": (since + HOUR).to_string() });
            ("delete", end)
        }
        _ => ("delete", end),
    };
    if kind == "SESSION" {
        add_start(&mut item, rng, options.now);
    }
    if kind == "SESSION" && list == "deactivate" && rng.random_ratio(1, 20) {
        item["expires_at"] = json!({ "N": format!("{}.25", end - 1) });
    }
    let shard = rng.random_range(0..options.shards);
    let mut list = format!("{list}#{shard:02}");
    let mut ttl = ttl;
    // Mistakes of a writer.
    match rng.random_range(0..20) {
        0 => end -= 500 * DAY,
        1 => end += 500 * DAY,
        2 => list = format!("delete#{shard:02}"),
        3 => list = format!("deactivate#{shard:02}"),
        4 => list = String::from("deactivate#99"),
        5 => list = String::from("archive"),
        6 => ttl += 1,
        _ => {}
    }
    item["due_key"] = json!({ "S": list });
    item["due_at"] = json!({ "N": end.to_string() });
    item["ttl"] = json!({ "N": ttl.to_string() });
    let members = item.as_object_mut().expect("an object");
    match rng.random_range(0..40) {
        0 => drop(members.remove("due_key")),
        1 => drop(members.remove("due_at")),
        2 => drop(members.remove("ttl")),
        3 => drop(members.remove("is_active")),
        4 => drop(members.remove("expires_at")),
        5 => item["expires_at"] = json!({ "S": "yesterday" }),
        6 => item["expires_at"] = json!({ "N": "1800000000000" }),
        7 => item["is_active"] = json!({ "S": "true" }),
        8 => item["deactivated_at"] = json!({ "NULL": true }),
        9 => item["sk"] = json!({ "S": format!("PROFILE#{number}") }),
        10 => item["pk"] = json!({ "S": format!("ORDER#{number}") }),
        _ => {}
    }
    add_what_is_others(&mut item, rng);
    item
}

/// Which sessions a run may revoke in a table of random records.
pub fn revoke(rng: &mut StdRng) -> Revoke {
    Revoke {
        created_before: NOW - [0, HOUR][rng.random_range(0..2)],
        client_id: [None, Some("web")][rng.random_range(0..2)],
    }
}

/// Adds when a session began, and its client. A writer may have forgotten or confused both.
fn add_start(item: &mut Value, rng: &mut StdRng, now: i64) {
    let start = now - [-1, 0, 1, HOUR - 1, HOUR, HOUR + 1, DAY][rng.random_range(0..7)];
    item["created_at"] = match rng.random_range(0..20) {
        0 => json!({ "N": format!("{start}.5") }),
        1 => json!({ "N": format!("{start}000") }),
        2 => json!({ "S": start.to_string() }),
        _ => json!({ "N": start.to_string() }),
    };
    match rng.random_range(0..10) {
        0 => drop(
            item.as_object_mut()
                .expect("an object")
                .remove("created_at"),
        ),
        1 => item["client_id"] = json!({ "N": "7" }),
        2..4 => item["client_id"] = json!({ "S": "app" }),
        4..8 => item["client_id"] = json!({ "S": "web" }),
        _ => {}
    }
}

/// Adds foreign attributes.
fn add_what_is_others(item: &mut Value, rng: &mut StdRng) {
    let theirs = [
        (
            "digits",
            json!({ "N": "12345678901234567890123456789012345678" }),
        ),
        (
            "small",
            json!({ "N": "-0.000000000012345678901234567890123456789" }),
        ),
        // The bytes 0, 255 and 16 in base64.
        ("bytes", json!({ "B": "AP8Q" })),
        ("names", json!({ "SS": ["a", "b"] })),
        ("numbers", json!({ "NS": ["1", "2.5"] })),
        ("blobs", json!({ "BS": ["AA==", "/w=="] })),
        (
            "nested",
            json!({ "M": { "list": { "L": [{ "NULL": true }, { "M": { "x": { "B": "/w==" } } }] } } }),
        ),
        ("empty", json!({ "S": "" })),
        ("ip_address", json!({ "S": "2001:db8::1" })),
    ];
    for (name, value) in theirs {
        if rng.random() {
            item[name] = value;
        }
    }
}
