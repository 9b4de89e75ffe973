//! What a flash means to a log: the canonical key for the [explorer](crate::sim::power).
//!
//! Two flashes with the same key behave alike for ever. So the key holds what a boot learns (which pages count, in
//! which state the newest is, every entry that counts and in which page it stands), and no generation, and nothing
//! of pages that are free.
//!
//! A log is *shut* when the next boot opens a page whatever it reads: then the newest page will never be written
//! again, and nothing matters of it but where its accepted part ends. Neither does it matter which pages rival it:
//! the new page outranks them all.
//!
//! Unstable words that no boot looks at any more, or that change nothing of what it does, are *settled*: see
//! [`Look::is_settled`]. Where any is not, the key also holds everything that either reading tells, and the raw
//! words where a boot may yet read them differently.

use core::ops::Range;

use embedded_storage_async::nor_flash::{NorFlash, ReadNorFlash};

use super::format::{CHUNK, Header, MAX_VALUE, crc32};
use super::geometry::Geometry;
use super::live::Live;
use super::machine::{Job, Link, Machine};
use super::{Config, Log};
use crate::node::block_on;
use crate::sim::SimFlash;
use crate::sim::flash::{FlashCell, Reading};
use crate::sim::power::KeyHasher;

/// A machine that looks at a simulated flash.
pub(in crate::storage) type Looking<'f, L, const W: usize, const E: usize, const PAGES: usize> =
    Machine<&'f mut SimFlash<W, E>, L, PAGES>;

/// What one reading of a flash tells.
struct Look<const PAGES: usize> {
    /// What matters when all unstable words are settled.
    meaning: u128,
    /// What matters besides when they are not.
    doubt: u128,
    shut: bool,
    /// The pages that were found to count, newest first, and those that only a doubtful retirement ends.
    chain: [Link; PAGES],
    links: usize,
    /// That of the newest page.
    generation: u32,
    /// From which word on the newest page may be read differently.
    from: u32,
}

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
    flash.set_reading(Reading::Erased);
    let erased = Look::new(flash, live, config, &entries);
    let mut value = None;
    if flash.image().unstable_units() > 0 {
        flash.set_reading(Reading::Value);
        value = Some(Look::new(flash, live, config, &entries));
    }
    key.image(erased.meaning);
    match value {
        Some(value) if !value.is_settled(&erased, flash) => {
            key.image(value.meaning);
            key.image(erased.doubt);
            key.image(value.doubt);
            add_raw(flash, &[erased, value], key);
        }
        _ if erased.shut => {}
        _ => {
            flash.set_reading(Reading::Value);
            add_raw(flash, &[erased], key);
        }
    }
    flash.set_reading(Reading::Erased);
}

