//! Tests of sessions that ended in the other table.

use super::*;

/// When and why the session of this item ended, in the session that it becomes.
fn ended(layout: &Layout, item: &Item) -> Option<(String, String)> {
    let session = converted(layout, item);
    let at = session.get("deactivated_at").map(|at| at.as_n().unwrap());
    assert_eq!(session["is_active"], AttributeValue::Bool(at.is_none()));
    let reason = |session: &Item| session["deactivation_reason"].as_s().unwrap().clone();
    at.map(|at| (at.clone(), reason(&session)))
}

fn at(time: &str, reason: &str) -> (String, String) {
    (time.to_owned(), reason.to_owned())
}

#[test]
fn never_revives_session_with_time_of_deactivation() {
    let off_at = r#""deactivated_at": {"attribute": "off_at", "unit": "s"},"#;
    let on = r#""is_active": {"attribute": "on", "reason": "logout"},"#;
    let off = ("off_at", number("1799000000"));
    for (members, reason) in [(off_at, "revoked"), (&format!("{on}{off_at}"), "logout")] {
        let layout = layout(members).unwrap();
        let null = |name| (name, AttributeValue::Null(true));
        let expected = Some(at("1799000000", reason));
        assert_eq!(ended(&layout, &item([off.clone()])), expected, "{members}");
        assert_eq!(
            ended(&layout, &item([off.clone(), null("on")])),
            expected,
            "{members}"
        );
        for live in [item([]), item([null("off_at")])] {
            assert_eq!(ended(&layout, &live), None, "{members}");
        }
        for invalid in [text("yes"), number("0"), AttributeValue::Bool(true)] {
            let told = problem(&layout, &item([("off_at", invalid)]));
            assert!(told.starts_with("the attribute off_at is "), "{told}");
        }
    }
    let layout = layout(&format!("{on}{off_at}")).unwrap();
    let on = ("on", AttributeValue::Bool(true));
    assert_eq!(ended(&layout, &item([off, on])), None);
}

#[test]
fn keeps_known_reason_of_deactivation() {
    let off_at = r#""deactivated_at": {"attribute": "off_at", "unit": "s"},"#;
    let why = r#""deactivation_reason": {"attribute": "why", "default": "logout"},"#;
    let alone = layout(&format!("{off_at}{why}")).unwrap();
    let on = r#""is_active": {"attribute": "on", "reason": "expired_by_cleanup"},"#;
    let flagged = layout(&format!(
        "{off_at}{on}{}",
        why.replace(r#", "default": "logout""#, "")
    ))
    .unwrap();
    let off = ("off_at", number("1799000000"));
    let with = |why: AttributeValue| item([off.clone(), ("why", why)]);
    for (layout, item, expected) in [
        (
            &alone,
            with(text("expired_on_validation")),
            "expired_on_validation",
        ),
        (&alone, item([off.clone()]), "logout"),
        (&alone, with(text("bored")), "revoked"),
        (&flagged, with(text("logout")), "logout"),
        (&flagged, with(text("bored")), "expired_by_cleanup"),
        (
            &flagged,
            with(AttributeValue::Null(true)),
            "expired_by_cleanup",
        ),
    ] {
        assert_eq!(
            ended(layout, &item),
            Some(at("1799000000", expected)),
            "{item:?}"
        );
    }
}

#[test]
fn session_id_preset_carries_over_every_attribute_of_records() {
    let layout = Layout::preset("session-id").unwrap();
    let inactive = [
        ("session_id", text("s-1")),
        ("user_id", text("ann")),
        ("created_at", number("1799000000")),
        ("expires_at", number("1800003600")),
        ("deactivated_at", number("1799500000")),
        ("deactivation_reason", text("logout")),
        ("ip_address", text("192.0.2.7")),
        ("user_agent", text("agent")),
        ("client_id", text("web")),
        ("auth_time", number("1798000000")),
        ("last_used_at", number("1799400000")),
        ("max_expires_at", number("1800009999")),
    ];
    let converted = converted(&layout, &item(inactive.clone()));
    for (name, value) in inactive {
        assert_eq!(converted[name], value, "{name}");
    }
    assert_eq!(converted["is_active"], AttributeValue::Bool(false));
}
