//! What a registry stores of a twin.

use iot_twin::iot_core::fleet::Selector;
use iot_twin::registry::{Draft, Half, Query, Record};
use iot_twin::{FieldId, TwinService};

/// What is accepted has one encoding; labels, groups and values can be read, and a query never fails.
pub fn run(data: &[u8]) {
    let Ok(record) = Record::from_cbor(data) else {
        return;
    };
    assert_eq!(record.as_cbor(), data);
    let draft = record.edit().expect("its own bytes");
    assert_eq!(draft.finish().expect("its own bytes"), record);
    for (name, value) in record.labels() {
        assert_eq!(record.label(name), Some(value));
    }
    assert!(record.groups().all(|group| record.is_in(group)));
    let _ = record.value(Half::Reported, "a/b");
    let selector = "site == 'north' || desired.1 != '2' && has(reported.a.b)";
    let query = Query::of_every_tenant(Selector::parse(selector).expect("a selector"));
    let _ = query.matches(&"acme/d".parse().expect("a key"), &record);
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut twin = TwinService::new();
    let mut seeds = Vec::new();
    for (site, value) in [("north", 2), ("south", 700)] {
        twin.set_field(FieldId::new(1), value).expect("a value");
        let mut draft = Draft::of(&twin);
        draft.set_label("site", site).expect("a label");
        draft.join("lab").expect("a group");
        seeds.push(draft.finish().expect("a record").as_cbor().to_vec());
    }
    seeds
}

#[test]
fn every_seed_is_a_record_and_keeps_the_claims() {
    for seed in seeds() {
        assert!(Record::from_cbor(&seed).is_ok());
        run(&seed);
    }
}
