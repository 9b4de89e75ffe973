//! The log as a machine that asks for one operation of the flash after another.
//!
//! All decisions are made in plain code that never waits; [`Machine::run`] alone talks to the flash. That keeps one
//! copy of the log for blocking and async drivers, and it is half the size of the same code with an await at
//! each operation.

use core::ops::Range;

use embedded_storage_async::nor_flash::{NorFlash, NorFlashError, NorFlashErrorKind};

use super::boot::Boot;
use super::format::{Header, MAX_WORD, NoHeader, Word};
use super::geometry::Geometry;
use super::live::{Live, Place};
use super::scan::{Scanner, Seen};
use super::write::Writer;
use super::{Config, LogError};
use crate::engine::Batch;

/// How many bytes are written in one go.
pub(super) const STAGE: usize = 64;
const _: () = assert!(STAGE % MAX_WORD == 0 && STAGE >= Header::MAX);

/// What the machine wants done.
#[derive(Clone, Copy, Debug)]
pub(super) enum Want {
    /// Nothing more.
    Done,
    /// Nothing more, because it cannot go on.
    Stop(Refusal),
    /// Bytes read into `input`.
    Read { page: u16, word: u32, bytes: usize },
    /// The first bytes of `stage` programmed.
    Program { page: u16, word: u32, bytes: usize },
    /// A page erased.
    Erase { page: u16 },
}

/// What the machine is at: the operation it wanted last.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    /// Reading the header of a page, to learn its generation.
    Headers(u16),
    /// Reading a word for the scanner.
    Pass,
    /// Reading the header of the page that was scanned.
    Newest,
    /// Reading the header of the oldest page of the chain so far.
    Chain,
    /// Reading the header of the newest page, which a page to be opened takes the place of.
    Replaced(u16),
    /// Erasing a page.
    Erase(u16),
    /// Programming the header of a page, or one of its marks.
    Open(u16, u32),
    /// Programming a part of a record, or the guard.
    Write,
    /// Reading a word of a record that is copied.
    Copy,
    /// Programming the mark behind a batch.
    Mark,
}

/// What the machine is to do.
#[derive(Debug)]
pub(super) enum Job<'b, const PAGES: usize> {
    /// Find out what is there.
    Boot(Boot<PAGES>),
    /// Write a batch of so many words.
    Append { rest: Batch<'b>, words: u32 },
    /// Retire the oldest page.
    Retire,
    /// Go on with the scanner to the next record, and copy its value.
    Look { value: &'b mut [u8] },
}

/// Why the machine cannot go on.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) enum Refusal {
    Full,
    Keys,
    Corrupt,
    Version(u8),
}

/// Why a job was not done.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) enum Stop<E> {
    Flash(E),
    Refused(Refusal),
}

/// A page that counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Link {
    pub(super) page: u16,
    /// Where its accepted part ends.
    pub(super) end: u16,
}

impl Link {
    pub(super) const NONE: Self = Self { page: 0, end: 0 };
}

/// A log, and in `live` what somebody wants to know about its entries.
#[derive(Clone, Debug)]
pub(in crate::storage) struct Machine<F, L, const PAGES: usize> {
    pub(in crate::storage) flash: F,
    pub(in crate::storage) live: L,
    /// Where the first page begins, in bytes.
    pub(super) begin: u32,
    pub(super) pages: u16,
    pub(super) config: Config,
    /// The pages that count, oldest first.
    pub(super) chain: [Link; PAGES],
    pub(super) links: usize,
    /// The highest generation that was seen.
    pub(super) generation: u32,
    /// Where the next word goes in the newest page.
    pub(super) tail: u16,
    /// The last word of the newest page's accepted part.
    pub(super) last: Word,
    /// Nothing was written since the boot.
    pub(super) quiet: bool,
    /// A write was begun and not ended: only a look at the flash can tell what is there.
    pub(super) torn: bool,
    /// How many pages were retired, for cursors.
    pub(super) retired: u32,

