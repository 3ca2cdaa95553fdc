//! A store that fails as stores do: a proxy in front of the embedded DynamoDB, which by itself
//! never fails, is never slow and never throttles.
//!
//! The proxy speaks HTTP, so what is tested is all of the way down: the SDK's retries and
//! timeouts, how its errors are read, and what the use case makes of them. It serves clients in
//! this process and release binaries alike (`AWS_ENDPOINT_URL_DYNAMODB`). A test gives a function
//! that looks at each request and says what becomes of it:
//!
//! ```no_run
//! # use session_cleanup_tests::World;
//! # use session_cleanup_tests::faults::{Fault, PATIENT};
//! # async fn example() {
//! // Every fourth read is throttled, and no answer to a first write arrives.
//! let (world, faults) = World::with_faults(PATIENT, [], |request| {
//!     match (request.operation.as_str(), request.number) {
//!         ("BatchGetItem", _) if request.is_among(25) => Fault::THROTTLED,
//!         ("BatchExecuteStatement", 1) => Fault::DroppedAfter,
//!         _ => Fault::None,
//!     }
//! })
//! .await;
//! # }
//! ```
//!
//! A fault may be drawn by lot, with [`Request::dice`] of a seed. [`Fault::though_done`] makes it one
//! of which the store knows nothing: what was asked is done, and the caller is told otherwise.
//!
//! The functions of that world go through the proxy; the test's own client goes straight. What
//! has passed is on record: [`Faults::requests`] of each operation, and how many
//! [`Faults::writes`] the store has made, whatever their writer was told. [`Faults::meter`] is for
//! what is only to be counted.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryPartition;
use axum::body::{Body, to_bytes};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use axum::http::request::Parts;
use axum::http::{self, Response};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use session_cleanup_local::dynamodb;
use session_lifecycle::aws::Patience;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::{Item, number, text};

/// The authorizer's patience, counted in attempts alone: no machine is too busy for it.
pub const PATIENT: Patience = Patience {
    attempt: Duration::from_mins(2),
    call: Duration::from_mins(5),
    attempts: Patience::LOGIN.attempts,
};

/// The cleanup's patience likewise: the run itself tries again.
pub const ONCE: Patience = Patience {
    attempts: Patience::RUN.attempts,
    ..PATIENT
};

/// The most that DynamoDB takes and gives is 16 MB.
const LARGEST_BODY: usize = 16 * 1024 * 1024;

/// DynamoDB takes no more in a batch.
const MOST_STATEMENTS: usize = 25;

/// What each error of ours says.
const MESSAGE: &str = "a fault of the test's";

const DYNAMODB_JSON: &str = "application/x-amz-json-1.0";

/// A request to the store.
#[derive(Debug, Clone)]
pub struct Request {
    /// As the API calls it: `BatchGetItem`.
    pub operation: String,
    /// Which one of this operation's it is, from 1.
    pub number: usize,
    /// Its body.
    pub body: Value,
}

impl Request {
    /// Whether it is one of the `percent` requests of this operation's hundred that a fault
    /// meets. They are spread, and the same ones in each run.
    #[must_use]
    pub const fn is_among(&self, percent: usize) -> bool {
        // 37 has no divisor in common with 100: each hundred numbers come out as each remainder.
        self.number * 37 % 100 < percent
    }

    /// Dice of this request's own: the same ones for the same seed, operation and number.
    #[must_use]
    pub fn dice(&self, seed: u64) -> StdRng {
        let mut hasher = DefaultHasher::new();
        (seed, &self.operation, self.number).hash(&mut hasher);
        StdRng::seed_from_u64(hasher.finish())
    }
}

