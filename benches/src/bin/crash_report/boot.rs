//! Updates on flash under the explorer: installed, tried, confirmed, rejected and forgotten, in every mode of booting.
//!
//! The whole updater runs, from a signed offer to the report, on banks on flash; the boot loader runs at every boot.
//! What must hold after each boot and each step:
//!
//! - an image boots, and where images run lies exactly what was signed for;
//! - it is the image that the durable record allows: a candidate has so many boots and no more, and what was
//!   observed once is never taken back;
//! - the updater's status names that image, what is being done, and the true reason why the last update ended as it did;
//! - the security counter never stands above that of the confirmed image.

use core::convert::Infallible;

use embedded_storage::nor_flash::ReadNorFlash;
use iot_core::crypto::{Digest, Sha256Digest};
use iot_core::engine::Done;
use iot_core::port::MonotonicCounter;
use iot_core::sim::flash::{FlashImage, Mode};
use iot_core::sim::power::{KeyHasher, Subject, Violation, WorldCell};
use iot_core::sim::{SimFlash, ToyKey};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Engine, Event, Instant, Message, Now, Step, Ticket};
use iot_ota::manifest::{Device, SigningKey, Template};
use iot_ota::slot::{Bank, Banks, BootRecord, FlashBanks, Layout, Release, boot, store};
use iot_ota::update::{Activity, ToDevice, Trust, Updater};

pub(crate) mod entries;
mod truth;

use truth::{TRIALS, Truth};

const KIND: Device<'static> = Device::new([0xfa; 16], [0x14; 16], &[b"firmware"]);
const NOW: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
/// Pages of an image.
const PAGES: usize = 3;
/// The release that rejects itself; all others are well.
const BAD: u64 = 3;

/// The security counter of a release: none of the sequence numbers of these, and not raised by each.
const fn counter_of(sequence: u64) -> u64 {
    20 + sequence / 2
}

/// How images get to where they run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    Direct,
    Swap,
    /// With a page behind each second image, which is moved with it.
    SwapShort,
    Overwrite,
}

/// Updates to release 2 and up, on a device that leaves the factory with release 1.
pub(crate) struct Updates<const W: usize, const E: usize> {
    way: Way,
    /// By sequence number, from 0.
    images: Vec<Vec<u8>>,
    offers: Vec<Vec<u8>>,
}

/// What the outside knows.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct World {
    /// What may be on record, sorted.
    truths: Vec<Truth>,
    counter: u64,
    raised_early: bool,
}

/// Fuses of the world, which survive every cut.
#[derive(Clone)]
pub(crate) struct Fuses(WorldCell<World>);

impl MonotonicCounter for Fuses {
    type Error = Infallible;

    fn value(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.read(|world| world.counter))
    }

    fn raise(&mut self, to: u64) -> Result<(), Infallible> {
        self.0.update(|world| {
            world.raised_early |= below(&world.truths, to);
            world.counter = world.counter.max(to);
        });
        Ok(())
    }
}

/// Whether the confirmed image has a lower counter in each case.
fn below(truths: &[Truth], counter: u64) -> bool {
    let mut cases = truths.iter();
    cases.all(|truth| counter_of(truth.active) < counter)
}

/// Not SHA-256: what is explored is flash, not cryptography.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sum(u64);

impl Digest for Sum {
    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3) ^ (self.0 >> 29);
        }
    }

    fn finish(&mut self) -> Sha256Digest {
        let mut out = [0; 32];
        let sum = core::mem::take(&mut self.0);
        out[..8].copy_from_slice(&sum.to_be_bytes());
        out
    }
}

fn sum(bytes: &[u8]) -> Sha256Digest {
    let mut digest = Sum::default();
    digest.update(bytes);
    digest.finish()
}

type OnFlash<const W: usize, const E: usize> = FlashBanks<SimFlash<W, E>, Fuses>;
type Firmware<const W: usize, const E: usize> =
    Updater<'static, OnFlash<W, E>, SigningKey<ToyKey>, Sum>;

#[derive(Clone)]
pub(crate) struct Booted<const W: usize, const E: usize> {
    updater: Firmware<W, E>,
}

impl<const W: usize, const E: usize> Updates<W, E> {
    pub(crate) fn new(way: Way, updates: u16) -> Self {
        let last = u64::from(updates) + 1;
        let image = |sequence: u64| {
            let bytes = (0_u64..).map(|at| (at * 37 + sequence * 101) as u8);
            let behind = usize::from(way == Way::SwapShort && sequence.is_multiple_of(2));
            // Short of whole words, so that the last one is filled up.
            bytes.take((PAGES - behind) * E - 3).collect::<Vec<_>>()
        };
        let images: Vec<_> = (0..=last).map(image).collect();
        let offer = |(sequence, image): (u64, &Vec<u8>)| {
            let size = image.len() as u32;
            let template = Template::new(sequence, KIND, sum(image), size, "iot:firmware")
                .with_counter(counter_of(sequence));
            let envelope = template
                .sign(&ToyKey::new(1), None, &mut Sum::default())
                .unwrap_or_default();
            encoded(&ToDevice::Offer {
                envelope: &envelope,
            })
        };
        let offers = (0..).zip(&images).map(offer).collect();
        Self {
            way,
            images,
            offers,
        }
    }