    pub(super) phase: Phase,
    pub(super) input: [u8; STAGE],
    pub(super) stage: [u8; STAGE],
    pub(super) scanner: Scanner,
    /// The page of the chain that is read, and where reading ends.
    pub(super) at: usize,
    pub(super) end: u32,
    /// What the scanner saw last.
    pub(super) seen: Seen,
    /// The word that is read is the one that the verdict of the next page holds.
    pub(super) overruled: bool,
    pub(super) writer: Writer,
}

impl<F: NorFlash, L: Live, const PAGES: usize> Machine<F, L, PAGES> {
    /// A machine for a region of the flash that has not looked at it yet.
    pub(in crate::storage) fn open(
        flash: F,
        live: L,
        region: &Range<u32>,
        config: Config,
    ) -> Result<Self, LogError<F::Error>> {
        let page = F::ERASE_SIZE as u32;
        let bytes = region.end.saturating_sub(region.start);
        let pages = bytes / page;
        let whole = region.start % page == 0 && bytes % page == 0;
        let inside = region.end as usize <= flash.capacity();
        if !inside || !whole || pages < u32::from(config.spare) + 2 || pages as usize > PAGES {
            let limit = PAGES as u16;
            return Err(LogError::Region { limit });
        }
        Ok(Self::new(flash, live, region.start, pages as u16, config))
    }

    const fn new(flash: F, live: L, begin: u32, pages: u16, config: Config) -> Self {
        Self {
            flash,
            live,
            begin,
            pages,
            config,
            chain: [Link::NONE; PAGES],
            links: 0,
            generation: 0,
            tail: 0,
            last: [0; MAX_WORD],
            quiet: true,
            torn: true,
            retired: 0,
            phase: Phase::Pass,
            input: [0; STAGE],
            stage: [0; STAGE],
            scanner: Scanner::new(0, 0, 0),
            at: 0,
            end: 0,
            seen: Seen::Part,
            overruled: false,
            writer: Writer::IDLE,
        }
    }

    /// Does a job. Dropped in its middle, it leaves the machine `torn` if it was writing.
    pub(super) async fn run(
        &mut self,
        job: &mut Job<'_, PAGES>,
        mut want: Want,
    ) -> Result<(), Stop<F::Error>> {
        loop {
            let mut readable = true;
            match want {
                Want::Done => return Ok(()),
                Want::Stop(refusal) => return Err(Stop::Refused(refusal)),
                Want::Read { page, word, bytes } => {
                    let at = self.offset(page, word);
                    let input = self.input.get_mut(..bytes).unwrap_or_default();
                    match self.flash.read(at, input).await {
                        Ok(()) => {}
                        // A word with more wrong bits than the flash can mend is a fact of its content. That
                        // the log asked for something that is not there is not.
                        Err(error) if error.kind() == NorFlashErrorKind::Other => readable = false,
                        Err(error) => return Err(Stop::Flash(error)),
                    }
                }
                Want::Program { page, word, bytes } => {
                    let at = self.offset(page, word);
                    let stage = self.stage.get(..bytes).unwrap_or_default();
                    self.flash.write(at, stage).await.map_err(Stop::Flash)?;
                }
                Want::Erase { page } => {
                    let (from, to) = (
                        self.offset(page, 0),
                        self.offset(page, Geometry::<F>::WORDS),
                    );
                    self.flash.erase(from, to).await.map_err(Stop::Flash)?;
                }
            }
            want = self.done(job, readable);
        }
    }

    /// Looks at the flash again if the last write was not seen to its end; says whether it did.
    pub(in crate::storage) async fn ready(&mut self) -> Result<bool, Stop<F::Error>> {
        if !self.torn {
            return Ok(false);
        }
        let first = self.boot();
        self.run(&mut Job::Boot(Boot::new()), first).await?;
        // Nobody knows what an interrupted retirement left: all cursors begin again.
        self.retired = self.retired.wrapping_add(2 * PAGES as u32);
        Ok(true)
    }

