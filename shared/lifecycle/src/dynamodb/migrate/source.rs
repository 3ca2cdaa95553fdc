//! Reading of the attributes that a layout names.

use aws_sdk_dynamodb::types::AttributeValue;
use session_domain::{InvalidId, Reason, RefreshTokenHash, Timestamp};

use super::layout::{Expected, FlagSource, Hash, TextSource, TimeSource};
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
    /// The reason of an inactive session. `None` if the session is active.
    pub(super) fn ended(&self, item: &Item) -> Result<Option<Reason>, Unconvertible> {
        match item.get(&self.attribute) {
            Some(AttributeValue::Bool(flag)) if *flag != self.active_if => {
                Ok(Reason::parse(&self.reason))
            }
            Some(AttributeValue::Bool(_) | AttributeValue::Null(_)) | None => Ok(None),
            Some(_) => Err(unconvertible(&self.attribute, None, "not a boolean")),
        }
    }
}

fn unconvertible(attribute: &str, path: Option<&str>, problem: impl Into<String>) -> Unconvertible {
    Unconvertible {
        attribute: match path {
            Some(path) => format!("{attribute} at {path}"),
            None => attribute.to_owned(),
        },
        problem: problem.into(),
    }
}
