//! An outbox over a layer that holds some messages back and lets others through.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use iot_core::engine::RecordKey;
use iot_core::node::{Node, block_on};
use iot_core::port::{Timer, Transport};
use iot_core::sim::SimClock;
use iot_core::storage::memory::MemoryRecords;
use iot_core::{Channel, Event, Message, Priority};
use iot_transport::envelope::Envelope;
use iot_transport::layer::{Layered as _, Metered, MeteredGate};
use iot_transport::memory::Link;
use iot_transport::outbox::{Cursor, Outbox};

#[test]
fn a_measurement_that_waits_for_a_free_link_stops_no_alarm() {
    let clock = SimClock::new();
    let mut link = Link::<8, 128>::new();
    let (device, mut service) = link.split();
    let metered = Metered::new();
    metered.set(true);
    let gated = device.layer(MeteredGate::new(&metered, Priority::High));
    let mut node = Node::new(gated, MemoryRecords::new(), clock.clone());
    let mut outbox = Outbox::<16, 1_024>::new(RecordKey::new(0x8000), 7);
    let mut buffer = [0; 2_048];
    block_on(async {
        service.subscribe(Channel::Telemetry).await.unwrap();
        node.restore(&mut (&mut outbox,), &mut buffer)
            .await
            .unwrap();
    });
    let low = Message::telemetry(b"21.5").with_priority(Priority::Low);
    outbox.push(clock.now(), &low).unwrap();
    let alarm = Message::telemetry(b"fire").with_priority(Priority::Critical);
    let mut cx = Context::from_waker(Waker::noop());
    let (mut cursor, mut arrived) = (Cursor::START, 0);
    for second in 0..600 {
        if second % 10 == 0 {
            outbox.push(clock.now(), &alarm).unwrap();
        }
        for _ in 0..20 {
            {
                let mut engines = (&mut outbox,);
                let turn = pin!(node.turn(&mut engines, &mut buffer));
                let _ = turn.poll(&mut cx);
            }
            let mut other = [0; 256];
            let next = pin!(service.next(&mut other));
            if let Poll::Ready(Ok(Event::Message(message))) = next.poll(&mut cx) {
                assert_eq!(Envelope::decode(message.payload).unwrap().payload, b"fire");
                arrived += 1;
            }
        }
        while let Some(next) = outbox.settled_after(cursor) {
            cursor = next.cursor;
        }
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(arrived, 60);
    assert_eq!(outbox.len(), 1, "the measurement still waits");
}
