use alloc::vec::Vec;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use iot_core::node::block_on;
use iot_core::port::{TransportError as _, TransportErrorKind};
use iot_core::{Fate, Peer, Priority, Qos};
use proptest::prelude::*;

use super::*;
use crate::layer::tape::TapeError;
use crate::layer::{Layered as _, Replay, ReplayError};
use crate::memory::Link;

fn poll_next<'b, T: Transport>(
    end: &mut T,
    buffer: &'b mut [u8],
) -> Option<Result<Event<'b>, T::Error>> {
    match pin!(end.next(buffer)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(event) => Some(event),
        Poll::Pending => None,
    }
}

/// What a device does whatever its transport is; everything it is told goes into the transcript.
fn device(transport: &mut impl Transport, mut between: impl FnMut(u8)) -> Vec<u8> {
    let mut transcript = Vec::new();
    let mut buffer = [0; 16];
    block_on(async {
        let answer = transport.subscribe(Channel::Command).await.is_ok();
        transcript.extend(alloc::format!("{answer}").bytes());
        for round in 0..20_u8 {
            let payload = [round; 3];
            let message = Message::telemetry(&payload).expires_in(Duration::from_secs(5));
            let answer = transport
                .submit(&message)
                .await
                .map_err(|error| error.kind());
            transcript.extend(alloc::format!("{answer:?}").bytes());
            let small = if round % 3 == 0 { 1 } else { 16 };
            while let Some(event) = poll_next(transport, &mut buffer[..small]) {
                let cramped = event.is_err();
                let event = event.map_err(|error| error.kind());
                if matches!(event, Err(TransportErrorKind::Closed)) {
                    return; // The tape is over where the run was.
                }
                transcript.extend(alloc::format!("{event:?}").bytes());
                if cramped {
                    break;
                }
            }
            between(round);
        }
    });
    transcript
}

fn recorded() -> (Vec<u8>, Vec<u8>) {
    let mut link = Link::<4, 16>::new();
    let (first, mut service) = link.split();
    let mut recorded = first.layer(Record::new(1 << 20));
    let mut buffer = [0; 16];
    block_on(service.subscribe(Channel::Telemetry)).unwrap();
    let transcript = device(&mut recorded, |round| {
        let _ = block_on(service.submit(&Message::new(Channel::Command, &[round; 5])));
        if !(10..17).contains(&round) {
            while poll_next(&mut service, &mut buffer).is_some() {}
        }
        if round == 7 || round == 9 {
            service.set_connected(round == 9);
        }
    });
    assert!(!recorded.is_full());
    (recorded.take_tape(), transcript)
}

#[test]
fn a_replay_gives_the_same_answers_and_events() {
    let (tape, transcript) = recorded();
    let text = alloc::string::String::from_utf8_lossy(&transcript).into_owned();
    for what in [
        "Busy",
        "Buffer",
        "Disconnected",
        "resumed: true",
        "Delivered",
        "Message",
    ] {
        assert!(text.contains(what), "the run was too simple: no {what}");
    }
    for _ in 0..2 {
        let mut replay = Replay::new(&tape).unwrap();
        assert_eq!(device(&mut replay, |_| {}), transcript);
        assert!(replay.is_over());
        let over = poll_next(&mut replay, &mut []).unwrap().unwrap_err();
        assert_eq!(
            (over, over.kind()),
            (ReplayError::Over, TransportErrorKind::Closed)
        );
    }
}

#[test]
fn the_first_difference_between_two_runs_is_told_where_it_happens() {
    let (tape, _) = recorded();
    let mut replay = Replay::new(&tape).unwrap();
    block_on(replay.subscribe(Channel::Command)).unwrap();
    let other = block_on(replay.submit(&Message::telemetry(b"something else"))).unwrap_err();
    assert_eq!(other, ReplayError::Diverged { entry: 1 });
    assert_eq!(
        block_on(replay.subscribe(Channel::Twin)),
        Err(ReplayError::Diverged { entry: 1 })
    );
}

