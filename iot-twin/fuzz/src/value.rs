//! Any tree of values.

use iot_twin::Value;
use iot_twin::document::Document;
use iot_twin::value::Limits;

/// What is read keeps the limits, and comes back from its own bytes.
pub fn run(data: &[u8]) {
    merge(data);
    let Ok(value) = Value::from_cbor(data, Limits::DEFAULT) else {
        return;
    };
    assert!(value.check(Limits::DEFAULT).is_ok());
    let bytes = value.to_cbor();
    let again = Value::from_cbor(&bytes, Limits::DEFAULT).expect("its own bytes");
    assert_eq!(again.to_cbor(), bytes);
    let _ = value.to_json();
}

/// A patch does the same to a document, whether it was made a tree before or not, and nothing when it is refused.
fn merge(data: &[u8]) {
    let base = Value::map([
        ("lit", true.into()),
        (
            "inner",
            Value::map([("a", 1.into()), ("b", Value::map([("c", 2.into())]))]),
        ),
    ]);
    let mut ours = Document::new(Limits::DEFAULT);
    ours.merge(&base).expect("it is small");
    let (before, mut theirs) = (ours.clone(), ours.clone());
    let merged = ours.merge_cbor(data);
    let tree = Value::from_cbor(data, Limits::DEFAULT);
    let expected = tree.is_ok_and(|patch| theirs.merge(&patch).is_ok());
    assert_eq!(merged.is_ok(), expected);
    let wanted = if expected { &theirs } else { &before };
    // As bytes, because a number that is none differs from itself.
    assert_eq!(ours.root().to_cbor(), wanted.root().to_cbor());
}

pub fn seeds() -> Vec<Vec<u8>> {
    let tree = Value::map([
        ("lit", true.into()),
        (
            "list",
            Value::Array(vec![1.into(), Value::from(-2.5), "text".into()]),
        ),
        (
            "inner",
            Value::map([
                ("bytes", Value::Bytes(vec![1, 2, 3])),
                ("none", Value::Null),
            ]),
        ),
    ]);
    vec![tree.to_cbor(), Value::from(7).to_cbor()]
}

#[test]
fn every_seed_is_a_value_and_keeps_the_claims() {
    for seed in seeds() {
        assert!(Value::from_cbor(&seed, Limits::DEFAULT).is_ok());
        run(&seed);
    }
}
