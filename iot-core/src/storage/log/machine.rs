//! The log as a machine that asks for one operation of the flash after another.
//!
//! All decisions are made in plain code that never waits; [`Machine::run`] alone talks to the flash. That keeps one
//! copy of the log for blocking and async drivers, and it is half the size of the same code with an await at
//! each operation. What an operation is about stands in the machine, so that what is wanted fits a register.

use core::ops::Range;

use embedded_storage_async::nor_flash::{NorFlash, NorFlashError, NorFlashErrorKind};

use super::format::{Buffer, CHUNK, Header, MAX_WORD, NoHeader, Word};
use super::geometry::Geometry;
use super::live::{Live, Place};
use super::scan::{Scanner, Seen};
use super::write::Writer;
use super::{Config, LogError};
use crate::engine::{Batch, RecordKey};

/// What the machine wants done.
#[derive(Clone, Copy, Debug)]
pub(super) enum Want {
    /// Nothing more.
    Done,
    /// Nothing more, because it cannot go on.
    Stop(Refusal),
    /// The first `bytes` bytes of the buffer read.
    Read,
    /// The bytes `from` to `to` of the buffer programmed.
    Program,
    /// The page erased.
    Erase,
}

/// What the machine is at: the operation it wanted last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// Reading the header of a page, to learn its generation.
    Headers,
    /// Reading words of what may be the newest page.
    Try,
    /// Reading the header of the page that was scanned.
    Newest,
    /// Reading the header of the oldest page of the chain so far.
    Chain,
    /// Reading words whose records are shown.
    Show,
    /// Reading words of one record.
    Look,
    /// Reading the header of the newest page, which a page to be opened takes the place of.
    Replaced,
    /// Erasing a page.
    Erase,
    /// Programming the header of a page, or one of its marks.
    Open,
    /// Programming a part of a record, or the guard.
    Write,
    /// Reading words of a record that is copied.
    Copy,
    /// Programming the mark behind a batch.
    Mark,
}

/// What the machine is to do, when it has found out what is there.
#[derive(Debug)]
pub(in crate::storage) enum Job<'b> {
    /// Nothing more.
    Boot,
    /// Write the rest of a batch; `value` is what is missing of the record that is being written.
    Append { rest: Batch<'b>, value: &'b [u8] },
    /// Retire the oldest page.
    Retire,
    /// Go on with the scanner to the next record.
    Look,
    /// Read the value of a key, which stands where `live` knows or at a place.
    Read {
        key: RecordKey,
        place: Option<Place>,
        value: &'b mut [u8],
    },
}

/// Why the machine cannot go on.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) enum Refusal {
    Full,
    Keys,
    Corrupt,
    Version(u8),
    /// Pages of a log that stood elsewhere, or on words of another length.
    Foreign,
    /// The key has no value.
    Absent,
    /// The value has so many bytes, and the buffer fewer.
    Buffer(u16),
}

/// Why a job was not done.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) enum Stop<E> {
    Flash(E),
    Refused(Refusal),
}

/// A page that counts, and where its accepted part ends.
///
/// While a boot looks for the newest page it holds the generation of the page of that number instead, which
/// saves four bytes of RAM a page.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Link(pub(super) u32);

impl Link {
    pub(super) const fn new(page: u32, end: u32) -> Self {
        Self(page << 16 | end)
    }

    pub(super) const fn page(self) -> u32 {
        self.0 >> 16
    }

    /// 0 while nothing of the page is accepted.
    pub(super) const fn end(self) -> u32 {
        self.0 & 0xFFFF
    }
}

/// A log, and in `live` what somebody wants to know about its entries.
// In this order, because a chip reaches the first 128 bytes with shorter instructions: 100 bytes of code.
#[derive(Clone, Debug)]
#[repr(C)]
pub(in crate::storage) struct Machine<F, L, const PAGES: usize> {
    pub(super) phase: Phase,
    /// What the scanner saw last.
    pub(super) seen: Seen,
    /// No write was begun and not ended; otherwise only a look at the flash can tell what is there.
    pub(super) settled: bool,
    /// A boot is going on.
    pub(super) booting: bool,
    /// Nothing was written since the boot.
    pub(super) quiet: bool,
    /// A page was ignored at boot, or one has the generation of the newest: it may read differently the next time.
    pub(super) rivalled: bool,
    /// No page is to be trusted: a boot looks for what speaks against making a log.
    pub(super) stray: bool,
    /// A boot ends when the chain is known, and writes nothing.
    pub(super) looking: bool,
    pub(super) config: Config,
    /// Where the first page begins, in bytes.
    pub(super) begin: u32,
    pub(super) pages: u32,
    /// How many headers could not be read in this boot.
    pub(super) unread: u32,