#[test]
fn a_tape_that_is_full_ends_whole_and_says_so() {
    let mut link = Link::<64, 16>::new();
    let mut device = link.split().0.layer(Record::new(100));
    for _ in 0..20 {
        block_on(device.submit(&Message::telemetry(b"12345678"))).unwrap();
    }
    assert!(device.is_full() && device.tape().len() <= 100);
    assert!(Replay::new(device.tape()).is_ok());
    let first = device.take_tape();
    assert!(!first.is_empty() && !device.is_full() && device.tape().len() < 20);
}

#[test]
fn every_way_to_damage_a_tape_is_an_error_and_every_cut_between_entries_is_a_tape() {
    let (tape, _) = recorded();
    let mut at = 0;
    let mut ends = alloc::vec![];
    while at < tape.len() {
        at = Entry::read(&tape, at).unwrap().1;
        ends.push(at);
    }
    for cut in 0..tape.len() {
        assert_eq!(
            Replay::new(&tape[..cut]).is_ok(),
            ends.contains(&cut),
            "cut at {cut}"
        );
    }
    assert!(matches!(
        Replay::new(&tape[ends[0]..]),
        Err(TapeError::Headless)
    ));
    assert!(matches!(
        Replay::new(&[]),
        Err(TapeError::Malformed { at: 0, .. })
    ));
    let doubled = [&tape[..ends[0]], &tape].concat();
    assert_eq!(
        Replay::new(&doubled).err(),
        Some(TapeError::Unknown { at: ends[0] })
    );
    let mut newer = tape.clone();
    newer[1] += 1;
    assert_eq!(
        Replay::new(&newer).err(),
        Some(TapeError::Unknown { at: 0 })
    );
}

fn entries<'a>(payload: &'a [u8], number: u64, expires_ms: Option<u64>) -> Vec<Entry<'a>> {
    let mut message = Message::new(Channel::Health, payload)
        .with_priority(Priority::Critical)
        .with_qos(Qos::AtMostOnce)
        .to(Peer::parse("acme", "boiler-7").unwrap());
    message.expires_in = expires_ms.map(Duration::from_millis);
    let (ticket, busy) = (Ticket::new(number), TransportErrorKind::Busy);
    alloc::vec![
        Entry::Opened(Limits::new(usize::try_from(number >> 1).unwrap(), 7)),
        Entry::Submitted(message, ticket),
        Entry::TurnedAway(Message::telemetry(payload), busy),
        Entry::Subscribed(Channel::Enrol),
        Entry::NotSubscribed(Channel::Twin, TransportErrorKind::Other),
        Entry::Received(message),
        Entry::Settled(ticket, Fate::Evicted),
        Entry::Connected(number.is_multiple_of(2)),
        Entry::Disconnected,
        Entry::Failed(TransportErrorKind::Closed),
    ]
}

proptest! {
    #[test]
    fn every_entry_is_read_as_it_was_written(
        payload in prop::collection::vec(any::<u8>(), 0..300),
        number in any::<u64>(),
        expires_ms in any::<Option<u64>>(),
    ) {
        let (mut tape, mut at) = (Vec::new(), 0);
        let all = entries(&payload, number, expires_ms);
        for entry in &all {
            prop_assert!(entry.write(&mut tape));
        }
        for entry in &all {
            let (read, next) = Entry::read(&tape, at).unwrap();
            prop_assert_eq!(&read, entry);
            at = next;
        }
        prop_assert_eq!(at, tape.len());
    }

    #[test]
    fn arbitrary_bytes_never_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok((entry, next)) = Entry::read(&bytes, 0) {
            let mut again = Vec::new();
            prop_assert!(entry.write(&mut again));
            prop_assert_eq!(&again[..], &bytes[..next]);
        }
        let _ = Replay::new(&bytes);
    }
}
