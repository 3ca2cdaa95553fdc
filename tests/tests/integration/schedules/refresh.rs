//! Uses of one refresh token at the same time, and answers that are lost.

use std::collections::BTreeSet;

use futures_util::FutureExt as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use session_cleanup_tests::simulation::{Faults, interleave};
use session_cleanup_tests::{DAY, HOUR, NOW, session_id, user_id};
use session_domain::{RecordKey, RefreshState, RefreshTokenHash, RefreshUse, Rotation};
use session_lifecycle::{GracePeriod, RefreshOutcome, RefreshToken};

use super::{REPEATS, Seed, at, library, login, number, refresh, refresh_up_to, schedules, table};

/// Number of uses at the same time.
const USES: usize = 20;

/// Default number of random tokens, without the variable `RANDOM_TOKENS`.
const USUAL_TOKENS: u64 = 20_000;

/// The token of an answer.
fn refreshed(outcome: RefreshOutcome) -> RefreshToken {
    let RefreshOutcome::Refreshed { token, .. } = outcome else {
        panic!("{outcome:?}");
    };
    token
}

/// The clocks of the hosts differ, and answers are lost in every second schedule. In every third one, the
/// token was used before by a writer that stores no salt.
#[tokio::test]
async fn twenty_uses_at_once_get_the_live_token() {
    for seed in schedules() {
        let _seed = Seed(seed);
        let table = table(seed);
        let used = login(&table, "s", NOW + HOUR, NOW - DAY).await;
        if seed % 3 == 0 {
            let sessions = library(table.clone());
            refreshed(refresh(&sessions, "s", used.as_str(), NOW + HOUR, NOW).await);
            let key = RecordKey::session(&user_id("ann"), &session_id("s"));
            table.edit(&key, |session| {
                let refresh = session.refresh.as_mut().expect("its tokens");
                refresh.last.as_mut().expect("a rotation").salt = None;
            });
        }
        let lost = if seed % 2 == 0 { 0.3 } else { 0.0 };
        let faults = Faults {
            lost,
            rejected: lost / 3.0,
        };
        let sessions = library(table.with_faults(faults));
        let times = if lost > 0.0 { REPEATS } else { 1 };
        let mut random = StdRng::seed_from_u64(seed);
        let clients = (0..USES).map(|_| {
            let now = NOW + random.random_range(0..30);
            refresh_up_to(times, &sessions, "s", used.as_str(), now + HOUR, now).boxed()
        });
        let answers = interleave(seed, clients.collect()).await;
        let tokens: BTreeSet<_> = answers
            .into_iter()
            .map(|it| refreshed(it).as_str().to_owned())
            .collect();
        assert_eq!(tokens.len(), 1);
        let (_, session) = table.sessions().remove(0);
        assert!(session.is_active);
        // The chain continues with this token, and with no other.
        let next = tokens.first().expect("a token");
        let current = session.refresh.expect("its tokens").current;
        assert_eq!(current, RefreshTokenHash::of(next));
        refreshed(refresh(&sessions, "s", next, NOW + DAY, NOW + 60).await);
    }
}

/// Five refreshes, each of which loses its answer or not, in every combination. The client repeats it
/// at the end of the grace period.
#[tokio::test]
async fn lost_answer_at_any_refresh_signs_nobody_out() {
    for combination in 0..1_u32 << 5 {
        let table = table(1);
        let mut token = login(&table, "s", NOW + HOUR, NOW).await;
        let mut now = NOW;
        for step in 0..5 {
            let mut again = now;
            if (combination >> step) & 1 == 1 {
                let faults = Faults {
                    lost: 1.0,
                    rejected: 0.0,
                };
                let sessions = library(table.with_faults(faults));
                let (user, session) = (user_id("ann"), session_id("s"));
                let end = at(now + HOUR);
                let lost = sessions.refresh(&user, &session, token.as_str(), end, at(now));
                assert!(lost.await.is_err(), "combination {combination:05b}");
                again += 29;
            }
            let sessions = library(table.clone());
            token = refreshed(refresh(&sessions, "s", token.as_str(), again + HOUR, again).await);
            now += 600;
        }
        let (_, session) = table.sessions().remove(0);
        let current = session.refresh.expect("its tokens").current;
        assert_eq!(current, token.hash(), "combination {combination:05b}");
    }
}

/// Random tokens, and tokens that are almost one of the session's.
#[tokio::test]
async fn random_tokens_never_mean_anything() {
    let count = number("RANDOM_TOKENS").unwrap_or(USUAL_TOKENS);
    let table = table(1);
    let oldest = login(&table, "s", NOW + HOUR, NOW).await;
    let sessions = library(table.clone());
    let used = refreshed(refresh(&sessions, "s", oldest.as_str(), NOW + HOUR, NOW).await);
    let current = refreshed(refresh(&sessions, "s", used.as_str(), NOW + HOUR, NOW).await);
    let before = table.sessions();
    let Some(state) = before[0].1.refresh.clone() else {
        panic!("{before:?}");
    };
    let salt = state.last.as_ref().and_then(|it| it.salt.as_ref());
    let stored = [
        state.current.as_str(),
        used.hash().as_str(),
        salt.expect("a salt").as_str(),
        oldest.as_str(),
    ]
    .map(str::to_owned);
    let altered = [&used, &current].map(|token| altered(token.as_str()));
    let known = stored.into_iter().chain(altered.into_iter().flatten());
    for token in known {
        assert_unknown(&state, &RefreshTokenHash::of(&token));
        let outcome = refresh(&sessions, "s", &token, NOW + HOUR, NOW + 29).await;
        assert_eq!(outcome, RefreshOutcome::NotFound, "{token}");
    }
    for tried in 0..count {
        let token = RefreshToken::random();
        assert_unknown(&state, &token.hash());
        if tried % 100 == 0 {
            let outcome = refresh(&sessions, "s", token.as_str(), NOW + HOUR, NOW + 29).await;
            assert_eq!(outcome, RefreshOutcome::NotFound);
        }
    }
    assert_eq!(table.sessions(), before);
}

/// Asserts that no grace period and no time makes a token one of the session's.
fn assert_unknown(state: &RefreshState, token: &RefreshTokenHash) {
    let Some(Rotation { at, .. }) = state.last else {
        panic!("{state:?}");
    };
    for (grace, later) in [(0, 0), (30, 29), (30, 30), (300, DAY)] {
        let grace = GracePeriod::from_seconds(grace).expect("a grace period");
        let use_ = state.classify(token, at.plus(later), grace);
        assert_eq!(use_, RefreshUse::Unknown, "{token:?}");
    }
}

/// A token with each of its characters changed, cut off, added, or in upper case.
fn altered(token: &str) -> Vec<String> {
    let mut altered = vec![
        String::new(),
        token.to_uppercase(),
        format!("{token}0"),
        format!(" {token}"),
        format!("{token}\n"),
        token.chars().rev().collect(),
    ];
    for (place, digit) in token.char_indices() {
        let other = if digit == '0' { "1" } else { "0" };
        let (start, end) = (&token[..place], &token[place + 1..]);
        altered.extend([format!("{start}{other}{end}"), format!("{start}{end}")]);
    }
    altered
}
