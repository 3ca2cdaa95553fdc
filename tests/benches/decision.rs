//! Benchmark of the authorizer's decision alone, without event, logs and network. The table answers
//! at once.
#![allow(
    clippy::expect_used,
    missing_docs,
    reason = "a program for developers, which panics on errors"
)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt as _;
use jsonwebtoken::Algorithm;
use serde_json::json;
use session_cleanup_tests::benchmark::mappings::{MAPPINGS, token_for_mappings, verifier_with};
use session_cleanup_tests::token_factory::{
    ALGORITHMS, Signer, claims_with, encoded, good_claims, parts,
};
use session_cleanup_tests::{HOUR, NOW, at};
use session_domain::{
    ActiveSession, ConditionalWrite, Days, DenyReason, DueEntry, SessionId, SessionLifetime,
    SessionSnapshot, Shards, Timestamp, TokenId, UserId,
};
use session_functions::authorize::{Authorize, Decision, TimeLimits};
use session_lifecycle::ports::{
    ApplyWrites, CreateRecords, LookUpSession, Metered, NewRecord, Outcome, SessionLookup,
    StoreError, WithoutRetries,
};
use session_token::TokenVerifier;
use tokio::runtime::Builder;

/// A table that always returns the same answer.
#[derive(Debug, Clone)]
struct Answers {
    session: Option<SessionSnapshot>,
    blacklisted: bool,
}

impl LookUpSession for Answers {
    async fn look_up(
        &self,
        _: &UserId,
        _: &SessionId,
        _: Option<&TokenId>,
    ) -> Result<SessionLookup, StoreError> {
        Ok(SessionLookup {
            session: self.session.map(Ok),
            blacklisted: self.blacklisted,
        })
    }
}

impl CreateRecords for Answers {
    async fn create(&self, _: &NewRecord, _: &DueEntry) -> Result<bool, StoreError> {
        unreachable!("the authorizer does not open sessions here")
    }
}

impl WithoutRetries for Answers {
    fn without_retries(&self) -> Self {
        self.clone()
    }
}

impl ApplyWrites for Answers {
    const MAX_BATCH: std::num::NonZeroU32 = std::num::NonZeroU32::MIN;

    async fn apply(
        &self,
        changes: &[ConditionalWrite],
    ) -> Result<Metered<Vec<Outcome>>, StoreError> {
        Ok(Metered {
            value: changes.iter().map(|_| Outcome::Applied).collect(),
            capacity_units: 0.0,
            table_units: 0.0,
        })
    }
}

fn active(expires_at: i64) -> Answers {
    let shard = Shards::default().all().next().expect("a shard");
    let expires_at = Timestamp::from_seconds(expires_at);
    Answers {
        session: Some(SessionSnapshot::Active(ActiveSession::new(
            expires_at, shard,
        ))),
        blacklisted: false,
    }
}

/// Measures a decision, and checks it.
fn decide(
    criterion: &mut Criterion,
    name: &str,
    verifier: TokenVerifier,
    table: &Answers,
    header: Option<&str>,
    expected: Option<DenyReason>,
) {
    let limit = TimeLimits::INTERACTIVE.decision;
    let lifetime = SessionLifetime {
        retention: Days(30),
        opens_on_first_use: false,
        max: None,
        idle: None,
    };
    let authorize = Authorize::new(table.clone(), verifier, lifetime, limit);
    // The deactivation of an expired session has a timeout.
    let runtime = Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime");
    let _entered = runtime.enter();
    let decide = |header| {
        // The decision never waits.
        let decision = authorize.decide(header, at(NOW)).now_or_never();
        decision.expect("an answer").expect("a decision")
    };
    let refused = match decide(header) {
        Decision::Allow(_) => None,
        Decision::Deny { reason, .. } => Some(reason),
    };
    assert_eq!(refused, expected, "{name}");
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| decide(black_box(header)));
    });
}

fn tokens_of_each_algorithm(criterion: &mut Criterion) {
    for algorithm in ALGORITHMS {
        let signer = Signer::of(algorithm);
        let header = format!("Bearer {}", signer.good_token());
        let name = format!("allow/{algorithm:?}");
        let table = active(NOW + HOUR);
        decide(
            criterion,
            &name,
            signer.verifier(),
            &table,
            Some(&header),
            None,
        );
    }
}

/// The same token with each mapping.
fn mappings(criterion: &mut Criterion) {
    let signer = Signer::of(Algorithm::HS256);
    let header = format!("Bearer {}", token_for_mappings(&signer, &good_claims()));
    for (name, settings) in MAPPINGS {
        let name = format!("allow/mapping/{name}");
        let verifier = verifier_with(&signer, settings);
        let table = active(NOW + HOUR);
        decide(criterion, &name, verifier, &table, Some(&header), None);
    }
}

fn each_refusal(criterion: &mut Criterion) {
    let issuer = Signer::of(Algorithm::HS256);
    let good = issuer.good_token();
    let [head, body, _] = parts(&good);
    let signed = |header: &str, payload: &str| issuer.sign(header, payload);
    let claims = |name: &str, value: serde_json::Value| {
        signed(&issuer.header(), &claims_with(name, value).to_string())
    };
    let live = active(NOW + HOUR);
    let invalid = [
        ("too long", "a".repeat(11_000)),
        ("form", "a.b".to_owned()),
        ("header", format!("{}.{body}.", encoded("[]"))),
        ("algorithm", Signer::of(Algorithm::HS384).good_token()),
        ("critical", signed(r#"{"alg":"HS256","crit":["x"]}"#, "{}")),
        ("signature", format!("{head}.{body}.{}", encoded([0; 32]))),
        ("claims", claims("sub", json!([7]))),
        ("issuer", claims("iss", json!("another"))),
        ("audience", claims("aud", json!("another"))),
        ("not yet valid", claims("nbf", json!(NOW + 1))),
    ];
    for (why, token) in invalid {
        let name = format!("deny/Invalid token/{why}");
        let header = format!("Bearer {token}");
        let expected = Some(DenyReason::InvalidToken);
        let verifier = issuer.verifier();
        decide(criterion, &name, verifier, &live, Some(&header), expected);
    }
    let missing = Answers {
        session: None,
        blacklisted: false,
    };
    let inactive = Answers {
        session: Some(SessionSnapshot::Inactive),
        ..missing
    };
    let revoked = Answers {
        blacklisted: true,
        ..live
    };
    let good = format!("Bearer {good}");
    let old = format!("Bearer {}", claims("exp", json!(NOW - 1)));
    let (good, old) = (Some(good.as_str()), Some(old.as_str()));
    let by_the_table = [
        (None, &live, DenyReason::MissingBearerToken),
        (old, &live, DenyReason::TokenExpired),
        (good, &revoked, DenyReason::TokenRevoked),
        (good, &missing, DenyReason::SessionNotFound),
        (good, &inactive, DenyReason::SessionInactive),
        (good, &active(NOW - 1), DenyReason::SessionExpired),
    ];
    for (header, table, reason) in by_the_table {
        let name = format!("deny/{reason}");
        let verifier = issuer.verifier();
        decide(criterion, &name, verifier, table, header, Some(reason));
    }
}

criterion_group!(decisions, tokens_of_each_algorithm, mappings, each_refusal);
criterion_main!(decisions);
