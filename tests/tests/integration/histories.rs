//! Random histories of sessions that the authorizer opens: an inactive session is never opened again.
//!
//! A history is a sequence of requests, sign-outs, refreshes, cleanups and deletions by native TTL, at
//! random times and on hosts whose clocks differ. Most times are close to the end of a record, or of the
//! time in which a token can open a session. `cargo test --workspace` tries 120 histories, always the
//! same ones; `HISTORIES` and `FIRST_HISTORY` change that.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use session_cleanup_tests::authorizing::{authorize_at, denial, rest_request, sign};
use session_cleanup_tests::{DAY, HOUR, Item, NOW, World, number, session_id, text, user_id};
use session_domain::{Days, Shards, Timestamp};
use session_functions::environment::Environment;
use session_lifecycle::Sessions;
use session_lifecycle::dynamodb::Table;

/// Default number of histories, without the variable `HISTORIES`.
const USUAL: u64 = 120;

/// Maximum number of steps of a history.
const STEPS: usize = 40;

/// Idle times of the authorizers, in minutes. 0 is off.
const IDLE_MINUTES: [&str; 3] = ["0", "30", "1440"];

/// Half of the maximum difference of two clocks that the design allows for.
const SKEW: i64 = 150;

/// Times between two steps, in seconds.
const WAITS: [i64; 7] = [0, 0, 1, 1, 90, 600, HOUR];

struct History<'a> {
    world: &'a World,
    sessions: Sessions,
    random: StdRng,
    /// A user of this history alone.
    user: String,
    /// The real time. Hosts have other times.
    now: i64,
    /// When the user authenticated, by session.
    authenticated: BTreeMap<u8, i64>,
    /// The sessions that were deactivated.
    inactive: BTreeSet<String>,
    allowed: usize,
}

impl<'a> History<'a> {
    fn start(world: &'a World, seed: u64) -> Self {
        let table = Table::new(world.client.clone(), world.table_name(), Shards::default());
        Self {
            world,
            sessions: Sessions::new(table, Days(1)),
            random: StdRng::seed_from_u64(seed),
            user: format!("user-{seed}"),
            now: NOW,
            authenticated: BTreeMap::new(),
            inactive: BTreeSet::new(),
            allowed: 0,
        }
    }

    /// The items of the history's user.
    async fn items(&self) -> Vec<Item> {
        let user = AttributeValue::S(format!("USER#{}", self.user));
        let query = self
            .world
            .client
            .query()
            .table_name(self.world.table_name());
        let query = query
            .consistent_read(true)
            .key_condition_expression("pk = :user");
        let found = query
            .expression_attribute_values(":user", user)
            .send()
            .await;
        found.expect("the table responds").items.unwrap_or_default()
    }

    /// The time of a host.
    fn host_time(&mut self) -> i64 {
        self.now + [-SKEW, 0, SKEW].choose(&mut self.random).expect("a time")
    }

    /// Lets time pass, often until shortly before or after something ends.
    async fn wait(&mut self) {
        let mut ends: Vec<i64> = self.authenticated.values().map(|at| at + DAY).collect();
        ends.extend(self.items().await.iter().map(|item| number(item, "ttl")));
        ends.retain(|end| *end > self.now);
        let near = ends.choose(&mut self.random).copied();
        self.now = match near {
            Some(end) if self.random.random_bool(0.05) => {
                (end + self.random.random_range(-2 * SKEW..=2 * SKEW)).max(self.now)
            }
            _ => self.now + WAITS.choose(&mut self.random).expect("a time"),
        };
    }

    /// A step of the history.
    async fn step(&mut self) {
        let number = self.random.random_range(0..3_u8);
        let (user, session) = (user_id(&self.user), session_id(&number.to_string()));
        let host = self.host_time();
        let time = Timestamp::from_seconds(host);
        match self.random.random_range(0..10) {
            0..5 => self.request(number, host).await,
            5 => {
                let closed = if self.random.random_bool(0.5) {
                    self.sessions.logout(&user, &session, time).await
                } else {
                    self.sessions.revoke(&user, &session, time).await
                };
                let _ = closed.expect("the table responds");
            }
            6 => {
                let later = time.plus(self.random.random_range(0..2 * DAY));
                let extending = self.sessions.extend(&user, &session, later, time);
                let _ = extending.await.expect("the table responds");
            }
            7 => {
                self.world
                    .clean_up(json!({ "sweep_grace_hours": 0 }), host)
                    .await;
            }
            _ => self.delete_by_ttl(host).await,
        }
    }

