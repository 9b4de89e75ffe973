//! An outbox in a node whose turns are dropped at every place where they wait.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

extern crate alloc;

use alloc::collections::{BTreeMap, BTreeSet};
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use iot_core::engine::{Batch, RecordKey};
use iot_core::node::{Node, PollTimer, block_on};
use iot_core::port::{Limits, Records, Timer, Transport};
use iot_core::storage::memory::MemoryRecords;
use iot_core::time::TimeBounds;
use iot_core::{Channel, Event, Fate, Instant, Message, Now, Ticket};
use iot_transport::envelope::Envelope;
use iot_transport::gaps::{GapTracker, Receipt};
use iot_transport::memory::{End, Link};
use iot_transport::outbox::{Cursor, Outbox};

type Sender = Outbox<8, 256>;

/// Waits once, as anything that does I/O may.
async fn once() {
    let mut waited = false;
    poll_fn(|_| match core::mem::replace(&mut waited, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// Waits before and after everything that it does.
struct Slow<T>(T);

impl<R: Records> Records for Slow<R> {
    type Error = R::Error;

    async fn read<'b>(
        &mut self,
        key: RecordKey,
        buffer: &'b mut [u8],
    ) -> Result<Option<&'b [u8]>, R::Error> {
        once().await;
        let value = self.0.read(key, buffer).await;
        once().await;
        value
    }

    async fn commit(&mut self, batch: &Batch<'_>) -> Result<(), R::Error> {
        once().await;
        let done = self.0.commit(batch).await;
        once().await;
        done
    }

    async fn next_key(&mut self, from: RecordKey) -> Result<Option<RecordKey>, R::Error> {
        self.0.next_key(from).await
    }
}

impl<T: Transport> Transport for Slow<T> {
    type Error = T::Error;

    // Dropped before it is ready, it must not have queued anything: so it waits in front only.
    async fn submit(&mut self, message: &Message<'_>) -> Result<Ticket, T::Error> {
        once().await;
        self.0.submit(message).await
    }

    async fn next<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Event<'b>, T::Error> {
        once().await;
        self.0.next(buffer).await
    }

    async fn subscribe(&mut self, channel: Channel) -> Result<(), T::Error> {
        self.0.subscribe(channel).await
    }

    fn limits(&self) -> Limits {
        self.0.limits()
    }
}

/// Polls so often, then drops what is not ready.
fn polls<F: Future>(future: F, count: usize) -> Option<F::Output> {
    let (mut future, mut cx) = (pin!(future), Context::from_waker(Waker::noop()));
    (0..count).find_map(|_| match future.as_mut().poll(&mut cx) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

/// What the service has got.
#[derive(Default)]
struct Got {
    tracker: GapTracker<1>,
    new: BTreeSet<u64>,
    missing: BTreeSet<u64>,
}

impl Got {
    fn take(&mut self, service: &mut End<'_, 8, 256>) {
        service_events(service, |message| {
            let position = Envelope::decode(message.payload).unwrap().position;
            let receipt = self.tracker.receive(position, |gap| {
                self.missing.extend(gap.first..=gap.last);
            });
            if receipt == Receipt::New {
                assert!(self.new.insert(position.sequence));
            }
        });
    }
}

fn service_events(service: &mut End<'_, 8, 256>, mut take: impl FnMut(&Message<'_>)) {
    let mut buffer = [0; 256];
    while let Some(event) = polls(service.next(&mut buffer), 1) {
        if let Event::Message(message) = event.unwrap() {
            take(&message);
        }
    }
}

#[test]
fn a_turn_that_is_dropped_anywhere_loses_nothing_and_tells_each_fate_once() {
    for count in 1..=9 {
        let mut link = Link::<8, 256>::new();
        let (device, mut service) = link.split();
        block_on(service.subscribe(Channel::Telemetry)).unwrap();
        let timer = PollTimer::new(|| Now::new(Instant::ZERO, TimeBounds::UNKNOWN));
        let now = timer.now();
        let mut node = Node::new(Slow(device), Slow(MemoryRecords::new()), timer);
        let mut outbox = Sender::new(RecordKey::new(0x100), 7);
        let mut buffer = [0; 768];
        block_on(node.restore(&mut (&mut outbox,), &mut buffer)).unwrap();
        let (mut got, mut fates, mut cursor) = (Got::default(), BTreeMap::new(), Cursor::START);
        let mut pushed = 0;
        for round in 0..4_000 {
            if pushed < 40 && outbox.push(now, &Message::telemetry(b"21.5")).is_ok() {
                pushed += 1;
            }
            // Sometimes it is let through, or a commit that takes two waits would never end.
            let polled = if round % 5 == 0 { 50 } else { count };
            if let Some(turned) = polls(node.turn(&mut (&mut outbox,), &mut buffer), polled) {
                turned.unwrap();
            }
            got.take(&mut service);
            while let Some(settled) = outbox.settled_after(cursor) {
                assert_eq!(fates.insert(settled.sequence.get(), settled.fate), None);
                cursor = settled.cursor;
            }
        }
        assert_eq!(pushed, 40, "dropped after {count} polls");
        assert!(got.missing.is_empty(), "{:?}", got.missing);
        assert_eq!(got.new, (1..=40).collect());
        assert_eq!(
            fates,
            (1..=40)
                .map(|sequence| (sequence, Fate::Delivered))
                .collect()
        );
    }
}
