//! Messages of a device shadow, before the service and before the device's side.

use iot_twin::TwinService;
use iot_twin::interop::aws::{Caller, MAX_STATE_BYTES, ShadowId, ShadowLink, Shadows, Topic};
use iot_twin::iot_core::{Instant, Timestamp};
use iot_twin::value::{Limits, Value};

/// The first line is a topic, the rest a payload. Whatever comes, the service answers a request that it knows with one
/// answer that is JSON, and the link has at most one request under way.
pub fn run(data: &[u8]) {
    let split = data
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(data.len());
    let (topic, payload) = data.split_at(split);
    let payload = payload.get(1..).unwrap_or(&[]);
    let Ok(topic) = std::str::from_utf8(topic) else {
        return;
    };
    if let Some(read) = Topic::parse(topic) {
        assert_eq!(read.to_string(), topic);
    }
    let mut shadows = Shadows::new();
    shadows.add_thing("t");
    for second in 1..3 {
        for answer in shadows.handle(
            Timestamp::from_secs(second),
            Caller::ALLOWED,
            topic,
            payload,
        ) {
            let limits = Limits::new(80, 1 << 20, 1 << 24);
            Value::from_json(&answer.payload, limits).expect("an answer is JSON");
            assert!(Topic::parse(&answer.topic).is_some());
        }
    }
    let mut link = ShadowLink::new(ShadowId::classic("t").expect("a name"), TwinService::new());
    link.connected();
    let now = Instant::from_millis(1);
    let request = link
        .next(now)
        .expect("nothing is held back")
        .expect("a get");
    let _ = link.receive(now, topic, payload);
    if let Ok(Some(next)) = link.next(now) {
        assert!(next.payload.len() < 2 * MAX_STATE_BYTES && next.payload != request.payload);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    [
        "$aws/things/t/shadow/update\n{\"state\":{\"desired\":{\"a\":{\"b\":1}}},\"clientToken\":\"x\",\"version\":0}",
        "$aws/things/t/shadow/get\n",
        "$aws/things/t/shadow/get/accepted\n{\"state\":{\"delta\":{\"a\":1}},\"metadata\":{},\"version\":3,\"clientToken\":\"twin-1\"}",
        "$aws/things/t/shadow/get/rejected\n{\"code\":404,\"message\":\"No shadow exists with name: t\",\"clientToken\":\"twin-1\"}",
        "$aws/things/t/shadow/update/delta\n{\"state\":{\"a\":1},\"metadata\":{\"a\":{\"timestamp\":1}},\"version\":3}",
        "$aws/things/t/shadow/name/n/delete\n{}",
    ]
    .map(|seed| seed.as_bytes().to_vec())
    .to_vec()
}

#[test]
fn every_seed_has_a_shadows_topic_and_keeps_the_claims() {
    for seed in seeds() {
        let text = String::from_utf8(seed.clone()).expect("text");
        assert!(Topic::parse(text.split('\n').next().expect("a line")).is_some());
        run(&seed);
    }
}
