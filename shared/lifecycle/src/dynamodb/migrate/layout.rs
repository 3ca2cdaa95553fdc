//! Layouts: what the attributes of another session table mean.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Deserialize;
use session_domain::Reason;

use super::source::AttributePath;
use super::time::Unit;

/// What the attributes of another session table mean, as a small JSON document.
///
/// The members have the names of the attributes of a session of this stack; each says which attribute
/// of the other table's item contains it.
///
/// | member | meaning |
/// | --- | --- |
/// | `session_id`, `user_id` | required texts or whole numbers |
/// | `expires_at` | required time |
/// | `created_at` | time; without it, the session was created now, or at its expiry if that is earlier |
/// | `is_active` | boolean; without it, the session is inactive if it has `deactivated_at` |
/// | `deactivated_at` | time of an inactive session; without it, now |
/// | `deactivation_reason` | reason of an inactive session, if its text is one of [`Reason`] |
/// | `auth_time`, `last_used_at` | optional times |
/// | `max_expires_at` | optional time; the session expires then at the latest |
/// | `ip_address`, `user_agent`, `client_id` | optional texts |
/// | `only` | attributes and values that an item must have to be a session |
/// | `keep` | attributes to carry over unchanged. All others are not carried over |
///
/// The source of a text has `attribute`, and optionally:
///
/// - `path`: a JSON Pointer (RFC 6901) into an attribute that is a map, JSON or `MessagePack`
/// - `prefix`: the value must begin with it; it is removed
/// - `after`, `before`: only the part after, or before, the first occurrence of this text
/// - `default`: the text if there is no value; not for `session_id`
/// - `hash`: `sha256` stores the lower-case hexadecimal hash instead; only for `session_id`
///
/// The source of a time has `attribute` and `unit` (`s`, `ms`, `us`, `ns`, `iso8601`), optionally
/// `path` and `add_seconds`. `expires_at` may have `default_lifetime_seconds`, counted from
/// `created_at`, or from now, for items without an expiry.
///
/// The source of `is_active` has `attribute`, the `reason` of the inactive sessions, and optionally
/// `active_if`: the value of an active session, by default true.
///
/// In `only`, a value is a text, a whole number, a boolean, or `{"prefix": "…"}`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    #[serde(default)]
    pub(super) only: BTreeMap<String, Expected>,
    pub(super) session_id: TextSource,
    pub(super) user_id: TextSource,
    pub(super) expires_at: TimeSource,
    pub(super) created_at: Option<TimeSource>,
    pub(super) is_active: Option<FlagSource>,
    pub(super) deactivated_at: Option<TimeSource>,
    pub(super) deactivation_reason: Option<TextSource>,
    pub(super) auth_time: Option<TimeSource>,
    pub(super) last_used_at: Option<TimeSource>,
    pub(super) max_expires_at: Option<TimeSource>,
    pub(super) ip_address: Option<TextSource>,
    pub(super) user_agent: Option<TextSource>,
    pub(super) client_id: Option<TextSource>,
    #[serde(default)]
    pub(super) keep: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a text, a whole number, a boolean, or {\"prefix\": \"…\"}"
)]
pub(super) enum Expected {
    Text(String),
    Number(i64),
    Flag(bool),
    Prefix(Prefix),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Prefix {
    pub(super) prefix: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TextSource {
    pub(super) attribute: String,
    pub(super) path: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) after: Option<String>,
    pub(super) before: Option<String>,
    pub(super) default: Option<String>,
    pub(super) hash: Option<Hash>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Hash {
    Sha256,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TimeSource {
    pub(super) attribute: String,
    pub(super) path: Option<String>,
    pub(super) unit: Unit,
    #[serde(default)]
    pub(super) add_seconds: i64,
    pub(super) default_lifetime_seconds: Option<u32>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FlagSource {
    pub(super) attribute: String,
    #[serde(default = "yes")]
    pub(super) active_if: bool,
    pub(super) reason: String,
}

const fn yes() -> bool {
    true
}

/// Error of a layout: the member, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{member}: {problem}")]
pub struct InvalidLayout {
    /// The member, as in `expires_at.unit`.
    pub member: String,
    /// What is wrong.
    pub problem: String,
}

/// The attributes of a session of this stack. A layout cannot keep attributes with these names.
const OURS: [&str; 22] = [
    "pk",
    "sk",
    "user_id",
    "session_id",
    "is_active",
    "created_at",
    "expires_at",
    "deactivated_at",
    "deactivation_reason",
    "ip_address",
    "user_agent",
    "client_id",
    "auth_time",
    "last_used_at",
    "max_expires_at",
    "refresh_hash",
    "refresh_salt",
    "refresh_previous_hash",
    "refresh_rotated_at",
    "due_key",
    "due_at",
    "ttl",
];

impl Layout {
    /// The presets: name and JSON document. Copy one to change it.
    pub const PRESETS: [(&str, &str); 6] = [
        (
            "connect-dynamodb",
            include_str!("presets/connect-dynamodb.json"),
        ),
        (
            "dynamodb-store",
            include_str!("presets/dynamodb-store.json"),
        ),
        ("authjs", include_str!("presets/authjs.json")),
        ("shopify", include_str!("presets/shopify.json")),
        ("flask-session", include_str!("presets/flask-session.json")),
        ("session-id", include_str!("presets/session-id.json")),
    ];

    /// The preset with this name.
    #[must_use]
    pub fn preset(name: &str) -> Option<Self> {
        let (_, json) = Self::PRESETS
            .into_iter()
            .find(|(preset, _)| *preset == name)?;
        // A test parses all presets.
        Self::parse(json).ok()
    }

    /// Parses a layout from JSON.
    ///
    /// # Errors
    ///
    /// The text is not JSON, a required member is missing, a member is unknown, or its value is not
    /// valid.
    pub fn parse(json: &str) -> Result<Self, InvalidLayout> {
        let mut reader = serde_json::Deserializer::from_str(json);
        let layout: Self = serde_path_to_error::deserialize(&mut reader)
            .map_err(|error| invalid(error.path().to_string(), error.inner().to_string()))?;
        reader
            .end()
            .map_err(|error| invalid(".", error.to_string()))?;
        layout.check()?;
        Ok(layout)
    }

    /// The attribute that contains the session ID.
    #[must_use]
    pub fn session_id_attribute(&self) -> &str {
        &self.session_id.attribute
    }

    /// The attributes that the layout names, and the paths in them. One that no item of a table has is
    /// probably misspelled.
    #[must_use]
    pub fn attributes(&self) -> BTreeSet<AttributePath> {
        let texts = self
            .texts()
            .map(|(_, it)| AttributePath::new(&it.attribute, it.path.as_deref()));
        let times = self
            .times()
            .map(|(_, it)| AttributePath::new(&it.attribute, it.path.as_deref()));
        let flag = self.is_active.iter().map(|it| &it.attribute);
        let whole = flag.chain(self.only.keys()).chain(&self.keep);
        let whole = whole.map(|attribute| AttributePath::new(attribute, None));
        texts.chain(times).chain(whole).collect()
    }

    fn texts(&self) -> impl Iterator<Item = (&'static str, &TextSource)> {
        [
            ("session_id", Some(&self.session_id)),
            ("user_id", Some(&self.user_id)),
            ("deactivation_reason", self.deactivation_reason.as_ref()),
            ("ip_address", self.ip_address.as_ref()),
            ("user_agent", self.user_agent.as_ref()),
            ("client_id", self.client_id.as_ref()),
        ]
        .into_iter()
        .filter_map(|(member, source)| Some((member, source?)))
    }

    fn times(&self) -> impl Iterator<Item = (&'static str, &TimeSource)> {
        [
            ("expires_at", Some(&self.expires_at)),
            ("created_at", self.created_at.as_ref()),
            ("deactivated_at", self.deactivated_at.as_ref()),
            ("auth_time", self.auth_time.as_ref()),
            ("last_used_at", self.last_used_at.as_ref()),
            ("max_expires_at", self.max_expires_at.as_ref()),
        ]
        .into_iter()
        .filter_map(|(member, source)| Some((member, source?)))
    }

    /// Checks what the types do not express.
    fn check(&self) -> Result<(), InvalidLayout> {
        // Attributes that are mapped as a whole.
        let mut mapped = HashSet::new();
        for (member, source) in self.texts() {
            check_source(member, &source.attribute, source.path.as_deref())?;
            let is_session_id = member == "session_id";
            if is_session_id && source.default.is_some() {
                return Err(invalid("session_id.default", "each session has its own id"));
            }
            if !is_session_id && source.hash.is_some() {
                return Err(invalid(format!("{member}.hash"), "only for session_id"));
            }
            mapped.extend(source.path.is_none().then_some(&source.attribute));
        }
        for (member, source) in self.times() {
            check_source(member, &source.attribute, source.path.as_deref())?;
            if member != "expires_at" && source.default_lifetime_seconds.is_some() {
                let member = format!("{member}.default_lifetime_seconds");
                return Err(invalid(member, "only for expires_at"));
            }
            mapped.extend(source.path.is_none().then_some(&source.attribute));
        }
        if let Some(source) = &self.is_active {
            check_source("is_active", &source.attribute, None)?;
            check_reason("is_active.reason", &source.reason)?;
            mapped.insert(&source.attribute);
        }
        if let Some(source) = &self.deactivation_reason {
            if self.is_active.is_none() && self.deactivated_at.is_none() {
                let problem = "only together with is_active or deactivated_at";
                return Err(invalid("deactivation_reason", problem));
            }
            if let Some(default) = &source.default {
                check_reason("deactivation_reason.default", default)?;
            }
        }
        for name in &self.keep {
            if OURS.contains(&name.as_str()) {
                let problem = format!("{name} is an attribute of this stack");
                return Err(invalid("keep", problem));
            }
            if mapped.contains(name) {
                let problem = format!("{name} is mapped, and its copy would become stale");
                return Err(invalid("keep", problem));
            }
        }
        Ok(())
    }
}

fn check_reason(member: &str, reason: &str) -> Result<(), InvalidLayout> {
    let problem = "must be logout, revoked, expired_by_cleanup or expired_on_validation";
    Reason::parse(reason)
        .map(|_| ())
        .ok_or_else(|| invalid(member, problem))
}

fn check_source(member: &str, attribute: &str, path: Option<&str>) -> Result<(), InvalidLayout> {
    if attribute.is_empty() {
        return Err(invalid(format!("{member}.attribute"), "must not be empty"));
    }
    if path.is_some_and(|path| !path.starts_with('/')) {
        let problem = "must be a JSON Pointer, as in /passport/user";
        return Err(invalid(format!("{member}.path"), problem));
    }
    Ok(())
}

fn invalid(member: impl Into<String>, problem: impl Into<String>) -> InvalidLayout {
    let member: String = member.into();
    InvalidLayout {
        member: if member == "." {
            "the layout".into()
        } else {
            member
        },
        problem: problem.into(),
    }
}
