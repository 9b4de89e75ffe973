//! Templates of topics, and topics that may follow them.

use iot_transport::topic::matches;
use iot_transport::topic::template::{MAX_BYTES, Template, Value};

/// A template, a line feed, a topic: what is read is written as the same text, and is found by the filter, whichever
/// fields are bound. A value of one topic may stand in another one, and is read there as what it was.
pub fn run(data: &[u8]) {
    let Some((text, topic)) = core::str::from_utf8(data)
        .ok()
        .and_then(|text| text.split_once('\n'))
    else {
        return;
    };
    let Ok(template) = Template::new(text) else {
        return;
    };
    assert_eq!(template.as_str(), text);
    let Ok(values) = template.parse(topic) else {
        return;
    };
    let mut named: Vec<(&str, Value<'_>)> = values
        .iter()
        .map(|(field, value)| (field.name, value))
        .collect();
    let mut room = vec![0; MAX_BYTES];
    assert_eq!(template.write(&mut room, &named), Ok(topic));
    if topic.len() == MAX_BYTES {
        return;
    }
    for bound in 0..=named.len() {
        for values in [&named[..bound], &named[bound..]] {
            let filter = template
                .filter(&mut room, values)
                .expect("at most one byte more than the topic");
            assert!(matches(filter, topic), "{filter} of {text}");
        }
    }
    exchanged(template, &mut named);
}

/// Gives each text to the next field that takes one. Where it fits, nothing is read otherwise than written.
fn exchanged(template: Template<'_>, named: &mut [(&str, Value<'_>)]) {
    for at in 1..named.len() {
        let (front, back) = named.split_at_mut(at);
        if let (Some((_, one)), Some((_, other))) = (front.last_mut(), back.first_mut()) {
            core::mem::swap(one, other);
        }
        let mut room = vec![0; MAX_BYTES];
        if let Ok(topic) = template.write(&mut room, named) {
            let values = template.parse(topic).expect("what was written is read");
            assert!(
                values
                    .iter()
                    .map(|(field, value)| (field.name, value))
                    .eq(named.iter().copied()),
                "{topic}"
            );
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let pairs = [
        "$aws/things/{thing}/shadow/name/{shadow:name}/update/{what}\n$aws/things/b7/shadow/name/config/update/delta",
        "$iothub/twin/res/{status:u16}/?$rid={rid:name}&$version={version:u64}\n$iothub/twin/res/204/?$rid=1&$version=2",
        "te/device/{device}///m/{type}/meta\nte/device/main///m/temperature/meta",
        "{a}/v{b:u16}.{c:u32}-{d}.bin/{e:rest}\na/v1.2-rc.bin/b//c",
        "iot/1/{tenant:name}/{device:name}/{channel:channel}/{direction:direction}\niot/1/acme/b7/twin/up",
    ];
    pairs.map(|text| text.as_bytes().to_vec()).to_vec()
}

#[test]
fn every_seed_is_a_template_with_a_topic_and_keeps_the_claims() {
    for seed in seeds() {
        let text = core::str::from_utf8(&seed).expect("a text");
        let (template, topic) = text.split_once('\n').expect("two lines");
        let template = Template::new(template).expect("a template");
        assert!(template.parse(topic).is_ok(), "{text}");
        run(&seed);
    }
}
