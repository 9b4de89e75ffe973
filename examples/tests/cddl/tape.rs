use core::time::Duration;

use iot_core::port::{Limits, TransportErrorKind};
use iot_core::{Channel, Fate, Message, Peer, Priority, Qos, Ticket};
use iot_transport::layer::tape::Entry;

use super::schema::{Schema, schema};

pub(crate) const SCHEMA: Schema = schema!("iot-transport/src/layer/tape.cddl");

#[test]
fn every_entry_of_a_tape_is_as_described() {
    let plain = Message::telemetry(b"21.5").expires_in(Duration::from_millis(u64::MAX));
    let mut addressed = Message::new(Channel::Enrol, b"")
        .with_priority(Priority::Critical)
        .with_qos(Qos::AtMostOnce);
    addressed.peer = Peer::parse("acme", "boiler-7").ok();
    let entries = [
        ("opened", Entry::Opened(Limits::new(1_024, 4))),
        ("submitted", Entry::Submitted(plain, Ticket::new(u64::MAX))),
        (
            "turned_away",
            Entry::TurnedAway(addressed, TransportErrorKind::Other),
        ),
        ("subscribed", Entry::Subscribed(Channel::Twin)),
        (
            "not_subscribed",
            Entry::NotSubscribed(Channel::Enrol, TransportErrorKind::Refused),
        ),
        ("received", Entry::Received(addressed)),
        ("received", Entry::Received(plain)),
        ("settled", Entry::Settled(Ticket::new(0), Fate::Refused)),
        ("connected", Entry::Connected(true)),
        ("disconnected", Entry::Disconnected),
        ("failed", Entry::Failed(TransportErrorKind::Busy)),
    ];
    for (rule, entry) in entries {
        let mut tape = Vec::new();
        assert!(entry.write(&mut tape));
        SCHEMA.holds(rule, &tape);
        SCHEMA.holds("entry", &tape);
    }
}

#[test]
fn every_channel_fate_and_reason_is_described() {
    for channel in Channel::ALL {
        let mut tape = Vec::new();
        assert!(Entry::Subscribed(channel).write(&mut tape));
        assert_eq!(SCHEMA.accepts("subscribed", &tape), Ok(()));
    }
    for fate in [Fate::Delivered, Fate::Expired, Fate::Evicted, Fate::Refused] {
        let mut tape = Vec::new();
        assert!(Entry::Settled(Ticket::new(1), fate).write(&mut tape));
        assert_eq!(SCHEMA.accepts("settled", &tape), Ok(()));
    }
    for reason in [
        TransportErrorKind::Busy,
        TransportErrorKind::TooLarge,
        TransportErrorKind::Refused,
        TransportErrorKind::Buffer,
        TransportErrorKind::Closed,
        TransportErrorKind::Other,
    ] {
        let mut tape = Vec::new();
        assert!(Entry::Failed(reason).write(&mut tape));
        assert_eq!(SCHEMA.accepts("failed", &tape), Ok(()));
    }
}