/// What becomes of a request.
pub enum Fault {
    /// It passes, and so does its answer.
    None,
    /// The store does nothing, and answers with an error.
    Error {
        /// The HTTP status.
        status: u16,
        /// The service's own code.
        code: &'static str,
    },
    /// Something before the store answers in its own words; the store is not asked.
    Answer {
        /// The HTTP status.
        status: u16,
        /// The answer's type.
        content_type: &'static str,
        /// The answer.
        body: &'static str,
    },
    /// The answer is this one; the store is not asked. For an index that lags, see
    /// [`OlderIndex`].
    Stale(Value),
    /// The connection is closed before the store is asked.
    DroppedBefore,
    /// The store does what it is asked, and the connection is closed before it has answered.
    DroppedAfter,
    /// Nothing happens, as long as the caller waits.
    Silence,
    /// The store does what it is asked, all of it, and the caller meets this fault all the same.
    Done(Box<Fault>),
    /// The same as by this fault, but the answer is on its way for so long.
    Late(Duration, Box<Fault>),
    /// Of a `BatchGetItem`, the keys with such sort keys are not processed.
    Unprocessed(fn(&str) -> bool),
    /// Of a `BatchExecuteStatement`, the statements for which there is an error are not executed:
    /// those at a position, with such parameters.
    Statements(Box<StatementError>),
}

/// What becomes of a request.
type Decide = dyn Fn(&Request) -> Fault + Send + Sync;

/// The error of the statement at a position, with such parameters; none where it is executed.
pub type StatementError = dyn Fn(usize, &Value) -> Option<&'static str> + Send + Sync;

impl Fault {
    /// The caller may not do that.
    pub const DENIED: Self = Self::Error {
        status: 400,
        code: "AccessDeniedException",
    };
    /// Too many requests for a table on demand, or for one of its partitions.
    pub const THROTTLED: Self = Self::Error {
        status: 400,
        code: "ThrottlingException",
    };
    /// The service's own failure.
    pub const BROKEN: Self = Self::Error {
        status: 500,
        code: "InternalServerError",
    };

    /// An answer that is on its way for so long.
    #[must_use]
    pub fn late(by: Duration) -> Self {
        Self::Late(by, Box::new(Self::None))
    }

    /// What the caller is told is this fault, but the store has done what it was asked.
    #[must_use]
    pub fn though_done(self) -> Self {
        Self::Done(Box::new(self))
    }

    /// Of a hundred statements of a batch so many, at random, end with this error.
    #[must_use]
    pub fn of_statements(percent: u32, code: &'static str, mut dice: StdRng) -> Self {
        let met: Vec<_> = (0..MOST_STATEMENTS)
            .map(|_| dice.random_ratio(percent, 100))
            .collect();
        Self::Statements(Box::new(move |position, _| met[position].then_some(code)))
    }
}

/// The index `due` as it once was: what an index that lags still shows.
#[derive(Debug, Clone)]
pub struct OlderIndex(Vec<Item>);

impl OlderIndex {
    /// As these records stand on it now.
    #[must_use]
    pub fn of(records: &[Item]) -> Self {
        Self(records.to_vec())
    }

    /// What it answers to the body of a `Query` of what is due on a list, all on one page.
    #[must_use]
    pub fn answer(&self, query: &Value) -> Value {
        let values = &query["ExpressionAttributeValues"];
        let list = values[":list"]["S"].as_str().expect("a list");
        let due_by = values[":bound"]["N"].as_str().expect("a time");
        let due_by: i64 = due_by.parse().expect("whole seconds");
        let on_list = |item: &&Item| {
            item.get("due_key")
                .is_some_and(|it| it.as_s().is_ok_and(|it| it == list))
        };
        let entries: Vec<_> = self
            .0
            .iter()
            .filter(on_list)
            .filter(|item| item.contains_key("due_at") && number(item, "due_at") <= due_by)
            .map(|item| {
                let mut entry = json!({ "due_at": { "N": number(item, "due_at").to_string() } });
                for name in ["pk", "sk", "due_key"] {
                    entry[name] = json!({ "S": text(item, name) });
                }
                entry
            })
            .collect();
        json!({ "Count": entries.len(), "ScannedCount": entries.len(), "Items": entries })
    }
}

