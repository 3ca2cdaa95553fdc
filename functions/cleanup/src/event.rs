//! What the cleanup is invoked with.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use session_domain::Trigger;

/// Why an event is refused, before anything is done.
#[derive(Debug, thiserror::Error)]
pub enum InvalidEvent {
    /// An EventBridge event that no schedule sent.
    #[error("the cleanup takes scheduled events, not {detail_type:?} of {source_name:?}")]
    NotScheduled {
        /// Its `detail-type`.
        detail_type: String,
        /// Its `source`.
        source_name: String,
    },
    /// Options that do not exist, or have a wrong value.
    #[error(
        "the cleanup takes a scheduled event, {{}}, null, or any of dry_run (true or false), \
         max_seconds (0 to 900), sweep_grace_hours (0 to 720), adopt (true or false): {0}"
    )]
    InvalidOptions(String),
}

/// An event that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who invoked.
    pub trigger: Trigger,
    /// How to run.
    pub options: Options,
}

/// What may be said by hand. A misspelt option is refused: it must not pass for the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Only count.
    pub dry_run: bool,
    /// How long to take up work, at the most; within the invocation's own time.
    pub max_seconds: Option<u32>,
    /// How long deletions are left to native TTL, instead of `SWEEP_GRACE_HOURS`.
    pub sweep_grace_hours: Option<u32>,
    /// Read the whole table first, and put the index attributes right.
    pub adopt: bool,
}

/// The members that tell an EventBridge event from options.
#[derive(Deserialize)]
struct Marks {
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
    source: Option<String>,
}

/// A scheduled event has these members and no others. An option or anything else beside them, or
/// in `detail`, would not be what a schedule sends: whoever put it there must not get a run
/// without it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only their names matter")]
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
    /// Reads an event. Each step reads its text, never a [`serde_json::Value`], which keeps the
    /// last of two members of one name and gives some names a meaning of its own.
    ///
    /// # Errors
    ///
    /// Anything but a scheduled event, the options, `{}`, `null` and the console's default test
    /// event.
    pub fn read(event: &RawValue) -> Result<Self, InvalidEvent> {
        let event = event.get().trim();
        // A struct would be read from an array, too.
        if event != "null" && !event.starts_with('{') {
            return Err(invalid(&"it must be an object"));
        }
        let options = if event == "null" || ConsoleDefault::is(event) {
            Options::default()
        } else {
            let marks: Marks = serde_json::from_str(event).map_err(|error| invalid(&error))?;
            if let (Some(detail_type), Some(source)) = (marks.detail_type, marks.source) {
                return scheduled(detail_type, source, event);
            }
            serde_json::from_str(event).map_err(|error| invalid(&error))?
        };
        if options.max_seconds.is_some_and(|seconds| seconds > 900) {
            return Err(invalid(&"max_seconds is out of range"));
        }
        if options.sweep_grace_hours.is_some_and(|hours| hours > 720) {
            return Err(invalid(&"sweep_grace_hours is out of range"));
        }
        Ok(Self {
            trigger: Trigger::Manual,
            options,
        })
    }
}

/// Reads an EventBridge event.
fn scheduled(detail_type: String, source: String, event: &str) -> Result<Request, InvalidEvent> {
    // `aws.events` is a rule's, `aws.scheduler` EventBridge Scheduler's.
    if detail_type != "Scheduled Event" || !matches!(&*source, "aws.events" | "aws.scheduler") {
        return Err(InvalidEvent::NotScheduled {
            detail_type,
            source_name: source,
        });
    }
    let event: ScheduledEvent<'_> = serde_json::from_str(event)
        .map_err(|error| invalid(&format!("a scheduled event has no options: {error}")))?;
    // EventBridge Scheduler sends it as text.
    let detail = event.detail.map_or("{}", RawValue::get);
    let text: Option<String> = serde_json::from_str(detail).ok();
    let detail = text.as_deref().unwrap_or(detail).trim();
    let inside = detail.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
    if inside.is_none_or(|inside| !inside.trim().is_empty()) {
        return Err(invalid(
            &"the `detail` of a scheduled event must be {}, for it has no options",
        ));
    }
    Ok(Request {
        trigger: Trigger::Schedule,
        options: Options::default(),
    })
}

