//! The gate, before a client that may say anything.

use iot_transport::fuzzing::{Heard, Judge, connect, frame, publish, request};
use iot_transport::iot_core::authz::Direction;
use iot_transport::iot_core::{DeviceId, Peer, Principal, Role, TenantId};
use iot_transport::mqtt::Version;
use iot_transport::topic::Topic;

const LIMIT: usize = 512;
const UPSTREAM: &str = "acme:d:d1";

fn names() -> (TenantId, DeviceId) {
    let names = (TenantId::new("acme"), DeviceId::new("d1"));
    (names.0.expect("a name"), names.1.expect("a name"))
}

/// What goes on, and what ended it, when the bytes come in pieces of that length.
fn judged(bytes: &[u8], piece: usize) -> (Vec<u8>, Option<String>) {
    let (tenant, device) = names();
    let mut judge = Judge::new(Principal::new(tenant, device, Role::Device), LIMIT);
    let mut out = Vec::new();
    for part in bytes.chunks(piece) {
        if let Err(violation) = judge.feed(part, &mut out) {
            return (out, Some(violation));
        }
    }
    (out, None)
}

/// However the bytes come, the same goes on: whole packets that the hub can read, the first under the name that the gate
/// gives and without a login, and no message to anybody else's topic.
pub fn run(data: &[u8]) {
    let Some((&piece, bytes)) = data.split_first() else {
        return;
    };
    let (out, violation) = judged(bytes, bytes.len().max(1));
    let again = judged(bytes, usize::from(piece % 16) + 1);
    assert_eq!(
        (&out, &violation),
        (&again.0, &again.1),
        "pieces change the judgement"
    );
    let (mut rest, mut version) = (&out[..], None);
    while !rest.is_empty() {
        let (header, length) = frame(rest, LIMIT + UPSTREAM.len())
            .expect("not longer")
            .expect("whole");
        let (packet, behind) = rest.split_at(header + length);
        rest = behind;
        let (first, body) = (packet[0], &packet[header..]);
        let Some(version) = version else {
            let Ok(Heard::Connect(spoken, id, _)) = request(Version::V3, first, body) else {
                panic!("the first packet is no CONNECT");
            };
            assert_eq!((id.as_str(), body[7] & 0xc0), (UPSTREAM, 0));
            version = Some(spoken);
            continue;
        };
        // The packets of quality 2 name an identifier, which is between client and broker; and a broker may refuse what
        // the gate did not read to its end.
        if let Ok(Heard::Publish { topic, alias, .. }) = request(version, first, body) {
            let (tenant, device) = names();
            let own = Peer::new(&tenant, &device);
            let allowed = Topic::parse(&topic)
                .is_ok_and(|topic| topic.peer == own && topic.direction == Direction::Up);
            assert!(
                allowed || topic.is_empty() && alias.is_some(),
                "{topic:?} went on"
            );
            assert_eq!(first & 1, 0, "a device had something retained");
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for version in [Version::V3, Version::V5] {
        let hello = connect(version, "d1", Some(("me", b"secret")));
        let own = publish(version, "iot/1/acme/d1/telemetry/up", Some(7), b"21.5");
        let other = publish(version, "iot/1/acme/d2/telemetry/up", Some(8), b"21.5");
        seeds.push([&[0][..], &hello, &own, &[0xc0, 0], &[0x40, 2, 0, 9], &own].concat());
        seeds.push([&[6][..], &hello, &[0x50, 2, 0, 1], &own, &other].concat());
        seeds.push([&[2][..], &own, &hello].concat());
    }
    seeds
}

#[test]
fn the_seeds_keep_the_claims_and_get_as_far_as_they_should() {
    let mut passed = Vec::new();
    for seed in seeds() {
        run(&seed);
        let (out, violation) = judged(&seed[1..], 1_000);
        passed.push((!out.is_empty(), violation.is_none()));
    }
    let of_one = [(true, true), (true, false), (false, false)];
    assert_eq!(passed, [of_one, of_one].concat());
}
