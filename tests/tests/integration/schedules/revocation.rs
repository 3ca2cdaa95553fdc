//! Logins, refreshes, requests and cleanups while the sessions of their user are revoked.

use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use session_cleanup_tests::simulation::{Faults, MemoryTable, interleave};
use session_cleanup_tests::{DAY, HOUR, NOW, session_id, user_id};
use session_domain::{
    Days, DenyReason, Hours, Minutes, SessionId, SessionLifetime, Shards, Trigger,
};
use session_functions::authorize::Authorize;
use session_functions::clean_up::{CleanupRequest, CleanupSettings, clean_up};
use session_lifecycle::{RefreshOutcome, RefreshToken, Sessions};
use uuid::Uuid;

use super::authorizing::{Issuer, request};
use super::{Seed, are_few, at, library, login, refresh, schedules, table};

/// Maximum number of sessions before the revocation, and of logins meanwhile.
const MOST: usize = 9;

/// Maximum number of failed calls in a schedule. A revocation tolerates that many.
const FAULTS: u32 = 6;

/// What a client does with its session.
#[derive(Clone, Copy)]
enum Step {
    Refresh,
    Extend,
    Request,
    SignOut,
}

/// Mostly refreshes, extensions and requests.
const STEPS: [Step; 10] = {
    use Step::{Extend, Refresh, Request, SignOut};
    [
        Refresh, Refresh, Refresh, Extend, Extend, Extend, Request, Request, Request, SignOut,
    ]
};

/// A schedule's table, and those who use it.
struct Stage<'a> {
    table: MemoryTable,
    sessions: Sessions<MemoryTable>,
    authorizer: Authorize<MemoryTable>,
    /// Headers with the token of a session.
    headers: &'a BTreeMap<String, String>,
}

/// A call of the revocation.
struct Revocation {
    existed: Vec<SessionId>,
    closed: usize,
}

impl<'a> Stage<'a> {
    fn new(issuer: &Issuer, headers: &'a BTreeMap<String, String>, seed: u64) -> Self {
        let table = table(seed);
        let lifetime = SessionLifetime {
            retention: Days(30),
            opens_on_first_use: false,
            max: None,
            idle: Some(Minutes(30)),
        };
        Self {
            sessions: library(table.clone()),
            authorizer: issuer.authorizer(table.clone(), lifetime),
            table,
            headers,
        }
    }

    /// A client of a session. Its clock may be ahead of the others.
    async fn client(&self, id: &str, mut token: RefreshToken, steps: Vec<Step>) {
        for (step, now) in steps.into_iter().zip(NOW..) {
            let (user, session) = (user_id("ann"), session_id(id));
            match step {
                Step::Refresh => {
                    let using = refresh(&self.sessions, id, token.as_str(), now + DAY, now);
                    if let RefreshOutcome::Refreshed { token: new, .. } = using.await {
                        token = new;
                    }
                }
                Step::Extend => {
                    let end = at(now + 2 * DAY);
                    let extending = self.sessions.extend(&user, &session, end, at(now));
                    let _ = extending.await.expect("the table responds");
                }
                Step::Request => {
                    request(&self.authorizer, &self.headers[id], now).await;
                }
                Step::SignOut => {
                    let closing = self.sessions.logout(&user, &session, at(now));
                    let _ = closing.await.expect("the table responds");
                }
            }
        }
    }

    /// A login, and what its client does.
    async fn later_client(&self, id: &str, mut steps: Vec<Step>) {
        steps.retain(|step| !matches!(step, Step::SignOut));
        let token = login(&self.table, id, NOW + HOUR, NOW).await;
        self.client(id, token, steps).await;
    }

    async fn clean_up(&self) {
        let settings = CleanupSettings {
            retention: Days(30),
            report_retention: Days(30),
            max_writes_per_second: None,
            shards: Shards::new(1).expect("a number of shards"),
        };
        let request = CleanupRequest {
            run_id: Uuid::nil(),
            trigger: Trigger::Schedule,
            requested_by: None,
            dry_run: false,
            adopt: false,
            revoke: None,
            sweep_grace: Hours(0),
            started_at: session_cleanup_tests::at(NOW),
            time_limit: std::time::Duration::from_hours(1),
        };
        let run = clean_up(&self.table, &settings, &request).await;
        run.expect("the table responds");
    }

    /// Revokes all sessions, or all but one, and checks those that existed at the call.
    async fn revoke(&self, faults: Faults, spared: Option<&SessionId>) -> Revocation {
        let sessions = library(self.table.with_faults(faults));
        let existed: Vec<_> = self.ids(|_| true);
        let user = user_id("ann");
        let now = at(NOW);
        let closed = match spared {
            Some(current) => sessions.revoke_others(&user, current, now).await,
            None => sessions.revoke_all(&user, now).await,
        };
        let active = self.ids(|is_active| is_active);
        let survives = |id: &&SessionId| active.contains(id) && Some(*id) != spared;
        assert_eq!(existed.iter().find(survives), None, "it survives");
        Revocation {
            existed,
            closed: closed.expect("the revocation repeats failed writes"),
        }
    }

