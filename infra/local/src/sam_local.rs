//! `cargo sam-local`: the built functions in containers, behind SAM's own API, over the same
//! embedded DynamoDB as `cargo local` has.

pub mod built;
pub mod engine;
pub mod image;
pub mod programs;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use session_lifecycle::clock;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use self::built::Built;
use self::engine::Engine;
use self::image::Image;
use self::programs::{ChildProcess, command, require_program};
use crate::banner::{Banner, SampleTokens};
use crate::dynamodb::{self, EmbeddedDynamoDb, TABLE_NAME};
use crate::sample;
use crate::serve::{Context, ServeError, address, listen};
use crate::template::{FunctionName, Template};
use crate::tokens::Tokens;

/// The options.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Port of the API
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Port of the DynamoDB endpoint
    #[arg(long, default_value_t = 8000)]
    pub dynamodb_port: u16,
    /// Take the functions as an earlier run has built them
    #[arg(long)]
    pub built: bool,
}

/// The cleanup's event in the line for `sam local invoke`.
const DRY_RUN: &str = "functions/cleanup/events/dry-run.json";

/// Resolves when somebody asks this process to end.
type Stop = Shared<BoxFuture<'static, ()>>;

/// Serves until somebody asks the process to end, and then ends what it has started.
///
/// # Errors
///
/// A program that is missing, fails or ends; a port in use: a sentence.
pub async fn run(options: &Options) -> Result<(), ServeError> {
    let stop = programs::shutdown_signal()
        .context("listen for signals")?
        .boxed()
        .shared();
    require_program("sam", "pip install aws-sam-cli cargo-lambda").await?;
    require_program("docker", "apt-get install docker.io, or docker.com").await?;
    let Some(engine) = until(stop.clone(), Engine::find_or_start()).await? else {
        return Ok(());
    };
    let served = serve(options, &engine, stop).await;
    engine.end().await;
    served
}

/// Does the work, unless it is time to stop before it is done.
async fn until<T>(
    stop: Stop,
    work: impl Future<Output = Result<T, ServeError>>,
) -> Result<Option<T>, ServeError> {
    tokio::select! {
        done = work => done.map(Some),
        () = stop => Ok(None),
    }
}

async fn serve(options: &Options, engine: &Engine, stop: Stop) -> Result<(), ServeError> {
    let prepare = Box::pin(Stack::prepare(options, engine));
    let Some(mut stack) = until(stop.clone(), prepare).await? else {
        return Ok(());
    };
    let mut sam = stack.start_api()?;
    let served = tokio::select! {
        how = sam.ended() => Err(ServeError::new(format!("sam local start-api ended: {how}"))),
        failed = stack.introduce_when_ready() => Err(failed),
        () = stop => Ok(()),
    };
    sam.end().await;
    stack.stop().await;
    served
}

/// All that SAM's API needs, and the table.
struct Stack {
    api: SocketAddr,
    /// Keeps the API's port until SAM takes it.
    reserved: Option<TcpListener>,
    /// The table, where people reach it.
    dynamodb: EmbeddedDynamoDb,
    /// The same table, where containers reach it.
    for_containers: Option<EmbeddedDynamoDb>,
    built: Built,
    image: Image,
    sample_tokens: SampleTokens,
}

impl Stack {
    async fn prepare(options: &Options, engine: &Engine) -> Result<Self, ServeError> {
        // What may be in use is found before anything is built.
        let api = listen(options.port, "--port").await?;
        let endpoint = listen(options.dynamodb_port, "--dynamodb-port").await?;
        let port = address(&endpoint)?.port();
        let bridge = engine.bridge().await?;
        // Where the engine is in a virtual machine, the bridge is in there as well, and this name
        // leads from it to the loopback address.
        let (bridge, host) = match TcpListener::bind((bridge, port)).await {
            Ok(listener) => (Some(listener), bridge.to_string()),
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
                (None, "host.docker.internal".to_owned())
            }
            Err(error) => {
                return Err(ServeError::failed(
                    format!("listen on {bridge}:{port}"),
                    error,
                ));
            }
        };

        let template = Template::read().context("start")?;
        let database = dynamodb::open(None).context("open the table")?;
        let serve = |listener| {
            EmbeddedDynamoDb::start(database.clone(), listener, &template.table)
                .context("start DynamoDB")
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
        let image = Image::find(&built).await?;

        let now = clock::now();
        let sample = sample::fill(&dynamodb.sessions(), now.into(), || ())
            .await
            .context("fill the table")?;
        let sample_tokens = SampleTokens::new(&tokens, &sample.admin, &sample.reader, now);
        let sample_tokens = sample_tokens.and_expired(&tokens, &sample.expired, now);
        Ok(Self {
            api: address(&api)?,
            reserved: Some(api),
            dynamodb,
            for_containers,
            built,
            image,
            sample_tokens,
        })
    }

    /// What every `sam local` has to be told.
    fn arguments(&self) -> Vec<&str> {
        let mut arguments = self.built.arguments().to_vec();
        arguments.extend(self.image.arguments());
        arguments
    }

    fn start_api(&mut self) -> Result<ChildProcess, ServeError> {
        let (host, port) = (self.api.ip().to_string(), self.api.port().to_string());
        let mut arguments = vec!["local", "start-api", "--host", &host, "--port", &port];
        // One container for each function, which stays: as an instance on Lambda does.
        arguments.extend(["--warm-containers", "LAZY"]);
        arguments.extend(self.arguments());
        let mut sam = command("sam", arguments);
        // Whatever account somebody works with is none of the functions' business.
        sam.env_remove("AWS_PROFILE")
            .envs(built::DUMMY_CREDENTIALS)
            .stdout(std::io::stderr());
        self.reserved = None;
        ChildProcess::start(sam).context("start sam")
    }

    /// Introduces the stack once the API listens, and then waits; returns only what failed.
    async fn introduce_when_ready(&self) -> ServeError {
        while TcpStream::connect(self.api).await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
        match self.print_banner() {
            Ok(()) => std::future::pending().await,
            Err(error) => ServeError::failed("print", error),
        }
    }

    fn print_banner(&self) -> std::io::Result<()> {
        let invoke = format!(
            "sam local invoke {} {} --event {DRY_RUN}",
            FunctionName::Cleanup.resource(),
            self.arguments().join(" "),
        );
        Banner {
            title: "Session Cleanup, the built functions in sam local. Ctrl-C stops it.",
            rows: vec![
                ("API", format!("http://{}", self.api)),
                (
                    "DynamoDB",
                    format!("http://{}, table {TABLE_NAME}", self.dynamodb.address()),
                ),
                ("image", self.image.name().to_owned()),
            ],
            sample_tokens: &self.sample_tokens,
            commands: vec![(
                "the cleanup by hand, in the project's folder; other events lie beside this one",
                invoke,
            )],
        }
        .print(self.api)
    }

    async fn stop(self) {
        if let Some(for_containers) = self.for_containers {
            for_containers.stop().await;
        }
        self.dynamodb.stop().await;
    }
}
