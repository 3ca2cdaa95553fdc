//! `cargo local`: runs the stack until Ctrl-C.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use dynoxide::Database;
use humantime::format_duration;
use session_lifecycle::clock;
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval};

use crate::banner::{Banner, SampleTokens};
use crate::data::DataFiles;
use crate::durations::{duration, schedule};
use crate::dynamodb::TABLE_NAME;
use crate::error::{Context as _, ServeError};
use crate::functions::Functions;
use crate::import::{Loaded, Source};
use crate::issue::TokenDesk;
use crate::jwt::{JwtOptions, Trust};
use crate::sample::{self, UserSession};
use crate::stack::{Stack, scheduled_event};
use crate::template::{FunctionName, Template};
use crate::terminal::{Progress, err, out};
use crate::token::TokenOptions;
use crate::{dynamodb, server};

/// Options of `cargo local`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Options {
    /// Another command
    #[command(subcommand)]
    pub command: Option<Beside>,
    /// How often the cleanup runs, as in 10s, 5m or 1h [default: the schedule in template.yaml]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub every: Option<Duration>,
    /// How often native TTL deletes expired records
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10m")]
    pub ttl_every: Duration,
    /// Keep the table in this file across runs
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Start without the sample data: only with the sessions of READER and ADMIN
    #[arg(long, conflicts_with = "import")]
    pub empty: bool,
    /// What the table starts with.
    #[command(flatten)]
    pub source: Source,
    /// Port of the API
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Port of the DynamoDB endpoint
    #[arg(long, default_value_t = 8000)]
    pub dynamodb_port: u16,
    /// Which tokens the authorizer accepts.
    #[command(flatten)]
    pub jwt: JwtOptions,
}

/// Commands for a running stack.
#[derive(Debug, Clone, Subcommand)]
pub enum Beside {
    /// Create a session in the running stack and print a token for it
    Token(TokenOptions),
}

/// Serves until `stop` resolves.
///
/// # Errors
///
/// A port is in use, a file cannot be read, or the options contradict each other.
pub async fn run(
    options: &Options,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let template = Template::read().context("cannot start")?;
    // Check all options before changing anything.
    let mut trust = options.jwt.trust()?;
    let imported = options.source.load(&template.table, clock::now())?;
    let api = listen(options.port, "--port").await?;
    let endpoint = listen(options.dynamodb_port, "--dynamodb-port").await?;
    let data = options.data.as_deref().map(DataFiles::open).transpose()?;
    let kept = data.as_ref().filter(|it| trust.keep_to(&it.secret));
    let kept = kept.map(|data| data.secret_file.as_path());
    let is_new = data.as_ref().is_none_or(|data| data.is_new);
    if options.empty && !is_new {
        err("note: --empty has no effect on an existing table");
    }
    let stack = Stack::start(
        template,
        open(options.data.as_deref())?,
        endpoint,
        trust.variables().chain(options.every.map(schedule)),
    )
    .await
    .context("cannot start")?;

    let now = clock::now();
    let begun = Begun::with(&stack, imported, is_new && !options.empty, now).await?;
    let trust = Arc::new(trust);
    print_banner(options, &stack, address(&api)?, &trust, kept, &begun, now)
        .context("cannot print")?;

    let every = options.every.unwrap_or(stack.template.schedule);
    let schedule = tokio::spawn(invoke_by_schedule(Arc::clone(&stack.functions), every));
    let ttl = tokio::spawn(sweep(stack.dynamodb.database(), options.ttl_every));
    let desk = Arc::new(TokenDesk::new(&stack.dynamodb, trust));
    let (gateway, functions) = (Arc::clone(&stack.gateway), Arc::clone(&stack.functions));
    let served = server::serve(api, gateway, functions, Some(desk), stop).await;
    schedule.abort();
    ttl.abort();
    stack.dynamodb.stop().await;
    served.context("cannot serve")?;
    print(&farewell(options))
}

/// The last message. It starts with a line break because the terminal has printed ^C.
#[must_use]
pub fn farewell(options: &Options) -> String {
    match &options.data {
        None => "\nStopped. The table was in memory and is gone.".to_owned(),
        Some(file) => format!("\nStopped. The table is in {}.", file.display()),
    }
}

/// The sessions that the banner has tokens for.
struct Begun {
    admin: UserSession,
    reader: UserSession,
    /// An expired session of the sample.
    expired: Option<UserSession>,
    imported: bool,
}

