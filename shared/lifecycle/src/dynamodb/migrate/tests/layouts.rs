//! Tests of parsing layouts.

use std::collections::BTreeSet;

use super::*;

#[test]
fn parses_every_preset() {
    for (name, json) in Layout::PRESETS {
        Layout::parse(json).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(Layout::preset(name).is_some(), "{name}");
    }
    assert!(Layout::preset("redis").is_none());
}

#[test]
fn names_invalid_member_of_layout() {
    let with = |from: &str, to: &str| {
        let json = r#"{"session_id": {"attribute": "id"}, "user_id": {"attribute": "user"},
            "expires_at": {"attribute": "end", "unit": "s"}}"#;
        assert!(json.contains(from), "{from}");
        Layout::parse(&json.replacen(from, to, 1))
    };
    for (layout, expected) in vec![
        (Layout::parse(""), "the layout: EOF"),
        (Layout::parse("[]"), "the layout: "),
        (
            Layout::parse("{}"),
            "the layout: missing field `session_id`",
        ),
        (with("}}", "}} {}"), "the layout: trailing characters"),
        (
            with("user_id", "user"),
            "user: unknown field `user`, expected one of `only`",
        ),
        (
            with("\"unit\": \"s\"", "\"unit\": \"sec\""),
            "expires_at.unit: unknown variant `sec`, expected one of `s`, `ms`",
        ),
        (
            with(", \"unit\": \"s\"", ""),
            "expires_at: missing field `unit`",
        ),
        (
            with("\"id\"", "7"),
            "session_id.attribute: invalid type: integer `7`, expected a string",
        ),
        (
            with("\"id\"", "\"\""),
            "session_id.attribute: must not be empty",
        ),
        (
            with("\"end\"", "\"end\", \"attribute\": \"end\""),
            "expires_at: duplicate field `attribute`",
        ),
        (
            layout(r#""only": {"type": null},"#),
            "only.type: expected a text, a whole number, a boolean",
        ),
        (
            layout(r#""only": {"type": {"prefix": "a", "x": 1}},"#),
            "only.type: expected a text",
        ),
        (
            layout(r#""client_id": {"attribute": "c", "path": "a"},"#),
            "client_id.path: must be a JSON Pointer",
        ),
        (
            layout(r#""client_id": {"attribute": "c", "hash": "sha256"},"#),
            "client_id.hash: only for session_id",
        ),
        (
            with("\"id\"", "\"id\", \"hash\": \"md5\""),
            "session_id.hash: unknown variant `md5`",
        ),
        (
            with("\"id\"", "\"id\", \"default\": \"a\""),
            "session_id.default: each session",
        ),
        (
            layout(
                r#""auth_time": {"attribute": "a", "unit": "s", "default_lifetime_seconds": 1},"#,
            ),
            "auth_time.default_lifetime_seconds: only for expires_at",
        ),
        (
            with("\"s\"", "\"s\", \"default_lifetime_seconds\": -1"),
            "expires_at.default_lifetime_seconds: invalid value",
        ),
        (
            layout(r#""is_active": {"attribute": "on"},"#),
            "is_active: missing field `reason`",
        ),
        (
            layout(r#""is_active": {"attribute": "on", "reason": "bored"},"#),
            "is_active.reason: must be logout, revoked",
        ),
        (
            layout(r#""deactivation_reason": {"attribute": "why"},"#),
            "deactivation_reason: only together with is_active or deactivated_at",
        ),
        (
            layout(
                r#""deactivated_at": {"attribute": "at", "unit": "s"},
                   "deactivation_reason": {"attribute": "why", "default": "bored"},"#,
            ),
            "deactivation_reason.default: must be logout, revoked",
        ),
    ] {
        let error = layout.unwrap_err().to_string();
        assert!(error.starts_with(expected), "{expected}: {error}");
    }
}

#[test]
fn rejects_keeping_mapped_attributes_and_those_of_stack() {
    for (name, expected) in [
        ("end", "end is mapped"),
        ("expires_at", "expires_at is an attribute of this stack"),
        ("refresh_salt", "refresh_salt is an attribute of this stack"),
        ("ttl", "ttl is an attribute of this stack"),
    ] {
        let error = layout(&format!(r#""keep": ["{name}"],"#)).unwrap_err();
        let told = error.to_string();
        assert!(told.starts_with(&format!("keep: {expected}")), "{told}");
    }
}

#[test]
fn names_each_attribute_and_whether_item_has_it() {
    let layout = layout(
        r#""is_active": {"attribute": "revokd", "active_if": false, "reason": "revoked"},
           "deactivated_at": {"attribute": "data", "path": "/end", "unit": "s"},
           "only": {"kind": 1}, "keep": ["theme"],"#,
    )
    .unwrap();
    let mut absent = layout.attributes();
    let named = |absent: &BTreeSet<AttributePath>| {
        let names = absent.iter().map(ToString::to_string);
        names.collect::<Vec<_>>().join(", ")
    };
    let all = "data at /end, end, id, kind, revokd, theme, user";
    assert_eq!(named(&absent), all);
    let found = item([
        ("data", text(r#"{"ends": 1}"#)),
        ("kind", AttributeValue::Null(true)),
        ("theme", AttributeValue::L(Vec::new())),
    ]);
    absent.retain(|it| !it.is_in(&found));
    assert_eq!(named(&absent), "data at /end, kind, revokd");
}
