//! The events that the gateway sends: to the authorizer, and to the function of a route.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::ApiRequest;
use crate::template::Route;

const API: &str = "arn:aws:execute-api:us-east-1:000000000000:local/local";

/// A request, the route that it matches, and its ID.
pub(super) struct Call<'a> {
    pub(super) request: &'a ApiRequest,
    pub(super) route: &'a Route,
    /// The path parameters, as the client sent them.
    pub(super) path_parameters: BTreeMap<String, String>,
    pub(super) now: DateTime<Utc>,
    pub(super) id: Uuid,
}

impl Call<'_> {
    /// ARN of the method, which the authorizer's policy must allow.
    pub(super) fn method_arn(&self) -> String {
        format!("{API}/{}{}", self.request.method, self.request.uri.path())
    }

    /// The event of a `REQUEST` authorizer.
    pub(super) fn authorizer_event(&self) -> Value {
        let mut event = self.common(Map::new());
        event["type"] = "REQUEST".into();
        event["methodArn"] = self.method_arn().into();
        event
    }

    /// The event of a Lambda proxy integration.
    pub(super) fn proxy_event(&self, authorizer: Value) -> Value {
        let more = (!authorizer.is_null()).then(|| ("authorizer".to_owned(), authorizer));
        let mut event = self.common(Map::from_iter(more));
        event["body"] = self.request.body.clone().into();
        event["isBase64Encoded"] = false.into();
        event
    }

    /// The members that both events have.
    fn common(&self, more_context: Map<String, Value>) -> Value {
        let (method, resource) = (self.request.method.as_str(), &self.route.path);
        let path = self.request.uri.path();
        let (headers, multi_value_headers) = self.headers();
        let (query, multi_value_query) = self.query();
        let parameters = Some(&self.path_parameters).filter(|it| !it.is_empty());
        let text = |name: &str| headers.get(name).cloned().unwrap_or_default();
        let mut context = json!({
            "accountId": "000000000000",
            "apiId": "local",
            "domainName": text("host"),
            "httpMethod": method,
            "identity": { "sourceIp": "127.0.0.1", "userAgent": text("user-agent") },
            "path": format!("/local{path}"),
            "protocol": "HTTP/1.1",
            "requestId": self.id.to_string(),
            "requestTime": self.now.format("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "requestTimeEpoch": self.now.timestamp_millis(),
            "resourceId": "local",
            "resourcePath": resource,
            "stage": "local",
        });
        if let Some(context) = context.as_object_mut() {
            context.extend(more_context);
        }
        json!({
            "resource": resource,
            "path": path,
            "httpMethod": method,
            "headers": headers,
            "multiValueHeaders": multi_value_headers,
            "queryStringParameters": query,
            "multiValueQueryStringParameters": multi_value_query,
            "pathParameters": parameters,
            "stageVariables": null,
            "requestContext": context,
        })
    }

    /// The headers, once with the last value of each and once with all values.
    fn headers(&self) -> (BTreeMap<String, String>, BTreeMap<String, Vec<String>>) {
        // The gateway sets this header itself.
        let came_by = [("x-forwarded-proto".to_owned(), "http".to_owned())];
        let sent = self
            .request
            .headers
            .iter()
            .filter(|(name, _)| *name != "x-forwarded-proto");
        let pairs = sent.map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        });
        single_and_multi(pairs.chain(came_by).collect())
    }

    /// The query parameters. `None` if there are none.
    fn query(&self) -> (Value, Value) {
        let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&self.request.uri);
        let pairs = query.map(|query| query.0).unwrap_or_default();
        if pairs.is_empty() {
            return (Value::Null, Value::Null);
        }
        let (single, multi) = single_and_multi(pairs);
        (json!(single), json!(multi))
    }
}

fn single_and_multi(
    pairs: Vec<(String, String)>,
) -> (BTreeMap<String, String>, BTreeMap<String, Vec<String>>) {
    let (mut single, mut multi) = (BTreeMap::new(), BTreeMap::<_, Vec<_>>::new());
    for (name, value) in pairs {
        multi.entry(name.clone()).or_default().push(value.clone());
        single.insert(name, value);
    }
    (single, multi)
}
