//! Updates on flash under the explorer: installed, tried, confirmed, rejected and forgotten, in every mode of booting.
//!
//! The whole updater runs, from a signed offer to the report, on banks on flash; the boot loader runs at every boot.
//! What must hold after each boot and each step:
//!
//! - an image boots, and where images run lies exactly what was signed for;
//! - it is the image that the durable record allows: a candidate has so many boots and no more, and what was
//!   observed once is never taken back;
//! - the updater's status names that image, what is being done or staged, and the true reason why the last update ended as it
//!   did, and so does each report; no good image is refused;
//! - the security counter never stands above that of the confirmed image;
//! - where records are kept, a download goes on where it was, less what lies in the page that was being written.

use core::cell::RefCell;
use core::convert::Infallible;

use embedded_storage::nor_flash::ReadNorFlash;
use iot_core::crypto::{Digest, Sha256Digest};
use iot_core::port::MonotonicCounter;
use iot_core::sim::flash::{FlashImage, Mode};
use iot_core::sim::power::{KeyHasher, Subject, Violation, WorldCell};
use iot_core::sim::{SimFlash, ToyKey};
use iot_core::time::TimeBounds;
use iot_core::{Engine, Event, Instant, Now};
use iot_ota::manifest::{Device, SigningKey, Template};
use iot_ota::slot::FlashMeaning;
use iot_ota::slot::{
    Bank, Banks, BootRecord, Ended, EndedAs, FlashBanks, Layout, Release, boot, store,
};
use iot_ota::update::{Activity, ToDevice, Trust, Updater};

pub(crate) mod entries;
mod kept;
mod service;
mod truth;

use kept::Kept;
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
    /// Whether the updater's records outlast a cut.
    keeps: bool,
    meaning: RefCell<FlashMeaning<W, E>>,
}

/// What the outside knows.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct World {
    /// What may be on record, sorted.
    truths: Vec<Truth>,
    counter: u64,
    raised_early: bool,
    /// What the updater has on record, in a store that changes at one stroke; none where nothing is kept.
    kept: Option<Kept>,
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
    /// The release that was offered since the boot: without an offer nothing is staged.
    offered: Option<u64>,
}

