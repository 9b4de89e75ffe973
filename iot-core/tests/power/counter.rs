//! A crash-safe counter on three pages, and the ways to get it wrong.
//!
//! A page holds entries of one word, each with the page's generation, the counter's value and their complement. Every
//! boot copies the value to a fresh page, twice, before it trusts it: the newest word of the old page may lie. Bits
//! that are lost on the way to erased never leave a valid entry, because value and complement lose differently.

use core::hash::Hash;

use embedded_storage_async::nor_flash::{NorFlash, ReadNorFlash};
use iot_core::node::block_on;
use iot_core::sim::SimFlash;
use iot_core::sim::flash::{FlashCell, FlashImage, Reading, SimFlashError};
use iot_core::sim::power::{KeyHasher, Subject, Violation, WorldCell};

/// What is wrong with the counter.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Fault {
    None,
    /// The mark that makes an entry count is written before its data.
    MarkFirst,
    /// It goes on in the old page, on the first word that looks erased.
    WordWrittenTwice,
    /// The old page is erased before its value is anywhere else.
    EraseBeforeCopy,
    /// An entry is not checked against its complement.
    TornTrusted,
    /// What was read is told before it is copied to a fresh page.
    LastWordTrusted,
    /// A page that looks erased is not erased.
    ErasedTrusted,
    /// The page before the newest is erased next, although the newest may lie.
    PriorErased,
}

/// How states are told apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum KeyStyle {
    /// By the values that each page may show, generations relative to the newest.
    Meaning,
    /// By the meaning of each word, which is more than the correct counter needs.
    Words,
    /// By every cell.
    Cells,
    /// By the newest value alone, which is too little.
    NewestValue,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Counter {
    pub(crate) last: u8,
    pub(crate) fault: Fault,
    pub(crate) key: KeyStyle,
    /// The environment may count twice at once.
    pub(crate) jumps: bool,
}

/// The lowest and highest value that the outside may be shown.
pub(crate) type Allowed = (u8, u8);

#[derive(Clone, Debug)]
pub(crate) struct Counting<const W: usize, const E: usize> {
    flash: SimFlash<W, E>,
    value: u8,
    generation: u8,
    page: usize,
    prior: usize,
    next: usize,
}

#[derive(Clone, Copy, Debug)]
struct Page {
    number: usize,
    generation: u8,
    value: u8,
    /// The first word after the last that does not look erased.
    end: usize,
}

const NONE: usize = usize::MAX;

impl Counter {
    pub(crate) const fn new(last: u8) -> Self {
        Self {
            last,
            fault: Fault::None,
            key: KeyStyle::Meaning,
            jumps: false,
        }
    }

    /// The pages with a valid entry, newest first.
    fn scan<const W: usize, const E: usize>(&self, flash: &mut SimFlash<W, E>) -> Vec<Page> {
        let mut pages = Vec::new();
        for number in 0..flash.capacity() / E {
            let (mut end, mut newest) = (0, None);
            let mut marked = None;
            for index in 0..E / W {
                let mut word = [0; W];
                let read = block_on(flash.read(offset::<W, E>(number, index), &mut word));
                if read != Ok(()) || word != [0xff; W] {
                    end = index + 1;
                }
                if read != Ok(()) {
                    continue;
                }
                if self.fault == Fault::MarkFirst && index % 2 == 1 {
                    // The data are taken as they are.
                    newest = marked.map(|generation| (generation, word[1])).or(newest);
                    continue;
                }
                if let Some((generation, value)) = self.decode(word) {
                    marked = Some(generation);
                    newest = Some((generation, value));
                }
            }
            if let Some((generation, value)) = newest {
                pages.push(Page {
                    number,
                    generation,
                    value,
                    end,
                });
            }
        }
        // Generations wrap; those in use are near each other.
        let first = pages.first().map_or(0, |page| page.generation);
        let age = |page: &Page| page.generation.wrapping_sub(first).wrapping_add(128);
        pages.sort_by_key(|page| (255 - age(page), 255 - page.value));
        pages
    }

