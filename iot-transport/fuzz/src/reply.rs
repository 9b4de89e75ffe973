//! Packets of brokers, as the client for hosts reads them.

use iot_transport::fuzzing::reply;
use iot_transport::mqtt::Version;

const VERSIONS: [Version; 2] = [Version::V3, Version::V5];

/// What is a packet is one in full: not with its last byte cut, unless its length is told by nothing else.
pub fn run(data: &[u8]) {
    let Some((&first, body)) = data.split_first() else {
        return;
    };
    for version in VERSIONS {
        let read = reply(version, first, body);
        assert_eq!(
            reply(version, first, body),
            read,
            "it is not the same twice"
        );
        // A message, codes and what may be left out are as long as the packet; all other packets have one length.
        let fixed = matches!((version, first >> 4), (Version::V3, 2 | 4) | (_, 13));
        if read.is_ok()
            && fixed
            && let Some((_, shorter)) = body.split_last()
        {
            assert!(
                reply(version, first, shorter).is_err(),
                "half a packet is one"
            );
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    [
        &b"\x20\x01\x00"[..],
        b"\x20\x00\x00\x06\x21\x00\x04\x22\x00\x09",
        b"\x32\x00\x01t\x00\x07x",
        b"\x32\x00\x01t\x00\x07\x00x",
        b"\x40\x00\x07",
        b"\x40\x00\x07\x87\x00",
        b"\x90\x00\x09\x01\x80",
        b"\x90\x00\x09\x00\x01\x87",
        b"\xd0",
        b"\xe0\x8b",
    ]
    .map(<[u8]>::to_vec)
    .to_vec()
}

#[test]
fn every_seed_is_a_packet_and_keeps_the_claims() {
    for seed in seeds() {
        let read = VERSIONS.map(|version| reply(version, seed[0], &seed[1..]));
        assert!(read.iter().any(Result::is_ok), "{seed:02x?}: {read:?}");
        run(&seed);
    }
}
