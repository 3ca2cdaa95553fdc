//! What the cleanup is invoked with.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use session_lifecycle::domain::Trigger;

/// Why an event is refused, before anything is done.
#[derive(Debug, thiserror::Error)]
pub enum WrongEvent {
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
    WrongOptions(String),
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

/// The parts of an EventBridge event that tell where it comes from.
#[derive(Deserialize)]
struct EventBridge {
    #[serde(rename = "detail-type")]
    detail_type: String,
    source: String,
}

impl Request {
    /// Reads an event.
    ///
    /// # Errors
    ///
    /// Anything but a scheduled event, the options, `{}`, `null` and the console's default test
    /// event.
    pub fn read(event: &RawValue) -> Result<Self, WrongEvent> {
        let value: Value = serde_json::from_str(event.get()).map_err(|error| wrong(&error))?;
        if let Ok(EventBridge {
            detail_type,
            source,
        }) = EventBridge::deserialize(&value)
        {
            return scheduled(detail_type, source, &value);
        }
        let options = if value.is_null() || value == console_default() {
            Options::default()
        } else if value.is_object() {
            // From the text: an option that is given twice must not pass for the second.
            serde_json::from_str(event.get()).map_err(|error| wrong(&error))?
        } else {
            return Err(wrong(&"it must be an object"));
        };
        if options.max_seconds.is_some_and(|seconds| seconds > 900) {
            return Err(wrong(&"max_seconds is out of range"));
        }
        if options.sweep_grace_hours.is_some_and(|hours| hours > 720) {
            return Err(wrong(&"sweep_grace_hours is out of range"));
        }
        Ok(Self {
            trigger: Trigger::Manual,
            options,
        })
    }
}

/// Reads an EventBridge event. Options beside it would not be what the schedule sends.
fn scheduled(detail_type: String, source: String, event: &Value) -> Result<Request, WrongEvent> {
    const OPTIONS: [&str; 4] = ["dry_run", "max_seconds", "sweep_grace_hours", "adopt"];
    // `aws.events` is a rule's, `aws.scheduler` EventBridge Scheduler's.
    if detail_type != "Scheduled Event" || !matches!(&*source, "aws.events" | "aws.scheduler") {
        return Err(WrongEvent::NotScheduled {
            detail_type,
            source_name: source,
        });
    }
    if OPTIONS.iter().any(|option| event.get(option).is_some()) {
        return Err(wrong(&"a scheduled event has no options"));
    }
    Ok(Request {
        trigger: Trigger::Schedule,
        options: Options::default(),
    })
}

fn wrong(problem: &dyn ToString) -> WrongEvent {
    WrongEvent::WrongOptions(problem.to_string())
}

/// The test event that the Lambda console offers first.
fn console_default() -> Value {
    json!({ "key1": "value1", "key2": "value2", "key3": "value3" })
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;

    use super::*;

    #[test]
    fn each_way_to_invoke_is_understood() {
        let by_hand = |options| Some((Trigger::Manual, options));
        let scheduled = Some((Trigger::Schedule, Options::default()));
        let default = Options::default();
        for (event, read) in [
            (json!(null), by_hand(default)),
            (json!({}), by_hand(default)),
            (console_default(), by_hand(default)),
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

    #[test]
    fn options_that_contradict_are_refused() {
        for event in [
            r#"{ "dry_run": true, "dry_run": false }"#,
            r#"{ "detail-type": "Scheduled Event", "source": "aws.events", "dry_run": true }"#,
        ] {
            let event = RawValue::from_string(event.to_owned()).unwrap();
            assert!(Request::read(&event).is_err(), "{event}");
        }
    }

    #[test]
    fn a_misspelt_option_is_named() {
        let event = to_raw_value(&json!({ "dryrun": true })).unwrap();
        let error = Request::read(&event).unwrap_err().to_string();
        assert!(error.contains("`dryrun`"), "{error}");
    }
}
