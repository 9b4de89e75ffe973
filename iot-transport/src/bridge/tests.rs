use alloc::vec::Vec;
use core::time::Duration;

use iot_core::engine::{Done, RecordKey, Step};
use iot_core::time::TimeBounds;
use iot_core::{Engine, Instant, Now, Peer, Priority};
use proptest::prelude::*;

use super::*;
use crate::envelope::{Envelope, Position};

fn at(seconds: u64) -> Now {
    Now::new(Instant::from_millis(seconds * 1_000), TimeBounds::UNKNOWN)
}

fn outbox() -> Outbox<1, 256> {
    let mut outbox = Outbox::new(RecordKey::new(0), 7);
    outbox.input(at(0), &Event::Restored);
    outbox
}

/// What it sends next; everything is stored.
fn sent(outbox: &mut Outbox<1, 256>) -> (Priority, Option<Duration>) {
    let mut buffer = [0; 1_024];
    loop {
        match outbox.step(at(0), &mut buffer) {
            Step::Persist(_) => outbox.done(at(0), Done::Persisted),
            Step::Send(message) => return (message.priority, message.expires_in),
            step => panic!("{step:?}"),
        }
    }
}

#[test]
fn a_device_says_how_urgent_its_message_is_and_how_long_it_lives() {
    let peer = Peer::parse("acme", "boiler-7").unwrap();
    let mut room = [0; 128];
    let inside = Envelope::new(Position::new(1, 1, 1), b"fire")
        .with_priority(Priority::Critical)
        .with_life(Some(Duration::from_secs(60)));
    let inside = inside.encode(&mut room).unwrap();
    let minutes = |count: u64| Duration::from_secs(count * 60);
    for (message, expected) in [
        (Message::telemetry(b"21.5"), (Priority::Normal, None)),
        (
            Message::telemetry(b"21.5").expires_in(minutes(5)),
            (Priority::Normal, Some(minutes(5))),
        ),
        (
            Message::telemetry(inside).expires_in(minutes(5)),
            (Priority::Critical, Some(minutes(1))),
        ),
    ] {
        let (mut up, mut outbox) = (Up::<256>::new(), outbox());
        assert_eq!(up.take(at(0), &message.to(peer)), Turn::Moved);
        assert_eq!(up.keep(&mut outbox, at(0)), Ok(None));
        assert_eq!(sent(&mut outbox), expected);
    }
}

#[test]
fn what_outlives_its_time_before_a_full_outbox_is_told_as_expired() {
    let (mut up, mut outbox) = (Up::<256>::new(), outbox());
    outbox.push(at(0), &Message::telemetry(b"first")).unwrap();
    let peer = Peer::parse("acme", "boiler-7").unwrap();
    let second = Message::telemetry(b"second").expires_in(Duration::from_secs(10));
    up.take(at(0), &second.to(peer));
    assert_eq!(up.keep(&mut outbox, at(9)), Ok(None));
    let Ok(Some(Turn::Refused(refusal))) = up.keep(&mut outbox, at(10)) else {
        panic!("it was kept");
    };
    assert_eq!(refusal.fate, Some(Fate::Expired));
    assert!(up.is_empty());
}

#[test]
fn the_longest_names_fit_the_overhead() {
    let name = "n".repeat(iot_core::id::MAX_NAME_BYTES);
    let payload = [7; 70_000];
    let carried = Carried::new(Peer::parse(&name, &name).unwrap(), &payload);
    let mut room = [0; 70_000 + OVERHEAD_BYTES];
    assert_eq!(carried.encode(&mut room).unwrap().len(), room.len());
    assert!(carried.encode(&mut room[1..]).is_err());
}

proptest! {
    #[test]
    fn what_is_carried_survives_the_round_trip(
        tenant in "[a-z0-9][a-z0-9-]{0,40}", device in "[a-z0-9][a-z0-9-]{0,40}",
        payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let carried = Carried::new(Peer::parse(&tenant, &device).unwrap(), &payload);
        let mut room = [0; 600];
        let bytes = carried.encode(&mut room).unwrap();
        prop_assert_eq!(Carried::decode(bytes), Ok(carried));
        for cut in 0..bytes.len() {
            prop_assert!(Carried::decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(carried) = Carried::decode(&bytes) {
            let mut room: Vec<u8> = alloc::vec![0; bytes.len()];
            prop_assert_eq!(carried.encode(&mut room).unwrap(), &bytes[..]);
        }
    }
}
