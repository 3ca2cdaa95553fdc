//! `cargo sam-local`: the built functions in containers, behind `sam local start-api`, over the
//! embedded DynamoDB.
//!
//! The command needs SAM and a running Docker daemon. SAM pulls the image of the runtime.

pub mod built;
pub mod docker;
pub mod process;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use session_lifecycle::clock;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use self::built::Built;
use self::process::{ChildProcess, command, require_program};
use crate::banner::{Banner, SampleTokens};
use crate::dynamodb::{self, EmbeddedDynamoDb, TABLE_NAME};
use crate::error::{Context as _, ServeError};
use crate::sample;
use crate::serve::{address, listen};
use crate::template::{FunctionName, Template};
use crate::tokens::Tokens;

/// Options of `cargo sam-local`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Port of the API
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Port of the DynamoDB endpoint
    #[arg(long, default_value_t = 8000)]
    pub dynamodb_port: u16,
    /// Skip `sam build` and use the functions of an earlier run
    #[arg(long)]
    pub built: bool,
    /// Options for `sam local`, after `--`, such as --skip-pull-image
    #[arg(last = true, value_name = "SAM OPTIONS")]
    pub sam: Vec<String>,
}

/// The event in the printed `sam local invoke` command.
const DRY_RUN: &str = "functions/cleanup/events/dry-run.json";

/// Resolves when this process is asked to stop.
type Stop = Shared<BoxFuture<'static, ()>>;

/// Serves until this process is asked to stop, then stops SAM and the table.
///
/// # Errors
///
/// A program that is missing, fails or ends early; a Docker daemon that does not answer; a port in
/// use.
pub async fn run(options: &Options) -> Result<(), ServeError> {
    let stop = process::shutdown_signal()
        .context("cannot listen for signals")?
        .boxed()
        .shared();
    require_program("sam", "pip install aws-sam-cli cargo-lambda").await?;
    require_program("docker", "apt-get install docker.io, or docker.com").await?;
    docker::require_daemon().await?;
    let prepare = Box::pin(Stack::prepare(options));
    let stack = tokio::select! {
        stack = prepare => stack?,
        () = stop.clone() => return Ok(()),
    };
    stack.serve(stop).await
}

/// Everything that SAM's API needs, and the table.
struct Stack {
    api: SocketAddr,
    /// Reserves the API's port until SAM binds it.
    reserved: Option<TcpListener>,
    /// The table, on loopback.
    dynamodb: EmbeddedDynamoDb,
    /// The same table, at the address where containers reach it.
    for_containers: Option<EmbeddedDynamoDb>,
    built: Built,
    /// The user's options for `sam local`.
    sam_options: Vec<String>,
    sample_tokens: SampleTokens,
}

impl Stack {
    async fn prepare(options: &Options) -> Result<Self, ServeError> {
        // Bind the ports before the build, which takes minutes.
        let api = listen(options.port, "--port").await?;
        let endpoint = listen(options.dynamodb_port, "--dynamodb-port").await?;
        let port = address(&endpoint)?.port();
        let (bridge, host) = listen_for_containers(docker::bridge().await?, port).await?;

        let template = Template::read().context("cannot start")?;
        let database = dynamodb::open(None).context("cannot open a table in memory")?;
        let serve = |listener| {
            EmbeddedDynamoDb::start(database.clone(), listener, &template.table)
                .context("cannot start DynamoDB")
        };
        let dynamodb = serve(endpoint)?;
        let for_containers = bridge.map(serve).transpose()?;

        if !options.built {
            built::build().await?;
        }
        let tokens = Tokens::new();
        let variables = tokens.variables().into_iter().chain([
            ("TABLE_NAME", TABLE_NAME.to_owned()),
            ("AWS_ENDPOINT_URL_DYNAMODB", format!("http://{host}:{port}")),
        ]);
        let built = Built::with(variables)?;

        let now = clock::now();
        let sample = sample::fill(&dynamodb.sessions(), now.into(), || ())
            .await
            .context("cannot write the sample")?;
        let sample_tokens = SampleTokens::new(&tokens, &sample.admin, &sample.reader, now);
        let sample_tokens = sample_tokens.and_expired(&tokens, &sample.expired, now);
        Ok(Self {
            api: address(&api)?,
            reserved: Some(api),
            dynamodb,
            for_containers,
            built,
            sam_options: options.sam.clone(),
            sample_tokens,
        })
    }

