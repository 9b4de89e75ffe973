use super::*;
use crate::mqtt::packet::Outgoing;
use crate::mqtt::packet::client::{Hello, put_subscribe};
use iot_core::authz::{Decision, OwnLane};
use iot_core::{DeviceId, Role, TenantId};
use proptest::prelude::*;

fn inspector(role: Role) -> Inspector {
    let tenant = TenantId::new("acme").unwrap();
    let who = Principal::new(tenant, DeviceId::new("d1").unwrap(), role);
    Inspector::new(who, Arc::new(OwnLane), 4_096)
}

fn connect(version: Version, client_id: &str) -> Vec<u8> {
    connect_as(version, client_id, Some(("user", b"secret")))
}

fn connect_as(version: Version, client_id: &str, login: Option<(&str, &[u8])>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let hello = Hello {
        version,
        client_id,
        clean: true,
        keep_alive_s: 30,
        session_expiry_s: 60,
        receive_maximum: 10,
        packet_limit: 10_000,
        login,
        will: None,
        properties: &[],
    };
    hello.put(&mut bytes).unwrap();
    bytes
}

fn publish(version: Version, topic: &str, properties: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let packet = Outgoing {
        topic,
        payload: b"x",
        id: Some(7),
        dup: false,
        retain: false,
        properties,
        expiry_s: None,
        alias: None,
    };
    packet.put(version, &mut bytes);
    bytes
}

/// An MQTT 3.1.1 CONNECT of `d1` with a will for its own topic, these flags, and `rest` behind the will.
fn connect_with_will(flags: u8, rest: &[&str]) -> Vec<u8> {
    let mut body = alloc::vec![0, 4, b'M', b'Q', b'T', b'T', 4, flags, 0, 30];
    for field in ["d1", "iot/1/acme/d1/health/up", "gone"].iter().chain(rest) {
        body.extend(u16::try_from(field.len()).unwrap().to_be_bytes());
        body.extend(field.as_bytes());
    }
    let mut bytes = alloc::vec![CONNECT, u8::try_from(body.len()).unwrap()];
    bytes.extend(body);
    bytes
}

/// Feeds a CONNECT and then `bytes`; what came out after the CONNECT.
fn after_connect(version: Version, bytes: &[u8]) -> Result<Vec<u8>, Violation> {
    let mut inspector = inspector(Role::Device);
    let mut out = Vec::new();
    inspector.feed(&connect(version, "d1"), &mut out).unwrap();
    out.clear();
    inspector.feed(bytes, &mut out).map(|()| out)
}

#[test]
fn a_connect_goes_on_under_tenant_and_role_without_its_login() {
    for version in [Version::V3, Version::V5] {
        let mut out = Vec::new();
        inspector(Role::Device)
            .feed(&connect(version, "d1"), &mut out)
            .unwrap();
        assert_eq!(out, connect_as(version, "acme:d:d1", None));
    }
}

#[test]
fn no_two_roles_share_a_session() {
    let roles = [Role::Newcomer, Role::Device, Role::Gateway, Role::Service];
    let upstream = |role| {
        let mut out = Vec::new();
        let hello = connect(Version::V5, "d1");
        inspector(role).feed(&hello, &mut out).unwrap();
        out
    };
    for (at, one) in roles.iter().enumerate() {
        for other in &roles[at + 1..] {
            assert_ne!(upstream(*one), upstream(*other), "{one:?} and {other:?}");
        }
    }
}

#[test]
fn only_a_service_has_messages_retained() {
    for version in [Version::V3, Version::V5] {
        for (role, topic, allowed) in [
            (Role::Device, "iot/1/acme/d1/twin/up", false),
            (Role::Gateway, "iot/1/acme/d1/twin/up", false),
            (Role::Service, "iot/1/acme/d2/twin/down", true),
        ] {
            let mut bytes = publish(version, topic, &[]);
            let mut inspector = inspector(role);
            let mut out = Vec::new();
            inspector.feed(&connect(version, "d1"), &mut out).unwrap();
            inspector.feed(&bytes, &mut out).unwrap();
            bytes[0] |= RETAIN;
            let outcome = inspector.feed(&bytes, &mut out);
            assert_eq!(outcome.is_ok(), allowed, "{role:?}");
            if let Err(violation) = outcome {
                assert_eq!(violation.stage, Stage::Publish);
            }
        }
    }
}

