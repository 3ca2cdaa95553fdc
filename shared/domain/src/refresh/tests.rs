//! Tests of refresh tokens.

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// The state after `first` was used at [`NOW`], and its replacement.
fn rotated(first: &RefreshToken) -> (RefreshState, RefreshToken) {
    let salt = RefreshSalt::random();
    let second = RefreshToken::replacing(first.as_str(), &salt);
    let state = RefreshState {
        current: second.hash(),
        family: first.family_hash(),
        last: Some(Rotation {
            used: first.hash(),
            at: NOW,
            salt: Some(salt),
        }),
    };
    (state, second)
}

#[test]
fn classifies_token_by_its_hash_and_the_grace_period() {
    let oldest = RefreshToken::random();
    let first = RefreshToken::replacing(oldest.as_str(), &RefreshSalt::random());
    let (state, second) = rotated(&first);
    for (token, later, expected) in [
        (&second, 0, RefreshUse::Current),
        (&second, 9_999, RefreshUse::Current),
        (&first, -5, RefreshUse::Repeated(second.clone())),
        (&first, 29, RefreshUse::Repeated(second.clone())),
        (&first, 30, RefreshUse::Reused),
        (&oldest, 29, RefreshUse::Unknown),
        (&oldest, 30, RefreshUse::Reused),
        (&RefreshToken::random(), 0, RefreshUse::Unknown),
        (&RefreshToken::random(), 30, RefreshUse::Unknown),
    ] {
        let found = state.classify(token.as_str(), NOW.plus(later), GracePeriod::DEFAULT);
        assert_eq!(found, expected, "after {later} s");
    }
}

#[test]
fn current_token_of_other_writer_is_not_returned() {
    let first = RefreshToken::random();
    let (rotated, _) = rotated(&first);
    let classify = |change: fn(&mut RefreshState)| {
        let mut state = rotated.clone();
        change(&mut state);
        state.classify(first.as_str(), NOW, GracePeriod::DEFAULT)
    };
    for change in [
        (|it| it.current = RefreshToken::random().hash()) as fn(&mut RefreshState),
        |it| it.last.as_mut().unwrap().salt = Some(RefreshSalt::random()),
        |it| it.last.as_mut().unwrap().salt = None,
    ] {
        assert_eq!(classify(change), RefreshUse::RepeatedUnderived);
    }
}

#[test]
fn only_tokens_of_the_library_have_a_family() {
    let token = RefreshToken::random();
    let next = RefreshToken::replacing(token.as_str(), &RefreshSalt::random());
    assert_eq!((token.as_str().len(), next.as_str().len()), (96, 96));
    assert!(token.family_hash().is_some());
    assert_eq!(token.family_hash(), next.family_hash());
    assert_ne!(token.family_hash(), RefreshToken::random().family_hash());
    let upper = token.as_str().to_uppercase();
    for other in ["", "Jefe", &token.as_str()[1..], &upper, &"ä".repeat(48)] {
        assert_eq!(RefreshToken::family(other), None, "{other}");
        let next = RefreshToken::replacing(other, &RefreshSalt::random());
        assert_eq!((next.as_str().len(), next.family_hash()), (64, None));
    }
    // An application's own tokens have no family, and neither do the sessions.
    let (mut state, _) = rotated(&token);
    state.family = None;
    let older = RefreshToken::replacing("Jefe", &RefreshSalt::random());
    for unknown in ["Jefe", older.as_str()] {
        let found = state.classify(unknown, NOW.plus(999), GracePeriod::DEFAULT);
        assert_eq!(found, RefreshUse::Unknown);
    }
}

#[test]
fn replacement_is_hmac_sha_256_of_token_and_salt() {
    // Computed with `openssl dgst -sha256 -hmac`.
    let salt = RefreshSalt::parse(&"0".repeat(64)).unwrap();
    for (used, expected) in [
        (
            "Jefe".to_owned(),
            "ce7f39a529500ab28a97f8a830b2ca2cf051fef53232e3317d80407210b884d1",
        ),
        (
            "a".repeat(65),
            "ea129661021804121e150d8d2cc241547999cc8cdcc2bffedb02717eec3eeea1",
        ),
    ] {
        let token = RefreshToken::replacing(&used, &salt);
        assert_eq!(token.as_str(), expected, "{used}");
        let other = RefreshToken::replacing(&used, &RefreshSalt::random());
        assert_ne!(token, other);
    }
}

#[test]
fn debug_output_has_no_token() {
    let token = RefreshToken::random();
    assert!(!format!("{token:?}").contains(token.as_str()));
}

#[test]
fn grace_period_is_up_to_300_seconds() {
    assert!(GracePeriod::from_seconds(300).is_ok());
    assert_eq!(GracePeriod::from_seconds(301), Err(InvalidGracePeriod));
}