impl Begun {
    async fn with(
        stack: &Stack,
        imported: Option<Loaded>,
        sample: bool,
        now: DateTime<Utc>,
    ) -> Result<Self, ServeError> {
        let sessions = stack.sessions();
        let is_import = imported.is_some();
        if let Some(loaded) = imported {
            print(&loaded.summary)?;
            store(stack, loaded)?;
        } else if sample {
            let progress = Progress::new(sample::RECORDS, "filling the table");
            let sample = sample::fill(&sessions, now.into(), || progress.step())
                .await
                .context("cannot write the sample")?;
            progress.finish();
            return Ok(Self {
                admin: sample.admin,
                reader: sample.reader,
                expired: Some(sample.expired),
                imported: false,
            });
        }
        let (admin, reader) = sample::open_sessions(&sessions, now.into())
            .await
            .context("cannot create the sessions of READER and ADMIN")?;
        Ok(Self {
            admin,
            reader,
            expired: None,
            imported: is_import,
        })
    }
}

/// Stores the imported items.
fn store(stack: &Stack, loaded: Loaded) -> Result<(), ServeError> {
    const WHAT: &str = "cannot import the items; none is kept";
    let mut items = loaded.items;
    if loaded.is_converted {
        let all = items.len();
        items = stack.dynamodb.without_existing(items).context(WHAT)?;
        if items.len() < all {
            let existing = all - items.len();
            print(&format!(
                "the table already has {existing} of them, which stay unchanged"
            ))?;
        }
    }
    stack.dynamodb.import(items).context(WHAT)?;
    Ok(())
}

fn print(line: &str) -> Result<(), ServeError> {
    out(line).context("cannot print")
}

/// Listens on a port of the loopback interface. `option` is the option that selects it.
pub(crate) async fn listen(port: u16, option: &str) -> Result<TcpListener, ServeError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).await.context(format!(
        "cannot listen on {address} (use {option} to choose another port)"
    ))
}

pub(crate) fn address(listener: &TcpListener) -> Result<SocketAddr, ServeError> {
    listener.local_addr().context("cannot listen")
}

/// Opens a database in a file or in memory.
fn open(file: Option<&Path>) -> Result<Database, ServeError> {
    let name = file.unwrap_or(Path::new("a table in memory"));
    dynamodb::open(file).context(format!("cannot open {}", name.display()))
}

/// Invokes the cleanup by schedule.
async fn invoke_by_schedule(functions: Arc<Functions>, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is immediate; that of an EventBridge rule is not.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let now = clock::now();
        if let Err(error) = functions
            .invoke(FunctionName::Cleanup, &scheduled_event(now), now)
            .await
        {
            err(format!("the scheduled cleanup failed: {error}"));
        }
    }
}

/// Deletes expired records, as native TTL does.
async fn sweep(database: Database, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let database = database.clone();
        match tokio::task::spawn_blocking(move || database.sweep_ttl()).await {
            Ok(Ok(deleted)) => tracing::info!(deleted, "native TTL swept"),
            Ok(Err(error)) => err(format!("native TTL failed: {error}")),
            Err(_) => return,
        }
    }
}

/// Prints the addresses, the tokens and the commands.
fn print_banner(
    options: &Options,
    stack: &Stack,
    api: SocketAddr,
    trust: &Trust,
    kept: Option<&Path>,
    begun: &Begun,
    now: DateTime<Utc>,
) -> std::io::Result<()> {
    let Begun {
        admin,
        reader,
        expired,
        imported,
    } = begun;
    let every = format_duration(options.every.unwrap_or(stack.template.schedule));
    let sweep = format_duration(options.ttl_every);
    let table = match &options.data {
        None => "in memory".to_owned(),
        Some(file) => format!("in {}", file.display()),
    };
    let dynamodb = stack.dynamodb.address();
    let tokens = match kept {
        Some(secret) => format!("{}, secret in {}", trust.summary(), secret.display()),
        None => trust.summary(),
    };
    let sample_tokens = match trust.tokens() {
        Some(tokens) => SampleTokens::new(tokens, admin, reader, now),
        None => SampleTokens::unsigned(|bearer| trust.claims(bearer), admin, reader, now),
    };
    let port = match api.port() {
        8080 => String::new(),
        other => format!("--port {other} "),
    };
    let mut commands = Vec::new();
    if let Some(UserSession { user, session }) = expired {
        commands.push((
            "a token whose session has expired",
            format!(
                "cargo local token {port}--user {user} --session {session} --scope sessions:read"
            ),
        ));
    }
    if *imported {
        commands.push((
            "show what adopting the table would do",
            format!(
                "curl http://{api}/2015-03-31/functions/cleanup/invocations \
                 -d '{{\"adopt\": true, \"dry_run\": true}}'"
            ),
        ));
    }
    Banner {
        title: "Session Cleanup on this machine. Press Ctrl-C to stop.",
        rows: vec![
            ("API", format!("http://{api}")),
            (
                "DynamoDB",
                format!("http://{dynamodb}, table {TABLE_NAME} {table}"),
            ),
            (
                "cleanup",
                format!("every {every}; native TTL every {sweep}"),
            ),
            ("tokens", tokens),
        ],
        sample_tokens: &sample_tokens,
        commands,
    }
    .print(api)
}
