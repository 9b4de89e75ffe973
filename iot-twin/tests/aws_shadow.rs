//! The recorded deltas of the AWS shadow, through the adapter.
#![cfg(feature = "json")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use iot_twin::interop::aws::{Caller, Publish, Shadows};
use iot_twin::iot_core::Timestamp;
use iot_twin::value::{Limits, Value};

const LIMITS: Limits = Limits::new(16, 10_000, 1 << 20);

fn vectors() -> Value {
    let folder = std::env::var("IOT_VECTORS")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors").into());
    let path = format!("{folder}/shadow/aws-delta.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    Value::from_json(&text, LIMITS).unwrap()
}

fn body(published: &[Publish], end: &str) -> Option<Value> {
    let found = published
        .iter()
        .find(|publish| publish.topic.ends_with(end))?;
    Some(Value::from_json(&found.payload, LIMITS).unwrap())
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn every_recorded_delta_of_the_aws_shadow_comes_out_of_the_adapter() {
    let file = vectors();
    let Some(Value::Array(cases)) = file.get("delta") else {
        panic!("no cases");
    };
    assert_eq!(cases.len(), 14);
    for case in cases {
        let mut shadows = Shadows::new();
        shadows.add_thing("t");
        let mut second = 0;
        let mut ask = |operation: &str, payload: &str| {
            second += 1;
            let topic = format!("$aws/things/t/shadow/{operation}");
            shadows.handle(
                Timestamp::from_secs(second),
                Caller::ALLOWED,
                &topic,
                payload.as_bytes(),
            )
        };
        for (update, expected) in [
            ("desired", "initial_delta"),
            ("reported", "delta_after_report"),
        ] {
            let request = Value::map([("state", case.get(update).unwrap().clone())]);
            let published = ask("update", &request.to_json());
            let expected = case.get(expected).unwrap();
            let delta = body(&published, "/update/delta");
            let told = delta.as_ref().map(|delta| delta.get("state").unwrap());
            assert_eq!(told, expected.get("delta"), "{}", case.to_json());
            let whole = body(&ask("get", ""), "/get/accepted").unwrap();
            assert_eq!(whole.get("state"), Some(expected), "{}", case.to_json());
            assert!(body(&published, "/update/documents").is_some());
        }
    }
}
