//! The table in memory and the DynamoDB adapter do the same in random histories.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use session_cleanup_tests::simulation::MemoryTable;
use session_cleanup_tests::{HOUR, NOW, World, session_id, user_id};
use session_domain::{
    Action, ConditionalWrite, Days, DeactivateIf, DueEntry, DueList, Kind, Reason, RecordKey,
    RecordState, RefreshSalt, RefreshState, RefreshTokenHash, Replacement, RetentionPolicy,
    Session, SessionState, Shards, Timestamp, Touch, UsedToken, UserId, WriteOp,
};
use session_lifecycle::dynamodb::Table;
use session_lifecycle::ports::{
    ApplyWrites, CreateRecords, LookUpSession as _, NewRecord, NewSession, Outcome,
    ReadDueList as _, ReadRecords as _, ReadSessions as _,
};

use super::{Seed, are_few, at, schedules};

const SESSIONS: [&str; 3] = ["a", "b", "c"];

/// Number of steps of a history.
const STEPS: usize = 50;

/// Tokens of all sessions. Few, so that a random one is often the right one.
const TOKENS: [&str; 3] = ["x", "y", "z"];

struct Histories {
    world: World,
    table: Table,
    policy: RetentionPolicy,
}

/// A history, and the user of its sessions.
struct History {
    random: StdRng,
    user: UserId,
    memory: MemoryTable,
    /// Number of writes, by kind and outcome.
    written: BTreeMap<(&'static str, &'static str), usize>,
}

impl History {
    /// A time near all others.
    fn time(&mut self) -> Timestamp {
        at(NOW + self.random.random_range(-2..=2))
    }

    /// An expiry time, which is often later than the other times.
    fn expiry(&mut self) -> Timestamp {
        at(NOW + self.random.random_range(-1..=7))
    }

    fn optional_time(&mut self) -> Option<Timestamp> {
        self.random.random_bool(0.5).then(|| self.time())
    }

    fn key(&mut self) -> RecordKey {
        let id = SESSIONS.choose(&mut self.random).expect("a session");
        RecordKey::session(&self.user, &session_id(id))
    }

    fn token(&mut self) -> RefreshTokenHash {
        let token = TOKENS.choose(&mut self.random).expect("a token");
        RefreshTokenHash::of(token)
    }

    /// The token of a refresh, often a right one.
    fn used_token(&mut self, session: Option<&Session>) -> (UsedToken, RefreshTokenHash) {
        let refresh = session.and_then(|it| it.refresh.as_ref());
        match refresh.filter(|_| self.random.random_bool(0.6)) {
            Some(RefreshState { current, last }) => match last {
                Some(last) if last.salt.is_none() => (UsedToken::Previous, last.used.clone()),
                Some(_) | None => (UsedToken::Current, current.clone()),
            },
            None if self.random.random_bool(0.5) => (UsedToken::Current, self.token()),
            None => (UsedToken::Previous, self.token()),
        }
    }

    fn state(&mut self) -> RecordState {
        let time = self.time();
        RecordState::Session(if self.random.random_bool(0.7) {
            SessionState::Active { expires_at: time }
        } else {
            SessionState::Inactive {
                deactivated_at: time,
            }
        })
    }

    fn only_if(&mut self) -> DeactivateIf {
        match self.random.random_range(0..3) {
            0 => DeactivateIf::Active,
            1 => DeactivateIf::ExpiredBy(self.time()),
            _ => DeactivateIf::CreatedBefore {
                time: self.time(),
                client_id: self.client_id(),
            },
        }
    }

    fn client_id(&mut self) -> Option<String> {
        let client_id = [None, Some("web"), Some("app")].choose(&mut self.random);
        client_id.copied().flatten().map(str::to_owned)
    }

