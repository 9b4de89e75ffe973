//! What an updater stands on: a manifest verified, followed by the processor and planned, and a boot record that is read,
//! turned and stored, without cryptography. The size of the update engine and its schedule is what their image has
//! more, so the harness is in both.
#![no_std]
#![no_main]

use core::convert::Infallible;
use core::ops::Range;

use cortex_m_rt::entry;
use iot_core::cose::Tagged;
use iot_core::time::{TimeBounds, Timestamp};
use iot_core::{Channel, Message};
use iot_firmware::believer::Believer;
use iot_firmware::board::{Board, exit, opaque};
use iot_firmware::fixture::{DEVICE, MANIFEST, SEQUENCE};
use iot_ota::manifest::{Limits, SignedManifest, SigningKey, Situation};
use iot_ota::slot::{
    Bank, Banks, BootEvent, BootRecord, RECORD_BYTES, RecordCopy, Release, load, raise_counter,
    running_release, store,
};
use iot_ota::update::ToDevice;

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
    if store(&mut flash, &factory).is_err() {
        exit(false)
    }
    match staged(flash) {
        Some(bytes) => board.finish(Ok(&[("image", bytes)])),
        None => board.finish(Err("plan")),
    }
}

/// Has the image that a manifest plans staged, as somebody would who fetches it by hand.
#[inline(never)]
fn staged(mut flash: Flash) -> Option<usize> {
    let envelope = opaque(MANIFEST);
    let record = load(&mut flash).ok()??;
    opaque(running_release(&flash, &record).is_some());
    let signed = SignedManifest::decode(envelope, Tagged::Required, Limits::default()).ok()?;
    let keys = SigningKey::new(Believer(MANIFEST));
    let current = record.installed.sequence;
    let manifest = signed
        .verify(&keys, &mut Believer(MANIFEST), current)
        .ok()?;
    let wall = TimeBounds::exact(Timestamp::from_secs(1_799_668_800));
    let situation = Situation::new(wall).running(record.installed.digest, record.installed.size);
    let plan = manifest.plan_in(opaque(&DEVICE), &situation).ok()?;
    let (candidate, trials) = (plan.release, opaque(3));
    if candidate.counter < flash.counter().ok()? {
        return None;
    }
    flash.clear(Bank::B, opaque(0)).ok()?;
    flash.write(Bank::B, 0, opaque(&[7])).ok()?;
    let mut back = [0; 4];
    flash.read(Bank::B, 0, &mut back).ok()?;
    opaque(back);
    let record = record
        .on(*opaque(&BootEvent::Stage { candidate, trials }))
        .ok()?;
    store(&mut flash, &record).ok()?;
    raise_counter(&mut flash, &record).ok()?;
    // What the image of the engine does in its service's place.
    let (mut room, image) = ([0; 1_100], [opaque(0); 1_024]);
    for message in [
        ToDevice::Offer { envelope },
        ToDevice::Block {
            sequence: SEQUENCE,
            offset: opaque(0),
            bytes: opaque(&image),
        },
    ] {
        let message = Message::new(Channel::Update, message.encode(&mut room).ok()?);
        opaque(message.payload);
    }
    usize::try_from(plan.release.size).ok()
}
