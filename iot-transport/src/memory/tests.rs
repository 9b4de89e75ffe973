use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use core::pin::pin;
use core::task::Context;
use futures::executor::block_on;
use futures::task::noop_waker;
use proptest::prelude::*;

use super::*;

type TestEnd<'l> = End<'l, 4, 16>;

/// Polls once: what is ready now, or nothing.
fn poll_next<'b>(
    end: &mut TestEnd<'_>,
    buffer: &'b mut [u8],
) -> Option<Result<Event<'b>, MemoryError>> {
    let waker = noop_waker();
    match pin!(end.next(buffer)).poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(found) => Some(found),
        Poll::Pending => None,
    }
}

fn submit(end: &mut TestEnd<'_>, payload: &[u8]) -> Result<Ticket, MemoryError> {
    block_on(end.submit(&Message::telemetry(payload)))
}

fn connect<'l>(device: &mut TestEnd<'l>, service: &mut TestEnd<'l>) {
    let mut buffer = [0; 16];
    for end in [device, service] {
        for channel in Channel::ALL {
            block_on(end.subscribe(channel)).unwrap();
        }
        let first = poll_next(end, &mut buffer);
        assert!(matches!(
            first,
            Some(Ok(Event::Connected { resumed: false }))
        ));
    }
}

#[test]
fn a_message_is_delivered_when_the_receiver_comes_back_and_not_before() {
    let mut link = Link::<4, 16>::new();
    let (mut device, mut service) = link.split();
    connect(&mut device, &mut service);
    let (mut up, mut down) = ([0; 16], [0; 16]);
    let sent = submit(&mut device, b"hello").unwrap();
    assert!(matches!(
        poll_next(&mut service, &mut up),
        Some(Ok(Event::Message(_)))
    ));
    assert!(
        poll_next(&mut device, &mut down).is_none(),
        "told before it was acknowledged"
    );
    assert!(poll_next(&mut service, &mut up).is_none());
    let Some(Ok(Event::Settled { ticket, fate })) = poll_next(&mut device, &mut down) else {
        panic!("no fate")
    };
    assert_eq!((ticket, fate), (sent, Fate::Delivered));
}

#[test]
fn a_message_that_was_not_acknowledged_comes_again_after_the_link_broke() {
    let mut link = Link::<4, 16>::new();
    let (mut device, mut service) = link.split();
    connect(&mut device, &mut service);
    let mut buffer = [0; 16];
    submit(&mut device, b"hello").unwrap();
    assert!(matches!(
        poll_next(&mut service, &mut buffer),
        Some(Ok(Event::Message(_)))
    ));
    device.set_connected(false);
    assert!(matches!(
        poll_next(&mut service, &mut buffer),
        Some(Ok(Event::Disconnected))
    ));
    assert!(poll_next(&mut service, &mut buffer).is_none());
    device.set_connected(true);
    let back = poll_next(&mut service, &mut buffer);
    assert!(matches!(back, Some(Ok(Event::Connected { resumed: true }))));
    assert!(matches!(
        poll_next(&mut service, &mut buffer),
        Some(Ok(Event::Message(_)))
    ));
}

#[test]
fn a_full_queue_is_busy_until_a_fate_was_read() {
    let mut link = Link::<4, 16>::new();
    let (mut device, mut service) = link.split();
    connect(&mut device, &mut service);
    let mut buffer = [0; 16];
    for _ in 0..4 {
        submit(&mut device, b"x").unwrap();
    }
    assert_eq!(
        submit(&mut device, b"x"),
        Err(MemoryError::Busy { messages: 4 })
    );
    while poll_next(&mut service, &mut buffer).is_some() {}
    assert_eq!(
        submit(&mut device, b"x"),
        Err(MemoryError::Busy { messages: 4 })
    );
    assert!(poll_next(&mut device, &mut buffer).is_some());
    submit(&mut device, b"x").unwrap();
}

#[test]
fn a_small_buffer_keeps_the_message() {
    let mut link = Link::<4, 16>::new();
    let (mut device, mut service) = link.split();
    connect(&mut device, &mut service);
    submit(&mut device, b"hello").unwrap();
    let error = poll_next(&mut service, &mut [0; 2]).unwrap().unwrap_err();
    assert_eq!(
        error,
        MemoryError::Buffer {
            needed: 5,
            given: 2
        }
    );
    let mut buffer = [0; 5];
    assert!(matches!(
        poll_next(&mut service, &mut buffer),
        Some(Ok(Event::Message(_)))
    ));
    assert_eq!(&buffer, b"hello");
    assert!(matches!(
        submit(&mut device, &[0; 17]),
        Err(MemoryError::TooLarge { .. })
    ));
}

#[test]
fn what_is_more_urgent_goes_first() {
    let mut link = Link::<4, 16>::new();
    let (mut device, mut service) = link.split();
    connect(&mut device, &mut service);
    for (payload, priority) in [
        (b"a", Priority::Low),
        (b"b", Priority::Critical),
        (b"c", Priority::Critical),
    ] {
        block_on(device.submit(&Message::telemetry(payload).with_priority(priority))).unwrap();
    }
    let mut order = Vec::new();
    let mut buffer = [0; 16];
    while let Some(Ok(Event::Message(message))) = poll_next(&mut service, &mut buffer) {
        order.extend_from_slice(message.payload);
    }
    assert_eq!(order, b"bca");
}

proptest! {
    /// Futures are dropped after one poll all the time, and the link breaks at random.
    #[test]
    fn every_ticket_meets_one_fate_and_every_message_arrives(
        script in prop::collection::vec(0..10_u8, 1..200)
    ) {
        let mut link = Link::<4, 16>::new();
        let (mut device, mut service) = link.split();
        connect(&mut device, &mut service);
        let mut buffer = [0; 16];
        let (mut submitted, mut fates, mut heard) = (Vec::new(), BTreeMap::new(), Vec::new());
        // The tail lets everything settle, so that the counts below are final.
        let tail = core::iter::repeat_n([3, 6], 40).flatten();
        let mut broken = 0;
        for (at, action) in script.into_iter().chain([9]).chain(tail).enumerate() {
            match action {
                0..=2 => {
                    let number = u8::try_from(at % 251).unwrap();
                    let qos = if action == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce };
                    let message = Message::new(Channel::Twin, core::slice::from_ref(&number)).with_qos(qos);
                    if let Ok(ticket) = block_on(device.submit(&message)) {
                        submitted.push((ticket, number));
                    }
                }
                3..=5 => if let Some(Ok(Event::Message(message))) = poll_next(&mut service, &mut buffer) {
                    heard.push(message.payload[0]);
                },
                6 | 7 => if let Some(Ok(Event::Settled { ticket, fate })) = poll_next(&mut device, &mut buffer) {
                    prop_assert_eq!(fates.insert(ticket, fate), None, "a second fate");
                },
                8 => { service.set_connected(false); broken += 1; }
                _ => service.set_connected(true),
            }
        }
        prop_assert_eq!(fates.len(), submitted.len(), "{} breaks", broken);
        for (ticket, number) in submitted {
            prop_assert_eq!(fates.get(&ticket), Some(&Fate::Delivered));
            prop_assert!(heard.contains(&number), "message {} is lost", number);
        }
    }
}
