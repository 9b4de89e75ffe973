use super::*;
use crate::sync::TwinService;
use crate::{FieldId, Value};
use alloc::string::String;
use alloc::vec::Vec;
use proptest::prelude::*;

fn any_record() -> impl Strategy<Value = Record> {
    let names = proptest::collection::btree_map("[a-z]{1,6}", "[0-9a-z]{1,4}", 0..4);
    let groups = proptest::collection::btree_set("[a-z]{1,4}", 0..3);
    let values =
        proptest::collection::btree_map(any::<u16>(), crate::value::tests::any_leaf(), 0..5);
    (names, groups, values).prop_map(|(labels, groups, values)| {
        let mut twin = TwinService::new();
        for (id, value) in values {
            twin.set_field(FieldId::new(id), value).unwrap();
        }
        let mut draft = Draft::of(&twin);
        for (name, value) in &labels {
            draft.set_label(name, value).unwrap();
        }
        for group in &groups {
            draft.join(group).unwrap();
        }
        draft.finish().unwrap()
    })
}

#[test]
fn labels_and_groups_have_a_limit_and_reserved_names() {
    let mut draft = Draft::of(&TwinService::new());
    for number in 0..MAX_LABELS {
        draft.set_label(&alloc::format!("l{number}"), "x").unwrap();
        draft.join(&alloc::format!("g{number}")).unwrap();
    }
    let full = draft.clone();
    assert_eq!(draft.set_label("one-more", "x"), Err(RecordError::TooMany));
    assert_eq!(draft.join("one-more"), Err(RecordError::TooMany));
    assert_eq!(
        draft.set_label("desired.x", "1"),
        Err(RecordError::Reserved)
    );
    assert_eq!(draft, full);
    draft.set_label("l0", "y").unwrap();
    assert_eq!(draft.finish().unwrap().label("l0"), Some("y"));
}

#[test]
fn a_record_that_is_too_long_is_refused() {
    let mut twin = TwinService::new();
    for id in 0..66 {
        let text = Value::Text("x".repeat(1_000));
        twin.set_field(FieldId::new(id), text).unwrap();
    }
    let error = Draft::of(&twin).finish().unwrap_err();
    assert!(matches!(error, RecordError::TooLong { bytes } if bytes > MAX_RECORD_BYTES));
}

proptest! {
    #[test]
    fn every_record_comes_back_as_it_was(record in any_record()) {
        prop_assert_eq!(Record::from_cbor(record.as_cbor()), Ok(record.clone()));
        prop_assert_eq!(record.edit().unwrap().finish(), Ok(record.clone()));
        let groups: Vec<_> = record.groups().collect();
        prop_assert!(groups.iter().all(|group| record.is_in(group)) && groups.is_sorted());
        for (name, value) in record.labels() {
            prop_assert_eq!(record.label(name), Some(value));
        }
    }

    #[test]
    fn what_is_accepted_has_one_encoding(record in any_record(), at: prop::sample::Index, byte: u8) {
        let mut bytes = record.as_cbor().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(other) = Record::from_cbor(&bytes) {
            prop_assert_eq!(other.as_cbor(), &*bytes);
            let _: Vec<String> = other.leaves().into_iter().map(|leaf| leaf.path).collect();
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = Record::from_cbor(&bytes);
    }
}
