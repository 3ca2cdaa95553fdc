//! The HTTP proxy: forwards requests to the table, and injects the faults that the rule returns.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::header::{CONTENT_LENGTH, HOST};
use axum::http::request::Parts;
use axum::http::{self, Response};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::answers::{error, json_response, response, statement_error};
use super::record::Record;
use super::rules::{Decide, Fault, StatementError};

/// Maximum size of a DynamoDB request or response: 16 MB.
const MAX_BODY: usize = 16 * 1024 * 1024;

pub(super) struct Proxy {
    store: SocketAddr,
    decide: Box<Decide>,
    /// Set when no more faults are injected.
    pub(super) over: AtomicBool,
    client: legacy::Client<HttpConnector, Body>,
    only_counts: bool,
    record: Mutex<Record>,
}

/// Serves connections until the task is aborted.
pub(super) async fn serve(listener: TcpListener, proxy: Arc<Proxy>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        connections.spawn(serve_connection(stream, Arc::clone(&proxy)));
    }
}

async fn serve_connection(stream: TcpStream, proxy: Arc<Proxy>) {
    let service = service_fn(move |request: http::Request<_>| {
        let proxy = Arc::clone(&proxy);
        async move {
            let (head, body) = request.into_parts();
            // If the service returns an error, hyper closes the connection.
            let answer = proxy.pass(head, Body::new(body)).await;
            answer.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted))
        }
    });
    // Ignore errors: closing the connection is one of the faults.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Proxy {
    pub(super) fn new(store: SocketAddr, decide: Box<Decide>, only_counts: bool) -> Self {
        Self {
            store,
            decide,
            over: AtomicBool::new(false),
            client: legacy::Client::builder(TokioExecutor::new()).build_http(),
            only_counts,
            record: Mutex::new(Record::new(only_counts)),
        }
    }

    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().expect("the lock is not poisoned")
    }

    /// The response to a request, or `None` to close the connection.
    async fn pass(self: Arc<Self>, head: Parts, body: Body) -> Option<Response<Body>> {
        let body = to_bytes(body, MAX_BODY).await.ok()?;
        let body = serde_json::from_slice(&body).expect("the SDK sends JSON");
        let (index, request) = self.record().add_request(operation(&head), body);
        let mut fault = if self.over.load(Ordering::SeqCst) {
            Fault::None
        } else {
            (self.decide)(&request)
        };
        let mut delay = Duration::ZERO;
        while let Fault::Delayed(by, then) = fault {
            (delay, fault) = (delay + by, *then);
        }
        let failed = !matches!(fault, Fault::None);
        self.record().set_failed(index, failed);
        // In a separate task, so that the table executes the request even if the client disconnects.
        let doing = tokio::spawn(self.act(index, head, request.body, fault));
        let answer = doing.await.expect("the task does not panic");
        tokio::time::sleep(delay).await;
        answer
    }

    /// Applies a fault to a request; the response, or `None` to close the connection.
    async fn act(
        self: Arc<Self>,
        index: usize,
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
                self.ask(index, &head, &body).await
            }
            Fault::None => self.ask(index, &head, &body).await,
            Fault::Error { status, code } => (status, error(code)),
            Fault::Answer {
                status,
                content_type,
                body,
            } => return Some(response(status, content_type, body.to_owned())),
            Fault::DroppedBefore => return None,
            Fault::DroppedAfter => {
                self.ask(index, &head, &body).await;
                return None;
            }
            Fault::Stale(answer) => (200, answer),
            Fault::Hang | Fault::Delayed(..) => std::future::pending().await,
            Fault::AfterCommit(then) => {
                let answer = self.ask(index, &head, &body).await;
                return self.respond_with_fault(answer, body, *then).await;
            }
            Fault::Unprocessed(of) => self.ask_in_part(index, &head, body, of).await,
            Fault::Statements(error) => self.execute_in_part(index, &head, body, &*error).await,
        };
        Some(json_response(status, &answer))
    }

    /// Forwards a request to the table, and records its response.
    async fn ask(&self, index: usize, head: &Parts, body: &Value) -> (u16, Value) {
        let mut request = http::Request::post(format!("http://{}/", self.store))
            .body(Body::from(body.to_string()))
            .expect("a valid request");
        *request.headers_mut() = head.headers.clone();
        for own in [HOST, CONTENT_LENGTH] {
            request.headers_mut().remove(own);
        }
        let answer = self.client.request(request).await;
        let (parts, body) = answer.expect("the table responds").into_parts();
        let body = to_bytes(Body::new(body), MAX_BODY).await;
        let body = serde_json::from_slice(&body.expect("the whole response"));
        let answer: (u16, Value) = (parts.status.as_u16(), body.expect("the table sends JSON"));
        self.record().add_answer(index, operation(head), &answer);
        answer
    }

    /// Returns a fault to the caller although the table has executed the request.
    async fn respond_with_fault(
        self: Arc<Self>,
        answer: (u16, Value),
        body: Value,
        fault: Fault,
    ) -> Option<Response<Body>> {
        let (status, mut answer) = answer;
        match fault {
            Fault::Error { status, code } => {
                return Some(json_response(status, &error(code)));
            }
            Fault::Answer {
                status,
                content_type,
                body,
            } => return Some(response(status, content_type, body.to_owned())),
            Fault::Stale(answer) => {
                return Some(json_response(status, &answer));
            }
            Fault::DroppedBefore | Fault::DroppedAfter => return None,
            Fault::Hang => std::future::pending().await,
            Fault::Statements(error) => {
                let answers = answer["Responses"]
                    .as_array_mut()
                    .expect("a list of results");
                for (position, answer) in answers.iter_mut().enumerate() {
                    let parameters = &body["Statements"][position]["Parameters"];
                    if let Some(code) = error(position, parameters) {
                        *answer = statement_error(code);
                    }
                }
            }
            Fault::None | Fault::Unprocessed(_) | Fault::AfterCommit(_) | Fault::Delayed(..) => {
                panic!("this fault cannot follow an executed request")
            }
        }
        Some(json_response(status, &answer))
    }

    /// Forwards a `BatchGetItem` without the keys that are to stay unprocessed.
    async fn ask_in_part(
        &self,
        index: usize,
        head: &Parts,
        mut body: Value,
        unprocessed: fn(&str) -> bool,
    ) -> (u16, Value) {
        let mut left = body["RequestItems"].clone();
        let tables = body["RequestItems"]
            .as_object_mut()
            .expect("a map of tables");
        for (table, asked) in &mut *tables {
            let keys = asked["Keys"].take();
            let (later, now): (Vec<_>, Vec<_>) = keys
                .as_array()
                .expect("a list of keys")
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
            self.ask(index, head, &body).await
        };
        if status == 200 {
            let left_tables = left.as_object_mut().expect("a map of tables");
            left_tables.retain(|_, asked| asked["Keys"] != json!([]));
            answer["UnprocessedKeys"] = left;
        }
        (status, answer)
    }

    /// Forwards a `BatchExecuteStatement` without the statements that are to fail.
    async fn execute_in_part(
        &self,
        index: usize,
        head: &Parts,
        mut body: Value,
        error: &StatementError,
    ) -> (u16, Value) {
        let statements = body["Statements"].take();
        let statements = statements.as_array().expect("a list of statements");
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
            self.ask(index, head, &body).await
        };
        if status == 200 {
            let answers = answer["Responses"].take();
            let mut answers = answers
                .as_array()
                .expect("a list of results")
                .iter()
                .cloned();
            let all = errors.iter().map(|error| match error {
                Some(code) => statement_error(code),
                None => answers.next().expect("a result for each statement"),
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