    /// IDs of the sessions, by whether they are active.
    fn ids(&self, is_meant: impl Fn(bool) -> bool) -> Vec<SessionId> {
        let sessions = self.table.sessions().into_iter();
        let meant = sessions.filter(|(_, it)| is_meant(it.is_active));
        meant.map(|(_, it)| it.id).collect()
    }

    /// Checks the sessions after all tasks have ended.
    async fn check(&self, revocations: &[Revocation], spared: Option<&SessionId>, faults: bool) {
        let listings = self.table.listings();
        // One revocation lists once. Of two, the later one decides.
        let listed = match revocations {
            [_] => listings.first(),
            _ => listings.last(),
        };
        let mut revoked = 0;
        for (created, session) in self.table.sessions() {
            let is_revoked = session.deactivation_reason.as_deref() == Some("revoked");
            revoked += usize::from(is_revoked);
            if Some(&created) > listed {
                assert!(session.is_active, "it came later: {session:?}");
            }
            let mut existed = revocations.iter().flat_map(|it| &it.existed);
            if Some(&session.id) == spared {
                assert!(!is_revoked, "it is spared: {session:?}");
            } else if existed.any(|it| *it == session.id) {
                let header = &self.headers[session.id.as_str()];
                let denied = request(&self.authorizer, header, NOW).await;
                assert_eq!(denied, Some(DenyReason::SessionInactive), "{session:?}");
            }
        }
        let closed: usize = revocations.iter().map(|it| it.closed).sum();
        // A write whose response was lost is not counted.
        assert!(
            closed == revoked || faults && closed < revoked,
            "{closed} of {revoked}"
        );
    }
}

/// Opens the sessions before the revocation. Some have expired, or were signed out.
async fn open(stage: &Stage<'_>, random: &mut StdRng, ids: &[String]) -> Vec<RefreshToken> {
    let mut tokens = Vec::new();
    for id in ids {
        let ends = [NOW - 1, NOW, NOW + 1, NOW + HOUR, NOW + HOUR, NOW + DAY];
        let end = *ends.choose(random).expect("a time");
        tokens.push(login(&stage.table, id, end, NOW - DAY).await);
        if random.random_bool(0.1) {
            let (user, session) = (user_id("ann"), session_id(id));
            let closing = stage.sessions.logout(&user, &session, at(NOW - DAY));
            let _ = closing.await.expect("the table responds");
        }
    }
    tokens
}

fn steps(random: &mut StdRng) -> Vec<Step> {
    let count = random.random_range(1..6);
    (0..count)
        .map(|_| *STEPS.choose(random).expect("a step"))
        .collect()
}

/// One revocation in most schedules, two at the same time in others. Its calls fail in every second one.
#[tokio::test(start_paused = true)]
async fn revocation_closes_earlier_and_spares_later_sessions() {
    let issuer = Issuer::new();
    let ids = |prefix| (0..MOST).map(move |number| format!("{prefix}{number}"));
    let (old, new): (Vec<_>, Vec<_>) = (ids("old").collect(), ids("new").collect());
    let headers = old
        .iter()
        .chain(&new)
        .map(|id| (id.clone(), issuer.header(id)));
    let headers = headers.collect();
    let (mut closed, mut later) = (0, 0);
    for seed in schedules() {
        let _seed = Seed(seed);
        let mut random = StdRng::seed_from_u64(seed);
        let stage = Stage::new(&issuer, &headers, seed);
        let old = &old[..random.random_range(1..=MOST)];
        let tokens = open(&stage, &mut random, old).await;
        stage.table.limit_faults(FAULTS);
        let faults = Faults {
            rejected: if seed % 2 == 0 { 0.2 } else { 0.0 },
            lost: if seed % 2 == 0 { 0.2 } else { 0.0 },
        };
        let spared = random.random_bool(0.5).then(|| session_id(&old[0]));
        let mut tasks: Vec<BoxFuture<'_, Option<Revocation>>> = Vec::new();
        for _ in 0..*[1, 1, 1, 2].choose(&mut random).expect("a number") {
            let revoking = stage.revoke(faults, spared.as_ref());
            tasks.push(revoking.map(Some).boxed());
        }
        for (id, token) in old.iter().zip(tokens) {
            let client = stage.client(id, token, steps(&mut random));
            tasks.push(client.map(|()| None).boxed());
        }
        for id in &new[..random.random_range(0..=MOST)] {
            let client = stage.later_client(id, steps(&mut random));
            tasks.push(client.map(|()| None).boxed());
        }
        if random.random_bool(0.5) {
            tasks.push(stage.clean_up().map(|()| None).boxed());
        }
        let outcomes = interleave(seed, tasks).await;
        let revocations: Vec<_> = outcomes.into_iter().flatten().collect();
        let active = stage.ids(|is_active| is_active);
        stage
            .check(&revocations, spared.as_ref(), seed % 2 == 0)
            .await;
        closed += revocations.iter().map(|it| it.closed).sum::<usize>();
        later += active.len();
    }
    let has_both = closed > 0 && later > 0;
    assert!(has_both || are_few(), "{closed} closed, {later} later");
}
