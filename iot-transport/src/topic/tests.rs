use alloc::string::{String, ToString};

use iot_core::authz::Direction;
use iot_core::id::MAX_NAME_BYTES;
use iot_core::{Channel, Peer};
use proptest::prelude::*;

use super::*;

#[test]
fn the_longest_topic_fits_the_stated_limit() {
    let name = "x".repeat(MAX_NAME_BYTES);
    let peer = Peer::parse(&name, &name).unwrap();
    let topic = Topic::new(peer, Channel::Telemetry, Direction::Down);
    let mut buffer = [0; MAX_TOPIC_BYTES];
    assert_eq!(topic.write(&mut buffer).unwrap().len(), MAX_TOPIC_BYTES);
    assert_eq!(
        topic.write(&mut [0; MAX_TOPIC_BYTES - 1]),
        Err(TopicError::Buffer)
    );
}

#[test]
fn nothing_but_the_layout_is_a_topic() {
    for text in [
        "",
        "iot/1/",
        "iot/2/acme/d1/twin/up",
        "IOT/1/acme/d1/twin/up",
        "iot/1/acme/d1/twin",
        "iot/1/acme/d1/twin/up/",
        "iot/1/acme/d1/twin/sideways",
        "iot/1/acme/d1/shadow/up",
        "iot/1/acme//twin/up",
        "iot/1/acme/+/twin/up",
        "iot/1/acme/#",
        "$share/g/iot/1/acme/d1/twin/up",
        "/iot/1/acme/d1/twin/up",
    ] {
        assert!(Topic::parse(text).is_err(), "{text:?} was accepted");
    }
}

#[test]
fn a_filter_never_reaches_across_tenants_or_directions() {
    for text in [
        "#",
        "iot/#",
        "iot/1/+/d1/twin/up",
        "iot/1/acme/#",
        "iot/1/acme/d1/twin/+",
        "iot/1/acme/d+/twin/up",
        "$share/g/iot/1/acme/+/twin/up",
    ] {
        assert!(Filter::parse(text).is_err(), "{text:?} was accepted");
    }
    assert_eq!(Filter::parse("iot/1/acme/+/+/up").unwrap().channel, None);
}

fn topic_parts() -> impl Strategy<Value = (String, String, usize, bool)> {
    (
        "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}",
        "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}",
        0..Channel::ALL.len(),
        any::<bool>(),
    )
}

proptest! {
    #[test]
    fn every_topic_survives_the_round_trip((tenant, device, channel, up) in topic_parts()) {
        let direction = if up { Direction::Up } else { Direction::Down };
        let topic = Topic::new(Peer::parse(&tenant, &device).unwrap(), Channel::ALL[channel], direction);
        let mut buffer = [0; MAX_TOPIC_BYTES];
        let text = topic.write(&mut buffer).unwrap();
        prop_assert_eq!(Topic::parse(text).unwrap(), topic);
        prop_assert_eq!(text, topic.to_string());
        let filter = Filter::parse(text).unwrap();
        prop_assert_eq!(filter.device, Some(device.as_str()));
        prop_assert!(matches(text, text));
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,120}") {
        let _ = Topic::parse(&text);
        let _ = Filter::parse(&text);
        let _ = matches(&text, &text);
    }

    #[test]
    fn what_parses_is_written_back_unchanged(text in "(iot/1/)?[a-z+#/]{0,40}(/twin/up)?") {
        let mut buffer = [0; MAX_TOPIC_BYTES];
        if let Ok(filter) = Filter::parse(&text) {
            prop_assert_eq!(filter.write(&mut buffer).unwrap(), text);
        }
    }
}