/// A request that came by, and what the store did.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The request, as its sender wrote it.
    pub request: Request,
    /// The store's status and answer, where it was asked and has answered. What became of that
    /// answer on its way is another matter.
    pub answer: Option<(u16, Value)>,
    /// Whether a fault met it.
    pub failed: bool,
}

/// What the requests of one operation amount to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// How many there were.
    pub requests: usize,
    /// The capacity units that the store has told, which it does where it is asked to.
    pub units: f64,
}

/// The proxy. It ends when this is dropped, with all of its connections.
pub struct Faults {
    address: SocketAddr,
    proxy: Arc<Proxy>,
    _server: JoinSet<()>,
}

struct Proxy {
    store: SocketAddr,
    decide: Box<Decide>,
    over: AtomicBool,
    client: legacy::Client<HttpConnector, Body>,
    only_counts: bool,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    exchanges: Vec<Exchange>,
    usage: BTreeMap<String, Usage>,
}

impl Faults {
    /// Starts a proxy before the store at `store`, on a free port.
    pub async fn before(
        store: SocketAddr,
        decide: impl Fn(&Request) -> Fault + Send + Sync + 'static,
    ) -> Self {
        Self::start(store, Box::new(decide), false).await
    }

    /// Starts one without faults, which counts requests and capacity, and keeps no record: a
    /// million may come by. The store tells it the capacity of each request, asked by the caller
    /// or not.
    pub async fn meter(store: SocketAddr) -> Self {
        Self::start(store, Box::new(|_| Fault::None), true).await
    }

    async fn start(store: SocketAddr, decide: Box<Decide>, only_counts: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("its address");
        let proxy = Arc::new(Proxy {
            store,
            decide,
            over: AtomicBool::new(false),
            client: legacy::Client::builder(TokioExecutor::new()).build_http(),
            only_counts,
            record: Mutex::default(),
        });
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::clone(&proxy)));
        Self {
            address,
            proxy,
            _server: server,
        }
    }

    /// The proxy's endpoint, for `AWS_ENDPOINT_URL_DYNAMODB`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client that goes through the proxy, and waits as long as this.
    #[must_use]
    pub fn client(&self, patience: Patience) -> Client {
        let config = dynamodb::client(self.address)
            .config()
            .to_builder()
            .timeout_config(patience.timeouts())
            .retry_config(patience.retries())
            // The SDK has one allowance of retries for a process, and a test binary is one.
            .retry_partition(RetryPartition::new(self.url()))
            .build();
        Client::from_conf(config)
    }

    /// From now on every request passes.
    pub fn end(&self) {
        self.proxy.over.store(true, Ordering::SeqCst);
    }

    /// Every request so far.
    #[must_use]
    pub fn record(&self) -> Vec<Exchange> {
        self.proxy.record().exchanges.clone()
    }

    /// What the requests of each operation amount to.
    #[must_use]
    pub fn usage(&self) -> BTreeMap<String, Usage> {
        self.proxy.record().usage.clone()
    }

    /// How many requests of each operation there were.
    #[must_use]
    pub fn requests(&self) -> BTreeMap<String, usize> {
        let usage = self.usage().into_iter();
        usage.map(|(name, usage)| (name, usage.requests)).collect()
    }

    /// How many writes the store has made: statements without an error, and items put, updated
    /// or deleted.
    #[must_use]
    pub fn writes(&self) -> usize {
        let record = self.proxy.record();
        record.exchanges.iter().map(Exchange::writes).sum()
    }
}

impl Exchange {
    fn writes(&self) -> usize {
        match (self.request.operation.as_str(), &self.answer) {
            ("BatchExecuteStatement", Some((200, answer))) => answer["Responses"]
                .as_array()
                .expect("an answer for each statement")
                .iter()
                .filter(|answer| answer["Error"].is_null())
                .count(),
            ("PutItem" | "UpdateItem" | "DeleteItem", Some((200, _))) => 1,
            ("BatchGetItem" | "DescribeTable" | "GetItem" | "Query" | "Scan", _)
            | (_, Some((400.., _)) | None) => 0,
            (other, Some(_)) => panic!("whether {other} writes has to be said here"),
        }
    }
}

