//! Tests of layouts, and of conversions with invented items. The items of real stores are in
//! `tests/vectors/session_stores`.

mod ended;
mod layouts;
mod properties;

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// The smallest layout, with these members in addition.
fn layout(members: &str) -> Result<Layout, InvalidLayout> {
    let required = r#""session_id": {"attribute": "id"}, "user_id": {"attribute": "user"},
        "expires_at": {"attribute": "end", "unit": "s"}"#;
    Layout::parse(&format!("{{{members}{required}}}"))
}

fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    let base = [
        ("id", text("s-1")),
        ("user", text("ann")),
        ("end", number("1800003600")),
    ];
    let all = base.into_iter().chain(attributes);
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn number(number: &str) -> AttributeValue {
    AttributeValue::N(number.to_owned())
}

fn converted(layout: &Layout, item: &Item) -> Item {
    match layout.convert(item, NOW) {
        Ok(Conversion::Session(session)) => session.item(Days(30), Shards::default()),
        other => panic!("{other:?}"),
    }
}

fn problem(layout: &Layout, item: &Item) -> String {
    layout.convert(item, NOW).unwrap_err().to_string()
}

/// The item with these attributes and the key and index attributes of an active session.
fn active<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    let session = RecordKey::session(
        &UserId::parse("ann").unwrap(),
        &SessionId::parse("s-1").unwrap(),
    );
    let shard = Shards::default().assign(&session);
    let base = [
        ("pk", text("USER#ann")),
        ("sk", text("SESSION#s-1")),
        ("user_id", text("ann")),
        ("session_id", text("s-1")),
        ("is_active", AttributeValue::Bool(true)),
        ("created_at", time(NOW)),
        ("expires_at", number("1800003600")),
        ("due_key", text(format!("deactivate#{shard}"))),
        ("due_at", number("1800003600")),
        ("ttl", number("1802595600")),
    ];
    let all = base.into_iter().chain(attributes);
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

#[test]
fn converts_live_and_expired_session() {
    let layout = layout("").unwrap();
    let stale = [
        ("expires", number("1")),
        ("ttl", number("1")),
        ("sess", text("{}")),
    ];
    assert_eq!(converted(&layout, &item(stale)), active([]));
    let expired = converted(&layout, &item([("end", number("1700000000"))]));
    let expected = active([
        ("created_at", number("1700000000")),
        ("expires_at", number("1700000000")),
        ("due_at", number("1700000000")),
        ("ttl", number("1702592000")),
    ]);
    assert_eq!(expired, expected);
}

