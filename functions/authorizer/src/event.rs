//! Authorizer events of API Gateway, reduced to what a decision needs.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A REQUEST or TOKEN event of a REST API, or an event of an HTTP API with payload 1.0 or 2.0.
///
/// `Authorization` is the only header that is kept. The decision needs no other part of the
/// request.
///
/// The event must be a JSON object. The error for any other JSON contains no value of it, because
/// the value may be a token.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", remote = "Self")]
pub struct AuthorizerEvent {
    /// Payload version of an HTTP API: "1.0" or "2.0".
    version: Option<String>,
    method_arn: Option<String>,
    /// The `Authorization` header of a TOKEN event.
    authorization_token: Option<String>,
    #[serde(default, deserialize_with = "authorization")]
    headers: Vec<String>,
    #[serde(default, deserialize_with = "authorization")]
    multi_value_headers: Vec<String>,
}

/// Type of response that the gateway expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gateway {
    /// An IAM policy for one stage of an API.
    Policy {
        /// ARN of the stage: `arn:…:execute-api:<region>:<account>:<api>/<stage>`
        stage_arn: String,
    },
    /// A simple response: allow or deny.
    Simple,
}

/// An event that is not an authorizer event of API Gateway.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an authorizer event of API Gateway: {0}")]
pub struct UnknownEvent(&'static str);

impl<'de> Deserialize<'de> for AuthorizerEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The derived implementation also accepts an array.
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = AuthorizerEvent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
                // The derived implementation.
                AuthorizerEvent::deserialize(MapAccessDeserializer::new(members))
            }
        }

        let read = deserializer.deserialize_map(Object);
        read.map_err(|_| Error::custom(UnknownEvent("it has another shape")))
    }
}

impl AuthorizerEvent {
    /// Returns the type of response that the gateway expects.
    ///
    /// # Errors
    ///
    /// The event does not name a method of an API.
    pub fn gateway(&self) -> Result<Gateway, UnknownEvent> {
        if self.version.as_deref() == Some("2.0") {
            return Ok(Gateway::Simple);
        }
        let method = self
            .method_arn
            .as_deref()
            .ok_or(UnknownEvent("it has no methodArn"))?;
        let mut parts = method.splitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(api), Some(stage), Some(_)) => Ok(Gateway::Policy {
                stage_arn: format!("{api}/{stage}"),
            }),
            _ => Err(UnknownEvent("its methodArn names no stage and method")),
        }
    }

    /// The `Authorization` header, if there is exactly one.
    #[must_use]
    pub fn authorization(&self) -> Option<&str> {
        // REST APIs send each header in both maps. Only `multiValueHeaders` has all values of a
        // duplicate header. If the maps differ, other software might use the other value.
        let (both, single) = (&self.multi_value_headers, &self.headers);
        if !both.is_empty() && !single.is_empty() && both != single {
            return None;
        }
        // TOKEN events have no headers. In other events, `authorizationToken` is a copy of the
        // header, joined with other values if there are several identity sources.
        let token = self.authorization_token.as_slice();
        let values = [both.as_slice(), single, token]
            .into_iter()
            .find(|values| !values.is_empty())?;
        match values {
            [one] => Some(one),
            _ => None,
        }
    }
}

/// Reads the values of `Authorization` from a map of headers, ignoring the case of the name.
fn authorization<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Headers;

    impl<'de> Visitor<'de> for Headers {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map of headers or null")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut headers: A) -> Result<Self::Value, A::Error> {
            let mut found = Vec::new();
            while let Some(name) = headers.next_key::<std::borrow::Cow<'de, str>>()? {
                if name.eq_ignore_ascii_case("authorization") {
                    found.append(&mut headers.next_value::<Values>()?.0);
                } else {
                    headers.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }

    deserializer.deserialize_any(Headers)
}

/// Values of a header: a string, an array, or null for none.
struct Values(Vec<String>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self(Vec::new()))
    }
}

impl<'de> Visitor<'de> for Values {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, an array of strings, or null")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, value: &str) -> Result<Self, E> {
        Ok(Self(vec![value.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut values: A) -> Result<Self, A::Error> {
        while let Some(value) = values.next_element()? {
            self.0.push(value);
        }
        Ok(self)
    }
}