    /// Where the places are; and the page at which each bank, or what runs, lies.
    fn layout(&self, running: Bank) -> Layout {
        let page = |number: usize| (number * E) as u32;
        let capacity = page(PAGES);
        match self.way {
            Way::Direct => Layout::direct(0, page(3), page(6), capacity, running),
            Way::Swap | Way::SwapShort => Layout::swap(0, page(3), page(4), page(7), capacity),
            Way::Overwrite => Layout::overwrite(0, page(3), page(6), page(9), capacity),
        }
    }

    pub(crate) const fn pages(&self) -> usize {
        match self.way {
            Way::Direct => 9,
            Way::Swap | Way::SwapShort => 11,
            Way::Overwrite => 12,
        }
    }

    /// The page at which what runs begins.
    const fn runs_at(&self, bank: Bank) -> usize {
        match (self.way, bank) {
            (Way::Direct, Bank::A) | (Way::Overwrite, _) => 3,
            (Way::Direct, Bank::B) => 6,
            (Way::Swap | Way::SwapShort, _) => 4,
        }
    }

    /// A device as it leaves the factory.
    pub(crate) fn factory(&self, mode: Mode) -> Option<(FlashImage<W, E>, World)> {
        let world = World {
            truths: vec![Truth::factory()],
            counter: counter_of(1),
            raised_early: false,
        };
        let cell = WorldCell::new(world.clone());
        let flash = SimFlash::new(self.pages() as u16, mode);
        let layout = self.layout(Bank::A);
        let mut banks = OnFlash::open(flash, layout, Fuses(cell)).ok()?;
        banks.write(Bank::A, 0, &self.images[1]).ok()?;
        let release = Release::new(1, sum(&self.images[1]), self.images[1].len() as u32)
            .with_counter(counter_of(1));
        store(&mut banks, &BootRecord::factory(Bank::A, release)).ok()?;
        let mut flash = banks.into_parts().0;
        if self.way == Way::Overwrite {
            // What runs is a copy of what lies in bank A.
            let (mut image, at) = (vec![0xff; PAGES * E], 6 * E);
            image[..self.images[1].len()].copy_from_slice(&self.images[1]);
            embedded_storage::nor_flash::NorFlash::write(&mut flash, at as u32, &image).ok()?;
        }
        Some((flash.into_image(), world))
    }

    /// The boot loader, then the firmware; or why that may not be.
    fn start(
        &self,
        flash: SimFlash<W, E>,
        world: &WorldCell<World>,
    ) -> Result<Booted<W, E>, Violation> {
        let layout = self.layout(Bank::A);
        let fuses = Fuses(world.clone());
        let mut banks = OnFlash::open(flash, layout, fuses.clone()).map_err(Violation::new)?;
        // A cut of the boot leaves what was there, or what a boot makes of it.
        let before = world.read(|world| world.truths.clone());
        world.update(|world| {
            let after = world.truths.iter().map(Truth::booted);
            world.truths = truth::set(world.truths.iter().copied().chain(after));
        });
        let bank = boot(&mut banks, &mut Sum::default()).map_err(Violation::new)?;
        let flash = banks.into_parts().0;
        let banks = OnFlash::open(flash, self.layout(bank), fuses).map_err(Violation::new)?;
        let trust = Trust::new(SigningKey::new(ToyKey::new(1)), Sum::default(), KIND);
        let updater = Updater::new(banks, trust)
            .with_trials(TRIALS)
            .with_block_bytes(E as u32);
        let mut booted = Booted { updater };
        let allowed = truth::set(before.iter().map(Truth::booted));
        world.update(|world| world.truths.clone_from(&allowed));
        booted.updater.input(NOW, &Event::Restored);
        self.pump(&mut booted)?;
        self.narrow(&booted, world)?;
        Ok(booted)
    }

    /// Compares what is observed with what may be, and forgets what it cannot be any more.
    fn narrow(&self, booted: &Booted<W, E>, world: &WorldCell<World>) -> Result<(), Violation> {
        let status = booted.updater.status();
        let running = booted.updater.banks().running();
        let runs = self.what_runs(booted, running)?;
        if status
            .running
            .is_some_and(|release| release.sequence != runs)
        {
            return Err(Violation::new(format!("{status:?}, but {runs} runs")));
        }
        let truths = world.read(|world| world.truths.clone());
        let fits = |truth: &&Truth| truth.shows(&status, runs);
        let left = truth::set(truths.iter().filter(fits).copied());
        if left.is_empty() {
            return Err(Violation::new(format!(
                "{:?}, {:?}, {runs} runs; allowed is {truths:?}",
                status.activity, status.ended
            )));
        }
        let (counter, early) = world.read(|world| (world.counter, world.raised_early));
        if early || below(&left, counter) {
            return Err(Violation::new("the counter rose before the confirmation"));
        }
        world.update(|world| world.truths = left);
        Ok(())
    }

