//! `cargo local`: the stack that stays up.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use dynoxide::Database;
use session_lifecycle::clock;
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval};

use crate::functions::Functions;
use crate::import::Contents;
use crate::introduction::{Callers, line};
use crate::sample;
use crate::stack::{Stack, scheduled_event};
use crate::template::{FunctionName, Template};
use crate::terminal::{BOLD, Progress, complain, say, styled, table};
use crate::{dynamodb, import, server};

/// The options.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// How often the cleanup is invoked, as 10s, 5m or 1h [default: as in template.yaml]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub every: Option<Duration>,
    /// How often native TTL deletes what has expired
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10m")]
    pub ttl_every: Duration,
    /// Keep the table in this file, across runs
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Begin without the sample: only with the sessions of the two callers
    #[arg(long, conflicts_with = "import")]
    pub empty: bool,
    /// Begin with these items instead of the sample: what the AWS CLI prints of them (scan, query,
    /// get-item, batch-get-item), an array of items, items one a line, or the files of a table
    /// export, plain or gzip
    #[arg(long, value_name = "FILE")]
    pub import: Option<PathBuf>,
    /// Port of the API
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Port of the DynamoDB endpoint
    #[arg(long, default_value_t = 8000)]
    pub dynamodb_port: u16,
}

/// Why the stack cannot serve: a sentence for whoever started it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CannotServe(String);

impl CannotServe {
    pub(crate) const fn new(sentence: String) -> Self {
        Self(sentence)
    }
}

pub(crate) fn because(
    what: impl std::fmt::Display,
) -> impl FnOnce(&dyn std::fmt::Display) -> CannotServe {
    move |why| CannotServe(format!("{what}: {why}"))
}

/// Serves until `stop` resolves.
///
/// # Errors
///
/// A port in use, a file that cannot be read: a sentence.
pub async fn run(
    options: &Options,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), CannotServe> {
    let template = Template::read().map_err(|error| because("start")(&error))?;
    // What may be wrong is found before anything is changed.
    let imported = match &options.import {
        Some(file) => Some(
            import::read(file, &template.table)
                .map_err(|error| because(shown("import", file))(&error))?,
        ),
        None => None,
    };
    let api = listen(Ipv4Addr::LOCALHOST, options.port).await?;
    let endpoint = listen(Ipv4Addr::LOCALHOST, options.dynamodb_port).await?;
    let (database, is_new) = open(options.data.as_deref())?;
    let stack = Stack::start(template, database, endpoint)
        .await
        .map_err(|error| because("start")(&error))?;

    let sessions = stack.sessions();
    let now = clock::now();
    let mut expired = None;
    let (admin, reader) = match imported {
        None if is_new && !options.empty => {
            let progress = Progress::new(sample::RECORDS, "filling the table");
            let sample = sample::fill(&sessions, now.into(), || progress.step())
                .await
                .map_err(|error| because("fill the table")(&error))?;
            progress.finish();
            expired = Some(sample.expired);
            (sample.admin, sample.reader)
        }
        other => {
            if let Some(items) = other {
                let contents = Contents::of(&items);
                stack
                    .dynamodb
                    .import(items)
                    .map_err(|error| because("import, of which nothing was kept")(&error))?;
                tell(&contents.to_string())?;
            }
            sample::open_sessions(&sessions, now.into())
                .await
                .map_err(|error| because("open two sessions")(&error))?
        }
    };
    let every = options.every.unwrap_or(stack.template.schedule);
    let callers = Callers::new(&stack.tokens, &admin, &reader, expired.as_ref(), now);
    introduce(address(&api)?, stack.dynamodb.address(), every, &callers)
        .map_err(|error| because("print")(&error))?;

    let schedule = tokio::spawn(invoke_hourly(Arc::clone(&stack.functions), every));
    let ttl = tokio::spawn(sweep(stack.dynamodb.database(), options.ttl_every));
    let functions = Arc::clone(&stack.functions);
    let served = server::serve(api, Arc::clone(&stack.gateway), functions, stop).await;
    schedule.abort();
    ttl.abort();
    stack.dynamodb.stop().await;
    served.map_err(|error| because("serve")(&error))
}

fn shown(what: &str, file: &Path) -> String {
    format!("{what} {}", file.display())
}

fn tell(line: &str) -> Result<(), CannotServe> {
    say(line).map_err(|error| because("print")(&error))
}

pub(crate) async fn listen(host: Ipv4Addr, port: u16) -> Result<TcpListener, CannotServe> {
    let address = SocketAddr::from((host, port));
    TcpListener::bind(address)
        .await
        .map_err(|error| because(format!("listen on {address}"))(&error))
}

pub(crate) fn address(listener: &TcpListener) -> Result<SocketAddr, CannotServe> {
    listener
        .local_addr()
        .map_err(|error| because("listen")(&error))
}

/// Opens the table's file, or memory; and whether that is new.
fn open(file: Option<&Path>) -> Result<(Database, bool), CannotServe> {
    let is_new = file.is_none_or(|file| !file.exists());
    dynamodb::open(file)
        .map(|database| (database, is_new))
        .map_err(|error| because(shown("open", file.unwrap_or(Path::new("memory"))))(&error))
}

/// Invokes the cleanup as the hourly rule does.
async fn invoke_hourly(functions: Arc<Functions>, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once; a rule's does not.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let now = clock::now();
        if let Err(error) = functions
            .invoke(FunctionName::Cleanup, &scheduled_event(now), now)
            .await
        {
            complain(format!("the scheduled cleanup failed: {error}"));
        }
    }
}

/// Deletes what native TTL would.
async fn sweep(database: Database, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let database = database.clone();
        match tokio::task::spawn_blocking(move || database.sweep_ttl()).await {
            Ok(Ok(deleted)) => tracing::info!(deleted, "native TTL swept"),
            Ok(Err(error)) => complain(format!("native TTL failed: {error}")),
            Err(_) => return,
        }
    }
}

/// Says what runs where, and how to call it.
fn introduce(
    api: SocketAddr,
    dynamodb: SocketAddr,
    every: Duration,
    callers: &Callers,
) -> std::io::Result<()> {
    callers.print_page(api)?;
    say(styled(
        BOLD,
        "Session Cleanup, the whole stack on this machine (Ctrl-C ends it)",
    ))?;
    table(&[
        ["API".into(), format!("http://{api}")],
        [
            "DynamoDB, for any AWS client".into(),
            format!("http://{dynamodb}"),
        ],
        ["table".into(), dynamodb::TABLE_NAME.into()],
        ["scheduled cleanup, every".into(), format!("{every:?}")],
    ])?;
    callers.print(api)?;
    line(
        "the cleanup function by hand, as in the console; here: what adopting the table would do",
        format!(
            "curl -s -X POST http://{api}/2015-03-31/functions/cleanup/invocations -d '{{\"adopt\": true, \"dry_run\": true}}'"
        ),
    )?;
    say("")
}

/// Reads `10s`, `5m` or `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.char_indices().next_back().and_then(|(at, unit)| {
        let factor = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            _ => return None,
        };
        text[..at].parse::<u64>().ok()?.checked_mul(factor)
    });
    match seconds {
        Some(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds)),
        _ => Err("a duration is a whole number above 0 and s, m or h, as in 10s".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(duration("1h"), Ok(Duration::from_hours(1)));
        for wrong in [
            "",
            "10",
            "s",
            "0s",
            "-1s",
            "1d",
            "1.5h",
            "99999999999999999999h",
        ] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }
}