    /// What comes after the operation that was wanted last.
    fn done(&mut self, job: &mut Job<'_, PAGES>, readable: bool) -> Want {
        match self.phase {
            Phase::Headers(page) => self.header_read(job, page, readable),
            Phase::Pass => self.word_read(job, readable),
            Phase::Newest => self.newest_read(job, readable),
            Phase::Chain => self.chain_read(job, readable),
            Phase::Replaced(page) => self.replaced_read(page, readable),
            Phase::Erase(page) => self.erased(page),
            Phase::Open(page, word) => self.opened(job, page, word),
            Phase::Write => self.written(job),
            Phase::Copy => self.copied(job, readable),
            Phase::Mark => self.marked(job),
        }
    }

    fn offset(&self, page: u16, word: u32) -> u32 {
        self.begin + u32::from(page) * F::ERASE_SIZE as u32 + word * Geometry::<F>::WORD as u32
    }

    pub(super) fn read_header(&mut self, page: u16, phase: Phase) -> Want {
        self.phase = phase;
        Want::Read {
            page,
            word: 0,
            bytes: Geometry::<F>::HEADER_BYTES,
        }
    }

    /// The header that was read into `input`.
    pub(super) fn header(&self, page: u16, readable: bool) -> Result<Header, NoHeader> {
        if !readable {
            return Err(NoHeader::Unreadable);
        }
        Header::decode(
            page,
            Geometry::<F>::WORD,
            Geometry::<F>::HEADER_BYTES,
            &self.input,
        )
    }

    /// The pages that count, oldest first.
    pub(super) fn used(&self) -> &[Link] {
        self.chain.get(..self.links).unwrap_or_default()
    }

    /// Where in the chain a page stands.
    pub(super) fn link_of(&self, page: u16) -> Option<usize> {
        self.used().iter().position(|link| link.page == page)
    }

    /// Adds a page to the chain.
    pub(super) fn link(&mut self, page: u16, end: u16) {
        if let Some(place) = self.chain.get_mut(self.links) {
            *place = Link { page, end };
            self.links += 1;
        }
    }

    /// Drops the oldest pages from the chain.
    pub(super) fn unlink_oldest(&mut self, count: usize) {
        // Moved one by one: the compiler makes a call of the general `memmove` of a block, 700 bytes on a chip.
        self.links = self.links.saturating_sub(count);
        for at in 0..self.links {
            if let Some(&link) = self.chain.get(at + count)
                && let Some(place) = self.chain.get_mut(at)
            {
                *place = core::hint::black_box(link);
            }
        }
    }

    pub(in crate::storage) fn pages_in_use(&self) -> impl Iterator<Item = u16> {
        self.used().iter().map(|link| link.page)
    }

    /// Where the first record of the last batch of so many words stands, its mark counted.
    pub(in crate::storage) fn place_of_last(&self, words: u32) -> Place {
        Place {
            page: self.newest(),
            word: self.tail - words as u16,
            len: 0,
        }
    }

    pub(super) fn newest(&self) -> u16 {
        self.used().last().map_or(0, |link| link.page)
    }

    /// The next page in turn that does not count.
    pub(super) fn free_page(&self) -> Option<u16> {
        let mut page = self.newest();
        for _ in 0..self.pages {
            page += 1;
            if page >= self.pages {
                page = 0;
            }
            if self.link_of(page).is_none() {
                return Some(page);
            }
        }
        None
    }

    /// Whether as many pages are in use as may be.
    pub(in crate::storage) fn is_at_limit(&self) -> bool {
        self.links + usize::from(self.config.spare) >= usize::from(self.pages)
    }

    /// Whether one page more is in use: nothing is written to it before the oldest is retired.
    pub(in crate::storage) fn is_over_limit(&self) -> bool {
        self.links + usize::from(self.config.spare) > usize::from(self.pages)
    }

    /// Whether a page must be opened before anything can be written.
    pub(super) const fn is_shut(&self) -> bool {
        self.quiet && !self.config.guard
    }

    /// Whether the newest page has room for a batch, and for a retirement after it.
    pub(in crate::storage) fn fits(&self, words: u32) -> bool {
        self.has_room(words + Geometry::<F>::RESERVE)
    }

    /// Whether the newest page has so many words left, behind the guard.
    pub(super) fn has_room(&self, words: u32) -> bool {
        let guard = u32::from(self.quiet);
        !self.is_shut() && u32::from(self.tail) + guard + words <= Geometry::<F>::WORDS
    }
}