    fn op(&mut self, session: Option<&Session>, policy: RetentionPolicy) -> WriteOp {
        let shards: Vec<_> = Shards::default().all().collect();
        let shard = *shards.choose(&mut self.random).expect("a shard");
        let state = self.state();
        let due = policy.due_entry(&state);
        let (used, used_hash) = self.used_token(session);
        match self.random.random_range(0..15) {
            0 => WriteOp::Deactivate {
                only_if: self.only_if(),
                at: self.time(),
                reason: Reason::Revoked,
                shard,
                due,
            },
            1 | 2 => WriteOp::Extend {
                live_at: self.time(),
                expires_at: self.expiry(),
                shard,
                due,
            },
            3..6 => WriteOp::Touch(Touch {
                at: self.time(),
                used_since: self.time(),
                used_until: self.time(),
                expires_at: self.expiry(),
                ttl: self.time(),
                due_at: self.optional_time(),
            }),
            6..10 => WriteOp::ReplaceRefreshToken(Box::new(Replacement {
                used,
                used_hash,
                new_hash: self.token(),
                salt: RefreshSalt::random(),
                at: self.time(),
                expires_at: self.expiry(),
                ttl: self.time(),
                due_at: self.optional_time(),
            })),
            10 | 13 => WriteOp::Reindex {
                observed: state,
                shard,
                due,
            },
            11 | 12 => WriteOp::Delete {
                kind: Kind::Session,
                ended_by: self.expiry(),
            },
            _ => WriteOp::MoveMalformed {
                kind: Some(Kind::Session),
                from: DueList {
                    action: Action::Deactivate,
                    shard,
                },
            },
        }
    }

    fn new_session(&mut self) -> NewRecord {
        let id = SESSIONS.choose(&mut self.random).expect("a session");
        let mut new = NewSession::new(self.user.clone(), session_id(id), self.expiry());
        new = new.ip_address("192.0.2.7").user_agent("Mozilla/5.0");
        if self.random.random_bool(0.5) {
            new = new.max_expires_at(self.expiry().plus(3));
        }
        if let Some(client_id) = self.client_id() {
            new = new.client_id(client_id);
        }
        if self.random.random_bool(0.8) {
            new = new.refresh_hash(self.token());
        }
        NewRecord::Session {
            new,
            created_at: self.time(),
        }
    }
}

/// A kind of write.
fn kind(op: &WriteOp) -> &'static str {
    match op {
        WriteOp::Deactivate { .. } => "deactivate",
        WriteOp::Extend { .. } => "extend",
        WriteOp::Touch(_) => "touch",
        WriteOp::ReplaceRefreshToken(new) if new.used == UsedToken::Current => "replace current",
        WriteOp::ReplaceRefreshToken(_) => "replace previous",
        WriteOp::Delete { .. } => "delete",
        WriteOp::Reindex { .. } => "reindex",
        WriteOp::MoveMalformed { .. } => "move malformed",
    }
}

/// A kind of outcome.
fn name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Applied => "applied",
        Outcome::Gone => "gone",
        Outcome::ConditionFailed => "condition failed",
        Outcome::Failed(_) => "failed",
    }
}

impl Histories {
    async fn start() -> Self {
        let world = World::new().await;
        let table = Table::new(world.client.clone(), world.table_name(), Shards::default());
        let policy = RetentionPolicy::without_grace(Days(0));
        Self {
            world,
            table,
            policy,
        }
    }

    /// A step of a history, on both tables.
    async fn step(&self, history: &mut History) {
        match history.random.random_range(0..10) {
            0 => {
                let record = history.new_session();
                let NewRecord::Session { new, .. } = &record else {
                    return;
                };
                let due = DueEntry {
                    action: Action::Deactivate,
                    at: new.expires_at,
                    ttl: new.expires_at.plus(HOUR),
                };
                let created = self.table.create(&record, &due).await.unwrap();
                let in_memory = history.memory.create(&record, &due).await.unwrap();
                assert_eq!(in_memory, created, "{record:?}");
            }
            1 | 2 => self.lose_salt(history).await,
            _ => {
                let key = history.key();
                let sessions = history.memory.sessions();
                let mut sessions = sessions.iter().map(|(_, session)| session);
                let session = sessions.find(|it| RecordKey::session(&it.user, &it.id) == key);
                let op = history.op(session, self.policy);
                let key = key.into_item();
                let writes = [ConditionalWrite { key, op }];
                let outcomes = self.table.apply(&writes).await.unwrap().value;
                let in_memory = history.memory.apply(&writes).await.unwrap().value;
                assert_eq!(name(&in_memory[0]), name(&outcomes[0]), "{writes:?}");
                let written = (kind(&writes[0].op), name(&outcomes[0]));
                *history.written.entry(written).or_default() += 1;
            }
        }
    }

