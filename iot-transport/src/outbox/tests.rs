//! An outbox, its storage and the next hop, driven by hand.

mod bounds;
mod full;
mod laws;
mod order;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use iot_core::engine::{Done, Engine, Event, Failure, RecordKey, Step};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Fate, Instant, Message, Now, Priority, Ticket};

use super::*;
use crate::envelope::Envelope;

const FIRST: RecordKey = RecordKey::new(0x8000);

/// Everything around an outbox that lives on when it does not.
#[derive(Clone, Debug, Default)]
struct Outside {
    records: BTreeMap<u32, Vec<u8>>,
    /// The storage takes so many bytes.
    room: Option<usize>,
    /// The driver's buffer has so many bytes; 1,024 when nothing is said.
    buffer: Option<usize>,
    /// The transport takes nothing below this priority.
    gate: Option<Priority>,
    writes: usize,
    is_up: bool,
    tickets: u64,
    /// What the hop has and has not acknowledged: ticket, sequence, floor.
    taken: Vec<(Ticket, u64, u64)>,
    /// Everything that was ever sent, in its order.
    sent: Vec<u64>,
    now_s: u64,
    wall: Option<u64>,
}

impl Outside {
    fn up() -> Self {
        Self {
            is_up: true,
            ..Self::default()
        }
    }

    fn now(&self) -> Now {
        let wall = self.wall.map_or(TimeBounds::UNKNOWN, |seconds| {
            TimeBounds::exact(iot_core::Timestamp::from_secs(seconds))
        });
        Now::new(Instant::from_millis(self.now_s * 1_000), wall)
    }

    fn bytes(&self) -> usize {
        self.records.values().map(|value| value.len() + 12).sum()
    }

    /// What becomes of one step; `None` when there is none. Something was committed when the second is true.
    fn one<const I: usize, const B: usize>(
        &mut self,
        outbox: &mut Outbox<I, B>,
        told: bool,
    ) -> Option<bool> {
        let now = self.now();
        let mut buffer = alloc::vec![0; self.buffer.unwrap_or(1_024)];
        let (mut value, mut committed) = (None, false);
        let done = match outbox.step(now, &mut buffer) {
            Step::Idle => return None,
            Step::Persist(batch) => {
                let mut changed = self.records.clone();
                for (key, value) in batch.iter() {
                    match value {
                        Some(value) => drop(changed.insert(key.get(), value.to_vec())),
                        None => drop(changed.remove(&key.get())),
                    }
                }
                let bytes = changed
                    .values()
                    .map(|value| value.len() + 12)
                    .sum::<usize>();
                // Removals always fit.
                if self
                    .room
                    .is_some_and(|room| bytes > room && bytes > self.bytes())
                {
                    Done::Failed(Failure::StorageFull)
                } else {
                    (self.records, committed) = (changed, true);
                    self.writes += 1;
                    Done::Persisted
                }
            }
            Step::Read(key) => {
                value = self.records.get(&key.get()).cloned();
                Done::Read(value.as_deref())
            }
            Step::Send(message)
                if self.is_up && self.gate.is_none_or(|gate| message.priority >= gate) =>
            {
                let envelope = Envelope::decode(message.payload).unwrap();
                let ticket = Ticket::new(self.tickets);
                self.tickets += 1;
                let position = envelope.position;
                self.taken.push((ticket, position.sequence, position.floor));
                self.sent.push(position.sequence);
                Done::Sent(ticket)
            }
            Step::Send(_) => Done::Failed(Failure::Busy),
            _ => unreachable!("an outbox wants nothing else"),
        };
        if told {
            outbox.done(now, done);
        }
        drop(value);
        Some(committed)
    }

    fn drive<const I: usize, const B: usize>(&mut self, outbox: &mut Outbox<I, B>) {
        for _ in 0..10_000 {
            if self.one(outbox, true).is_none() {
                return;
            }
        }
        panic!("the outbox does not come to rest: {outbox:?}");
    }

    /// The hop acknowledges what it took first.
    fn acknowledge<const I: usize, const B: usize>(
        &mut self,
        outbox: &mut Outbox<I, B>,
        at: usize,
        fate: Fate,
    ) {
        let (ticket, ..) = self.taken.remove(at);
        outbox.input(self.now(), &Event::Settled { ticket, fate });
    }

    fn boot<const I: usize, const B: usize>(&mut self, mut outbox: Outbox<I, B>) -> Outbox<I, B> {
        (self.now_s, self.is_up) = (0, true);
        self.taken.clear();
        let range = outbox.records();
        for (key, value) in &self.records {
            let key = RecordKey::new(*key);
            assert!(range.contains(key));
            outbox.input(self.now(), &Event::Record { key, value });
        }
        outbox.input(self.now(), &Event::Restored);
        outbox
    }
}

fn settled<const I: usize, const B: usize>(outbox: &mut Outbox<I, B>) -> Vec<(u64, Fate)> {
    let (mut cursor, mut all) = (Cursor::START, Vec::new());
    while let Some(next) = outbox.settled_after(cursor) {
        all.push((next.sequence.get(), next.fate));
        cursor = next.cursor;
    }
    all
}

/// All fates that nobody has read, those too that are put on record only when somebody asks.
fn ends<const I: usize, const B: usize>(
    outside: &mut Outside,
    outbox: &mut Outbox<I, B>,
) -> Vec<(u64, Fate)> {
    let mut all = settled(outbox);
    outside.drive(outbox);
    all.extend(settled(outbox));
    all
}

fn empty<const I: usize, const B: usize>() -> Outbox<I, B> {
    Outbox::new(FIRST, 7)
}
