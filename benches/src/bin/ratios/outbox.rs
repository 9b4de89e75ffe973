//! The outbox against sequential-storage's queue, on the same flash in RAM.

use core::error::Error;
use core::hint::black_box;

use iot_benches::{Goal, Ratio};
use iot_core::engine::{Done, Engine, Event, RecordKey, Step};
use iot_core::node::block_on;
use iot_core::port::Records;
use iot_core::storage::log::Config;
use iot_core::storage::records::FlashRecords;
use iot_core::time::TimeBounds;
use iot_core::{Fate, Instant, Message, Now, Ticket};
use iot_transport::outbox::{Cursor, Outbox};

use crate::flash::{BYTES, PAGES, Ram, VALUE, queue};

const NOW: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
/// Messages after which what they cost is counted: less than fill the flash.
const MESSAGES: u32 = 128;

/// An outbox, its records, and a next hop that acknowledges everything.
struct Device {
    outbox: Outbox<16, 512>,
    store: FlashRecords<Ram<4>, PAGES, 32>,
    cursor: Cursor,
    delivered: u32,
}

impl Device {
    fn new() -> Result<Self, Box<dyn Error>> {
        let mut outbox = Outbox::new(RecordKey::new(0x100), 7);
        outbox.input(NOW, &Event::Restored);
        Ok(Self {
            outbox,
            store: block_on(FlashRecords::open(Ram::new(), 0..BYTES, Config::new()))?,
            cursor: Cursor::START,
            delivered: 0,
        })
    }

    /// Pushes a message, and does what a node does until it is on record, sent, and acknowledged.
    fn push_and_deliver(&mut self) -> Result<(), Box<dyn Error>> {
        self.outbox
            .push(NOW, &Message::telemetry(black_box(&VALUE)))?;
        let (mut buffer, mut value, mut sent) = ([0; 640], [0; 256], None);
        loop {
            let done = match self.outbox.step(NOW, &mut buffer) {
                Step::Idle => match sent.take() {
                    Some(ticket) => {
                        let fate = Fate::Delivered;
                        self.outbox.input(NOW, &Event::Settled { ticket, fate });
                        continue;
                    }
                    None => break,
                },
                Step::Persist(batch) => {
                    block_on(self.store.commit(&batch))?;
                    Done::Persisted
                }
                Step::Read(key) => Done::Read(block_on(self.store.read(key, &mut value))?),
                Step::Send(message) => {
                    black_box(message.payload);
                    sent = Some(Ticket::new(1));
                    Done::Sent(Ticket::new(1))
                }
                _ => return Err("the outbox wants something else".into()),
            };
            self.outbox.done(NOW, done);
        }
        // Fates come in groups: whoever asked for each at once would make it be put on record alone.
        if self.outbox.is_empty() && self.delivered.is_multiple_of(16) {
            while let Some(settled) = self.outbox.settled_after(self.cursor) {
                self.cursor = settled.cursor;
            }
        }
        self.delivered += 1;
        Ok(())
    }
}

/// A message of 128 bytes made durable, handed on, acknowledged, and its fate made durable, against push and pop.
pub(crate) fn outbox_push_pop() -> Result<Ratio, Box<dyn Error>> {
    let (mut device, mut queue) = (Device::new()?, queue());
    let mut pop = || {
        let mut value = [0; 128];
        let pushed = block_on(queue.push(black_box(&VALUE), true)).is_ok();
        let popped = block_on(queue.pop(&mut value)).ok().flatten();
        pushed && popped.is_some_and(|value| *value == VALUE)
    };
    if !pop() {
        return Err("the peer refused".into());
    }
    let ratio = Ratio::of_times(
        "outbox_push_pop",
        Goal::AtMost(1.0),
        || device.push_and_deliver().is_ok(),
        pop,
    );
    // Whoever refused was quick about it.
    device.push_and_deliver()?;
    if !device.outbox.is_empty() {
        return Err("a message was not settled".into());
    }
    Ok(ratio)
}

/// What a message costs in flash beside its payload, its share of the fates and of page headers included.
pub(crate) fn outbox_overhead_4() -> Result<Ratio, Box<dyn Error>> {
    let mut device = Device::new()?;
    let before = device.store.flash().programmed();
    for _ in 0..MESSAGES {
        device.push_and_deliver()?;
    }
    let bytes = device.store.flash().programmed() - before;
    let ours = f64::from(u32::try_from(bytes)?) / f64::from(MESSAGES) - VALUE.len() as f64;
    Ok(Ratio::new(
        "outbox_overhead_4",
        ours,
        32.0,
        "bytes",
        Goal::AtMost(1.0),
    ))
}