impl<const W: usize, const E: usize> Updates<W, E> {
    pub(crate) fn new(way: Way, updates: u16, keeps: bool) -> Self {
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
            keeps,
            meaning: RefCell::new(FlashMeaning::new(layout::<E>(way, Bank::A))),
        }
    }

    /// How many bytes the service sends at once. What is kept is to be met in the middle of a page.
    const fn block(&self) -> usize {
        match self.keeps {
            true => E / 2 / W * W,
            false => E,
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

    /// The pages at which the banks begin.
    const fn banks_at(&self) -> [usize; 2] {
        match self.way {
            Way::Direct => [3, 6],
            Way::Swap | Way::SwapShort => [4, 7],
            Way::Overwrite => [6, 9],
        }
    }

    /// A device as it leaves the factory.
    pub(crate) fn factory(&self, mode: Mode) -> Option<(FlashImage<W, E>, World)> {
        let world = World {
            truths: vec![Truth::factory()],
            counter: counter_of(1),
            raised_early: false,
            kept: self.keeps.then(Kept::default),
        };
        let cell = WorldCell::new(world.clone());
        let flash = SimFlash::new(self.pages() as u16, mode);
        let mut banks = OnFlash::open(flash, layout::<E>(self.way, Bank::A), Fuses(cell)).ok()?;
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

    /// How the script ends when no power is cut: the last release, and whether it was confirmed.
    pub(crate) fn uncut(
        &self,
        start: &(FlashImage<W, E>, World),
    ) -> Result<Option<(u64, bool)>, Violation> {
        let world = WorldCell::new(start.1.clone());
        let mut image = start.0.clone();
        for _ in 0..4 * self.offers.len() {
            let mut session = self.start(SimFlash::from_image(image), &world)?;
            while Subject::<W, E>::choices(self, &session, &start.1) > 0 {
                self.step(0, &mut session, &world)?;
            }
            let status = session.updater.status();
            if status.activity == Activity::Idle {
                let well = |ended: Ended| ended.how == EndedAs::Confirmed;
                return Ok(status.ended.map(|ended| (ended.sequence, well(ended))));
            }
            image = session.updater.into_banks().into_parts().0.into_image();
        }
        Ok(None)
    }

    /// The boot loader, then the firmware; or why that may not be.
    fn start(
        &self,
        flash: SimFlash<W, E>,
        world: &WorldCell<World>,
    ) -> Result<Booted<W, E>, Violation> {
        let fuses = Fuses(world.clone());
        let mut banks = OnFlash::open(flash, layout::<E>(self.way, Bank::A), fuses.clone())
            .map_err(Violation::new)?;
        // A cut of the boot leaves what was there, or what a boot makes of it.
        let before = world.read(|world| world.truths.clone());
        world.update(|world| {
            let after = world.truths.iter().map(Truth::booted);
            world.truths = truth::set(world.truths.iter().copied().chain(after));
        });
        let bank = boot(&mut banks, &mut Sum::default()).map_err(Violation::new)?;
        let flash = banks.into_parts().0;
        let banks =
            OnFlash::open(flash, layout::<E>(self.way, bank), fuses).map_err(Violation::new)?;
        let trust = Trust::new(SigningKey::new(ToyKey::new(1)), Sum::default(), KIND);
        let updater = Updater::new(banks, trust)
            .with_trials(TRIALS)
            .with_block_bytes(self.block() as u32);
        let mut booted = Booted {
            updater,
            offered: None,
        };
        let allowed = truth::set(before.iter().map(Truth::booted));
        world.update(|world| world.truths.clone_from(&allowed));
        let kept = world.read(|world| world.kept.clone()).unwrap_or_default();
        kept.tell(&mut booted.updater);
        booted.updater.input(NOW, &Event::Restored);
        self.pump(&mut booted, world)?;
        self.narrow(&booted, world)?;
        kept.is_gone_on_with(&booted.updater.status(), E)?;
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
}

/// Where the places are of flash with pages of `E` bytes.
fn layout<const E: usize>(way: Way, running: Bank) -> Layout {
    let page = |number: usize| (number * E) as u32;
    let capacity = page(PAGES);
    match way {
        Way::Direct => Layout::direct(0, page(3), page(6), capacity, running),
        Way::Swap | Way::SwapShort => Layout::swap(0, page(3), page(4), page(7), capacity),
        Way::Overwrite => Layout::overwrite(0, page(3), page(6), page(9), capacity),
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
                self.offer(session, next, world)?;
            }
            Activity::Fetching { release, offset } => {
                self.answer(session, release.sequence, offset, world)?;
            }
            Activity::OnTrial => {
                let running = session.updater.status().running;
                let well = running.is_none_or(|release| release.sequence != BAD);
                truth::may_also(world, |truth| match well {
                    true => truth.confirmed(),
                    false => truth.rejected(),
                });
                session.updater.confirm(well);
                self.pump(session, world)?;
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
        if self.keeps {
            key.word(session.offered.unwrap_or(0));
            // The page behind what is written is erased, or is not yet.
            let image = session.updater.banks().flash().image();
            for page in self.banks_at().into_iter().flat_map(|at| at..at + PAGES) {
                key.image(image.page_hash(page));
            }
        }
    }

    fn key(&self, flash: &mut SimFlash<W, E>, world: &World, key: &mut KeyHasher) {
        self.meaning.borrow_mut().add(flash, key);
        // And the whole pages that are counted on.
        let kept = world.kept.as_ref().and_then(Kept::download);
        let pages = kept.map_or(0, |(_, offset)| offset as usize / E);
        for page in self.banks_at().into_iter().flat_map(|at| at..at + pages) {
            key.image(flash.image().page_hash(page));
        }
    }
}
