//! Variables for the lifetime of sessions that the authorizer opens, and of those that are used.

use session_domain::{Days, Hours, Minutes, SessionLifetime};
use session_token::{ClaimMapping, ClaimName};

use crate::environment::Reader;

const MAX_HOURS: &str = "SESSION_MAX_HOURS";

/// Claims that differ between the tokens of a session.
const OF_ONE_TOKEN: [&str; 4] = ["iat", "nbf", "exp", "jti"];

pub(super) fn read(reader: &mut Reader<'_>, retention: Days) -> SessionLifetime {
    let opens_on_first_use = opens_on_first_use(reader);
    let idle = reader.number("SESSION_IDLE_MINUTES", 0, 0..=43_200);
    // The record of an inactive session must exist for as long as a token could open the session again.
    let limit = retention.0.saturating_mul(24);
    let max = reader.get(MAX_HOURS).is_some();
    let max = max.then(|| Hours(reader.number(MAX_HOURS, 1, 1..=limit)));
    if opens_on_first_use && max.is_none() {
        let expected =
            format!("a whole number from 1 to {limit}, which OPEN_SESSIONS=on_first_use requires");
        reader.invalid(MAX_HOURS, expected);
    }
    SessionLifetime {
        retention,
        opens_on_first_use,
        max,
        idle: (idle > 0).then_some(Minutes(idle)),
    }
}

/// Checks the claims that decide which session a token opens. A session that was deactivated could be opened
/// again, after its record is deleted, if its time of authentication or its ID were new in each token.
pub(super) fn check_claims(
    reader: &mut Reader<'_>,
    lifetime: &SessionLifetime,
    claims: &ClaimMapping,
) {
    if !lifetime.opens_on_first_use {
        return;
    }
    let is_of_one_token = |claim: &ClaimName| {
        let name = claim.as_str();
        let name = name.strip_prefix('/').unwrap_or(name);
        OF_ONE_TOKEN.contains(&name) || claims.token_id.as_ref() == Some(claim)
    };
    for (variable, claim) in [
        ("JWT_AUTH_TIME_CLAIM", &claims.auth_time),
        ("JWT_SESSION_CLAIM", &claims.session),
    ] {
        if is_of_one_token(claim) {
            reader.problem(format!(
                "{variable} is {:?}, which differs between the tokens of a session: OPEN_SESSIONS=on_first_use \
                 needs a claim that a refresh does not change",
                claim.as_str()
            ));
        }
    }
}

fn opens_on_first_use(reader: &mut Reader<'_>) -> bool {
    let parse = |value: &str| match value {
        "never" => Some(false),
        "on_first_use" => Some(true),
        _ => None,
    };
    reader
        .optional("OPEN_SESSIONS", "never or on_first_use", parse)
        .unwrap_or(false)
}