    /// A request with a token of the session's issuer.
    async fn request(&mut self, number: u8, host: i64) {
        // The user signed in before the first request.
        let ago = *[0, 0, 600, DAY].choose(&mut self.random).expect("a time");
        let ago = self.random.random_range(0..=ago);
        let now = self.now;
        let auth_time = *self.authenticated.entry(number).or_insert(now - ago);
        let claims = json!({
            "sub": self.user, "sid": number.to_string(), "jti": "j", "exp": NOW + 365 * DAY,
            "auth_time": auth_time,
        });
        let request = rest_request(&sign(self.world, claims));
        let policy = authorize_at(self.world, &request, host).await;
        if denial(&policy).is_none() {
            let session = number.to_string();
            assert!(
                !self.inactive.contains(&session),
                "{session} was deactivated, and is allowed"
            );
            self.allowed += 1;
        }
    }

    async fn delete_by_ttl(&self, host: i64) {
        for item in self.items().await {
            if item.contains_key("ttl") && number(&item, "ttl") <= host {
                self.world
                    .client
                    .delete_item()
                    .table_name(self.world.table_name())
                    .key("pk", item["pk"].clone())
                    .key("sk", item["sk"].clone())
                    .send()
                    .await
                    .expect("the table responds");
            }
        }
    }

    /// Tries each session once more, around the moment in which native TTL deletes its record: on a host
    /// whose clock is behind, after a deletion by a host whose clock is ahead.
    async fn finish(&mut self) {
        let mut ends: Vec<_> = self
            .items()
            .await
            .iter()
            .map(|item| (number(item, "ttl"), text(item, "session_id").to_owned()))
            .collect();
        ends.sort();
        for (end, session) in ends {
            self.now = self.now.max(end - self.random.random_range(0..=2 * SKEW));
            self.delete_by_ttl(self.now + SKEW).await;
            let number = session.parse().expect("a number");
            self.request(number, self.now - SKEW).await;
            self.check().await;
        }
    }

    /// Checks every session.
    async fn check(&mut self) {
        for item in self.items().await {
            if !text(&item, "sk").starts_with("SESSION#") {
                continue;
            }
            let session = text(&item, "session_id").to_owned();
            if item["is_active"] == AttributeValue::Bool(true) {
                assert!(
                    !self.inactive.contains(&session),
                    "{session} was deactivated, and is active"
                );
                let ends = ["expires_at", "max_expires_at", "ttl"].map(|name| number(&item, name));
                let [expires_at, max_expires_at, ttl] = ends;
                assert!(expires_at <= max_expires_at, "{item:?}");
                assert!(expires_at <= self.now || ttl > self.now + DAY, "{item:?}");
            } else {
                self.inactive.insert(session);
            }
        }
    }
}

#[tokio::test]
async fn inactive_sessions_are_never_opened_again() {
    let variables = Environment::from_process();
    let number = |name| variables.get(name).map(|it| it.parse().expect("a number"));
    let first = number("FIRST_HISTORY").unwrap_or(1);
    let count: u64 = number("HISTORIES").unwrap_or(USUAL);
    let (mut allowed, mut inactive) = (0, 0);
    for (kind, idle) in (0_u64..).zip(IDLE_MINUTES) {
        let world = World::with([
            ("OPEN_SESSIONS", "on_first_use"),
            ("SESSION_RETENTION_DAYS", "1"),
            ("SESSION_MAX_HOURS", "24"),
            ("SESSION_IDLE_MINUTES", idle),
        ])
        .await;
        for seed in (first..first + count).filter(|seed| seed % 3 == kind) {
            let mut history = History::start(&world, seed);
            for _ in 0..history.random.random_range(2..=STEPS) {
                history.wait().await;
                history.step().await;
                history.check().await;
            }
            history.finish().await;
            allowed += history.allowed;
            inactive += history.inactive.len();
        }
    }
    // Enough of both, so that the histories test something.
    assert!(
        allowed as u64 > count && inactive as u64 > count,
        "{allowed} requests allowed, {inactive} sessions inactive"
    );
}
