//! The update engine with its schedule: a release offered, agreed to, fetched, staged, tried and confirmed, on banks
//! that are somebody else's.
#![no_std]
#![no_main]

use core::convert::Infallible;
use core::ops::Range;
use core::time::Duration;

use cortex_m_rt::entry;
use iot_core::engine::{Done, Engine, Event, Failure, RecordKey, Step};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Fate, Instant, Message, Now, Ticket, Timestamp};
use iot_firmware::believer::Believer;
use iot_firmware::board::{Board, exit, opaque};
use iot_firmware::fixture::{DEVICE, IMAGE_BYTES, MANIFEST, SEQUENCE};
use iot_ota::manifest::SigningKey;
use iot_ota::schedule::{ByteBudget, Conditions, Days, Schedule, Stage, Window};
use iot_ota::slot::{Bank, Banks, BootRecord, RECORD_BYTES, RecordCopy, Release};
use iot_ota::update::{ToDevice, Trust, Updater, Want};

/// Flash that keeps the boot record, and of images nothing.
struct Flash {
    records: [[u8; RECORD_BYTES]; 2],
    counter: u64,
    written: u32,
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

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    let mut flash = Flash {
        records: [[0xff; RECORD_BYTES]; 2],
        counter: 0,
        written: 0,
    };
    let factory = BootRecord::factory(Bank::A, Release::new(SEQUENCE - 1, [0; 32], 4));
    if iot_ota::slot::store(&mut flash, &factory).is_err() {
        exit(false)
    }
    let (fetched, staged) = run(flash);
    let facts = [("fetched", fetched)];
    board.finish(if fetched == IMAGE_BYTES as usize && staged {
        Ok(&facts)
    } else {
        Err("update")
    })
}

/// Does what a driver, a service and a person do; returns how much was written, and whether an image was staged or
/// found to be another one. Neither the times nor the events are known to the compiler.
#[inline(never)]
fn run(flash: Flash) -> (usize, bool) {
    let seconds = |seconds: u32| Duration::from_secs(opaque(seconds).into());
    let mut update = Updater::new(
        flash,
        Trust::new(
            SigningKey::new(Believer(MANIFEST)),
            Believer(MANIFEST),
            *opaque(&DEVICE),
        ),
    )
    .with_block_bytes(opaque(1_024))
    .with_timeout(seconds(9))
    .with_trials(opaque(3))
    .with_minimum_rate(opaque(100), seconds(60))
    .with_approval();
    let window = Window::new(Days::ALL, opaque(60), seconds(86_000)).east_of_utc(*opaque(&60));
    let mut schedule = Schedule::new([Some(window)])
        .battery_at_least(opaque(30))
        .jitter(u64::from(opaque(7_u32)), seconds(2))
        .budget(ByteBudget::per_day(opaque(1 << 20), Instant::ZERO));
    let conditions = *opaque(&Conditions::default().battery(80, false).metered(true));
    let (mut room, mut buffer) = ([0; 1_100], [0; 256]);
    let image = [opaque(0); 1_024];
    let wall = TimeBounds::exact(Timestamp::from_secs(1_799_668_800));
    let mut now = *opaque(&Now::new(Instant::ZERO, wall));
    schedule.begin(now.instant, Some(seconds(90_000)));
    schedule.defer(now.instant);
    let mut ended = false;
    for turn in 0..100_u32 {
        now.instant = Instant::from_millis(now.instant.as_millis() + u64::from(opaque(100_u32)));
        for stage in [Stage::Fetch, Stage::Restart] {
            update.gate(stage, schedule.may(now, stage, &conditions));
        }
        if update.progress().is_some() {
            schedule.fetched(now.instant, opaque(1_024), &conditions);
        }
        match update.wants() {
            Want::Approve => {
                update.approve(SEQUENCE);
            }
            Want::Confirm => update.confirm(opaque(true)),
            Want::Reboot => ended = true,
            _ => {}
        }
        let ticket = Ticket::new(turn.into());
        let done = match update.step(now, &mut buffer) {
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
        update.done(now, done);
        opaque(update.deadline().is_some());
        let message = match turn {
            2 => ToDevice::Offer { envelope: MANIFEST },
            _ => ToDevice::Block {
                sequence: SEQUENCE,
                offset: update.banks().written,
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
        update.input(now, opaque(&event));
        // What came is not what was signed: nothing hashes here.
        ended |= update.banks().written == IMAGE_BYTES;
    }
    if opaque(false) {
        update.cancel();
        schedule.end();
    }
    (update.banks().written as usize, ended)
}