    fn decode<const W: usize>(&self, word: [u8; W]) -> Option<(u8, u8)> {
        let [generation, value, ..] = *word.first_chunk::<4>()?;
        let erased = word == [0xff; W];
        let trusted = self.fault == Fault::TornTrusted && !erased;
        (trusted || word == entry(generation, value)).then_some((generation, value))
    }

    /// Begins a fresh page with the session's value.
    fn open<const W: usize, const E: usize>(
        &self,
        session: &mut Counting<W, E>,
    ) -> Result<(), SimFlashError> {
        let pages = session.flash.capacity() / E;
        let spare = |page: &usize| *page != session.page && *page != session.prior;
        let other = |page: &usize| *page != session.page;
        let page = match self.fault {
            Fault::EraseBeforeCopy if session.page != NONE => Some(session.page),
            Fault::PriorErased if session.prior != NONE => Some(session.prior),
            _ => (0..pages).find(spare).or((0..pages).find(other)),
        };
        let page = page.unwrap_or(0);
        let from = offset::<W, E>(page, 0);
        let to = offset::<W, E>(page + 1, 0);
        let mut bytes = [0; E];
        let erased = block_on(session.flash.read(from, &mut bytes)) == Ok(()) && bytes == [0xff; E];
        if !(erased && self.fault == Fault::ErasedTrusted) {
            block_on(session.flash.erase(from, to))?;
        }
        session.generation = session.generation.wrapping_add(1);
        (session.prior, session.page, session.next) = (session.page, page, 0);
        for _ in 0..2 {
            self.append(session)?;
        }
        Ok(())
    }

    fn append<const W: usize, const E: usize>(
        &self,
        session: &mut Counting<W, E>,
    ) -> Result<(), SimFlashError> {
        let offset = offset::<W, E>(session.page, session.next);
        let word: [u8; W] = entry(session.generation, session.value);
        block_on(session.flash.write(offset, &word))?;
        session.next += 1;
        Ok(())
    }

    fn count<const W: usize, const E: usize>(
        &self,
        session: &mut Counting<W, E>,
        by: u8,
    ) -> Result<(), SimFlashError> {
        let words = match self.fault {
            Fault::MarkFirst => 2,
            _ => 1,
        };
        if session.page == NONE || session.next + words > E / W {
            self.open(session)?;
        }
        session.value += by;
        for _ in 0..words {
            self.append(session)?;
        }
        Ok(())
    }
}

fn entry<const W: usize>(generation: u8, value: u8) -> [u8; W] {
    let mut word = [0; W];
    let fields = [generation, value, !generation, !value];
    for (to, from) in word.iter_mut().zip(fields.into_iter().cycle()) {
        *to = from;
    }
    word
}

fn offset<const W: usize, const E: usize>(page: usize, word: usize) -> u32 {
    u32::try_from(page * E + word * W).unwrap_or(u32::MAX)
}

fn failed(error: SimFlashError) -> Violation {
    Violation::new(error)
}

impl<const W: usize, const E: usize> Subject<W, E> for Counter {
    type World = Allowed;
    type Session = Counting<W, E>;

    fn boot(
        &self,
        mut flash: SimFlash<W, E>,
        world: &WorldCell<Allowed>,
    ) -> Result<Counting<W, E>, Violation> {
        let pages = self.scan(&mut flash);
        let head = pages.first();
        let mut session = Counting {
            value: head.map_or(0, |page| page.value),
            generation: head.map_or(0, |page| page.generation),
            page: head.map_or(NONE, |page| page.number),
            prior: pages.get(1).map_or(NONE, |page| page.number),
            next: head.map_or(E / W, |page| page.end),
            flash,
        };
        match self.fault {
            Fault::WordWrittenTwice => {}
            // The next count opens a page.
            Fault::LastWordTrusted => session.next = E / W,
            _ => self.open(&mut session).map_err(failed)?,
        }
        let (low, high) = world.read(|allowed| *allowed);
        if session.value < low || session.value > high {
            let what = format!("{} was read, {low}..={high} is allowed", session.value);
            return Err(Violation::new(what));
        }
        world.update(|allowed| *allowed = (session.value, session.value));
        Ok(session)
    }