#[test]
fn a_devices_will_is_not_retained() {
    for (flags, allowed) in [(0b0000_0110, true), (0b0010_0110, false)] {
        let mut out = Vec::new();
        let bytes = connect_with_will(flags, &[]);
        let outcome = inspector(Role::Device).feed(&bytes, &mut out);
        assert_eq!(outcome.is_ok(), allowed);
        assert_eq!(out.is_empty(), !allowed);
    }
}

#[test]
fn a_will_goes_on_and_the_login_behind_it_does_not() {
    let mut out = Vec::new();
    let bytes = connect_with_will(0b1100_0110, &["user", "secret"]);
    inspector(Role::Device).feed(&bytes, &mut out).unwrap();
    let (header, _) = packet::frame(&out, 4_096).unwrap().unwrap();
    let Ok(Request::Connect(read)) = server::decode(Version::V3, out[0], &out[header..]) else {
        panic!("it is no CONNECT any more");
    };
    let will = read.will.unwrap();
    assert_eq!(read.client_id, "acme:d:d1");
    assert_eq!(
        (will.topic.as_str(), will.payload.as_slice()),
        ("iot/1/acme/d1/health/up", &b"gone"[..])
    );
    assert!(
        !out.windows(4)
            .any(|part| part == b"user" || part == b"secr")
    );
}

#[test]
fn another_client_id_is_refused_before_anything_goes_on() {
    let mut out = Vec::new();
    let mut bytes = connect(Version::V3, "d2");
    bytes.extend(publish(Version::V3, "iot/1/acme/d1/twin/up", &[]));
    let violation = inspector(Role::Device).feed(&bytes, &mut out).unwrap_err();
    assert_eq!(
        (violation.stage, violation.codes),
        (Stage::Connect, (2, 0x85))
    );
    assert!(out.is_empty());
}

#[test]
fn only_its_own_topics_go_on() {
    for version in [Version::V3, Version::V5] {
        let own = publish(version, "iot/1/acme/d1/twin/up", &[]);
        assert_eq!(after_connect(version, &own), Ok(own));
        for topic in [
            "iot/1/acme/d2/twin/up",
            "iot/1/acme/d1/twin/down",
            "iot/1/other/d1/twin/up",
            "x",
            "$SYS/x",
        ] {
            let violation = after_connect(version, &publish(version, topic, &[])).unwrap_err();
            assert_eq!(violation.stage, Stage::Publish, "{topic}");
        }
    }
}

#[test]
fn a_filter_beyond_its_own_is_refused() {
    for (filter, allowed) in [
        ("iot/1/acme/d1/command/down", true),
        ("iot/1/acme/d1/+/down", true),
        ("iot/1/acme/+/command/down", false),
        ("iot/1/acme/d2/command/down", false),
        ("$share/g/iot/1/acme/d1/command/down", true),
        ("$share/g/iot/1/acme/d2/command/down", false),
        ("$share/g/#", false),
        ("$share/g", false),
        ("$share//iot/1/acme/d1/command/down", false),
        ("$share/+/iot/1/acme/d1/command/down", false),
        ("$share/g/$share/h/iot/1/acme/d1/command/down", false),
        ("#", false),
    ] {
        let mut bytes = Vec::new();
        put_subscribe(&mut bytes, Version::V3, 1, filter).unwrap();
        let outcome = after_connect(Version::V3, &bytes);
        assert_eq!(outcome.is_ok(), allowed, "{filter}");
        if let Err(violation) = outcome {
            assert_eq!(violation.stage, Stage::Subscribe);
        }
    }
}

/// Lets everybody do everything.
struct Anything;

impl Authorizer for Anything {
    fn decide(&self, _: &Principal, _: &Action<'_>) -> Decision {
        Decision::Allow
    }
}

