//! What an updater stands on: a manifest verified, followed by the processor and planned; an image that is hashed as it is
//! written, not too slowly; a boot record that is read, turned and stored; a record that is kept and a message that is
//! sent; and a driver around it. All of it by hand and
//! without cryptography. The size of the update engine and its schedule is what their image has more.
#![no_std]
#![no_main]

use core::time::Duration;

use cortex_m_rt::entry;
use iot_core::cose::Tagged;
use iot_core::engine::{BatchWriter, Done, Engine, Event, RecordKey, Step};
use iot_core::{Channel, Instant, Message, Now};
use iot_firmware::believer::Believer;
use iot_firmware::board::{Board, exit, opaque};
use iot_firmware::drive::{Driven, Flash, drive};
use iot_firmware::fixture::{DEVICE, MANIFEST};
use iot_ota::image::{MinimumRate, Stream, Verdict};
use iot_ota::manifest::{Limits, SignedManifest, SigningKey, Situation};
use iot_ota::slot::{Bank, Banks, BootEvent, load, raise_counter, running_release, store};

/// Stages what it is offered, whatever happens besides.
struct ByHand {
    flash: Flash,
    planned: u32,
    rate: MinimumRate,
}

impl Driven for ByHand {
    fn turn(&mut self, now: Now) -> bool {
        self.rate.progress(now.instant, opaque(1));
        opaque(self.rate.until());
        self.rate.look(now.instant) == Verdict::Stalled || opaque(self.planned) > 0
    }

    fn flash(&self) -> &Flash {
        &self.flash
    }
}

impl Engine for ByHand {
    fn handles(&self, channel: Channel) -> bool {
        channel == Channel::Update
    }

    #[inline(never)]
    fn input(&mut self, now: Now, event: &Event<'_>) {
        match event {
            Event::Message(message) if self.planned == 0 => {
                self.planned = self.stage(now, opaque(MANIFEST)).unwrap_or(0);
                opaque(message.payload);
            }
            Event::Settled { ticket, fate } => {
                opaque((*ticket, *fate));
            }
            Event::Record { key, value } => {
                opaque((*key, *value));
            }
            _ => {}
        }
    }

    #[inline(never)]
    fn step<'b>(&mut self, _: Now, buffer: &'b mut [u8]) -> Step<'b> {
        match opaque(self.planned) {
            0 => Step::Idle,
            1 => {
                let mut writer = BatchWriter::new(buffer);
                match writer.put(RecordKey::new(opaque(7)), opaque(&[7; 40])) {
                    Ok(()) => Step::Persist(writer.finish()),
                    Err(_) => Step::Idle,
                }
            }
            _ => Step::Send(Message::new(Channel::Update, buffer)),
        }
    }

    #[inline(never)]
    fn done(&mut self, _: Now, done: Done<'_>) {
        if let Done::Sent(ticket) = done {
            opaque(ticket);
        }
    }

    #[inline(never)]
    fn deadline(&self) -> Option<Instant> {
        opaque(None)
    }
}

impl ByHand {
    #[inline(never)]
    fn stage(&mut self, now: Now, envelope: &[u8]) -> Option<u32> {
        let flash = &mut self.flash;
        let record = load(flash).ok()??;
        opaque(running_release(flash, &record).is_some());
        let signed = SignedManifest::decode(envelope, Tagged::Required, Limits::default()).ok()?;
        let keys = SigningKey::new(Believer(MANIFEST));
        let manifest = signed
            .verify(&keys, &mut Believer(MANIFEST), record.installed.sequence)
            .ok()?;
        let installed = &record.installed;
        let situation = Situation::new(now.wall).running(installed.digest, installed.size);
        let plan = manifest.plan_in(opaque(&DEVICE), &situation).ok()?;
        let (candidate, trials) = (plan.release, opaque(3));
        if candidate.counter < flash.counter().ok()? {
            return None;
        }
        let part = flash.clear(Bank::B, opaque(0)).ok()?;
        let mut stream = Stream::new(Believer(MANIFEST), candidate.size, candidate.digest);
        // What an earlier life has written is hashed again.
        let (there, mut piece) = (opaque(0_u32), [0; 64]);
        while stream.offset() < there {
            let left = (there - stream.offset()) as usize;
            let piece = piece.get_mut(..left.min(64))?;
            flash.read(Bank::B, stream.offset(), piece).ok()?;
            stream.resume(piece).ok()?;
        }
        let write = |offset, bytes: &[u8]| flash.write(Bank::B, offset, bytes);
        stream.push(part.start, opaque(&piece), write).ok()?;
        // The image is another one, and is staged all the same: there is no flash.
        opaque(stream.finish().is_ok());
        let record = record
            .on(*opaque(&BootEvent::Stage { candidate, trials }))
            .ok()?;
        store(flash, &record).ok()?;
        raise_counter(flash, &record).ok()?;
        Some(plan.release.size)
    }
}

#[entry]
fn main() -> ! {
    let Some((board, flash)) = Board::start().zip(Flash::factory()) else {
        exit(false)
    };
    let rate = MinimumRate::new(100, Duration::from_secs(60), Instant::ZERO);
    let mut by_hand = ByHand {
        flash,
        planned: 0,
        rate,
    };
    let (written, ended) = drive(&mut by_hand, u32::MAX);
    let facts = [("written", written)];
    board.finish(if ended { Ok(&facts) } else { Err("plan") })
}
