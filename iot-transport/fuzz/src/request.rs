//! Packets of clients, as the hub reads them and the gate before it.

use iot_transport::fuzzing::{Heard, connect, frame, publish, rename, request, topic_v3};
use iot_transport::mqtt::Version;

const ID: &str = "acme:d:boiler-7";

fn version(byte: u8) -> Version {
    match byte & 1 {
        0 => Version::V3,
        _ => Version::V5,
    }
}

/// Splits what one of our encoders wrote.
fn split(bytes: &[u8]) -> (u8, &[u8]) {
    let (header, body) = frame(bytes, usize::MAX).expect("our own").expect("whole");
    assert_eq!(header + body, bytes.len());
    (bytes[0], &bytes[header..])
}

/// The gate judges the topic that the hub will read; what is written again is the same; and a CONNECT that was renamed
/// is the same but for its name and its login.
pub fn run(data: &[u8]) {
    let [version_byte, first, body @ ..] = data else {
        return;
    };
    let (version, first) = (version(*version_byte), *first);
    let Ok(heard) = request(version, first, body) else {
        return;
    };
    match heard {
        Heard::Publish {
            topic,
            alias,
            id,
            payload,
        } => {
            if version == Version::V3 {
                assert_eq!(topic_v3(first, body), Ok(topic.as_str()));
            }
            if topic.is_empty() {
                assert!(alias.is_some());
                return;
            }
            let bytes = publish(version, &topic, id, &payload);
            let (first, body) = split(&bytes);
            let alias = None;
            let same = Heard::Publish {
                topic,
                alias,
                id,
                payload,
            };
            assert_eq!(request(version, first, body), Ok(same));
        }
        Heard::Connect(spoken, _, rest) => {
            let bytes = rename(first, body, spoken, ID).expect("what was read can be renamed");
            let (first, body) = split(&bytes);
            let same = Heard::Connect(spoken, ID.into(), rest);
            assert_eq!(request(version, first, body), Ok(same));
            assert_eq!(body[7] & 0xc0, 0, "a login goes on");
        }
        Heard::Other(_) => {}
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (byte, version) in [(0, Version::V3), (1, Version::V5)] {
        for packet in [
            connect(version, "boiler-7", None),
            connect(version, "", Some(("me", b"secret"))),
            publish(
                version,
                "iot/1/acme/boiler-7/telemetry/up",
                Some(7),
                b"21.5",
            ),
            publish(version, "t", None, b""),
        ] {
            let (first, body) = split(&packet);
            seeds.push([&[byte, first], body].concat());
        }
    }
    let will =
        b"\x00\x10\x00\x04MQTT\x04\xce\x00\x1e\x00\x02d1\x00\x01w\x00\x04gone\x00\x02me\x00\x02pw";
    let will_5 = b"\x01\x10\x00\x04MQTT\x05\xce\x00\x1e\x00\x00\x02d1\x05\x18\x00\x00\x00\x09\x00\x01w\x00\x04gone\x00\x02me\x00\x02pw";
    for seed in [
        &will[..],
        will_5,
        b"\x00\x82\x00\x09\x00\x03a/+\x01\x00\x01#\x00",
        b"\x01\x82\x00\x09\x00\x00\x03a/+\x2d",
        b"\x00\xa2\x00\x09\x00\x03a/+",
        b"\x01\x40\x00\x09\x10\x00",
        b"\x01\xe0\x04\x05\x11\x00\x00\x00\x00",
        b"\x00\xc0",
    ] {
        seeds.push(seed.to_vec());
    }
    seeds
}

#[test]
fn every_seed_is_a_packet_and_keeps_the_claims() {
    for seed in seeds() {
        let read = request(version(seed[0]), seed[1], &seed[2..]);
        assert!(read.is_ok(), "{seed:02x?}: {read:?}");
        run(&seed);
    }
}
