//! All writers that move an expiry time, on sessions with an absolute end.
//!
//! [`MemoryTable`](session_cleanup_tests::simulation::MemoryTable) panics if a write passes the end. The
//! adapter has the same condition, which `equivalence` tests.

use futures_util::FutureExt as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use session_cleanup_tests::simulation::{MemoryTable, interleave};
use session_cleanup_tests::{DAY, HOUR, NOW, session_id, user_id};
use session_domain::{Days, DenyReason, Hours, Minutes, SessionLifetime};
use session_functions::authorize::Authorize;
use session_lifecycle::ports::NewSession;
use session_lifecycle::{RefreshOutcome, RefreshToken, Sessions, UpdateOutcome};

use super::authorizing::{Issuer, request};
use super::{Seed, are_few, at, library, refresh, schedules, table};

/// Number of writers of each kind.
const WRITERS: i64 = 2;

/// Number of writes of a writer.
const WRITES: i64 = 8;

/// How the end of a session is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The login service has set it.
    Login,
    /// The authorizer has opened the session.
    Opening,
    /// The record has no end, and the authorizer's maximum lifetime limits the touches.
    Maximum,
}

/// Opens the session `s` at [`NOW`], and returns its refresh token if it has one.
async fn open(
    kind: End,
    authorizer: &Authorize<MemoryTable>,
    header: &str,
    sessions: &Sessions<MemoryTable>,
    expires_at: i64,
    end: i64,
) -> Option<RefreshToken> {
    let mut new = NewSession::new(user_id("ann"), session_id("s"), at(NOW + HOUR));
    match kind {
        End::Login => {
            new = new.max_expires_at(at(end));
            // An expiry time past the end is a mistake that the library corrects.
            new.expires_at = at(expires_at);
            sessions
                .login(new, at(NOW))
                .await
                .expect("the table responds")
        }
        End::Opening => {
            assert_eq!(request(authorizer, header, NOW).await, None);
            None
        }
        End::Maximum => {
            let _ = sessions
                .create(new, at(NOW))
                .await
                .expect("the table responds");
            None
        }
    }
}

fn lifetime(kind: End, hours: u8) -> SessionLifetime {
    SessionLifetime {
        retention: Days(30),
        opens_on_first_use: kind == End::Opening,
        max: Some(Hours(hours.into())),
        idle: Some(Minutes(90)),
    }
}

#[tokio::test]
async fn refresh_and_extension_stop_at_absolute_end() {
    let (table, end) = (table(1), NOW + 2 * HOUR);
    let sessions = library(table.clone());
    let (user, session) = (user_id("ann"), session_id("s"));
    let new = NewSession::new(user.clone(), session.clone(), at(NOW + HOUR));
    let token = sessions.login(new.max_expires_at(at(end)), at(NOW)).await;
    let token = token.expect("the table responds").expect("a token");
    let expires_at = || table.sessions().remove(0).1.expires_at;
    let extending = sessions.extend(&user, &session, at(NOW + DAY), at(NOW));
    assert_eq!(extending.await.ok(), Some(UpdateOutcome::Updated));
    assert_eq!(expires_at(), Some(at(end)));
    let shortening = sessions.extend(&user, &session, at(NOW + HOUR), at(NOW));
    assert_eq!(shortening.await.ok(), Some(UpdateOutcome::Updated));
    let outcome = refresh(&sessions, "s", token.as_str(), NOW + DAY, NOW).await;
    assert!(matches!(outcome, RefreshOutcome::Refreshed { .. }));
    assert_eq!(expires_at(), Some(at(end)));
}

#[tokio::test(start_paused = true)]
async fn session_in_use_lives_until_its_absolute_end() {
    let issuer = Issuer::new();
    let header = issuer.header("s");
    for kind in [End::Login, End::Opening, End::Maximum] {
        let table = table(1);
        let end = NOW + 2 * HOUR;
        let authorizer = issuer.authorizer(table.clone(), lifetime(kind, 2));
        open(
            kind,
            &authorizer,
            &header,
            &library(table.clone()),
            NOW + HOUR,
            end,
        )
        .await;
        for now in (NOW..end).step_by(25 * 60) {
            assert_eq!(request(&authorizer, &header, now).await, None, "{kind:?}");
        }
        assert_eq!(
            request(&authorizer, &header, end - 1).await,
            None,
            "{kind:?}"
        );
        let late = request(&authorizer, &header, end).await;
        assert_eq!(late, Some(DenyReason::SessionExpired), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_writer_moves_expiry_past_absolute_end() {
    let issuer = Issuer::new();
    let header = issuer.header("s");
    let mut latest = 0;
    for seed in schedules() {
        let _seed = Seed(seed);
        let ends = [End::Login, End::Opening, End::Maximum];
        let kind = ends[usize::try_from(seed % 3).expect("a number")];
        let mut random = StdRng::seed_from_u64(seed);
        let hours = random.random_range(1..=4_u8);
        let end = NOW + i64::from(hours) * HOUR;
        let table = table(seed);
        let sessions = library(table.clone());
        let authorizer = issuer.authorizer(table.clone(), lifetime(kind, hours));
        let expires_at = NOW + random.random_range(1..2 * DAY);
        let token = open(kind, &authorizer, &header, &sessions, expires_at, end).await;
        let mut tasks = Vec::new();
        for writer in 0..WRITERS {
            // The writers are at different times, and each one's clock runs ahead to the end.
            let step = (end - NOW) / WRITES + random.random_range(-60..60);
            let times = move |number: i64| NOW + writer * 7 + number * step;
            let wanted: Vec<i64> = (0..WRITES)
                .map(|number| times(number) + random.random_range(1..30 * DAY))
                .collect();
            let (authorizer, header) = (&authorizer, &header);
            tasks.push(
                async move {
                    for number in 0..WRITES {
                        let denied = request(authorizer, header, times(number)).await;
                        assert!(denied.is_some() || times(number) < end, "{kind:?}");
                    }
                }
                .boxed(),
            );
            if kind == End::Maximum {
                continue;
            }
            let (sessions, wanted_later) = (&sessions, wanted.clone());
            tasks.push(
                async move {
                    let (user, session) = (user_id("ann"), session_id("s"));
                    for (number, wanted) in (0..).zip(wanted_later) {
                        let now = at(times(number));
                        let extending = sessions.extend(&user, &session, at(wanted), now);
                        let _ = extending.await.expect("the table responds");
                    }
                }
                .boxed(),
            );
            let mut token = token.clone();
            tasks.push(
                async move {
                    for (number, wanted) in (0..).zip(wanted) {
                        let Some(used) = token.clone() else { break };
                        let now = times(number);
                        let using = refresh(sessions, "s", used.as_str(), wanted, now);
                        if let RefreshOutcome::Refreshed {
                            token: new,
                            expires_at,
                        } = using.await
                        {
                            assert!(expires_at <= at(end), "{expires_at} is after {end}");
                            token = Some(new);
                        }
                    }
                }
                .boxed(),
            );
        }
        interleave(seed, tasks).await;
        let (_, session) = table.sessions().remove(0);
        assert!(session.expires_at <= Some(at(end)), "{session:?}");
        latest += usize::from(session.expires_at == Some(at(end)));
        let after = request(&authorizer, &header, end).await;
        assert!(after.is_some(), "{session:?}");
    }
    // The writers do reach the end.
    assert!(latest > 0 || are_few());
}
