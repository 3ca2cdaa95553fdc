//! `cargo demo`: one run of the main job, from a full table to a clean one, with every figure
//! checked.

mod checks;
mod output;
mod steps;

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::http::Method;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use session_lifecycle::clock::{self, Stopwatch};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use self::checks::Checks;
use crate::client::JsonClient;
use crate::dynamodb;
use crate::sample::{Sample, UserSession};
use crate::server;
use crate::stack::Stack;
use crate::template::Template;
use crate::terminal::{BOLD, ERROR, SUCCESS, out, styled, table};
use crate::tokens::{Bearer, Tokens};

type Failure = Box<dyn Error + Send + Sync>;

/// The running demo.
struct Demo {
    stack: Stack,
    tokens: Tokens,
    api: SocketAddr,
    http: JsonClient,
    now: DateTime<Utc>,
    checks: Checks,
}

/// Runs the demo. Returns whether all figures are right.
///
/// # Errors
///
/// The demo cannot run.
pub async fn run() -> Result<bool, Failure> {
    let timer = Stopwatch::start();
    let loopback = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (template, database, tokens) = (Template::read()?, dynamodb::open(None)?, Tokens::new());
    let stack = Stack::start(template, database, loopback().await?, tokens.variables()).await?;
    let listener = loopback().await?;
    let api = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server::serve(
        listener,
        Arc::clone(&stack.gateway),
        Arc::clone(&stack.functions),
        None,
        async {
            let _ = stopped.await;
        },
    ));

    out(styled(
        BOLD,
        "Session Cleanup, the whole stack in this process",
    ))?;
    table(&[
        [
            "DynamoDB, embedded".into(),
            format!("http://{}", stack.dynamodb.address()),
        ],
        ["API Gateway, local".into(), format!("http://{api}")],
    ])?;

    let mut demo = Demo {
        stack,
        tokens,
        api,
        http: JsonClient::default(),
        now: clock::now(),
        checks: Checks::default(),
    };
    let sample = demo.fill().await?;
    demo.statistics_before(&sample).await?;
    demo.deny_expired_session(&sample.expired).await?;
    demo.scheduled_cleanup().await?;
    demo.statistics_after(&sample).await?;
    demo.forced_cleanup(&sample).await?;
    demo.remaining_records().await?;

    let Demo {
        checks,
        stack,
        http,
        ..
    } = demo;
    drop(http);
    drop(stop);
    serving.await??;
    stack.dynamodb.stop().await;
    conclude(&checks, &timer)
}

fn conclude(checks: &Checks, timer: &Stopwatch) -> Result<bool, Failure> {
    out("")?;
    for wrong in &checks.wrong {
        out(format!("{} {wrong}", styled(ERROR, "wrong:")))?;
    }
    let seconds = timer.elapsed().as_secs_f64();
    if checks.wrong.is_empty() {
        let figures = format!("{} figures checked, all right", checks.right);
        out(format!("{} in {seconds:.1} s", styled(SUCCESS, figures)))?;
    } else {
        let figures = format!(
            "{} of {} figures wrong",
            checks.wrong.len(),
            checks.wrong.len() + checks.right
        );
        out(styled(ERROR, figures))?;
    }
    Ok(checks.wrong.is_empty())
}

impl Demo {
    fn reader(&self, sample: &Sample) -> String {
        self.token(&sample.reader, "sessions:read")
    }

    fn token(&self, session: &UserSession, scope: &str) -> String {
        self.tokens.sign(Bearer {
            user: session.user.as_str(),
            session: session.session.as_str(),
            scope,
            expires_at: self.now + TimeDelta::minutes(15),
        })
    }

    /// Calls the API over HTTP. Returns status and body.
    async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&String>,
    ) -> Result<(u16, Value), Failure> {
        let url = format!("http://{}{path}", self.api);
        self.http
            .call(method, &url, token.map(String::as_str), "")
            .await
    }
}