    /// The release that lies, every byte of it, where images run.
    fn what_runs(&self, booted: &Booted<W, E>, running: Bank) -> Result<u64, Violation> {
        let mut flash = booted.updater.banks().flash().clone();
        flash.clear_sink();
        let mut bytes = vec![0; PAGES * E];
        let at = self.runs_at(running) * E;
        ReadNorFlash::read(&mut flash, at as u32, &mut bytes).map_err(Violation::new)?;
        let found = self
            .images
            .iter()
            .position(|image| bytes.starts_with(image));
        let found = found.ok_or_else(|| Violation::new("no whole image runs"))?;
        Ok(found as u64)
    }

    /// Does what the updater wants, except for what the service must answer.
    fn pump(&self, booted: &mut Booted<W, E>) -> Result<(), Violation> {
        let mut buffer = [0; 256];
        for _ in 0..20 {
            let done = match booted.updater.step(NOW, &mut buffer) {
                // It has more to do at once: a page to erase.
                Step::Idle if booted.updater.deadline() == Some(Instant::ZERO) => continue,
                Step::Idle => return Ok(()),
                Step::Persist(_) => Done::Persisted,
                Step::Send(_) => Done::Sent(Ticket::new(1)),
                _ => return Err(Violation::new("an updater has no such step")),
            };
            booted.updater.done(NOW, done);
        }
        Err(Violation::new("the updater never rests"))
    }

    fn hear(&self, booted: &mut Booted<W, E>, payload: &[u8]) -> Result<(), Violation> {
        let message = Message::new(Channel::Update, payload);
        booted.updater.input(NOW, &Event::Message(message));
        self.pump(booted)
    }

    /// The release that the service offers next.
    fn next(&self, booted: &Booted<W, E>) -> Option<usize> {
        let status = booted.updater.status();
        let installed = status.running.map_or(0, |release| release.sequence);
        let ended = status.ended.map_or(0, |ended| ended.sequence);
        let next = installed.max(ended) as usize + 1;
        (next < self.offers.len()).then_some(next)
    }
}

fn encoded(message: &ToDevice<'_>) -> Vec<u8> {
    let mut buffer = [0; 1024];
    message.encode(&mut buffer).unwrap_or_default().to_vec()
}

impl<const W: usize, const E: usize> Subject<W, E> for Updates<W, E> {
    type World = World;
    type Session = Booted<W, E>;

    fn boot(
        &self,
        flash: SimFlash<W, E>,
        world: &WorldCell<World>,
    ) -> Result<Self::Session, Violation> {
        self.start(flash, world)
    }

    fn choices(&self, session: &Self::Session, _: &World) -> usize {
        match session.updater.status().activity {
            Activity::Idle => usize::from(self.next(session).is_some()),
            Activity::Fetching { .. } | Activity::OnTrial => 1,
            // The next thing is a boot, and the power may be cut at any moment.
            _ => 0,
        }
    }

    fn step(
        &self,
        _: usize,
        session: &mut Self::Session,
        world: &WorldCell<World>,
    ) -> Result<(), Violation> {
        match session.updater.status().activity {
            Activity::Idle => {
                let next = self.next(session).unwrap_or(0);
                self.hear(session, &self.offers[next])?;
            }
            Activity::Fetching { release, offset } => {
                let (sequence, start) = (release.sequence, offset as usize);
                let image = &self.images[sequence as usize];
                let bytes = &image[start..(start + E).min(image.len())];
                let message = encoded(&ToDevice::Block {
                    sequence,
                    offset,
                    bytes,
                });
                if start + bytes.len() == image.len() {
                    truth::may_also(world, |truth| truth.staged(sequence));
                }
                self.hear(session, &message)?;
            }
            Activity::OnTrial => {
                let running = session.updater.status().running;
                let well = running.is_none_or(|release| release.sequence != BAD);
                truth::may_also(world, |truth| match well {
                    true => truth.confirmed(),
                    false => truth.rejected(),
                });
                session.updater.confirm(well);
                self.pump(session)?;
            }
            other => return Err(Violation::new(format!("no step leads on from {other:?}"))),
        }
        self.narrow(session, world)
    }

    fn flash<'s>(&self, session: &'s Self::Session) -> &'s SimFlash<W, E> {
        session.updater.banks().flash()
    }

    fn session_key(&self, session: &Self::Session, key: &mut KeyHasher) {
        let status = session.updater.status();
        let (activity, detail) = match status.activity {
            Activity::Idle => (1, 0),
            Activity::Fetching { release, offset } => (release.sequence << 8 | 2, offset.into()),
            Activity::Staged { .. } => (3, 0),
            Activity::OnTrial => (4, 0),
            Activity::Rejected => (5, 0),
            _ => (6, 0),
        };
        key.word(activity);
        key.word(detail);
        key.word(status.running.map_or(0, |release| release.sequence));
        key.word(status.ended.map_or(0, |ended| ended.sequence));
        key.word(u64::from(session.updater.banks().running() == Bank::B));
    }

    fn key(&self, flash: &mut SimFlash<W, E>, _: &World, key: &mut KeyHasher) {
        OnFlash::<W, E>::add_meaning(flash, self.layout(Bank::A), key);
    }
}
