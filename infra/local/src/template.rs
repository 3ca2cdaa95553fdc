//! The parts of `template.yaml` that the local stack needs.

use std::collections::BTreeMap;
use std::time::Duration;

use humantime::parse_duration;
use serde::Deserialize;
use serde_json::Value;

use crate::error::BoxError;

/// The template. It is part of the program, which therefore works in any folder.
const TEMPLATE: &str = include_str!("../../../template.yaml");

/// Error of reading the template.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The template is not YAML, or has an unexpected structure.
    #[error("cannot read template.yaml")]
    Unreadable(#[source] BoxError),
    /// The template lacks a part of the stack.
    #[error("template.yaml has no {0}")]
    Missing(&'static str),
}

/// One of the functions, by the name of its binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FunctionName {
    /// The authorizer.
    Authorizer,
    /// The cleanup, by schedule and manually.
    Cleanup,
    /// Statistics and reports.
    Stats,
    /// The cleanup over HTTP.
    ForceCleanup,
    /// The sessions of users.
    Sessions,
}

impl FunctionName {
    /// All functions.
    pub const ALL: [Self; 5] = [
        Self::Authorizer,
        Self::Cleanup,
        Self::Stats,
        Self::ForceCleanup,
        Self::Sessions,
    ];

    /// Name of the binary.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorizer => "authorizer",
            Self::Cleanup => "cleanup",
            Self::Stats => "stats",
            Self::ForceCleanup => "force-cleanup",
            Self::Sessions => "sessions",
        }
    }

    /// Name of the resource in the template.
    #[must_use]
    pub const fn resource(self) -> &'static str {
        match self {
            Self::Authorizer => "AuthorizerFunction",
            Self::Cleanup => "CleanupFunction",
            Self::Stats => "StatsFunction",
            Self::ForceCleanup => "ForceCleanupFunction",
            Self::Sessions => "SessionsFunction",
        }
    }
}

/// A route of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// HTTP method in upper case.
    pub method: String,
    /// Path, with path parameters as `{name}`.
    pub path: String,
    /// Function that handles the request.
    pub function: FunctionName,
    /// Whether the authorizer is invoked first.
    pub authorized: bool,
}

/// A gateway response of the template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayResponse {
    /// Status, if it differs from the default.
    pub status: Option<u16>,
    /// Body, with `$context` variables.
    pub body: Option<String>,
    /// Headers, except those whose value depends on a parameter of the template.
    pub headers: BTreeMap<String, String>,
}

/// The parsed template.
#[derive(Debug, Clone)]
pub struct Template {
    /// Properties of the table, with the names of `CreateTable`.
    pub table: Value,
    /// Routes.
    pub routes: Vec<Route>,
    /// Gateway responses by response type.
    pub gateway_responses: BTreeMap<String, GatewayResponse>,
    /// Interval of the scheduled cleanup.
    pub schedule: Duration,
    /// Timeout of each function.
    pub timeouts: BTreeMap<FunctionName, Duration>,
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "Parameters")]
    parameters: BTreeMap<String, Parameter>,
    #[serde(rename = "Resources")]
    resources: BTreeMap<String, Resource>,
}

#[derive(Deserialize)]
struct Parameter {
    #[serde(rename = "Default", default)]
    default: Value,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "Properties", default)]
    properties: Value,
    #[serde(rename = "Metadata", default)]
    metadata: Value,
}

impl Template {
    /// Reads the template.
    ///
    /// # Errors
    ///
    /// The template has no table, no schedule or no routes.
    pub fn read() -> Result<Self, TemplateError> {
        Self::parse(TEMPLATE)
    }

    fn parse(template: &str) -> Result<Self, TemplateError> {
        let document: Document = serde_saphyr::from_str(template)
            .map_err(|error| TemplateError::Unreadable(error.into()))?;
        let mut read = Self {
            table: Value::Null,
            routes: Vec::new(),
            gateway_responses: BTreeMap::new(),
            schedule: Duration::ZERO,
            timeouts: BTreeMap::new(),
        };
        for resource in document.resources.into_values() {
            match resource.kind.as_str() {
                "AWS::DynamoDB::Table" => read.table = resource.properties,
                "AWS::Serverless::Api" => read.api(&resource.properties),
                "AWS::Serverless::Function" => read.function(&resource, &document.parameters)?,
                _ => {}
            }
        }
        if read.table.is_null() {
            return Err(TemplateError::Missing("table"));
        }
        if read.schedule.is_zero() {
            return Err(TemplateError::Missing("schedule in minutes, hours or days"));
        }
        if read.routes.is_empty() {
            return Err(TemplateError::Missing("routes"));
        }
        Ok(read)
    }

    fn api(&mut self, properties: &Value) {
        let responses = properties["GatewayResponses"]
            .as_object()
            .into_iter()
            .flatten();
        for (kind, response) in responses {
            let status = &response["StatusCode"];
            // The status may be a number or a string.
            let status = status
                .as_str()
                .map_or_else(|| status.as_u64(), |it| it.parse().ok());
            let body = response["ResponseTemplates"]["application/json"].as_str();
            let response = GatewayResponse {
                status: status.and_then(|status| status.try_into().ok()),
                body: body.map(|body| body.trim().to_owned()),
                headers: fixed_headers(&response["ResponseParameters"]["Headers"]),
            };
            self.gateway_responses.insert(kind.clone(), response);
        }
    }

