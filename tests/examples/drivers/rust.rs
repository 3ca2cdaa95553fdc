//! Calls the library's functions: reads one call per line of JSON, and writes one result per line.

use std::env;
use std::error::Error;
use std::io::{Write as _, stdin, stdout};

use futures_util::future::try_join_all;
use serde_json::{Value, json};
use session_lifecycle::{
    CallPolicy, CreateOutcome, Days, GracePeriod, NewSession, RefreshOutcome, Session, SessionId,
    Sessions, Shards, Table, Timestamp, TokenId, UpdateOutcome, UserId, clock, connect,
};

type Answer = Result<Value, Box<dyn Error + Send + Sync>>;

#[tokio::main]
#[expect(clippy::disallowed_methods, reason = "a program reads its environment")]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let name = env::var("TABLE_NAME")?;
    let table = Table::new(
        connect(CallPolicy::INTERACTIVE).await,
        name,
        Shards::default(),
    );
    let mut sessions = Sessions::new(table.clone(), Days(30));
    let mut at = None;
    for line in stdin().lines() {
        let call: Vec<Value> = serde_json::from_str(&line?)?;
        let now = at.unwrap_or_else(|| clock::now().into());
        let answer = match (call.first().and_then(Value::as_str), call.get(1)) {
            (Some("at"), time) => {
                at = time.and_then(Value::as_i64).map(Timestamp::from_seconds);
                Ok("done".into())
            }
            (Some("grace"), Some(seconds)) => grace(seconds).map(|grace| {
                sessions = Sessions::new(table.clone(), Days(30)).grace_period(grace);
                "done".into()
            }),
            (Some("at_once"), Some(count)) => {
                let count = count.as_u64().unwrap_or_default();
                let calls = (0..count).map(|_| {
                    let (sessions, call) =
                        (sessions.clone(), call.get(2..).unwrap_or(&[]).to_vec());
                    tokio::spawn(async move { perform(&sessions, &call, now).await })
                });
                let answers = try_join_all(calls).await?;
                answers
                    .into_iter()
                    .collect::<Result<_, _>>()
                    .map(Value::Array)
            }
            _ => perform(&sessions, &call, now).await,
        };
        let answer = match answer {
            Ok(answer) => json!({ "answer": answer }),
            Err(error) => json!({ "error": error.to_string() }),
        };
        writeln!(stdout(), "{answer}")?;
    }
    Ok(())
}

fn grace(seconds: &Value) -> Result<GracePeriod, Box<dyn Error + Send + Sync>> {
    let seconds = seconds.as_u64().unwrap_or(u64::MAX).try_into()?;
    Ok(GracePeriod::from_seconds(seconds)?)
}

async fn perform(sessions: &Sessions, call: &[Value], now: Timestamp) -> Answer {
    let text = |i: usize| call.get(i).and_then(Value::as_str).unwrap_or_default();
    let time = |i: usize| {
        let seconds = call
            .get(i)
            .and_then(Value::as_i64)
            .ok_or("a time is missing");
        seconds.map(Timestamp::from_seconds)
    };
    let user = UserId::parse(text(1))?;
    let session = || SessionId::parse(text(2));
    Ok(match text(0) {
        "login" => {
            let new = NewSession::new(user, SessionId::random(), time(2)?);
            let new = with_attributes(new, call.get(3));
            let (session, expires_at) = (new.session.clone(), new.expires_at);
            let token = sessions
                .login(new, now)
                .await?
                .ok_or("the session exists")?;
            json!({ "session": session, "refresh_token": token.as_str(), "expires_at": expires_at })
        }
        "create" => {
            let new = NewSession::new(user, session()?, time(3)?);
            let new = with_attributes(new, call.get(4));
            created(sessions.create(new, now).await?)
        }
        "refresh" => {
            let session = session()?;
            let refreshing = sessions.refresh(&user, &session, text(3), time(4)?, now);
            match refreshing.await? {
                RefreshOutcome::Refreshed { token, expires_at } => {
                    json!({ "outcome": "done", "refresh_token": token.as_str(), "expires_at": expires_at })
                }
                RefreshOutcome::NotFound => json!({ "outcome": "not found" }),
                RefreshOutcome::Ended => json!({ "outcome": "ended" }),
                RefreshOutcome::Reused => json!({ "outcome": "reused" }),
            }
        }
        "extend" => updated(sessions.extend(&user, &session()?, time(3)?, now).await?),
        "logout" => updated(sessions.logout(&user, &session()?, now).await?),
        "revoke" => updated(sessions.revoke(&user, &session()?, now).await?),
        "revoke_others" => sessions
            .revoke_others(&user, &session()?, now)
            .await?
            .into(),
        "revoke_all" => sessions.revoke_all(&user, now).await?.into(),
        "list" => sessions.list(&user).await?.iter().map(plain).collect(),
        "add_refresh_token" => created(
            sessions
                .add_refresh_token(&user, &session()?, text(3), time(4)?)
                .await?,
        ),
        "blacklist" => {
            let token = TokenId::parse(text(2))?;
            created(sessions.blacklist(&user, &token, time(3)?).await?)
        }
        "access_token_claims" => {
            let claims = sessions
                .access_token_claims(&user, &session()?, time(3)?, text(4), text(5), now)
                .scope(text(6));
            serde_json::to_value(match call.get(7) {
                Some(_) => claims.auth_time(time(7)?).client_id(text(8)),
                None => claims,
            })?
        }
        other => return Err(format!("no function has the name {other}").into()),
    })
}

fn with_attributes(new: NewSession, attributes: Option<&Value>) -> NewSession {
    let text = |name: &str| attributes?.get(name)?.as_str();
    let time = |name: &str| Some(Timestamp::from_seconds(attributes?.get(name)?.as_i64()?));
    let mut new = new;
    if let Some(ip_address) = text("ip_address") {
        new = new.ip_address(ip_address);
    }
    if let Some(client_id) = text("client_id") {
        new = new.client_id(client_id);
    }
    if let Some(end) = time("max_expires_at") {
        new = new.max_expires_at(end);
    }
    new
}

fn created(outcome: CreateOutcome) -> Value {
    match outcome {
        CreateOutcome::Created => "done",
        CreateOutcome::AlreadyExists => "exists",
    }
    .into()
}

fn updated(outcome: UpdateOutcome) -> Value {
    match outcome {
        UpdateOutcome::Updated => "done",
        UpdateOutcome::NotFound => "not found",
        UpdateOutcome::Ended => "ended",
    }
    .into()
}

/// A session with the names of its attributes.
fn plain(session: &Session) -> Value {
    let mut plain = json!({
        "session_id": session.id,
        "is_active": session.is_active,
        "created_at": session.created_at,
        "expires_at": session.expires_at,
        "max_expires_at": session.max_expires_at,
        "last_used_at": session.last_used_at,
        "deactivated_at": session.deactivated_at,
        "deactivation_reason": session.deactivation_reason,
        "ip_address": session.ip_address,
        "user_agent": session.user_agent,
        "client_id": session.client_id,
        "refresh_hash": session.refresh.as_ref().map(|it| it.current.as_str()),
    });
    if let Some(attributes) = plain.as_object_mut() {
        attributes.retain(|_, value| !value.is_null());
    }
    plain
}
