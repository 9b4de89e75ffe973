use super::*;
use proptest::prelude::*;

#[test]
fn a_length_is_refused_from_the_header_and_never_waited_for() {
    assert_eq!(frame(&[0x30], 100), Ok(None));
    assert_eq!(frame(&[0x30, 1], 100), Ok(None));
    assert_eq!(frame(&[0x30, 1, 9], 100), Ok(Some((2, 1))));
    let large = PacketError::TooLarge {
        bytes: 16_386,
        limit: 100,
    };
    assert_eq!(frame(&[0x30, 0xff, 0x7f], 100), Err(large));
    assert_eq!(
        frame(&[0x30, 0xff, 0xff, 0xff, 0xff], usize::MAX),
        Err(PacketError::Malformed)
    );
}

proptest! {
    #[test]
    fn a_publish_survives_the_round_trip(
        topic in "[a-z/]{1,40}", payload in prop::collection::vec(any::<u8>(), 0..300),
        id in prop::option::of(1..=u16::MAX), (dup, retain, five) in any::<(bool, bool, bool)>(),
        expiry_s in prop::option::of(any::<u32>()),
    ) {
        let version = if five { Version::V5 } else { Version::V3 };
        let sent = Outgoing {
            topic: &topic, payload: &payload, id, dup, retain, properties: &[], expiry_s, alias: None,
        };
        let mut bytes = Vec::new();
        sent.put(version, &mut bytes);
        prop_assert_eq!(bytes.len(), sent.bytes(version));
        let (header, body) = frame(&bytes, usize::MAX).unwrap().unwrap();
        prop_assert_eq!(header + body, bytes.len());
        let client::Reply::Publish(read) = client::decode(version, bytes[0], &bytes[header..]).unwrap() else {
            panic!("not a publish")
        };
        prop_assert_eq!(read.topic(), topic);
        prop_assert_eq!(read.payload().as_slice(), payload);
        prop_assert_eq!(read.id(), id);
        #[cfg(feature = "hub")]
        prop_assert_eq!(read.retain(), retain);
        prop_assert_eq!(read.qos(), u8::from(id.is_some()));
        prop_assert_eq!(read.properties().len(), usize::from(five && expiry_s.is_some()));
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        five in any::<bool>(), first in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..80)
    ) {
        let version = if five { Version::V5 } else { Version::V3 };
        let _ = frame(&body, 1_000);
        let _ = client::decode(version, first, &body);
        #[cfg(feature = "hub")]
        let _ = server::decode(version, first, &body);
    }
}

#[test]
fn an_acknowledgement_of_3_1_1_is_two_bytes() {
    assert_eq!(decode_puback(Version::V3, &[0, 7]), Ok((7, 0)));
    assert_eq!(
        decode_puback(Version::V3, &[0, 7, 0x87, 0]),
        Err(PacketError::Malformed)
    );
}