fn invalid(problem: &dyn ToString) -> InvalidEvent {
    InvalidEvent::InvalidOptions(problem.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use serde_json::value::to_raw_value;

    use super::*;

    #[test]
    fn parses_each_kind_of_event_and_rejects_others() {
        let by_hand = |options| Some((Trigger::Manual, options));
        let scheduled = Some((Trigger::Schedule, Options::default()));
        let default = Options::default();
        for (event, read) in [
            (json!(null), by_hand(default)),
            (json!({}), by_hand(default)),
            (
                json!({ "key1": "value1", "key2": "value2", "key3": "value3" }),
                by_hand(default),
            ),
            (
                json!({ "dry_run": true }),
                by_hand(Options {
                    dry_run: true,
                    ..default
                }),
            ),
            (
                json!({ "adopt": true }),
                by_hand(Options {
                    adopt: true,
                    ..default
                }),
            ),
            (
                json!({ "max_seconds": 0, "sweep_grace_hours": 720 }),
                by_hand(Options {
                    max_seconds: Some(0),
                    sweep_grace_hours: Some(720),
                    ..default
                }),
            ),
            (
                json!({ "detail-type": "Scheduled Event", "source": "aws.events" }),
                scheduled,
            ),
            (
                json!({ "detail-type": "Scheduled Event", "source": "aws.scheduler" }),
                scheduled,
            ),
            (
                json!({ "detail-type": "Scheduled Event", "source": "shop" }),
                None,
            ),
            (
                json!({ "detail-type": "Order", "source": "aws.events" }),
                None,
            ),
            (json!({ "dryrun": true }), None),
            (json!({ "dry_run": "true" }), None),
            (json!({ "key1": "value1" }), None),
            (json!({ "max_seconds": 901 }), None),
            (json!({ "max_seconds": -1 }), None),
            (json!({ "sweep_grace_hours": 721 }), None),
            (json!({ "sweep_grace_hours": 1.5 }), None),
            (json!([]), None),
            (json!("dry_run"), None),
        ] {
            let request = Request::read(&to_raw_value(&event).unwrap()).ok();
            assert_eq!(request.map(|it| (it.trigger, it.options)), read, "{event}");
        }
    }

    /// A scheduled event of a rule, whose closing brace these members come before.
    fn scheduled_with(members: &str) -> String {
        format!(
            r#"{{"version": "0", "id": "7bf73129-1428-4cd3-a780-95db273d1602",
                "detail-type": "Scheduled Event", "source": "aws.events", "account": "123456789012",
                "time": "2026-11-24T08:00:00Z", "region": "eu-central-1",
                "resources": ["arn:aws:events:eu-central-1:123456789012:rule/hourly"]{members}}}"#
        )
    }

    fn read(event: &str) -> Result<Request, InvalidEvent> {
        Request::read(&RawValue::from_string(event.to_owned()).unwrap())
    }

    #[test]
    fn accepts_scheduled_event_with_empty_detail() {
        for detail in [
            "",
            r#", "detail": {}"#,
            r#", "detail": { }"#,
            r#", "detail": "{}""#,
        ] {
            let request = read(&scheduled_with(detail)).unwrap();
            assert_eq!(request.trigger, Trigger::Schedule, "{detail}");
        }
    }

    #[test]
    fn rejects_scheduled_event_and_names_unexpected_member() {
        for (member, name) in [
            (r#""detail": {"dry_run": true}"#, "detail"),
            (r#""detail": "{\"dry_run\":true}""#, "detail"),
            (r#""detail": {"{": 1}"#, "detail"),
            (r#""detail": "dry_run""#, "detail"),
            (r#""detail": "}{""#, "detail"),
            (r#""detail": "{""#, "detail"),
            (r#""detail": []"#, "detail"),
            (r#""detail": {}, "detail": {}"#, "detail"),
            (r#""dry_run": true"#, "dry_run"),
            (r#""dryRun": true"#, "dryRun"),
            (r#""Dry_run": true"#, "Dry_run"),
            (r#""max_seconds": 0"#, "max_seconds"),
            (r#""source": "aws.events""#, "source"),
            (r#""detail-type": "Scheduled Event""#, "detail-type"),
            (r#""id": "1""#, "id"),
            (r#""$serde_json::private::RawValue": "{}""#, "RawValue"),
            (r#""key1": "value1""#, "key1"),
        ] {
            let error = read(&scheduled_with(&format!(", {member}"))).unwrap_err();
            assert!(error.to_string().contains(name), "{member}: {error}");
        }
    }

    #[test]
    fn rejects_duplicate_reserved_or_mixed_members() {
        for event in [
            r#"{ "dry_run": true, "dry_run": false }"#,
            r#"{ "dry_run": true, "dry_r\u0075n": false }"#,
            r#"{ "$serde_json::private::RawValue": "null" }"#,
            r#"{ "$serde_json::private::RawValue": "{}" }"#,
            r#"{ "$serde_json::private::Number": "1" }"#,
            r#"{ "key1": "value1", "key2": "value2", "key3": "value3", "dry_run": true }"#,
            r#"{ "key1": "value1", "key1": "value1", "key2": "value2", "key3": "value3" }"#,
            r#"{ "source": "aws.events" }"#,
            r#"{ "detail-type": "Scheduled Event", "dry_run": true }"#,
            r#"["value1", "value2", "value3"]"#,
        ] {
            assert!(read(event).is_err(), "{event}");
        }
    }

    #[test]
    fn error_names_misspelled_option() {
        let event = to_raw_value(&json!({ "dryrun": true })).unwrap();
        let error = Request::read(&event).unwrap_err().to_string();
        assert!(error.contains("`dryrun`"), "{error}");
    }
}