#[test]
fn no_share_reaches_across_tenants_whatever_policy_allows() {
    for (filter, allowed) in [
        ("iot/1/other/+/telemetry/up", true),
        ("$share/g/iot/1/other/+/telemetry/up", false),
        ("$share/g/iot/1/acme/+/telemetry/up", true),
    ] {
        for version in [Version::V3, Version::V5] {
            let who = inspector(Role::Service).principal;
            let mut inspector = Inspector::new(who, Arc::new(Anything), 4_096);
            let mut bytes = connect(version, "d1");
            put_subscribe(&mut bytes, version, 1, filter).unwrap();
            let outcome = inspector.feed(&bytes, &mut Vec::new());
            assert_eq!(outcome.is_ok(), allowed, "{filter}");
        }
    }
}

#[test]
fn a_topic_alias_cannot_smuggle_another_topic() {
    let alias = |number: u8| [35, 0, number];
    let mut bytes = publish(Version::V5, "iot/1/acme/d1/twin/up", &alias(1));
    bytes.extend(publish(Version::V5, "", &alias(1)));
    assert_eq!(after_connect(Version::V5, &bytes), Ok(bytes));
    let unknown = after_connect(Version::V5, &publish(Version::V5, "", &alias(2)));
    assert_eq!(unknown.unwrap_err().stage, Stage::Publish);
    let foreign = publish(Version::V5, "iot/1/acme/d2/twin/up", &alias(1));
    assert!(after_connect(Version::V5, &foreign).is_err());
}

#[test]
fn nothing_but_a_connect_may_come_first_and_none_later() {
    let mut out = Vec::new();
    let first = publish(Version::V3, "iot/1/acme/d1/twin/up", &[]);
    assert!(inspector(Role::Device).feed(&first, &mut out).is_err());
    assert!(after_connect(Version::V3, &connect(Version::V3, "d1")).is_err());
    assert!(out.is_empty());
}

#[test]
fn a_packet_above_the_limit_is_refused_from_its_header() {
    let violation = after_connect(Version::V3, &[0x30, 0xff, 0xff, 0x7f]).unwrap_err();
    assert_eq!(violation.stage, Stage::Publish);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_never_go_on_unread(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut out = Vec::new();
        // The chance that noise is a CONNECT of this very device is nil.
        let _ = inspector(Role::Device).feed(&bytes, &mut out);
        prop_assert!(out.is_empty());
    }

    #[test]
    fn a_mutated_packet_never_panics_and_never_reaches_another_device(
        five in any::<bool>(), flips in prop::collection::vec((0..60_usize, any::<u8>()), 1..4)
    ) {
        let version = if five { Version::V5 } else { Version::V3 };
        let mut bytes = publish(version, "iot/1/acme/d1/twin/up", &[]);
        for (at, value) in flips {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        if let Ok(out) = after_connect(version, &bytes)
            && let Ok(Some((header, body))) = packet::frame(&out, 4_096)
            && let Ok(Request::Publish(publish)) =
                server::decode(version, out[0], &out[header..header + body])
        {
            prop_assert!(Topic::parse(publish.topic()).is_ok_and(|topic| topic.peer.device() == "d1"));
        }
    }

    #[test]
    fn how_the_bytes_are_cut_makes_no_difference(cuts in prop::collection::vec(1..20_usize, 0..40)) {
        let mut whole = connect(Version::V5, "d1");
        for channel in ["twin", "telemetry", "health"] {
            whole.extend(publish(Version::V5, &format!("iot/1/acme/d1/{channel}/up"), &[]));
        }
        let mut expected = Vec::new();
        inspector(Role::Device).feed(&whole, &mut expected).unwrap();
        let (mut inspector, mut out, mut rest) = (inspector(Role::Device), Vec::new(), whole.as_slice());
        for cut in cuts {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            inspector.feed(now, &mut out).unwrap();
            rest = later;
        }
        inspector.feed(rest, &mut out).unwrap();
        prop_assert_eq!(out, expected);
    }
}
