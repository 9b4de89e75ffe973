//! Tapes, and playing them.

use core::pin::pin;
use core::task::{Context, Poll, Waker};

use iot_transport::iot_core::node::block_on;
use iot_transport::iot_core::port::{Limits, Transport, TransportErrorKind};
use iot_transport::iot_core::{Channel, Fate, Message, Peer, Priority, Qos, Ticket};
use iot_transport::layer::Replay;
use iot_transport::layer::tape::Entry;

/// What is read is what is written; a tape plays to its end, whatever it holds.
pub fn run(data: &[u8]) {
    let Ok(mut replay) = Replay::new(data) else {
        return;
    };
    let (mut again, mut at) = (Vec::new(), 0);
    while at < data.len() {
        let (entry, next) = Entry::read(data, at).expect("the tape was checked");
        assert!(entry.write(&mut again));
        play(&mut replay, &entry, data.len());
        at = next;
    }
    assert_eq!(again, data, "a second spelling of the same tape");
    assert!(replay.is_over());
}

/// Makes the call of an entry, or takes its event.
fn play(replay: &mut Replay<'_>, entry: &Entry<'_>, most: usize) {
    let mut buffer = vec![0; most];
    match entry {
        Entry::Opened(limits) => assert_eq!(replay.limits(), *limits),
        Entry::Submitted(message, ticket) => {
            assert_eq!(block_on(replay.submit(message)), Ok(*ticket));
        }
        Entry::TurnedAway(message, _) => assert!(block_on(replay.submit(message)).is_err()),
        Entry::Subscribed(channel) => assert_eq!(block_on(replay.subscribe(*channel)), Ok(())),
        Entry::NotSubscribed(channel, _) => assert!(block_on(replay.subscribe(*channel)).is_err()),
        _ => {
            let mut next = pin!(replay.next(&mut buffer));
            let polled = next.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(
                matches!(polled, Poll::Ready(_)),
                "an event has to wait for nothing"
            );
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut tape = Vec::new();
    let plain = Message::telemetry(b"21.5").expires_in_h(1);
    let mut addressed = Message::new(Channel::Command, b"")
        .with_priority(Priority::Critical)
        .with_qos(Qos::AtMostOnce);
    addressed.peer = Peer::parse("acme", "boiler-7").ok();
    let entries = [
        Entry::Opened(Limits::new(1_024, 4)),
        Entry::Subscribed(Channel::Command),
        Entry::NotSubscribed(Channel::Twin, TransportErrorKind::Refused),
        Entry::Connected(false),
        Entry::Submitted(plain, Ticket::new(1)),
        Entry::TurnedAway(addressed, TransportErrorKind::Busy),
        Entry::Received(addressed),
        Entry::Settled(Ticket::new(1), Fate::Delivered),
        Entry::Failed(TransportErrorKind::Buffer),
        Entry::Disconnected,
    ];
    let mut seeds = Vec::new();
    for entry in entries {
        assert!(entry.write(&mut tape));
        seeds.push(tape.clone());
    }
    seeds
}

#[test]
fn every_seed_is_a_tape_and_keeps_the_claims() {
    for seed in seeds() {
        assert!(Replay::new(&seed).is_ok());
        run(&seed);
    }
}
