//! An outbox of many places against one of few: what a message costs the engine itself, without storage.

use core::error::Error;
use core::hint::black_box;

use iot_benches::{Goal, Ratio};
use iot_core::engine::{Done, Engine, Event, RecordKey, Step};
use iot_core::time::TimeBounds;
use iot_core::{Fate, Instant, Message, Now, Ticket};
use iot_transport::outbox::{Cursor, Outbox};

const NOW: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
const PAYLOAD: [u8; 32] = [0x5A; 32];
/// Behind the head and the records of fates.
const FIRST_MESSAGE: u32 = 513;

/// An outbox whose records are kept by their key, and a next hop that takes everything.
struct Device<const ITEMS: usize> {
    outbox: Box<Outbox<ITEMS, 1_024>>,
    records: Vec<Vec<u8>>,
    cursor: Cursor,
    sent: u64,
    settled: u64,
}

impl<const ITEMS: usize> Device<ITEMS> {
    /// With so many messages that wait for their fate, as after a night without a link.
    fn new(waiting: usize) -> Result<Self, Box<dyn Error>> {
        let mut outbox = Box::new(Outbox::new(RecordKey::new(0), 7));
        outbox.input(NOW, &Event::Restored);
        let mut device = Self {
            outbox,
            records: vec![Vec::new(); ITEMS],
            cursor: Cursor::START,
            sent: 0,
            settled: 0,
        };
        // Every place was in use before.
        for _ in 0..2 * ITEMS {
            device.push()?;
            device.acknowledge()?;
        }
        for _ in 0..waiting {
            device.push()?;
        }
        Ok(device)
    }

    fn push(&mut self) -> Result<(), Box<dyn Error>> {
        let message = Message::telemetry(black_box(&PAYLOAD)).expires_in_h(24);
        self.outbox.push(NOW, &message)?;
        self.drive()
    }

    /// The oldest message that is under way has arrived; another is sent, if there is one.
    fn acknowledge(&mut self) -> Result<(), Box<dyn Error>> {
        self.settled += 1;
        let (ticket, fate) = (Ticket::new(self.settled), Fate::Delivered);
        self.outbox.input(NOW, &Event::Settled { ticket, fate });
        self.drive()?;
        // Fates come in groups: whoever asked for each at once would make it be put on record alone.
        if self.settled.is_multiple_of(8) {
            while let Some(settled) = self.outbox.settled_after(self.cursor) {
                self.cursor = settled.cursor;
            }
        }
        Ok(())
    }

    fn exchange(&mut self) -> Result<(), Box<dyn Error>> {
        self.push()?;
        self.acknowledge()
    }

    fn drive(&mut self) -> Result<(), Box<dyn Error>> {
        let mut buffer = [0; 1_536];
        loop {
            let done = match self.outbox.step(NOW, &mut buffer) {
                Step::Idle => break,
                Step::Persist(batch) => {
                    for (key, value) in batch.iter() {
                        let at = key.get().checked_sub(FIRST_MESSAGE);
                        let at = at.map(usize::try_from).transpose()?;
                        if let Some(record) = at.and_then(|at| self.records.get_mut(at)) {
                            record.clear();
                            record.extend_from_slice(value.unwrap_or_default());
                        }
                    }
                    Done::Persisted
                }
                Step::Read(key) => {
                    let at = usize::try_from(key.get() - FIRST_MESSAGE)?;
                    Done::Read(self.records.get(at).map(Vec::as_slice))
                }
                Step::Send(message) => {
                    black_box(message.payload);
                    self.sent += 1;
                    Done::Sent(Ticket::new(self.sent))
                }
                _ => return Err("the outbox wants something else".into()),
            };
            self.outbox.done(NOW, done);
        }
        black_box(self.outbox.deadline());
        Ok(())
    }
}

/// One message more and one less, with half of the places taken: 1,024 places against 16.
pub(crate) fn outbox_places() -> Result<Ratio, Box<dyn Error>> {
    let (mut many, mut few) = (Device::<1_024>::new(512)?, Device::<16>::new(8)?);
    let ratio = Ratio::of_times(
        "outbox_places",
        Goal::AtMost(3.0),
        || many.exchange().is_ok(),
        || few.exchange().is_ok(),
    );
    // Whoever refused was quick about it.
    many.exchange()?;
    few.exchange()?;
    Ok(ratio)
}
