//! A thief and an owner with one refresh token, in every order of three uses and at every boundary.

use session_cleanup_tests::{DAY, HOUR, NOW};
use session_lifecycle::RefreshOutcome;

use super::{library, login, refresh, table};

const GRACE: i64 = 30;

/// Times between two uses: at once, the last second of the grace period, its end, and later.
const GAPS: [i64; 4] = [0, GRACE - 1, GRACE, HOUR];

/// What the issue of tokens should be: tokens are numbered in the order of their rotations.
struct Expected {
    current: usize,
    rotated_at: i64,
    is_closed: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Token(usize),
    Denied,
    Closed,
}

impl Expected {
    fn answer(&mut self, token: usize, now: i64) -> Answer {
        if self.is_closed {
            return Answer::Denied;
        }
        if token == self.current {
            self.current += 1;
            self.rotated_at = now;
            return Answer::Token(self.current);
        }
        if token + 1 < self.current {
            return Answer::Denied;
        }
        if now - self.rotated_at < GRACE {
            return Answer::Token(self.current);
        }
        self.is_closed = true;
        Answer::Closed
    }
}

/// One of two parties with a copy of the first token, who uses the newest or the oldest token it has.
#[derive(Clone, Copy, Debug)]
struct Use {
    who: usize,
    is_newest: bool,
    gap: i64,
}

const USES: [Use; 16] = {
    let mut uses = [Use {
        who: 0,
        is_newest: true,
        gap: 0,
    }; 16];
    let mut number = 0;
    while number < uses.len() {
        uses[number] = Use {
            who: number % 2,
            is_newest: number / 2 % 2 == 0,
            gap: GAPS[number / 4],
        };
        number += 1;
    }
    uses
};

#[tokio::test]
async fn thief_and_owner_in_every_order_and_timing() {
    let (mut closed, mut shared) = (0, 0);
    for orders in 0..USES.len().pow(3) {
        let order = [0, 1, 2].map(|place| USES[orders / USES.len().pow(place) % USES.len()]);
        let table = table(1);
        let sessions = library(table.clone());
        let stolen = login(&table, "s", NOW + DAY, NOW).await;
        let mut tokens = vec![stolen];
        let mut has = [vec![0], vec![0]];
        let mut expected = Expected {
            current: 0,
            rotated_at: NOW,
            is_closed: false,
        };
        let mut now = NOW;
        for Use {
            who,
            is_newest,
            gap,
        } in order
        {
            now += gap;
            let chosen = if is_newest {
                has[who].last()
            } else {
                has[who].first()
            };
            let used = *chosen.expect("the stolen token");
            let outcome = refresh(&sessions, "s", tokens[used].as_str(), now + DAY, now).await;
            let answer = match outcome {
                RefreshOutcome::Refreshed { token, .. } => {
                    let number = tokens.iter().position(|it| *it == token);
                    let number = number.unwrap_or(tokens.len());
                    if number == tokens.len() {
                        tokens.push(token);
                    }
                    has[who].push(number);
                    Answer::Token(number)
                }
                RefreshOutcome::NotFound | RefreshOutcome::Ended => Answer::Denied,
                RefreshOutcome::Reused => Answer::Closed,
            };
            assert_eq!(answer, expected.answer(used, now), "{order:?}");
        }
        let (_, session) = table.sessions().remove(0);
        assert_eq!(session.is_active, !expected.is_closed, "{order:?}");
        closed += usize::from(expected.is_closed);
        // Within the grace period, both may have the same token: the next rotations separate them.
        let newest = has.each_ref().map(|it| it.last());
        shared += usize::from(!expected.is_closed && newest[0] == newest[1]);
    }
    assert!(
        closed > 1000 && shared > 200,
        "{closed} closed, {shared} shared"
    );
}

/// As long as both have the same token, each of them uses it when it has the time to do so.
#[tokio::test]
async fn shared_token_closes_the_session_at_its_next_late_use() {
    for first in 0..2 {
        for gap in [GRACE, HOUR] {
            let table = table(1);
            let sessions = library(table.clone());
            let stolen = login(&table, "s", NOW + DAY, NOW).await;
            let mut same = Vec::new();
            for _ in 0..2 {
                let using = refresh(&sessions, "s", stolen.as_str(), NOW + DAY, NOW);
                let RefreshOutcome::Refreshed { token, .. } = using.await else {
                    panic!("within the grace period");
                };
                same.push(token);
            }
            let (one, other) = (&same[first], &same[1 - first]);
            assert_eq!(one, other);
            let using = refresh(&sessions, "s", one.as_str(), NOW + DAY, NOW + 600);
            assert!(matches!(using.await, RefreshOutcome::Refreshed { .. }));
            let late = NOW + 600 + gap;
            let using = refresh(&sessions, "s", other.as_str(), NOW + DAY, late);
            assert_eq!(using.await, RefreshOutcome::Reused);
        }
    }
}
