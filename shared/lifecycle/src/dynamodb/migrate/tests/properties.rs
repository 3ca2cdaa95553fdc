//! Properties of every converted item.

use proptest::prelude::*;
use session_domain::DueKey;

use super::super::super::item::read_record;
use super::*;

proptest! {
    #[test]
    fn converted_item_is_well_formed_and_indexed(
        id in any::<String>(),
        user in any::<String>(),
        end in -1_000_i64..300_000_000_000,
        fraction in "(\\.[0-9]{1,20})?",
        made in prop::option::of(0_i64..300_000_000_000),
        on in prop::option::of(any::<bool>()),
        off_at in prop::option::of(900_000_000_i64..2_000_000_000),
        days in 0_u32..400,
        shards in 1_u8..=100,
    ) {
        let layout = layout(
            r#""created_at": {"attribute": "made", "unit": "s"},
               "is_active": {"attribute": "on", "reason": "revoked"},
               "deactivated_at": {"attribute": "off_at", "unit": "s"}, "keep": ["other"],"#,
        ).unwrap();
        let mut item = item([
            ("id", text(id)),
            ("user", text(user)),
            ("end", number(&format!("{end}{fraction}"))),
            ("other", number("1")),
        ]);
        for (name, value) in [("made", made), ("off_at", off_at)] {
            item.extend(value.map(|value| (name.to_owned(), number(&value.to_string()))));
        }
        item.extend(on.map(|on| ("on".to_owned(), AttributeValue::Bool(on))));
        if let Ok(Conversion::Session(session)) = layout.convert(&item, NOW) {
            let (retention, shards) = (Days(days), Shards::new(shards).unwrap());
            let item = session.item(retention, shards);
            let record = read_record(item.clone(), shards).unwrap();
            prop_assert_eq!(&record.key, &session.key());
            let policy = RetentionPolicy::without_grace(retention);
            prop_assert!(record.index_matches(&policy.due_entry(&record.state)));
            prop_assert_eq!(record.state, RecordState::Session(session.state()));
            prop_assert_eq!(record.due_key.map(DueKey::shard), Some(shards.assign(&session.key())));
            prop_assert_eq!(&item["expires_at"], &number(&end.to_string()));
            prop_assert!(!item.contains_key("end"));
            prop_assert_eq!(&item["other"], &number("1"));
        }
    }
}