    /// What the operation is about, and which bytes of the buffer.
    pub(super) page: u32,
    pub(super) word: u32,
    pub(super) bytes: usize,
    pub(super) from: usize,
    pub(super) to: usize,
    /// Up to which byte it is programmed piece by piece.
    pub(super) upto: usize,

    pub(super) links: usize,
    /// Where the next word goes in the newest page.
    pub(super) tail: u32,
    /// How many words the batch needs that is to be written, with what must stay free behind it.
    pub(super) need: u32,
    pub(super) scanner: Scanner,
    pub(super) writer: Writer,

    /// The highest generation that was seen.
    pub(super) generation: u32,
    /// How many pages the newest says that count.
    pub(super) keep: usize,
    /// How many pages were retired, for cursors.
    pub(super) retired: u32,
    /// The page that is to be opened.
    pub(super) opening: u32,
    /// The place in the chain of the page whose entries are shown.
    pub(super) shown: usize,
    /// How many words may be read at once.
    pub(super) chunk: u32,
    /// The word of the page that is read which the verdict of another page holds.
    pub(super) overruled: u32,
    pub(super) verdict: u32,

    /// The pages that count, newest first.
    pub(super) chain: [Link; PAGES],
    /// The last word of the newest page's accepted part.
    pub(super) last: Word,
    /// What was read, or is to be written.
    pub(super) buffer: Buffer,
    pub(in crate::storage) live: L,
    pub(in crate::storage) flash: F,
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
        let whole = region.start.is_multiple_of(page) && bytes.is_multiple_of(page);
        let inside = region.end as usize <= flash.capacity();
        if !inside || !whole || pages < u32::from(config.spare) + 2 || pages as usize > PAGES {
            let limit = PAGES as u16;
            return Err(LogError::Region { limit });
        }
        Ok(Self::new(flash, live, region.start, pages, config))
    }

    // Nearly all is zero, which is one call of memset.
    const fn new(flash: F, live: L, begin: u32, pages: u32, config: Config) -> Self {
        Self {
            phase: Phase::Headers,
            seen: Seen::Part,
            settled: false,
            booting: false,
            quiet: false,
            rivalled: false,
            stray: false,
            looking: false,
            config,
            page: 0,
            word: 0,
            bytes: 0,
            from: 0,
            to: 0,
            upto: 0,
            links: 0,
            pages,
            unread: 0,
            tail: 0,
            need: 0,
            scanner: Scanner::NONE,
            writer: Writer::IDLE,
            begin,
            generation: 0,
            keep: 0,
            retired: 0,
            opening: 0,
            shown: 0,
            chunk: 0,
            overruled: 0,
            verdict: 0,
            chain: [Link(0); PAGES],
            last: [0; MAX_WORD],
            buffer: [0; CHUNK],
            live,
            flash,
        }
    }

    /// Does a job. Dropped in its middle, it leaves the machine unsettled if it was writing.
    pub(in crate::storage) async fn run(
        &mut self,
        job: &mut Job<'_>,
    ) -> Result<(), Stop<F::Error>> {
        let (mut want, mut failed) = (self.first(job), false);
        loop {
            let mut readable = true;
            let at = self.begin + self.page * F::ERASE_SIZE as u32;
            let word = at + self.word * Geometry::<F>::WORD as u32;
            match want {
                Want::Done => return Ok(()),
                Want::Stop(refusal) => return Err(Stop::Refused(refusal)),
                Want::Read => {
                    let buffer = self.buffer.get_mut(..self.bytes).unwrap_or_default();
                    match self.flash.read(word, buffer).await {
                        Ok(()) => {}
                        // That the log asked for something that is not there is no fact of its content.
                        Err(error) if error.kind() != NorFlashErrorKind::Other => {
                            return Err(Stop::Flash(error));
                        }
                        // A word with more wrong bits than the flash can mend is one, unless it was the bus.
                        Err(_) if !failed => {
                            failed = true;
                            continue;
                        }
                        Err(error) if self.is_down() => return Err(Stop::Flash(error)),
                        Err(_) => readable = false,
                    }
                }
                Want::Program => {
                    let buffer = self.buffer.get(self.from..self.to).unwrap_or_default();
                    self.flash.write(word, buffer).await.map_err(Stop::Flash)?;
                }
                Want::Erase => {
                    let end = at + F::ERASE_SIZE as u32;
                    self.flash.erase(at, end).await.map_err(Stop::Flash)?;
                }
            }
            failed = false;
            want = self.done(job, readable);
        }
    }

    /// What a job wants first.
    fn first(&mut self, job: &mut Job<'_>) -> Want {
        if self.settled {
            return self.start(job);
        }
        self.boot(job)
    }

    /// What a job wants when it is known what is there.
    pub(super) fn start(&mut self, job: &mut Job<'_>) -> Want {
        match job {
            Job::Boot => Want::Done,
            Job::Look => {
                self.phase = Phase::Look;
                self.read_on()
            }
            Job::Read { key, place, value } => self.read(*key, *place, value.len()),
            Job::Append { rest, .. } if rest.is_empty() => Want::Done,
            Job::Append { rest, .. } if !self.live.has_room(rest) => Want::Stop(Refusal::Keys),
            Job::Append { .. } if !self.can_fit() => Want::Stop(Refusal::Full),
            Job::Retire if self.links < 2 => Want::Done,
            Job::Append { .. } | Job::Retire => self.find_room(job),
        }
    }

    /// What comes after the operation that was wanted last.
    fn done(&mut self, job: &mut Job<'_>, readable: bool) -> Want {
        match self.phase {
            Phase::Headers => self.header_read(readable),
            Phase::Try | Phase::Show | Phase::Look => self.words_read(job, readable),
            Phase::Newest => self.newest_read(job, readable),
            Phase::Chain => self.chain_read(job, readable),
            Phase::Replaced => self.replaced_read(readable),
            Phase::Erase => self.erased(),
            Phase::Open => self.opened(job),
            Phase::Write => self.written(job),
            Phase::Copy => self.copied(readable),
            Phase::Mark => self.marked(job),
        }
    }

    pub(super) fn read_header(&mut self, page: u32, phase: Phase) -> Want {
        (self.phase, self.page, self.word) = (phase, page, 0);
        self.bytes = Geometry::<F>::HEADER_BYTES;
        Want::Read
    }

    /// Whether more headers could not be read than there are pages: nothing speaks for a flash on which an opening
    /// was cut, and much for a bus that was down all the time.
    pub(super) fn is_down(&self) -> bool {
        self.phase == Phase::Newest && self.unread >= self.pages
    }

    /// The header that was read.
    // Out of line, like `opened`: together 232 bytes of code on a chip.
    #[inline(never)]
    pub(super) fn header(&mut self, readable: bool) -> Result<Header, NoHeader> {
        if !readable {
            self.unread += 1;
            return Err(NoHeader::Unreadable);
        }
        Header::decode(self.page, Geometry::<F>::HEADER_BYTES, &self.buffer)
    }

    /// The pages that count, newest first.
    pub(super) fn used(&self) -> &[Link] {
        self.chain.get(..self.links).unwrap_or_default()
    }

    /// Where in the chain a page stands.
    pub(super) fn link_of(&self, page: u32) -> Option<usize> {
        self.used().iter().position(|link| link.page() == page)
    }

    pub(super) fn newest(&self) -> u32 {
        self.chain.first().map_or(0, |link| link.page())
    }

    /// The next page in turn that does not count.
    pub(super) fn free_page(&self) -> Option<u32> {
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
        self.links + usize::from(self.config.spare) >= self.pages as usize
    }

    /// Whether one page more is in use: nothing is written to it before the oldest is retired.
    pub(super) fn is_over_limit(&self) -> bool {
        self.links + usize::from(self.config.spare) > self.pages as usize
    }

    /// Whether a page must be opened before anything can be written.
    pub(super) const fn is_shut(&self) -> bool {
        self.quiet && !self.config.guard
    }

    /// Whether the newest page has so many words left, behind the guard.
    // Out of line, like `want_words`: together 52 bytes of code on a chip.
    #[inline(never)]
    pub(super) fn has_room(&self, words: u32) -> bool {
        let guard = u32::from(self.quiet);
        !self.is_shut() && self.tail + guard + words <= Geometry::<F>::WORDS
    }
}