#[test]
fn maps_optional_attributes() {
    let layout = layout(
        r#""created_at": {"attribute": "made", "unit": "ms"},
           "auth_time": {"attribute": "data", "path": "/login", "unit": "iso8601"},
           "last_used_at": {"attribute": "seen", "unit": "s"},
           "max_expires_at": {"attribute": "absolute_end", "unit": "s"},
           "ip_address": {"attribute": "ip"}, "user_agent": {"attribute": "agent"},
           "client_id": {"attribute": "app", "default": "web"}, "keep": ["data", "theme"],"#,
    )
    .unwrap();
    let data = text(r#"{"login": "2027-01-15T07:00:00Z"}"#);
    let full = item([
        ("made", number("1799996400999")),
        ("data", data.clone()),
        ("seen", text("1799999999.5")),
        ("ip", text("192.0.2.7")),
        ("agent", text("")),
        ("app", AttributeValue::Null(true)),
    ]);
    let expected = active([
        ("created_at", number("1799996400")),
        ("auth_time", number("1799996400")),
        ("last_used_at", number("1799999999")),
        ("ip_address", text("192.0.2.7")),
        ("client_id", text("web")),
        ("data", data),
    ]);
    assert_eq!(converted(&layout, &full), expected);
    let mut empty = full.clone();
    empty.insert("app".to_owned(), text(""));
    assert_eq!(converted(&layout, &empty), expected);
    let mut capped = full;
    capped.insert("absolute_end".to_owned(), number("1800001000"));
    let capped = converted(&layout, &capped);
    for name in ["expires_at", "max_expires_at", "due_at"] {
        assert_eq!(capped[name], number("1800001000"), "{name}");
    }
    assert_eq!(
        converted(&layout, &item([])),
        active([("client_id", text("web"))])
    );
}

#[test]
fn deactivates_session_by_its_flag() {
    let flag = |value| ("on", AttributeValue::Bool(value));
    for (active_if, value) in [(true, false), (false, true)] {
        let layout = layout(&format!(
            r#""is_active": {{"attribute": "on", "active_if": {active_if}, "reason": "logout"}},
               "deactivated_at": {{"attribute": "off_at", "unit": "s"}},"#
        ))
        .unwrap();
        assert_eq!(converted(&layout, &item([])), active([]));
        assert_eq!(converted(&layout, &item([flag(!value)])), active([]));
        let due_key = active([])["due_key"]
            .as_s()
            .unwrap()
            .replace("deactivate", "delete");
        let inactive = |at: i64| {
            active([
                ("is_active", AttributeValue::Bool(false)),
                ("deactivated_at", number(&at.to_string())),
                ("deactivation_reason", text("logout")),
                ("due_key", text(&due_key)),
                ("due_at", number(&(at + 30 * 86_400).to_string())),
                ("ttl", number(&(at + 30 * 86_400).to_string())),
            ])
        };
        let off_at = ("off_at", number("1799000000"));
        assert_eq!(
            converted(&layout, &item([flag(value)])),
            inactive(NOW.seconds())
        );
        assert_eq!(
            converted(&layout, &item([flag(value), off_at])),
            inactive(1_799_000_000)
        );
        let told = problem(&layout, &item([("on", number("1"))]));
        assert_eq!(told, "the attribute on is not a boolean");
    }
}

#[test]
fn converts_only_items_with_required_values() {
    let layout =
        layout(r#""only": {"kind": "s", "v": 2, "on": true, "key": {"prefix": "S#"}},"#).unwrap();
    let good = [
        ("kind", text("s")),
        ("v", number("2")),
        ("on", AttributeValue::Bool(true)),
        ("key", text("S#1")),
    ];
    assert_eq!(converted(&layout, &item(good.clone())), active([]));
    for other in [
        ("kind", text("S")),
        ("v", number("3")),
        ("v", text("2")),
        ("on", AttributeValue::Bool(false)),
        ("key", text("T#1")),
    ] {
        let mut item = item(good.clone());
        item.insert(other.0.to_owned(), other.1);
        assert_eq!(layout.convert(&item, NOW), Ok(Conversion::NotASession));
    }
    assert_eq!(layout.convert(&item([]), NOW), Ok(Conversion::NotASession));
}

#[test]
fn cuts_ids_out_of_key() {
    let parse = |session: &str| {
        Layout::parse(&format!(
            r#"{{"session_id": {{"attribute": "id", {session}}},
                 "user_id": {{"attribute": "id", "prefix": "sess:", "before": "/"}},
                 "expires_at": {{"attribute": "end", "unit": "s"}}}}"#
        ))
        .unwrap()
    };
    let keyed = |key: &str| item([("id", text(key))]);
    let layout = parse(r#""prefix": "sess:", "after": "/""#);
    let session = converted(&layout, &keyed("sess:bob/a/b"));
    assert_eq!(
        (&session["pk"], &session["sk"]),
        (&text("USER#bob"), &text("SESSION#a/b"))
    );
    let hashed = parse(r#""after": "/", "hash": "sha256""#);
    let session = converted(&hashed, &keyed("sess:bob/abc"));
    // FIPS 180-2, appendix B.1.
    let hash = "SESSION#ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(session["sk"], text(hash));
    for (key, expected) in [
        (
            "other:1",
            "the attribute id is without the prefix \"sess:\"",
        ),
        ("sess:1", "the attribute id is without \"/\""),
        ("sess:bob/", "the attribute id is missing"),
        ("sess:/1", "the attribute id is missing"),
    ] {
        assert_eq!(problem(&layout, &keyed(key)), expected);
    }
}

#[test]
fn computes_missing_expiry_only_if_layout_says_so() {
    let parse = |more: &str| {
        Layout::parse(&format!(
            r#"{{"session_id": {{"attribute": "id"}}, "user_id": {{"attribute": "user"}},
                 "created_at": {{"attribute": "made", "unit": "s"}},
                 "expires_at": {{"attribute": "until", "unit": "s", {more}}}}}"#
        ))
        .unwrap()
    };
    let made = ("made", number("1799999000"));
    let expiry = |layout, item| {
        converted(layout, &item)["expires_at"]
            .as_n()
            .unwrap()
            .clone()
    };
    let default = parse(r#""default_lifetime_seconds": 3600"#);
    assert_eq!(expiry(&default, item([])), "1800003600");
    assert_eq!(expiry(&default, item([made.clone()])), "1800002600");
    assert_eq!(
        expiry(&default, item([("until", number("1800000009"))])),
        "1800000009"
    );
    let added = parse(r#""add_seconds": 60"#);
    assert_eq!(
        expiry(&added, item([("until", number("1800000009"))])),
        "1800000069"
    );
    assert_eq!(problem(&added, &item([])), "the attribute until is missing");
}

#[test]
fn names_attribute_that_prevents_conversion_without_its_value() {
    let layout = Layout::preset("connect-dynamodb").unwrap();
    let good = [
        ("id", text("sess:1")),
        ("type", text("connect-session")),
        ("sess", text(r#"{"passport":{"user":7}}"#)),
        ("expires", number("1800003600")),
    ];
    assert_eq!(
        converted(&layout, &item(good.clone()))["pk"],
        text("USER#7")
    );
    for (name, value, expected) in [
        ("id", text("secret"), "id is without the prefix \"sess:\""),
        ("id", number("5"), "id is without the prefix \"sess:\""),
        (
            "id",
            text("sess:\n"),
            "id is not valid: a session id must be 1 to 256 characters",
        ),
        (
            "id",
            AttributeValue::Bool(true),
            "id is neither a text nor a whole number",
        ),
        ("sess", text("secret"), "sess at /passport/user is not JSON"),
        ("sess", text("{}"), "sess at /passport/user is missing"),
        (
            "sess",
            text(r#"{"passport":{"user":null}}"#),
            "sess at /passport/user is missing",
        ),
        (
            "sess",
            text(r#"{"passport":{"user":{"id":1}}}"#),
            "sess at /passport/user is neither a text nor a number",
        ),
        (
            "sess",
            text(r#"{"passport":{"user":1.5}}"#),
            "sess at /passport/user is neither a text nor a whole number",
        ),
        (
            "sess",
            number("1"),
            "sess at /passport/user is neither a map, nor a text, nor binary",
        ),
        ("expires", text("secret"), "expires is not a number (s)"),
        (
            "expires",
            number("1800003600000"),
            "expires is a time after the year 9999, if its unit is s",
        ),
    ] {
        let mut item = item(good.clone());
        item.insert(name.to_owned(), value);
        let told = problem(&layout, &item);
        assert!(
            told.starts_with(&format!("the attribute {expected}")),
            "{told}"
        );
        assert!(!told.contains("secret"), "{told}");
    }
}

#[test]
fn recognizes_table_without_preset_name() {
    let known = item([
        ("session_id", text("1")),
        ("user_id", text("ann")),
        ("expires_at", number("1")),
    ]);
    assert_eq!(Layout::recognize(&known), Some("session-id"));
    assert_eq!(Layout::recognize(&item([])), None);
}