async fn serve(listener: TcpListener, proxy: Arc<Proxy>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        connections.spawn(converse(stream, Arc::clone(&proxy)));
    }
}

async fn converse(stream: TcpStream, proxy: Arc<Proxy>) {
    let service = service_fn(move |request: http::Request<_>| {
        let proxy = Arc::clone(&proxy);
        async move {
            let (head, body) = request.into_parts();
            // Without an answer, hyper closes the connection.
            let answer = proxy.pass(head, Body::new(body)).await;
            answer.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted))
        }
    });
    // Either side may have closed it: that is what this is for.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Proxy {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().expect("nobody panics with it")
    }

    /// The answer to a request; none where the connection is to be closed.
    async fn pass(self: Arc<Self>, head: Parts, body: Body) -> Option<Response<Body>> {
        let body = to_bytes(body, LARGEST_BODY).await.ok()?;
        let body = serde_json::from_slice(&body).expect("the SDK sends JSON");
        let (place, request) = self.note(&head, body);
        let mut fault = if self.over.load(Ordering::SeqCst) {
            Fault::None
        } else {
            (self.decide)(&request)
        };
        let mut delay = Duration::ZERO;
        while let Fault::Late(by, then) = fault {
            (delay, fault) = (delay + by, *then);
        }
        if let Some(exchange) = self.record().exchanges.get_mut(place) {
            exchange.failed = !matches!(fault, Fault::None);
        }
        // In a task of its own: what has begun is done, also if nobody waits for it any more.
        let doing = tokio::spawn(self.act(place, head, request.body, fault));
        let answer = doing.await.expect("the store can be asked");
        tokio::time::sleep(delay).await;
        answer
    }

    /// Puts a request on record; its place there.
    fn note(&self, head: &Parts, body: Value) -> (usize, Request) {
        let operation = operation(head);
        let mut record = self.record();
        let usage = record.usage.entry(operation.to_owned()).or_default();
        usage.requests += 1;
        let request = Request {
            operation: operation.to_owned(),
            number: usage.requests,
            body,
        };
        let place = record.exchanges.len();
        if !self.only_counts {
            record.exchanges.push(Exchange {
                request: request.clone(),
                answer: None,
                failed: false,
            });
        }
        (place, request)
    }

    async fn act(
        self: Arc<Self>,
        place: usize,
        head: Parts,
        body: Value,
        fault: Fault,
    ) -> Option<Response<Body>> {
        let (status, answer) = match fault {
            Fault::None if self.only_counts => {
                let mut body = body;
                if body["ReturnConsumedCapacity"].is_null() {
                    body["ReturnConsumedCapacity"] = json!("TOTAL");
                }
                self.ask(place, &head, &body).await
            }
            Fault::None => self.ask(place, &head, &body).await,
            Fault::Error { status, code } => (status, error(code)),
            Fault::Answer {
                status,
                content_type,
                body,
            } => return Some(response(status, content_type, body.to_owned())),
            Fault::DroppedBefore => return None,
            Fault::DroppedAfter => {
                self.ask(place, &head, &body).await;
                return None;
            }
            Fault::Stale(answer) => (200, answer),
            Fault::Silence | Fault::Late(..) => std::future::pending().await,
            Fault::Done(then) => {
                let answer = self.ask(place, &head, &body).await;
                return self.mislead(answer, body, *then).await;
            }
            Fault::Unprocessed(of) => self.ask_in_part(place, &head, body, of).await,
            Fault::Statements(error) => self.execute_in_part(place, &head, body, &*error).await,
        };
        Some(response(status, DYNAMODB_JSON, answer.to_string()))
    }

    /// Asks the store, and puts its answer on record.
    async fn ask(&self, place: usize, head: &Parts, body: &Value) -> (u16, Value) {
        let mut request = http::Request::post(format!("http://{}/", self.store))
            .body(Body::from(body.to_string()))
            .expect("a request");
        *request.headers_mut() = head.headers.clone();
        for own in [HOST, CONTENT_LENGTH] {
            request.headers_mut().remove(own);
        }
        let answer = self.client.request(request).await;
        let (parts, body) = answer.expect("the store answers").into_parts();
        let body = to_bytes(Body::new(body), LARGEST_BODY).await;
        let body = serde_json::from_slice(&body.expect("the whole answer"));
        let answer: (u16, Value) = (parts.status.as_u16(), body.expect("the store sends JSON"));
        let mut record = self.record();
        let usage = record.usage.entry(operation(head).to_owned()).or_default();
        usage.units += units(&answer.1["ConsumedCapacity"]);
        if let Some(exchange) = record.exchanges.get_mut(place) {
            exchange.answer = Some(answer.clone());
        }
        drop(record);
        answer
    }

    /// What the caller is told instead of the answer that the store gave.
    async fn mislead(
        self: Arc<Self>,
        answer: (u16, Value),
        body: Value,
        fault: Fault,
    ) -> Option<Response<Body>> {
        let (status, mut answer) = answer;
        match fault {
            Fault::Error { status, code } => {
                let answer = error(code);
                return Some(response(status, DYNAMODB_JSON, answer.to_string()));
            }
            Fault::Answer {
                status,
                content_type,
                body,
            } => return Some(response(status, content_type, body.to_owned())),
            Fault::Stale(answer) => {
                return Some(response(status, DYNAMODB_JSON, answer.to_string()));
            }
            Fault::DroppedBefore | Fault::DroppedAfter => return None,
            Fault::Silence => std::future::pending().await,
            Fault::Statements(error) => {
                let answers = answer["Responses"].as_array_mut().expect("answers");
                for (position, answer) in answers.iter_mut().enumerate() {
                    let parameters = &body["Statements"][position]["Parameters"];
                    if let Some(code) = error(position, parameters) {
                        *answer = statement_error(code);
                    }
                }
            }
            Fault::None | Fault::Unprocessed(_) | Fault::Done(_) | Fault::Late(..) => {
                panic!("nothing of this can be told of what is done")
            }
        }
        Some(response(status, DYNAMODB_JSON, answer.to_string()))
    }

    /// Asks for the keys that are to be processed.
    async fn ask_in_part(
        &self,
        place: usize,
        head: &Parts,
        mut body: Value,
        unprocessed: fn(&str) -> bool,
    ) -> (u16, Value) {
        let mut left = body["RequestItems"].clone();
        let tables = body["RequestItems"].as_object_mut().expect("tables");
        for (table, asked) in &mut *tables {
            let keys = asked["Keys"].take();
            let (later, now): (Vec<_>, Vec<_>) = keys
                .as_array()
                .expect("keys")
                .iter()
                .cloned()
                .partition(|key| unprocessed(key["sk"]["S"].as_str().expect("a sort key")));
            left[table]["Keys"] = later.into();
            asked["Keys"] = now.into();
        }
        tables.retain(|_, asked| asked["Keys"] != json!([]));
        let (status, mut answer) = if tables.is_empty() {
            (200, json!({ "Responses": {} }))
        } else {
            self.ask(place, head, &body).await
        };
        if status == 200 {
            let left_tables = left.as_object_mut().expect("tables");
            left_tables.retain(|_, asked| asked["Keys"] != json!([]));
            answer["UnprocessedKeys"] = left;
        }
        (status, answer)
    }

    /// Has the statements executed for which there is no error.
    async fn execute_in_part(
        &self,
        place: usize,
        head: &Parts,
        mut body: Value,
        error: &StatementError,
    ) -> (u16, Value) {
        let statements = body["Statements"].take();
        let statements = statements.as_array().expect("statements");
        let errors: Vec<_> = statements
            .iter()
            .enumerate()
            .map(|(position, statement)| error(position, &statement["Parameters"]))
            .collect();
        let executed = statements.iter().zip(&errors);
        let executed: Vec<_> = executed
            .filter(|it| it.1.is_none())
            .map(|it| it.0)
            .collect();
        body["Statements"] = json!(executed);
        let (status, mut answer) = if executed.is_empty() {
            (200, json!({ "Responses": [] }))
        } else {
            self.ask(place, head, &body).await
        };
        if status == 200 {
            let answers = answer["Responses"].take();
            let mut answers = answers.as_array().expect("answers").iter().cloned();
            let all = errors.iter().map(|error| match error {
                Some(code) => statement_error(code),
                None => answers.next().expect("an answer for each statement"),
            });
            answer["Responses"] = all.collect();
        }
        (status, answer)
    }
}

