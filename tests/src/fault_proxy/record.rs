//! The record of the requests that passed the proxy.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Request;

/// A request that passed the proxy, and the table's response.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The request as the client sent it.
    pub request: Request,
    /// Status and body of the table's response, if the request was forwarded. The client may have
    /// received another response, or none.
    pub answer: Option<(u16, Value)>,
    /// Whether a fault was injected.
    pub failed: bool,
}

/// Totals of one operation.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Number of requests.
    pub requests: usize,
    /// Capacity units that the table reported, which it does only for requests that ask for them.
    pub units: f64,
}

/// The requests so far.
#[derive(Default)]
pub(super) struct Record {
    /// Whether only totals are kept.
    only_counts: bool,
    pub(super) exchanges: Vec<Exchange>,
    pub(super) usage: BTreeMap<String, Usage>,
}

impl Record {
    pub(super) fn new(only_counts: bool) -> Self {
        Self {
            only_counts,
            ..Self::default()
        }
    }

    /// Adds a request; returns its position in the record.
    pub(super) fn add_request(&mut self, operation: &str, body: Value) -> (usize, Request) {
        let usage = self.usage.entry(operation.to_owned()).or_default();
        usage.requests += 1;
        let request = Request {
            operation: operation.to_owned(),
            number: usage.requests,
            body,
        };
        let index = self.exchanges.len();
        if !self.only_counts {
            self.exchanges.push(Exchange {
                request: request.clone(),
                answer: None,
                failed: false,
            });
        }
        (index, request)
    }

    /// Adds the table's response to the request at `place`.
    pub(super) fn add_answer(&mut self, index: usize, operation: &str, answer: &(u16, Value)) {
        let usage = self.usage.entry(operation.to_owned()).or_default();
        usage.units += units(&answer.1["ConsumedCapacity"]);
        if let Some(exchange) = self.exchanges.get_mut(index) {
            exchange.answer = Some(answer.clone());
        }
    }

    /// Notes whether a fault was injected into the request at `place`.
    pub(super) fn set_failed(&mut self, index: usize, failed: bool) {
        if let Some(exchange) = self.exchanges.get_mut(index) {
            exchange.failed = failed;
        }
    }
}

impl Exchange {
    /// Number of writes that the table executed.
    pub(super) fn writes(&self) -> usize {
        match (self.request.operation.as_str(), &self.answer) {
            ("BatchExecuteStatement", Some((200, answer))) => answer["Responses"]
                .as_array()
                .expect("a result for each statement")
                .iter()
                .filter(|answer| answer["Error"].is_null())
                .count(),
            ("PutItem" | "UpdateItem" | "DeleteItem", Some((200, _))) => 1,
            (
                "BatchGetItem" | "DescribeTable" | "DescribeTimeToLive" | "GetItem" | "Query"
                | "Scan",
                _,
            )
            | (_, Some((400.., _)) | None) => 0,
            (other, Some(_)) => panic!("add {other} here, as a read or as a write"),
        }
    }
}

/// The capacity units of a response about one table or about several.
fn units(capacity: &Value) -> f64 {
    match capacity.as_array() {
        Some(tables) => tables.iter().map(units).sum(),
        None => capacity["CapacityUnits"].as_f64().unwrap_or_default(),
    }
}
