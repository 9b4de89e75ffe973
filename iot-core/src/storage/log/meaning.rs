//! What a flash means to a log: the canonical key for the [explorer](crate::sim::power).
//!
//! Two flashes with the same key behave alike for ever. So the key holds what a boot learns (which pages count, in
//! which state the newest is, every entry that counts and in which page it stands), and raw words only where a boot may
//! yet read them differently: from the end of the accepted part of the newest page on, and in pages that
//! could outrank it. It holds no generation, and nothing of pages that are free.

use core::ops::Range;

use embedded_storage_async::nor_flash::NorFlash;

use super::format::{CHUNK, Header, MAX_VALUE, crc32};
use super::geometry::Geometry;
use super::live::Live;
use super::machine::{Job, Machine};
use super::{Config, Log};
use crate::node::block_on;
use crate::sim::SimFlash;
use crate::sim::flash::{FlashCell, Reading};
use crate::sim::power::KeyHasher;

/// From which word on the raw words of a page matter; `u32::MAX` where none does.
type RawFrom<const PAGES: usize> = [u32; PAGES];

/// A machine that looks at a simulated flash.
pub(in crate::storage) type Looking<'f, L, const W: usize, const E: usize, const PAGES: usize> =
    Machine<&'f mut SimFlash<W, E>, L, PAGES>;

/// Adds what `flash` means under the readings that have a say; `entries` adds what its entries mean.
pub(in crate::storage) fn add<
    L: Live + Clone,
    const W: usize,
    const E: usize,
    const PAGES: usize,