/// The operation that a request names.
fn operation(head: &Parts) -> &str {
    let target = head.headers.get("x-amz-target").expect("the operation");
    let target = target.to_str().expect("text");
    let (_, operation) = target.split_once('.').expect("DynamoDB_20120810.<name>");
    operation
}

/// The units of an answer about one table, or about several.
fn units(capacity: &Value) -> f64 {
    match capacity.as_array() {
        Some(tables) => tables.iter().map(units).sum(),
        None => capacity["CapacityUnits"].as_f64().unwrap_or_default(),
    }
}

fn error(code: &str) -> Value {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{code}");
    json!({ "__type": kind, "message": MESSAGE })
}

fn statement_error(code: &str) -> Value {
    json!({ "Error": { "Code": code, "Message": MESSAGE } })
}

fn response(status: u16, content_type: &str, body: String) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, content_type)
        .body(Body::from(body))
        .expect("a response")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NOW, World, active_session, counts, only};

    #[test]
    fn the_dice_of_a_request_are_its_own_and_the_same_each_time() {
        let roll = |seed, number| {
            let request = Request {
                operation: "Query".to_owned(),
                number,
                body: Value::Null,
            };
            request.dice(seed).random::<u64>()
        };
        assert_eq!(roll(1, 1), roll(1, 1));
        assert_ne!(roll(1, 1), roll(2, 1));
        assert_ne!(roll(1, 1), roll(1, 2));
    }

    #[test]
    fn of_each_hundred_requests_as_many_are_met_as_the_percentage_says() {
        for (percent, first) in [(0, 1), (1, 1), (30, 71), (99, 4), (100, 901)] {
            let met = (first..first + 100).filter(|&number| {
                let request = Request {
                    operation: "Query".to_owned(),
                    number,
                    body: Value::Null,
                };
                request.is_among(percent)
            });
            assert_eq!(met.count(), percent);
        }
    }

    #[tokio::test]
    async fn of_a_batch_all_statements_are_executed_but_those_that_are_to_fail() {
        let decide = |request: &Request| match (request.operation.as_str(), request.number) {
            ("BatchExecuteStatement", 1) => Fault::Statements(Box::new(|position, parameters| {
                let cleo = json!({ "S": "USER#cleo" });
                let cleos = parameters.as_array().expect("a list").contains(&cleo);
                (position == 0 || cleos).then_some("ThrottlingError")
            })),
            _ => Fault::None,
        };
        let (world, faults) = World::with_faults(PATIENT, [], decide).await;
        for (user, due) in [("ann", 4), ("ben", 3), ("cleo", 2), ("dana", 1)] {
            world.put(active_session(user, "s", NOW - due)).await;
        }
        let report = world.clean_up(json!({}), NOW).await;
        assert_eq!(counts(&report), only([("sessions_deactivated", 4)]));
        let batches: Vec<_> = faults
            .record()
            .into_iter()
            .filter(|it| it.request.operation == "BatchExecuteStatement")
            .map(|it| {
                (
                    it.request.body["Statements"].as_array().unwrap().len(),
                    it.writes(),
                )
            })
            .collect();
        // What the store was asked first was half of what the run had sent.
        assert_eq!(batches[0], (4, 2));
        // The report is one more.
        assert_eq!(faults.writes(), 5);
    }
}