    /// Runs `sam local start-api` until `stop` resolves, then stops it and the table.
    async fn serve(mut self, stop: Stop) -> Result<(), ServeError> {
        let mut sam = self.start_api()?;
        let served = tokio::select! {
            how = sam.ended() => {
                Err(ServeError::new(format!("sam local start-api ended: {how}")))
            }
            failed = self.introduce_when_ready() => Err(failed),
            () = stop => Ok(()),
        };
        sam.end().await;
        if let Some(for_containers) = self.for_containers {
            for_containers.stop().await;
        }
        self.dynamodb.stop().await;
        served
    }

    /// The options that every `sam local` command needs.
    fn arguments(&self) -> Vec<&str> {
        let mut arguments = self.built.arguments().to_vec();
        arguments.extend(self.sam_options.iter().map(String::as_str));
        arguments
    }

    fn start_api(&mut self) -> Result<ChildProcess, ServeError> {
        let (host, port) = (self.api.ip().to_string(), self.api.port().to_string());
        let mut arguments = vec!["local", "start-api", "--host", &host, "--port", &port];
        // One container per function, which stays up, like an execution environment on Lambda.
        arguments.extend(["--warm-containers", "LAZY"]);
        arguments.extend(self.arguments());
        let mut sam = command("sam", arguments);
        // The functions must not get the credentials of the user's own account.
        sam.env_remove("AWS_PROFILE")
            .envs(built::DUMMY_CREDENTIALS)
            .stdout(std::io::stderr());
        self.reserved = None;
        ChildProcess::start(sam).context("cannot start sam")
    }

    /// Prints the banner once the API listens. Returns only if that fails.
    async fn introduce_when_ready(&self) -> ServeError {
        while TcpStream::connect(self.api).await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
        match self.print_banner().context("cannot print") {
            Ok(()) => std::future::pending().await,
            Err(error) => error,
        }
    }

    fn print_banner(&self) -> std::io::Result<()> {
        let invoke = format!(
            "sam local invoke {} {} --event {DRY_RUN}",
            FunctionName::Cleanup.resource(),
            self.arguments().join(" "),
        );
        Banner {
            title: "Session Cleanup, the built functions in sam local. Press Ctrl-C to stop.",
            rows: vec![
                ("API", format!("http://{}", self.api)),
                (
                    "DynamoDB",
                    format!("http://{}, table {TABLE_NAME}", self.dynamodb.address()),
                ),
            ],
            sample_tokens: &self.sample_tokens,
            commands: vec![(
                "invoke the cleanup, in the project's folder (functions/cleanup/events has more events)",
                invoke,
            )],
        }
        .print(self.api)
    }
}

/// Listens where containers reach this machine. Returns the host name that containers use.
///
/// If Docker runs in a virtual machine, as Docker Desktop does, its bridge is not an address of
/// this machine. Containers then reach the loopback address as `host.docker.internal`.
async fn listen_for_containers(
    bridge: Ipv4Addr,
    port: u16,
) -> Result<(Option<TcpListener>, String), ServeError> {
    match TcpListener::bind((bridge, port)).await {
        Ok(listener) => Ok((Some(listener), bridge.to_string())),
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
            Ok((None, "host.docker.internal".to_owned()))
        }
        Err(error) => Err(error).context(format!("cannot listen on {bridge}:{port}")),
    }
}