>(
    flash: &mut SimFlash<W, E>,
    live: &L,
    config: Config,
    key: &mut KeyHasher,
    entries: impl Fn(Looking<'_, L, W, E, PAGES>, &mut KeyHasher),
) {
    let unstable = flash.image().unstable_units() > 0;
    let readings = [Reading::Erased, Reading::Value];
    let (mut raw, mut generation) = ([u32::MAX; PAGES], u32::MAX);
    for reading in readings.into_iter().take(if unstable { 2 } else { 1 }) {
        flash.set_reading(reading);
        let newest = add_reading(flash, live, config, key, &mut raw, &entries);
        generation = generation.min(newest);
    }
    if unstable || flash.image().has_doubt() {
        flash.set_reading(Reading::Value);
        add_raw(flash, generation, &raw, key);
    }
    flash.set_reading(Reading::Erased);
}

/// Adds what one reading means, and returns the generation of the newest page.
fn add_reading<L: Live + Clone, const W: usize, const E: usize, const PAGES: usize>(
    flash: &mut SimFlash<W, E>,
    live: &L,
    config: Config,
    key: &mut KeyHasher,
    raw: &mut RawFrom<PAGES>,
    entries: impl Fn(Looking<'_, L, W, E, PAGES>, &mut KeyHasher),
) -> u32 {
    let region = 0..(flash.image().pages() * E) as u32;
    let Ok(mut machine) = Looking::<L, W, E, PAGES>::open(flash, live.clone(), &region, config)
    else {
        return 0;
    };
    machine.looking = true;
    let run = block_on(machine.run(&mut Job::Boot));
    key.word(u64::from(run.is_ok()));
    key.word(machine.links as u64);
    if machine.links == 0 {
        for page in 0..machine.pages {
            key.word(u64::from(block_on(machine.header_of(page)).is_some()));
        }
        return 0;
    }
    let scan = machine.scanner;
    let clean = scan.is_clean();
    let flags = u64::from(clean) | u64::from(machine.rivalled) << 1 | u64::from(scan.end > 0) << 2;
    key.word(flags | u64::from(scan.evidence.min(2)) << 3 | u64::from(scan.keep) << 16);
    key.word(if clean { scan.tail().into() } else { u64::MAX });
    let newest = machine.newest();
    let mut generation = 0;
    for at in 0..machine.links {
        let page = machine.chain.get(at).map_or(0, |link| link.page());
        let header = block_on(machine.header_of(page));
        let (keep, previous) = header.map_or((0, 0), |header| (header.keep, header.previous));
        if at == 0 {
            generation = header.map_or(0, |header| header.generation);
        }
        key.word(u64::from(page) | u64::from(keep) << 16 | u64::from(previous) << 32);
    }
    // Which pages could outrank it: whether a torn erasure ends that depends on which page is erased.
    for page in 0..machine.pages {
        let header = block_on(machine.header_of(page));
        let rival = header.is_some_and(|header| header.generation >= generation);
        key.word(u64::from(rival && page != newest));
    }
    if let Some(from) = raw.get_mut(newest as usize) {
        *from = (*from).min(scan.end.saturating_sub(1));
    }
    machine.links -= machine.doubtful();
    let run = block_on(machine.run(&mut Job::Boot));
    key.word(u64::from(run.is_ok()));
    entries(machine, key);
    generation
}

/// Adds the words that may read differently, where a boot may look at them.
fn add_raw<const W: usize, const E: usize, const PAGES: usize>(
    flash: &mut SimFlash<W, E>,
    generation: u32,
    raw: &RawFrom<PAGES>,
    key: &mut KeyHasher,
) {
    let region = 0..(flash.image().pages() * E) as u32;
    let Ok(mut machine) = Looking::<(), W, E, PAGES>::open(flash, (), &region, Config::new())
    else {
        return;
    };
    for (page, &from) in (0..machine.pages).zip(raw) {
        let header = Geometry::<SimFlash<W, E>>::HEADER;
        let found = block_on(machine.header_of(page));
        if found.is_none_or(|found| found.generation < generation) {
            continue;
        }
        let from = if from == u32::MAX { header } else { from };
        for word in 0..Geometry::<SimFlash<W, E>>::WORDS {
            for part in cells::<W, E>(word) {
                match machine.flash.image().cell(page as usize, part) {
                    Some(FlashCell::Unstable(_)) if word < header => {
                        key.word(part as u64 | 1 << 32 | u64::from(page) << 40)
                    }
                    Some(FlashCell::Unstable(value)) if word >= from => {
                        key.word(part as u64 | 2 << 32 | u64::from(page) << 40);
                        key.bytes(&value);
                    }
                    Some(FlashCell::Attempted) if word >= from => {
                        key.word(part as u64 | 3 << 32 | u64::from(page) << 40)
                    }
                    _ => {}
                }
            }
        }
    }
}

/// The cells of the flash that make up a word of the log.
fn cells<const W: usize, const E: usize>(word: u32) -> Range<usize> {
    let parts = Geometry::<SimFlash<W, E>>::WORD / W;
    let first = word as usize * parts;
    first..first + parts
}

impl<F: NorFlash, L: Live, const PAGES: usize> Machine<F, L, PAGES> {
    /// Adds everything in RAM that future operations depend on.
    pub(in crate::storage) fn add_session(&self, key: &mut KeyHasher) {
        let flags = u64::from(self.quiet) | u64::from(self.settled) << 1;
        key.word(u64::from(self.tail) | flags << 16);
        key.word(self.links as u64);
        for link in self.used() {
            key.word(u64::from(link.page()) | u64::from(link.end() > 0) << 16);
        }
    }

    async fn header_of(&mut self, page: u32) -> Option<Header> {
        let (mut buffer, len) = ([0; CHUNK], Geometry::<F>::HEADER_BYTES);
        let at = self.begin + page * F::ERASE_SIZE as u32;
        self.flash.read(at, buffer.get_mut(..len)?).await.ok()?;
        Header::decode(page, len, &buffer).ok()
    }
}

impl<const W: usize, const E: usize, const PAGES: usize> Log<SimFlash<W, E>, PAGES> {
    /// Adds what `flash` means to a log that fills it: the canonical key of a
    /// [`Subject`](crate::sim::power::Subject) that runs on one.
    ///
    /// A log knows nothing of what its entries mean, so all of them count.
    pub fn add_meaning(flash: &mut SimFlash<W, E>, config: Config, key: &mut KeyHasher) {
        add::<(), W, E, PAGES>(flash, &(), config, key, |machine, key| {
            let (mut log, mut value) = (Log { machine }, [0; MAX_VALUE]);
            let mut cursor = log.oldest();
            while let Ok(Some(entry)) = block_on(log.next(&mut cursor)) {
                key.word(u64::from(entry.key.get()) | u64::from(entry.place.page()) << 32);
                let sum = block_on(log.read(&entry, &mut value)).map(|bytes| crc32(7, bytes));
                let flags = entry.place.len() as u64 | u64::from(entry.removal) << 16;
                key.word(sum.map_or(u64::MAX, u64::from) | flags << 32);
            }
        });
    }

    /// Adds everything that the log knows and its flash does not tell.
    pub fn add_session(&self, key: &mut KeyHasher) {
        self.machine.add_session(key);
    }
}
