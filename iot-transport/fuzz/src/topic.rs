//! Topics as a broker hands them over.

use iot_transport::topic::{MAX_TOPIC_BYTES, Topic};

/// What is parsed is what is written.
pub fn run(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else {
        return;
    };
    if let Ok(topic) = Topic::parse(text) {
        let mut room = [0; MAX_TOPIC_BYTES];
        assert_eq!(topic.write(&mut room).expect("it fits"), text);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "iot/1/acme/boiler-7/telemetry/up",
        "iot/1/acme/boiler-7/command/down",
        "iot/1/a/b/enrol/up",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

#[test]
fn every_seed_is_a_topic_and_keeps_the_claims() {
    for seed in seeds() {
        let text = core::str::from_utf8(&seed).expect("a text");
        assert!(Topic::parse(text).is_ok(), "{text}");
        run(&seed);
    }
}
