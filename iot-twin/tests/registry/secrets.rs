//! What a query, and so anybody who may say whom is meant, cannot find.

use iot_twin::iot_core::fleet::Selector;
use iot_twin::registry::{Draft, Half, Is, Query, Record};
use iot_twin::{FieldId, Text, Twin, TwinService, Value};

use super::twins::key;

#[derive(Twin)]
struct Safe {
    #[twin(desired, id = 1)]
    open: bool,
    #[twin(desired, id = 2, secret)]
    pin: Text<8>,
    #[twin(desired, id = 3, personal)]
    owner: Text<8>,
}

#[test]
fn a_query_finds_nothing_that_is_personal_secret_or_unknown() {
    let mut twin = TwinService::of::<Safe>();
    twin.set("open", true).unwrap();
    twin.set("pin", "4711").unwrap();
    twin.set("owner", "mallory").unwrap();
    // Perhaps a secret of newer firmware.
    twin.set_field(FieldId::new(4), "other").unwrap();
    let record = Draft::of(&twin).finish().unwrap();
    let all = Query::of_every_tenant(Selector::parse("has(desired.open)").unwrap());
    let fields = [
        ("open", 1, Value::from(true), "true"),
        ("pin", 2, "4711".into(), "4711"),
        ("owner", 3, "mallory".into(), "mallory"),
        ("", 4, "other".into(), "other"),
    ];
    for (name, id, value, text) in fields {
        let public = id == 1;
        let id = id.to_string();
        for path in [name, &id].into_iter().filter(|path| !path.is_empty()) {
            let found = public && path == name;
            for is in [Is::Present, Is::Equal(value.clone())] {
                let query = all.clone().and(Half::Desired, path, is);
                assert_eq!(query.matches(&key(0), &record), found, "{path}");
            }
            let selector = Selector::parse(&format!("desired.{path} == '{text}'")).unwrap();
            let query = Query::of_every_tenant(selector);
            assert_eq!(query.matches(&key(0), &record), found, "{path}");
            let shown = record.value(Half::Desired, path).is_some();
            assert_eq!(shown, found, "{path}");
        }
    }
    // For those who may see it, it is there; also after a restart, and for a service that knows the field.
    assert_eq!(record.state().unwrap().desired().count(), 4);
    let stored = Record::from_cbor(record.as_cbor()).unwrap();
    let again = TwinService::of::<Safe>().restored(&stored.state().unwrap());
    assert_eq!(again.desired("pin"), Some(&"4711".into()));
    for log in [
        format!("{:?}", Draft::of(&twin)),
        format!("{record:?}"),
        format!("{:?}", stored.edit().unwrap()),
    ] {
        assert!(!log.contains("4711") && !log.contains("mallory"), "{log}");
    }
}

#[test]
fn what_an_older_service_did_not_know_is_found_once_a_newer_one_names_it() {
    #[derive(Twin)]
    struct Older {
        #[twin(desired, id = 1)]
        open: bool,
    }
    #[derive(Twin)]
    struct Newer {
        #[twin(desired, id = 1)]
        open: bool,
        #[twin(reported, id = 4)]
        heat: u8,
    }
    let mut told = TwinService::new();
    told.set_field(FieldId::new(4), 21).unwrap();
    let older = TwinService::of::<Older>().restored(&told.snapshot());
    let mut draft = Draft::of(&older);
    let found = |draft: &Draft, path| draft.finish().unwrap().value(Half::Desired, path);
    assert_eq!((found(&draft, "4"), found(&draft, "heat")), (None, None));
    draft.set_twin(&TwinService::of::<Newer>().restored(&told.snapshot()));
    assert_eq!(found(&draft, "heat"), Some(21.into()));
    draft.set_twin(&older);
    assert_eq!(found(&draft, "heat"), Some(21.into()));
}
