//! The four authorizer events of API Gateway, as far as a decision needs them.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A REST API's REQUEST or TOKEN event, or an HTTP API's of payload 1.0 or 2.0.
///
/// Of the headers, only `Authorization` is kept: the rest of the request is none of the
/// authorizer's business, and skipping it costs nothing.
///
/// It is read from a JSON object alone. The error over another shape repeats no value: what stands
/// in the wrong place may be a token.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", remote = "Self")]
pub struct AuthorizerEvent {
    /// "1.0" or "2.0" of HTTP APIs.
    version: Option<String>,
    method_arn: Option<String>,
    /// The whole header, in TOKEN events.
    authorization_token: Option<String>,
    #[serde(default, deserialize_with = "authorization")]
    headers: Vec<String>,
    #[serde(default, deserialize_with = "authorization")]
    multi_value_headers: Vec<String>,
}

/// What the asking gateway takes for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gateway {
    /// An IAM policy over this stage of this API.
    Policy {
        /// `arn:…:execute-api:<region>:<account>:<api>/<stage>`
        stage_arn: String,
    },
    /// Yes or no.
    Simple,
}

/// An event that comes from no gateway.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an authorizer event of API Gateway: {0}")]
pub struct UnknownEvent(&'static str);

impl<'de> Deserialize<'de> for AuthorizerEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // What is derived would read an array, too.
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = AuthorizerEvent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
                // The derived one.
                AuthorizerEvent::deserialize(MapAccessDeserializer::new(members))
            }
        }

        let read = deserializer.deserialize_map(Object);
        read.map_err(|_| Error::custom(UnknownEvent("it has another shape")))
    }
}

impl AuthorizerEvent {
    /// Who asks, and so how to answer.
    ///
    /// # Errors
    ///
    /// An event that names no method of an API.
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
        // REST APIs send each header in both maps, and a doubled one whole in the second only. Where
        // the maps disagree, another reader might take the other.
        let (both, single) = (&self.multi_value_headers, &self.headers);
        if !both.is_empty() && !single.is_empty() && both != single {
            return None;
        }
        // TOKEN events have no headers; where there are some, `authorizationToken` is no more than
        // a copy of them, joined with others where the identity has several sources.
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

/// Takes the values of `Authorization`, in whatever case, out of a map of headers.
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

/// The values of a header: one, several, or null for none.
struct Values(Vec<String>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self(Vec::new()))
    }
}

impl<'de> Visitor<'de> for Values {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value of a header, several, or null")
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