    fn function(
        &mut self,
        resource: &Resource,
        parameters: &BTreeMap<String, Parameter>,
    ) -> Result<(), TemplateError> {
        let binary = &resource.metadata["BuildProperties"]["Binary"];
        let function = FunctionName::deserialize(binary)
            .map_err(|error| TemplateError::Unreadable(error.into()))?;
        if let Some(seconds) = resource.properties["Timeout"].as_u64() {
            self.timeouts.insert(function, Duration::from_secs(seconds));
        }
        let events = resource.properties["Events"]
            .as_object()
            .into_iter()
            .flatten();
        for (_, event) in events {
            let properties = &event["Properties"];
            match event["Type"].as_str() {
                Some("Api") => self.routes.push(Route {
                    method: properties["Method"]
                        .as_str()
                        .unwrap_or_default()
                        .to_uppercase(),
                    path: properties["Path"].as_str().unwrap_or_default().to_owned(),
                    function,
                    authorized: properties["Auth"]["Authorizer"] != "NONE",
                }),
                Some("Schedule") if function == FunctionName::Cleanup => {
                    // The name in `!Ref`. The parser drops the tag.
                    let parameter = properties["Schedule"].as_str().unwrap_or_default();
                    let default = parameters.get(parameter).map(|it| &it.default);
                    self.schedule = default
                        .and_then(Value::as_str)
                        .and_then(rate)
                        .unwrap_or_default();
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The headers with a static value, which API Gateway writes in single quotes.
fn fixed_headers(headers: &Value) -> BTreeMap<String, String> {
    let fixed = |(name, value): (&String, &Value)| {
        let value = value.as_str()?.strip_prefix('\'')?.strip_suffix('\'')?;
        // A value of `!Sub`. The parser drops the tag.
        (!value.contains("${")).then(|| (name.clone(), value.to_owned()))
    };
    headers
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(fixed)
        .collect()
}

/// Parses an EventBridge rate, such as `rate(1 hour)`.
fn rate(expression: &str) -> Option<Duration> {
    let rate = expression.strip_prefix("rate(")?.strip_suffix(')')?;
    // EventBridge has no unit below a minute.
    let rate = parse_duration(rate).ok();
    rate.filter(|it| *it >= Duration::from_mins(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_routes_schedule_and_timeouts_from_template() {
        let template = Template::read().unwrap();
        let (stats, force_cleanup) = (FunctionName::Stats, FunctionName::ForceCleanup);
        let sessions = FunctionName::Sessions;
        for (method, path, function, authorized) in [
            ("GET", "", stats, false),
            ("GET", "/openapi.json", stats, false),
            ("GET", "/sessions/stats", stats, true),
            ("GET", "/sessions/cleanups", stats, true),
            ("POST", "/sessions/cleanup", force_cleanup, true),
            ("GET", "/users/{user_id}/sessions", sessions, true),
        ] {
            let route = Route {
                method: method.to_owned(),
                path: format!("/api/v1/monitoring{path}"),
                function,
                authorized,
            };
            let routes = &template.routes;
            assert!(routes.contains(&route), "{route:?} in {routes:?}");
        }
        assert_eq!(template.schedule, Duration::from_hours(1));
        assert_eq!(
            template.gateway_responses["ACCESS_DENIED"].status,
            Some(401)
        );
        assert_eq!(template.timeouts.len(), 5);
    }

    #[test]
    fn reads_fixed_headers_of_gateway_responses() {
        let headers = r#"
            WWW-Authenticate: "'Bearer error=\"invalid_token\"'"
            Strict-Transport-Security: "'max-age=31536000'"
            Access-Control-Allow-Origin: !If [HasCors, !Sub "'${CorsOrigin}'", !Ref AWS::NoValue]
            Origin: !Sub "'${CorsOrigin}'"
            Key: method.request.header.key
        "#;
        let headers = fixed_headers(&serde_saphyr::from_str(headers).unwrap());
        let expected = [
            ("WWW-Authenticate", r#"Bearer error="invalid_token""#),
            ("Strict-Transport-Security", "max-age=31536000"),
        ];
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        assert_eq!(headers, expected.map(own).into());
    }

    #[test]
    fn each_function_has_template_resource_with_its_binary() {
        let document: Document = serde_saphyr::from_str(TEMPLATE).unwrap();
        for function in FunctionName::ALL {
            let resource = &document.resources[function.resource()];
            let binary = &resource.metadata["BuildProperties"]["Binary"];
            assert_eq!(binary, function.as_str());
        }
    }

    #[test]
    fn parses_rate_and_rejects_other_expressions() {
        assert_eq!(rate("rate(1 hour)"), Some(Duration::from_hours(1)));
        assert_eq!(rate("rate(5 minutes)"), Some(Duration::from_mins(5)));
        assert_eq!(rate("cron(0 * * * ? *)"), None);
        assert_eq!(rate("rate(1 second)"), None);
    }
}