    fn choices(&self, session: &Counting<W, E>, _: &Allowed) -> usize {
        match self.last - session.value {
            0 => 0,
            1 => 1,
            _ => 1 + usize::from(self.jumps),
        }
    }

    fn step(
        &self,
        choice: usize,
        session: &mut Counting<W, E>,
        world: &WorldCell<Allowed>,
    ) -> Result<(), Violation> {
        let by = u8::try_from(choice + 1).map_err(Violation::new)?;
        world.update(|(_, high)| *high += by);
        self.count(session, by).map_err(failed)?;
        world.update(|(low, _)| *low += by);
        Ok(())
    }

    fn flash<'s>(&self, session: &'s Counting<W, E>) -> &'s SimFlash<W, E> {
        &session.flash
    }

    fn session_key(&self, session: &Counting<W, E>, key: &mut KeyHasher) {
        (session.page, session.prior, session.next).hash(key);
    }

    fn key(&self, flash: &mut SimFlash<W, E>, _: &Allowed, key: &mut KeyHasher) {
        if self.key == KeyStyle::Cells {
            return key.image(flash.image().hash());
        }
        let pages = self.scan(flash);
        if self.key == KeyStyle::NewestValue {
            return pages.first().map(|page| page.value).hash(key);
        }
        if self.key == KeyStyle::Words {
            return self.words(flash.image(), key);
        }
        // Every boot erases a page that is neither of these before it writes it, so what is there means nothing.
        let unstable = flash.image().unstable_units() > 0;
        let kept = (flash.image().pages() - 1).min(2);
        let mut read = |reading| {
            flash.set_reading(reading);
            let mut pages = self.scan(flash);
            pages.truncate(kept);
            pages
        };
        let erased = read(Reading::Erased);
        let readings = match unstable {
            true => [erased, read(Reading::Value)],
            false => [erased, Vec::new()],
        };
        let newest = readings
            .iter()
            .filter_map(|pages| pages.first())
            .map(|page| page.generation);
        let newest = newest.reduce(newer).unwrap_or(0);
        for page in readings.iter().flatten() {
            (
                page.number,
                page.value,
                newest.wrapping_sub(page.generation),
            )
                .hash(key);
        }
        (readings[0].len(), readings[1].len()).hash(key);
    }
}

fn places<const W: usize, const E: usize>(
    image: &FlashImage<W, E>,
) -> impl Iterator<Item = (usize, usize)> + use<W, E> {
    (0..image.pages()).flat_map(|page| (0..E / W).map(move |word| (page, word)))
}

fn newer(a: u8, b: u8) -> u8 {
    match b.wrapping_sub(a) < 128 {
        true => b,
        false => a,
    }
}

impl Counter {
    fn words<const W: usize, const E: usize>(&self, image: &FlashImage<W, E>, key: &mut KeyHasher) {
        let meaning = |(page, word)| match image.cell(page, word) {
            Some(FlashCell::Programmed(value)) => (self.decode(value), 1),
            Some(FlashCell::Unstable(value)) => (self.decode(value), 2),
            Some(FlashCell::Attempted) => (None, 3),
            Some(FlashCell::Erased) => (None, 4),
            _ => (None, 5),
        };
        let generations = places(image).filter_map(|place| Some(meaning(place).0?.0));
        let newest = generations.reduce(newer).unwrap_or(0);
        for place in places(image) {
            let (entry, kind) = meaning(place);
            let entry = entry.map(|(age, value)| (newest.wrapping_sub(age), value));
            (entry, kind).hash(key);
        }
    }
}
