//! Release binaries in AWS's Runtime Interface Emulator, which runs them as Lambda does. Uses real
//! time.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use std::{env, fs, thread};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use session_cleanup_local::template::FunctionName;
use session_functions::environment::Environment;
use tempfile::NamedTempFile;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::World;
use crate::log::{forbid_headers, forbid_in_log, leaks};
use crate::metrics::{self, Sample};
use crate::process::Process;

/// The variables whose values must not appear in the output.
const SECRETS: [&str; 2] = ["JWT_SECRET", "AWS_SECRET_ACCESS_KEY"];

/// An emulator that runs one function.
pub struct Emulator {
    process: Child,
    address: SocketAddr,
    client: Client<HttpConnector, Body>,
    /// Output of the function, and the emulator's START, END and REPORT lines. In a file, because
    /// then all that the function wrote before its answer can be read after the answer.
    output: NamedTempFile,
    /// Messages of the emulator itself.
    notes: NamedTempFile,
}

impl Emulator {
    /// Starts the release binary of a function with the world's table. `variables` add to those
    /// that it has on Lambda, or replace them. The first invocation starts its init.
    pub async fn start<'a>(
        world: &World,
        function: FunctionName,
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let binary = binary(function.as_str());
        let mut all: BTreeMap<_, String> = on_lambda(world).into();
        all.insert("AWS_LAMBDA_FUNCTION_NAME", function.as_str().to_owned());
        if function == FunctionName::Authorizer {
            all.extend(world.tokens.variables());
        }
        let variables = variables.into_iter();
        all.extend(variables.map(|(name, value)| (name, value.to_owned())));
        Self::run(&binary, all).await
    }

    /// Starts any binary with the world's table. `variables` add to those that every function has,
    /// or replace them.
    pub async fn start_binary(
        world: &World,
        binary: &Path,
        variables: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Self {
        let all = on_lambda(world).into_iter().chain(variables).collect();
        Self::run(binary, all).await
    }

    async fn run(binary: &Path, variables: BTreeMap<&str, String>) -> Self {
        for (_, secret) in variables.iter().filter(|it| SECRETS.contains(it.0)) {
            forbid_in_log(secret);
        }
        let output = NamedTempFile::new().expect("a file");
        let notes = NamedTempFile::new().expect("a file");
        let to = |file: &NamedTempFile| Stdio::from(file.reopen().expect("the file"));
        let [address, runtime_api] = free_addresses();
        let process = Command::new(program())
            .arg("--runtime-interface-emulator-address")
            .arg(address.to_string())
            .arg("--runtime-api-address")
            .arg(runtime_api.to_string())
            .arg(binary)
            .env_clear()
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(to(&output))
            .stderr(to(&notes))
            // The function is a child of the emulator and ends with it.
            .kill_on_drop(true)
            .spawn()
            .expect("the emulator can be started");
        let mut emulator = Self {
            process,
            address,
            client: Client::builder(TokioExecutor::new()).build_http(),
            output,
            notes,
        };
        for address in [address, runtime_api] {
            timeout(Duration::from_mins(1), emulator.listens_on(address))
                .await
                .expect("the emulator is ready within a minute");
        }
        emulator
    }

    async fn listens_on(&mut self, address: SocketAddr) {
        while TcpStream::connect(address).await.is_err() {
            let ended = self.process.try_wait().expect("a child process");
            assert_eq!(ended, None, "the emulator ended: {}", contents(&self.notes));
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Invokes the function. Returns its answer.
    ///
    /// # Errors
    ///
    /// The function's error message, or that it ended without an answer.
    pub async fn invoke(&self, event: &Value) -> Result<Value, String> {
        forbid_headers(event);
        let address = self.address;
        let path = "2015-03-31/functions/function/invocations";
        let request = Request::post(format!("http://{address}/{path}"))
            .body(Body::from(event.to_string()))
            .expect("a request");
        // If a function ends before the emulator has seen its start, the emulator ends, too.
        let Ok(response) = self.client.request(request).await else {
            return Err("the function ended, and the emulator with it".to_owned());
        };
        let (head, body) = response.into_parts();
        if head.status == StatusCode::BAD_GATEWAY {
            return Err("the function ended".to_owned());
        }
        let body = body.collect().await.expect("the whole answer").to_bytes();
        let answer: Value = serde_json::from_slice(&body)
            .unwrap_or_else(|_| panic!("{}: {}", head.status, String::from_utf8_lossy(&body)));
        match answer["errorMessage"].as_str() {
            Some(message) => Err(message.to_owned()),
            None => Ok(answer),
        }
    }

    /// Process ID of the emulator, the parent of the function.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process
            .id()
            .expect("the emulator has not been waited for")
    }

    /// Process of the function. There is none before the first invocation.
    #[must_use]
    pub fn function(&self) -> Option<Process> {
        Process::child_of(self.process.id()?)
    }

    /// Stops emulator and function, and waits until both have ended.
    pub async fn stop(mut self) {
        let function = self.function();
        self.process.kill().await.expect("a child process");
        while function.as_ref().is_some_and(Process::is_there) {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// All output of the function, and the emulator's START, END and REPORT lines.
    #[must_use]
    pub fn output(&self) -> String {
        contents(&self.output)
    }

    /// The log lines of the function, without metrics.
    #[must_use]
    pub fn log(&self) -> Vec<Value> {
        let lines = self.lines().into_iter();
        lines.filter(|line| !metrics::is_document(line)).collect()
    }

    /// The metrics that the function has written.
    #[must_use]
    pub fn metrics(&self) -> Vec<Sample> {
        let lines = self.lines().into_iter();
        lines
            .filter(metrics::is_document)
            .flat_map(|document| metrics::samples(&document))
            .collect()
    }

    fn lines(&self) -> Vec<Value> {
        const NOTES: [&str; 3] = ["START RequestId:", "END RequestId:", "REPORT RequestId:"];
        self.output()
            .lines()
            .filter(|line| !line.is_empty() && !NOTES.iter().any(|note| line.starts_with(note)))
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
            .collect()
    }

    /// The request IDs of the invocations.
    #[must_use]
    pub fn request_ids(&self) -> Vec<String> {
        self.output()
            .lines()
            .filter_map(|line| line.strip_prefix("START RequestId: ")?.split(' ').next())
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        #[expect(clippy::print_stderr, reason = "shows why a test failed")]
        if thread::panicking() {
            eprintln!("{}\n{}", contents(&self.notes), self.output());
            return;
        }
        let leaks = leaks(&self.output()).join("\n");
        assert!(
            leaks.is_empty(),
            "the function's output has secrets:\n{leaks}"
        );
    }
}

fn contents(file: &NamedTempFile) -> String {
    fs::read_to_string(file).expect("the file is text")
}

/// The variables that every function has on Lambda.
fn on_lambda(world: &World) -> [(&'static str, String); 7] {
    [
        ("AWS_LAMBDA_FUNCTION_NAME", "function".to_owned()),
        ("AWS_LAMBDA_FUNCTION_TIMEOUT", "120".to_owned()),
        (
            "AWS_ENDPOINT_URL_DYNAMODB",
            format!("http://{}", world.dynamodb.address()),
        ),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "dummy".to_owned()),
        (
            "AWS_SECRET_ACCESS_KEY",
            "a dummy that nothing checks".to_owned(),
        ),
        ("TABLE_NAME", world.table_name().to_owned()),
    ]
}

/// Path of the emulator.
fn program() -> PathBuf {
    let variables = Environment::from_process();
    let program = variables.get("LAMBDA_RIE").map(PathBuf::from);
    program.filter(|it| it.is_file()).expect(
        "LAMBDA_RIE must be the path of aws-lambda-rie-x86_64, which the package aws-sam-cli \
         brings; CONTRIBUTING.md says how",
    )
}

/// Path of a release binary: in the folder `SAM_BUILD`, the output of `sam build`, or else in
/// cargo's target folder.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let test = env::current_exe().expect("the test's own path");
    let target = test
        .ancestors()
        .nth(3)
        .expect("target/<profile>/deps/<test>");
    let function = FunctionName::ALL.into_iter().find(|it| it.as_str() == name);
    let (binary, makes_it) = match (Environment::from_process().get("SAM_BUILD"), function) {
        (None, _) => (
            target.join("release").join(name),
            format!("cargo build --release -p {name}"),
        ),
        (Some(folder), Some(function)) => (
            Path::new(folder)
                .join(function.resource())
                .join("bootstrap"),
            "sam build".to_owned(),
        ),
        // `cargo lambda`, which SAM uses, builds the binaries that are not deployed.
        (Some(_), None) => (
            target.join("lambda").join(name).join("bootstrap"),
            format!("cargo lambda build --release -p {name}"),
        ),
    };
    assert!(
        binary.is_file(),
        "{} does not exist: build it with {makes_it}",
        binary.display(),
    );
    binary
}

/// Two free addresses. They use a random loopback address: ports of 127.0.0.1 are in demand, and
/// another process might take them before the emulator listens.
fn free_addresses() -> [SocketAddr; 2] {
    let [a, b] = rand::random();
    let host = Ipv4Addr::new(127, 1, a, b);
    let listen = |()| TcpListener::bind((host, 0)).expect("a free port");
    let listeners = [(); 2].map(listen);
    listeners.map(|it| it.local_addr().expect("a bound address"))
}
