//! All writers that move an expiry time, on sessions with an absolute end.
//!
//! [`MemoryTable`](session_cleanup_tests::simulation::MemoryTable) panics if a write passes the end. The
//! adapter has the same condition, which `equivalence` tests.

use futures_util::FutureExt as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use session_cleanup_tests::simulation::interleave;
use session_cleanup_tests::{DAY, HOUR, NOW, session_id, user_id};
use session_domain::{Days, Hours, Minutes, SessionLifetime};
use session_lifecycle::RefreshOutcome;
use session_lifecycle::ports::NewSession;

use super::authorizing::{Issuer, request};
use super::{at, library, refresh, schedules, table};

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

#[tokio::test(start_paused = true)]
async fn no_writer_moves_expiry_past_absolute_end() {
    let issuer = Issuer::new();
    let header = issuer.header("s");
    let mut latest = 0;
    for seed in schedules() {
        let ends = [End::Login, End::Opening, End::Maximum];
        let kind = ends[usize::try_from(seed % 3).expect("a number")];
        let mut random = StdRng::seed_from_u64(seed);
        let hours = random.random_range(1..=4_u8);
        let end = NOW + i64::from(hours) * HOUR;
        let table = table(seed);
        let sessions = library(table.clone());
        let lifetime = SessionLifetime {
            retention: Days(30),
            opens_on_first_use: kind == End::Opening,
            max: Some(Hours(hours.into())),
            idle: Some(Minutes(30)),
        };
        let authorizer = issuer.authorizer(table.clone(), lifetime);
        let new = NewSession::new(user_id("ann"), session_id("s"), at(NOW + HOUR));
        let token = match kind {
            End::Login => {
                // An expiry time past the end is a mistake that the library corrects.
                let mut new = new.max_expires_at(at(end));
                new.expires_at = at(NOW + random.random_range(1..2 * DAY));
                sessions.login(new, at(NOW)).await.unwrap()
            }
            End::Opening => {
                assert_eq!(request(&authorizer, &header, NOW).await, None);
                None
            }
            End::Maximum => {
                let _ = sessions.create(new, at(NOW)).await.unwrap();
                None
            }
        };
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
        assert!(
            session.expires_at <= Some(at(end)),
            "schedule {seed}: {session:?}"
        );
        latest += usize::from(session.expires_at == Some(at(end)));
        let after = request(&authorizer, &header, end).await;
        assert!(after.is_some(), "schedule {seed}: {session:?}");
    }
    // The writers do reach the end.
    assert!(latest > 0);
}
