//! Packets as bytes.

use alloc::string::String;

use proptest::prelude::*;

use super::super::decode::{Malformed, Packet, decode, frame};
use super::super::encode::{Head, Publish};
use super::*;

const VERSIONS: [Version; 2] = [Version::V3, Version::V5];

fn body(bytes: &[u8]) -> (u8, &[u8]) {
    let (header, whole) = frame(bytes).unwrap().unwrap();
    assert_eq!(whole, bytes.len());
    (bytes[0], &bytes[header..])
}

#[test]
fn the_longest_packets_fit_the_head() {
    let (name, password) = ("n".repeat(64), [1; MAX_LOGIN_BYTES]);
    let settings = Settings::device(TenantId::new(&name).unwrap(), DeviceId::new(&name).unwrap());
    let settings = settings.with_login("", &password).unwrap();
    let mut head = Head::new();
    head.connect(&settings, 4_096);
    let (_, rest) = body(head.rest());
    assert!(rest.ends_with(&password), "the packet was cut");
    let topic = "t".repeat(crate::topic::MAX_TOPIC_BYTES);
    for version in VERSIONS {
        head.subscribe(version, 1, &topic);
        let (_, rest) = body(head.rest());
        assert!(rest.ends_with(&[b't', 1]), "the packet was cut");
    }
}

#[test]
fn a_length_is_read_from_the_header_alone() {
    assert_eq!(frame(&[0x30, 0xff, 0x7f]), Ok(Some((3, 3 + 0x3fff))));
    assert_eq!(frame(&[0x30, 0xff]), Ok(None));
    assert_eq!(frame(&[0x30, 0xff, 0xff, 0xff, 0xff]), Err(Malformed));
    assert_eq!(frame(&[]), Ok(None));
}

#[test]
fn what_no_broker_may_send_is_malformed() {
    for (first, bytes) in [
        (0x20, &[2, 0, 0][..]),            // a reserved flag
        (0x20, &[1, 0x87, 0]),             // a refusal with a session
        (0x20, &[0, 0, 2, 0x21, 0]),       // half a property
        (0x20, &[0, 0, 1, 0x7f]),          // a property that does not exist
        (0x20, &[0, 0, 0, 0]),             // more than the packet
        (0x34, &[0, 1, b't', 0, 1, 0]),    // quality of service 2
        (0x32, &[0, 1, b't', 0, 0, 0]),    // identifier 0
        (0x32, &[0, 1, 0xff, 0, 1, 0]),    // a topic that is no text
        (0x40, &[0, 0]),                   // identifier 0
        (0x41, &[0, 1]),                   // a reserved flag
        (0x90, &[0, 1, 0]),                // no answer
        (0xd0, &[0]),                      // more than the packet
        (0x82, &[0, 1, 0, 0, 1, b't', 1]), // a packet of clients
    ] {
        assert_eq!(
            decode(Version::V5, first, bytes),
            Err(Malformed),
            "{first:#x} {bytes:?}"
        );
    }
    assert_eq!(decode(Version::V3, 0xe0, &[]), Err(Malformed));
}

#[test]
fn a_welcome_says_what_the_broker_takes() {
    let bytes = [
        0, 0, 16, 0x21, 0, 9, 0x27, 0, 0, 1, 0, 0x13, 0, 60, 0x12, 0, 2, b'i', b'd',
    ];
    let Ok(Packet::Welcome(welcome)) = decode(Version::V5, 0x20, &bytes) else {
        panic!("it is a welcome");
    };
    assert_eq!((welcome.receive_maximum, welcome.packet_bytes), (9, 256));
    assert_eq!(welcome.keep_alive, Some(Duration::from_secs(60)));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for version in VERSIONS {
            if let Ok(Some((header, whole))) = frame(&bytes)
                && let Some(body) = bytes.get(header..whole)
            {
                let _ = decode(version, bytes[0], body);
            }
            for first in [0x20, 0x32, 0x40, 0x90, 0xe0] {
                let _ = decode(version, first, &bytes);
            }
        }
    }

    #[test]
    fn a_message_survives_the_round_trip(
        topic in "[a-z/]{1,100}",
        payload in prop::collection::vec(any::<u8>(), 0..300),
        id in any::<u16>(),
        again in any::<bool>(),
        expiry_s in prop::option::of(any::<u32>()),
    ) {
        for version in VERSIONS {
            let mut head = Head::new();
            let publish = Publish { topic: &topic, payload_bytes: payload.len(), id, again, expiry_s };
            head.publish(version, &publish);
            let mut bytes = head.rest().to_vec();
            bytes.extend_from_slice(&payload);
            let (first, rest) = body(&bytes);
            let packet = Packet::Publish { topic: &topic, id, payload: &payload };
            prop_assert_eq!(decode(version, first, rest), Ok(packet));
        }
    }

    #[test]
    fn what_this_client_writes_a_foreign_decoder_reads(name in "[a-z]{1,60}", id in 1..u16::MAX) {
        let topic: String = name;
        let mut head = Head::new();
        head.acknowledge(id);
        prop_assert_eq!(decode(Version::V3, 0x40, body(head.rest()).1), Ok(Packet::Acknowledged { id, code: 0 }));
        head.subscribe(Version::V3, id, &topic);
        let rest = body(head.rest()).1;
        prop_assert_eq!(rest.len(), 2 + 2 + topic.len() + 1);
    }
}
