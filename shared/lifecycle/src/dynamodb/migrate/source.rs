//! Reading of the attributes that a layout names.

use std::collections::HashMap;
use std::fmt;

use aws_sdk_dynamodb::types::AttributeValue;
use session_domain::{InvalidId, Reason, RefreshTokenHash, Timestamp};

use super::layout::{Expected, FlagSource, Hash, Layout, TextSource, TimeSource};
use super::value::{Scalar, scalar};
use super::{Item, Unconvertible};

impl Expected {
    pub(super) fn is_met_by(&self, found: Option<&AttributeValue>) -> bool {
        match (self, found) {
            (Self::Text(expected), Some(AttributeValue::S(text))) => text == expected,
            (Self::Number(expected), Some(AttributeValue::N(number))) => {
                number.parse() == Ok(*expected)
            }
            (Self::Flag(expected), Some(AttributeValue::Bool(flag))) => flag == expected,
            (Self::Prefix(expected), Some(AttributeValue::S(text))) => {
                text.starts_with(&expected.prefix)
            }
            _ => false,
        }
    }
}

impl TextSource {
    fn is(&self, problem: impl Into<String>) -> Unconvertible {
        unconvertible(&self.attribute, self.path.as_deref(), problem)
    }

    /// The text, or the whole number, of an item.
    pub(super) fn read(&self, item: &Item) -> Result<Option<String>, Unconvertible> {
        let found = match item.get(&self.attribute) {
            Some(attribute) => {
                scalar(attribute, self.path.as_deref()).map_err(|problem| self.is(problem))?
            }
            None => None,
        };
        let text = match found {
            Some(Scalar::Text(text)) => text,
            Some(Scalar::Number(number)) if number.parse::<i128>().is_ok() => number,
            Some(_) => {
                return Err(self.is("neither a text nor a whole number"));
            }
            None => return Ok(self.default.clone()),
        };
        let mut part = text.as_str();
        if let Some(prefix) = &self.prefix {
            let rest = part.strip_prefix(prefix.as_str());
            part = rest.ok_or_else(|| self.is(format!("without the prefix {prefix:?}")))?;
        }
        if let Some(mark) = &self.after {
            let parts = part.split_once(mark.as_str());
            part = parts.ok_or_else(|| self.is(format!("without {mark:?}")))?.1;
        }
        if let Some(mark) = &self.before {
            let parts = part.split_once(mark.as_str());
            part = parts.ok_or_else(|| self.is(format!("without {mark:?}")))?.0;
        }
        let part = match self.hash {
            Some(Hash::Sha256) if !part.is_empty() => {
                RefreshTokenHash::of(part).as_str().to_owned()
            }
            _ => part.to_owned(),
        };
        // An empty attribute stands for one that was not recorded.
        let recorded = Some(part).filter(|text| !text.is_empty());
        Ok(recorded.or_else(|| self.default.clone()))
    }

    /// The text of an item that must have it, parsed.
    pub(super) fn require<T>(
        &self,
        item: &Item,
        parse: impl Fn(String) -> Result<T, InvalidId>,
    ) -> Result<T, Unconvertible> {
        let found = self.read(item)?.ok_or_else(|| self.is("missing"))?;
        parse(found).map_err(|error| self.is(format!("not valid: {error}")))
    }
}

impl TimeSource {
    pub(super) fn missing(&self) -> Unconvertible {
        unconvertible(&self.attribute, self.path.as_deref(), "missing")
    }

    /// The time of an item.
    pub(super) fn read(&self, item: &Item) -> Result<Option<Timestamp>, Unconvertible> {
        let is = |problem: String| unconvertible(&self.attribute, self.path.as_deref(), problem);
        let Some(attribute) = item.get(&self.attribute) else {
            return Ok(None);
        };
        let found = scalar(attribute, self.path.as_deref()).map_err(|it| is(it.to_owned()))?;
        let time = found
            .map(|found| self.unit.read(&found))
            .transpose()
            .map_err(is)?;
        Ok(time.map(|time| time.plus(self.add_seconds).min(Timestamp::MAX_VALID)))
    }
}

impl FlagSource {
    /// Whether the session of an item is active. `None` if the item does not say it.
    fn read(&self, item: &Item) -> Result<Option<bool>, Unconvertible> {
        match item.get(&self.attribute) {
            Some(AttributeValue::Bool(flag)) => Ok(Some(*flag == self.active_if)),
            Some(AttributeValue::Null(_)) | None => Ok(None),
            Some(_) => Err(unconvertible(&self.attribute, None, "not a boolean")),
        }
    }
}

impl Layout {
    /// When and why the session of an item was deactivated. `None` if it is active.
    pub(super) fn ended(
        &self,
        item: &Item,
        now: Timestamp,
    ) -> Result<Option<(Timestamp, Reason)>, Unconvertible> {
        let flag = self.is_active.as_ref();
        let is_active = flag.map_or(Ok(None), |it| it.read(item))?;
        if is_active == Some(true) {
            return Ok(None);
        }
        let time = self.deactivated_at.as_ref();
        let time = time.map_or(Ok(None), |it| it.read(item))?;
        if is_active.is_none() && time.is_none() {
            return Ok(None);
        }
        let reason = self.deactivation_reason.as_ref();
        let reason = reason.map_or(Ok(None), |it| it.read(item))?;
        let reason = reason.and_then(|name| Reason::parse(&name));
        let reason = reason.or_else(|| Reason::parse(&flag?.reason));
        Ok(Some((
            time.unwrap_or(now),
            reason.unwrap_or(Reason::Revoked),
        )))
    }
}

/// An attribute that a layout names, or a path in it: `expires`, `sess at /passport/user`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttributePath {
    attribute: String,
    path: Option<String>,
}

impl AttributePath {
    pub(super) fn new(attribute: &str, path: Option<&str>) -> Self {
        Self {
            attribute: attribute.to_owned(),
            path: path.map(str::to_owned),
        }
    }

    /// Whether an item has it, and its value is not null.
    #[must_use]
    pub fn is_in(&self, item: &HashMap<String, AttributeValue>) -> bool {
        let found = item.get(&self.attribute);
        found.is_some_and(|found| scalar(found, self.path.as_deref()) != Ok(None))
    }
}

impl fmt::Display for AttributePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.attribute)?;
        self.path
            .iter()
            .try_for_each(|path| write!(f, " at {path}"))
    }
}

fn unconvertible(attribute: &str, path: Option<&str>, problem: impl Into<String>) -> Unconvertible {
    Unconvertible {
        attribute: AttributePath::new(attribute, path).to_string(),
        problem: problem.into(),
    }
}