impl<const PAGES: usize> Look<PAGES> {
    /// Looks at a flash under the reading that is set.
    fn new<L: Live + Clone, const W: usize, const E: usize>(
        flash: &mut SimFlash<W, E>,
        live: &L,
        config: Config,
        entries: impl Fn(Looking<'_, L, W, E, PAGES>, &mut KeyHasher),
    ) -> Self {
        let (mut meaning, mut doubt) = (KeyHasher::new(), KeyHasher::new());
        let mut look = Self {
            meaning: 0,
            doubt: 0,
            shut: false,
            chain: [Link::default(); PAGES],
            links: 0,
            generation: 0,
            from: u32::MAX,
        };
        let region = 0..(flash.image().pages() * E) as u32;
        let Ok(mut machine) = Looking::<L, W, E, PAGES>::open(flash, live.clone(), &region, config)
        else {
            return look;
        };
        machine.looking = true;
        let run = block_on(machine.run(&mut Job::Boot));
        meaning.word(u64::from(run.is_ok()));
        meaning.word(machine.links as u64);
        (look.chain, look.links) = (machine.chain, machine.links);
        if machine.links == 0 {
            for page in 0..machine.pages {
                meaning.word(u64::from(header_of(machine.flash, page).is_some()));
            }
        } else {
            look.add_chain(&mut machine, &mut meaning, &mut doubt);
            machine.links -= machine.doubtful();
            let run = block_on(machine.run(&mut Job::Boot));
            meaning.word(u64::from(run.is_ok()));
            entries(machine, &mut meaning);
        }
        (look.meaning, look.doubt) = (meaning.key(), doubt.key());
        look
    }

    /// Adds which pages count, and in which state the newest is.
    fn add_chain<L: Live, const W: usize, const E: usize>(
        &mut self,
        machine: &mut Looking<'_, L, W, E, PAGES>,
        meaning: &mut KeyHasher,
        doubt: &mut KeyHasher,
    ) {
        let scan = machine.scanner;
        let clean = scan.is_clean();
        self.shut = !clean || scan.evidence < 2 || machine.rivalled;
        self.from = scan.end.saturating_sub(1);
        meaning.word(u64::from(self.shut) | u64::from(scan.end > 0) << 1);
        meaning.word(u64::from(scan.keep));
        let open = if self.shut {
            &mut *doubt
        } else {
            &mut *meaning
        };
        open.word(if clean { scan.tail().into() } else { u64::MAX });
        doubt.word(u64::from(machine.rivalled) | u64::from(scan.evidence.min(2)) << 1);

        let newest = header_of(machine.flash, machine.newest());
        let keep = newest.map_or(0, |header| header.keep as usize);
        self.generation = newest.map_or(0, |header| header.generation);
        meaning.word(keep as u64);
        let unstable = machine.flash.image().unstable_units() > 0;
        for at in 0..machine.links {
            let page = machine.chain.get(at).map_or(0, |link| link.page());
            meaning.word(u64::from(page));
            // The page before it is the next of the chain, or is not looked at, or may become readable again.
            let walked_on = at + 1 == machine.links && machine.links < keep;
            if walked_on || unstable {
                let header = header_of(machine.flash, page);
                let fields = header.map_or((0, 0), |header| (header.keep, header.previous));
                meaning.word(u64::from(fields.1) * u64::from(walked_on));
                doubt.word(u64::from(fields.0) | u64::from(fields.1) << 32);
            }
        }
        if self.shut && !unstable {
            return;
        }
        // Which pages could outrank it: whether a torn erasure ends that depends on which page is erased.
        for page in 0..machine.pages {
            let header = header_of(machine.flash, page);
            let rival = header.is_some_and(|header| header.generation >= self.generation);
            let rival = u64::from(rival && page != machine.newest());
            doubt.word(rival);
            meaning.word(rival * u64::from(!self.shut));
        }
    }

    /// Whether nothing depends any more on what unstable words read as. This is the look at their values, `erased`
    /// that at the same flash when they read as erased.
    ///
    /// Both looks must tell the same. Then an unstable word of the newest page matters only if the log is not
    /// shut, one of another page that counts only before the last word of its accepted part, which the verdict of
    /// the next page holds (a page that is not the newest is read behind its marks), and one of a page that does
    /// not count only if its header may outrank the newest, whatever it was.
    fn is_settled<const W: usize, const E: usize>(
        &self,
        erased: &Self,
        flash: &mut SimFlash<W, E>,
    ) -> bool {
        if self.meaning != erased.meaning || self.links == 0 {
            return false;
        }
        let used = self.chain.get(..self.links).unwrap_or_default();
        (0..flash.image().pages()).all(|page| {
            if !flash.image().is_unstable(page) {
                return true;
            }
            match used.iter().position(|link| link.page() as usize == page) {
                Some(0) => self.shut,
                Some(at) => {
                    let end = used.get(at).map_or(0, |link| link.end());
                    let (header, body) = (
                        Geometry::<SimFlash<W, E>>::HEADER,
                        Geometry::<SimFlash<W, E>>::BODY,
                    );
                    let read = (0..header).chain(body..end.saturating_sub(1));
                    read.flat_map(cells::<W, E>).all(|cell| {
                        !matches!(flash.image().cell(page, cell), Some(FlashCell::Unstable(_)))
                    })
                }
                None => header_of::<W, E>(flash, page as u32)
                    .is_none_or(|header| header.generation < self.generation),
            }
        })
    }
}

/// Adds the words that may read differently, where a boot may look at them.
fn add_raw<const W: usize, const E: usize, const PAGES: usize>(
    flash: &mut SimFlash<W, E>,
    looks: &[Look<PAGES>],
    key: &mut KeyHasher,
) {
    if !flash.image().has_doubt() {
        return;
    }
    let generation = looks.iter().map(|look| look.generation).min().unwrap_or(0);
    for page in 0..flash.image().pages() {
        let found = header_of(flash, page as u32);
        let newest = looks.iter().filter(|look| {
            look.links > 0
                && look
                    .chain
                    .first()
                    .is_some_and(|link| link.page() as usize == page)
        });
        let from = newest.map(|look| look.from).min();
        let header = Geometry::<SimFlash<W, E>>::HEADER;
        let from = match from {
            Some(from) => from,
            // A page that may outrank the newest.
            None if looks.len() > 1
                && found.is_some_and(|found| found.generation >= generation) =>
            {
                header
            }
            None => continue,
        };
        for word in 0..Geometry::<SimFlash<W, E>>::WORDS {
            for part in cells::<W, E>(word) {
                match flash.image().cell(page, part) {
                    Some(FlashCell::Unstable(_)) if word < header => {
                        key.word(part as u64 | 1 << 32 | (page as u64) << 40);
                    }
                    Some(FlashCell::Unstable(value)) if word >= from => {
                        key.word(part as u64 | 2 << 32 | (page as u64) << 40);
                        key.bytes(&value);
                    }
                    Some(FlashCell::Attempted) if word >= from => {
                        key.word(part as u64 | 3 << 32 | (page as u64) << 40);
                    }
                    _ => {}
                }
            }
        }
    }
}

fn header_of<const W: usize, const E: usize>(
    flash: &mut SimFlash<W, E>,
    page: u32,
) -> Option<Header> {
    let (mut buffer, len) = ([0; CHUNK], Geometry::<SimFlash<W, E>>::HEADER_BYTES);
    block_on(flash.read(page * E as u32, buffer.get_mut(..len)?)).ok()?;
    Header::decode(page, len, &buffer).ok()
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
