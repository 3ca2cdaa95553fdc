//! Events of the cleanup.

use std::error::Error;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny};
use serde_json::value::RawValue;
use session_domain::{Revocation, Timestamp, Trigger};

/// An event that the cleanup rejects before it does anything.
#[derive(Debug, thiserror::Error)]
pub enum InvalidEvent {
    /// An EventBridge event that does not come from a schedule.
    #[error("the cleanup accepts scheduled events, not {detail_type:?} of {source_name:?}")]
    NotScheduled {
        /// `detail-type` of the event.
        detail_type: String,
        /// `source` of the event.
        source_name: String,
    },
    /// A scheduled event with an unexpected member.
    #[error("a scheduled event has no options")]
    ScheduledWithOptions(#[source] Box<dyn Error + Send + Sync>),
    /// An unknown option, or an option with an invalid value.
    #[error(
        "the cleanup accepts a scheduled event, {{}}, null, or any of dry_run (true or false), \
         max_seconds (0 to 900), sweep_grace_hours (0 to 720), adopt (true or false), \
         revoke (an object with created_before and reason, and optionally client_id and requested_by)"
    )]
    InvalidOptions(#[source] Box<dyn Error + Send + Sync>),
}

/// A valid event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What started the run.
    pub trigger: Trigger,
    /// Options of the run.
    pub options: Options,
}

/// Options of a manual run. Unknown options are rejected, so that a misspelt option cannot start a
/// run with its default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Count what a run would do, without writing it.
    pub dry_run: bool,
    /// Time limit of the run in seconds. The timeout of the invocation also limits the run.
    pub max_seconds: Option<u32>,
    /// Sweep grace in hours, instead of `SWEEP_GRACE_HOURS`.
    pub sweep_grace_hours: Option<u32>,
    /// Adopt the table first: read all records, and repair their index attributes.
    pub adopt: bool,
    /// Revoke sessions first: read all records.
    #[serde(deserialize_with = "revocation")]
    pub revoke: Option<Revocation>,
}

/// Reads a revocation from an object. Serde also reads a struct from an array.
fn revocation<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Revocation>, D::Error> {
    let read = |value: Box<RawValue>| {
        if !value.get().starts_with('{') {
            return Err(D::Error::custom("revoke must be an object"));
        }
        serde_json::from_str(value.get())
            .map_err(|error| D::Error::custom(format!("revoke: {error}")))
    };
    Option::deserialize(deserializer)?.map(read).transpose()
}

/// The members that distinguish an EventBridge event from options.
#[derive(Deserialize)]
struct Marks {
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
    source: Option<String>,
}

/// The members of a scheduled event. Any other member, or a `detail` with members, is rejected: it
/// may be an option, and a run must not ignore an option.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the names matter")]
struct ScheduledEvent<'a> {
    version: Option<IgnoredAny>,
    id: Option<IgnoredAny>,
    #[serde(rename = "detail-type")]
    detail_type: IgnoredAny,
    source: IgnoredAny,
    account: Option<IgnoredAny>,
    time: Option<IgnoredAny>,
    region: Option<IgnoredAny>,
    resources: Option<IgnoredAny>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
}

/// The test event that the Lambda console offers first.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsoleDefault {
    key1: String,
    key2: String,
    key3: String,
}

impl ConsoleDefault {
    fn is(event: &str) -> bool {
        serde_json::from_str(event).is_ok_and(|Self { key1, key2, key3 }| {
            (&*key1, &*key2, &*key3) == ("value1", "value2", "value3")
        })
    }
}

impl Request {
    /// Parses an event that arrives at `now`.
    ///
    /// Each step parses the text. A [`serde_json::Value`] would accept duplicate members, of which
    /// it keeps the last, and it treats some reserved names specially.
    ///
    /// # Errors
    ///
    /// The event is not a scheduled event, options, `{}`, `null` or the default test event of the
    /// Lambda console.
    pub fn read(event: &RawValue, now: Timestamp) -> Result<Self, InvalidEvent> {
        let event = event.get().trim();
        // Serde also reads a struct from an array.
        if event != "null" && !event.starts_with('{') {
            return Err(invalid("it must be an object"));
        }
        let options = if event == "null" || ConsoleDefault::is(event) {
            Options::default()
        } else {
            let marks: Marks = serde_json::from_str(event).map_err(invalid)?;
            if let (Some(detail_type), Some(source)) = (marks.detail_type, marks.source) {
                return scheduled(detail_type, source, event);
            }
            serde_json::from_str(event).map_err(invalid)?
        };
        if options.max_seconds.is_some_and(|seconds| seconds > 900) {
            return Err(invalid("max_seconds is out of range"));
        }
        if options.sweep_grace_hours.is_some_and(|hours| hours > 720) {
            return Err(invalid("sweep_grace_hours is out of range"));
        }
        // Otherwise a run that continues later would revoke sessions that began in the meantime.
        if let Some(revoke) = &options.revoke
            && revoke.created_before > now
        {
            return Err(invalid("revoke.created_before is later than now"));
        }
        Ok(Self {
            trigger: Trigger::Manual,
            options,
        })
    }
}

/// Parses an EventBridge event.
fn scheduled(detail_type: String, source: String, event: &str) -> Result<Request, InvalidEvent> {
    // EventBridge rules send `aws.events`, EventBridge Scheduler sends `aws.scheduler`.
    if detail_type != "Scheduled Event" || !matches!(&*source, "aws.events" | "aws.scheduler") {
        return Err(InvalidEvent::NotScheduled {
            detail_type,
            source_name: source,
        });
    }
    let event: ScheduledEvent<'_> = serde_json::from_str(event)
        .map_err(|error| InvalidEvent::ScheduledWithOptions(error.into()))?;
    // EventBridge Scheduler sends `detail` as a string.
    let detail = event.detail.map_or("{}", RawValue::get);
    let text: Option<String> = serde_json::from_str(detail).ok();
    let detail = text.as_deref().unwrap_or(detail).trim();
    let inside = detail.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
    if inside.is_none_or(|inside| !inside.trim().is_empty()) {
        let problem = "`detail` must be {}".into();
        return Err(InvalidEvent::ScheduledWithOptions(problem));
    }
    Ok(Request {
        trigger: Trigger::Schedule,
        options: Options::default(),
    })
}

fn invalid(problem: impl Into<Box<dyn Error + Send + Sync>>) -> InvalidEvent {
    InvalidEvent::InvalidOptions(problem.into())
}

#[cfg(test)]
mod tests;
