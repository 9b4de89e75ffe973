//! A driver around an update, with a service and a person at the other end, and the flash under it: the same in each
//! image whose sizes are compared.

use core::convert::Infallible;
use core::ops::Range;

use iot_core::engine::{Done, Engine, Event, Failure, RecordKey, Step};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Fate, Instant, Message, Now, Ticket, Timestamp};
use iot_ota::slot::{Bank, Banks, BootRecord, RECORD_BYTES, RecordCopy, Release, store};
use iot_ota::update::ToDevice;

use crate::board::opaque;
use crate::fixture::{MANIFEST, SEQUENCE};

/// Flash that keeps the boot record, and of images nothing.
pub struct Flash {
    records: [[u8; RECORD_BYTES]; 2],
    counter: u64,
    /// So many bytes were written.
    pub written: u32,
}

impl Banks for Flash {
    type Error = Infallible;

    fn capacity(&self) -> u32 {
        opaque(1 << 20)
    }
    fn running(&self) -> Bank {
        opaque(Bank::A)
    }
    fn clear(&mut self, _: Bank, from: u32) -> Result<Range<u32>, Infallible> {
        let page = from / 4_096 * 4_096;
        Ok(opaque(page)..opaque(page + 4_096))
    }
    fn write(&mut self, _: Bank, _: u32, bytes: &[u8]) -> Result<(), Infallible> {
        self.written += opaque(bytes).len() as u32;
        Ok(())
    }
    fn read(&mut self, _: Bank, _: u32, out: &mut [u8]) -> Result<(), Infallible> {
        out.fill(opaque(7));
        Ok(())
    }
    fn read_record(
        &mut self,
        copy: RecordCopy,
        out: &mut [u8; RECORD_BYTES],
    ) -> Result<(), Infallible> {
        *out = match copy {
            RecordCopy::First => self.records[0],
            RecordCopy::Second => self.records[1],
        };
        Ok(())
    }
    fn write_record(
        &mut self,
        copy: RecordCopy,
        bytes: &[u8; RECORD_BYTES],
    ) -> Result<(), Infallible> {
        match copy {
            RecordCopy::First => self.records[0] = *bytes,
            RecordCopy::Second => self.records[1] = *bytes,
        }
        Ok(())
    }
    fn counter(&mut self) -> Result<u64, Infallible> {
        Ok(self.counter)
    }
    fn raise_counter(&mut self, to: u64) -> Result<(), Infallible> {
        self.counter = to;
        Ok(())
    }
}

impl Flash {
    /// As the factory leaves it.
    pub fn factory() -> Option<Self> {
        let mut flash = Self {
            records: [[0xff; RECORD_BYTES]; 2],
            counter: 0,
            written: 0,
        };
        let factory = BootRecord::factory(Bank::A, Release::new(SEQUENCE - 1, [0; 32], 4));
        store(&mut flash, &factory).ok()?;
        Some(flash)
    }
}

/// What is driven.
pub trait Driven: Engine {
    /// What the application does in each turn; true at the end.
    fn turn(&mut self, now: Now) -> bool;
    /// The flash under it.
    fn flash(&self) -> &Flash;
}

/// Does what a driver and a service do; returns how much was written, and whether an end was reached. Neither the times
/// nor the events are known to the compiler.
#[inline(never)]
pub fn drive<D: Driven>(driven: &mut D, enough: u32) -> (usize, bool) {
    let (mut room, mut buffer) = ([0; 1_100], [0; 256]);
    let image = [opaque(0); 1_024];
    let wall = TimeBounds::exact(Timestamp::from_secs(1_799_668_800));
    let mut now = *opaque(&Now::new(Instant::ZERO, wall));
    let mut ended = false;
    for turn in 0..100_u32 {
        now.instant = Instant::from_millis(now.instant.as_millis() + u64::from(opaque(100_u32)));
        ended |= driven.turn(now);
        let ticket = Ticket::new(turn.into());
        let done = match driven.step(now, &mut buffer) {
            Step::Persist(batch) => {
                opaque(batch.is_empty());
                Done::Persisted
            }
            Step::Send(message) => {
                opaque(message.payload);
                Done::Sent(ticket)
            }
            _ => Done::Failed(Failure::Busy),
        };
        driven.done(now, done);
        opaque(driven.deadline().is_some());
        let message = match turn {
            2 => ToDevice::Offer { envelope: MANIFEST },
            _ => ToDevice::Block {
                sequence: SEQUENCE,
                offset: driven.flash().written,
                bytes: opaque(&image),
            },
        };
        let Ok(payload) = message.encode(&mut room) else {
            break;
        };
        let event = match turn {
            0 => Event::Record {
                key: RecordKey::new(0x0007_0000),
                value: &[],
            },
            1 => Event::Restored,
            turn if turn % 2 == 1 => Event::Settled {
                ticket,
                fate: Fate::Delivered,
            },
            _ => Event::Message(Message::new(Channel::Update, payload)),
        };
        driven.input(now, opaque(&event));
        ended |= driven.flash().written == enough;
    }
    (driven.flash().written as usize, ended)
}