    /// Removes the salt, as a writer in another language may.
    async fn lose_salt(&self, history: &mut History) {
        let key = history.key();
        let update = self.world.client.update_item();
        let update = update
            .table_name(self.world.table_name())
            .key("pk", AttributeValue::S(key.partition().to_owned()))
            .key("sk", AttributeValue::S(key.sort().to_owned()))
            .update_expression("REMOVE refresh_salt")
            .condition_expression("attribute_exists(pk)");
        // The session may not exist.
        let _ = update.send().await;
        history.memory.edit(&key, |session| {
            let refresh = session.refresh.as_mut();
            if let Some(last) = refresh.and_then(|it| it.last.as_mut()) {
                last.salt = None;
            }
        });
    }

    async fn compare_sessions(&self, history: &History) {
        let sessions = self.table.sessions_of(&history.user).await.unwrap();
        let in_memory = history.memory.sessions_of(&history.user).await.unwrap();
        assert_eq!(in_memory, sessions);
    }

    /// Compares what the other ports return.
    async fn compare_records(&self, history: &History) {
        let (memory, user) = (&history.memory, &history.user);
        let mut keys = Vec::new();
        for id in SESSIONS.map(session_id) {
            let found = self.table.session(user, &id).await.unwrap();
            assert_eq!(memory.session(user, &id).await.unwrap(), found);
            let found = self.table.look_up(user, &id, None).await.unwrap();
            assert_eq!(memory.look_up(user, &id, None).await.unwrap(), found);
            keys.push(RecordKey::session(user, &id).into_item());
        }
        let mut records = self.table.read(&keys).await.unwrap().value;
        records.sort_by_key(|it| it.as_ref().map(|it| it.key.to_string()).unwrap());
        assert_eq!(memory.read(&keys).await.unwrap().value, records);
    }

    /// Compares the due lists. Those of the table have the sessions of other histories, too.
    async fn compare_due_lists(&self, history: &History) {
        for shard in Shards::default().all() {
            for action in [Action::Deactivate, Action::Delete] {
                let list = DueList { action, shard };
                let due = self.table.due_page(list, at(NOW), None).await.unwrap();
                let in_memory = history.memory.due_page(list, at(NOW), None).await.unwrap();
                let of_history = due.value.keys.iter();
                let of_history =
                    of_history.filter(|it| it.partition() == format!("USER#{}", history.user));
                let keys = |it: Vec<&RecordKey>| {
                    let mut keys: Vec<_> = it.iter().map(ToString::to_string).collect();
                    keys.sort();
                    keys
                };
                let in_memory = keys(in_memory.value.keys.iter().collect());
                assert_eq!(in_memory, keys(of_history.collect()), "{list}");
            }
        }
    }
}

#[tokio::test]
async fn memory_and_table_agree_in_random_histories() {
    let histories = Histories::start().await;
    let mut written = BTreeMap::new();
    // Fewer than schedules, because each needs hundreds of requests.
    let seeds = schedules();
    let count = (seeds.end - seeds.start).div_ceil(10);
    for seed in seeds.start..seeds.start + count {
        let _seed = Seed(seed);
        let mut history = History {
            random: StdRng::seed_from_u64(seed),
            user: user_id(&format!("user-{seed}")),
            memory: MemoryTable::new(Shards::default(), seed),
            written,
        };
        for _ in 0..STEPS {
            histories.step(&mut history).await;
            histories.compare_sessions(&history).await;
        }
        histories.compare_records(&history).await;
        if seed % 10 == 0 {
            histories.compare_due_lists(&history).await;
        }
        written = history.written;
    }
    // Each kind of write took place and failed, so that the histories compare something.
    let kinds = [
        "deactivate",
        "extend",
        "touch",
        "replace current",
        "replace previous",
        "reindex",
        "delete",
    ];
    let outcomes = kinds.map(|kind| ["applied", "condition failed"].map(|it| (kind, it)));
    let missing = outcomes
        .as_flattened()
        .iter()
        .find(|it| !written.contains_key(it));
    assert!(missing.is_none() || are_few(), "{missing:?} of {written:?}");
}
