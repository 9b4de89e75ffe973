//! Merge patch and shadow deltas against recorded cases.
#![cfg(feature = "json")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

use iot_twin::diff::delta;
use iot_twin::merge::merge;
use iot_twin::value::{Limits, Value};

fn vectors(path: &str) -> Value {
    let folder = std::env::var("IOT_VECTORS")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors").into());
    let path = format!("{folder}/{path}");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    Value::from_json(&text, Limits::new(16, 10_000, 1 << 20)).unwrap()
}

fn list(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        other => panic!("not a list: {other:?}"),
    }
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn every_case_of_rfc_7396_merges_as_written() {
    let cases = vectors("merge-patch/rfc7396-appendix-a.json");
    assert_eq!(list(&cases).len(), 15);
    for case in list(&cases) {
        let mut target = case.get("original").unwrap().clone();
        merge(&mut target, case.get("patch").unwrap());
        assert_eq!(&target, case.get("result").unwrap(), "{}", case.to_json());
        // The same through CBOR, as it travels.
        let patch = case.get("patch").unwrap().to_cbor();
        let mut target = case.get("original").unwrap().clone();
        merge(
            &mut target,
            &Value::from_cbor(&patch, Limits::DEFAULT).unwrap(),
        );
        assert_eq!(&target, case.get("result").unwrap(), "{}", case.to_json());
    }
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn every_recorded_delta_of_the_aws_shadow_is_ours() {
    let file = vectors("shadow/aws-delta.json");
    let cases = list(file.get("delta").unwrap());
    assert_eq!(cases.len(), 14);
    for case in cases {
        let mut state = Value::map([]);
        for (update, expected) in [
            ("desired", "initial_delta"),
            ("reported", "delta_after_report"),
        ] {
            merge(&mut state, case.get(update).unwrap());
            let section = |name| state.get(name).cloned().unwrap_or_else(|| Value::map([]));
            let delta = delta(&section("desired"), &section("reported"));
            let expected = case.get(expected).unwrap();
            assert_eq!(delta.as_ref(), expected.get("delta"), "{}", case.to_json());
            for name in ["desired", "reported"] {
                // Empty sections vanish from what the shadow shows.
                let shown = Some(section(name)).filter(|section| *section != Value::map([]));
                assert_eq!(shown.as_ref(), expected.get(name), "{}", case.to_json());
            }
        }
    }
}
