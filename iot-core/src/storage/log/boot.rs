//! What a boot learns from the flash, and the one page it may have to open.

use embedded_storage_async::nor_flash::NorFlash;

use super::format::{self, CHUNK, HEADER_FIELDS, Header, MAX_WORD, NoHeader};
use super::geometry::Geometry;
use super::live::Live;
use super::machine::{Job, Link, Machine, Phase, Refusal, Want};
use super::scan::Scanner;

/// While a boot looks for the newest page, this and the generation stand in the place of each that was not tried.
const STRAY: u32 = 1;

impl<F: NorFlash, L: Live, const PAGES: usize> Machine<F, L, PAGES> {
    /// The first thing a boot wants.
    pub(super) fn boot(&mut self, job: &mut Job<'_>) -> Want {
        // A look is over before anything is shown.
        if self.looks() && self.links > 0 {
            return self.show(job);
        }
        (self.booting, self.quiet, self.rivalled) = (true, true, false);
        self.unread = 0;
        (self.generation, self.links, self.keep) = (0, 0, 0);
        self.chain = [Link(0); PAGES];
        // Nobody knows what an interrupted retirement left: all cursors begin again.
        self.retired = self.retired.wrapping_add(2 * PAGES as u32);
        self.read_header(0, Phase::Headers)
    }

    pub(super) fn header_read(&mut self, readable: bool) -> Want {
        let generation = match self.header(readable) {
            Ok(header) => header.generation,
            Err(NoHeader::Version(found)) => return Want::Stop(Refusal::Version(found)),
            Err(_) => 0,
        };
        self.generation = self.generation.max(generation);
        if let Some(place) = self.chain.get_mut(self.page as usize) {
            *place = Link(generation.saturating_add(STRAY));
        }
        let next = self.page + 1;
        if next < self.pages {
            return self.read_header(next, Phase::Headers);
        }
        self.try_newest()
    }

    /// Scans the page with the highest generation of those that were not tried; those without a header come last.
    fn try_newest(&mut self) -> Want {
        let (mut newest, mut generation, mut tie) = (0, 0, false);
        for (page, link) in self.chain.iter().enumerate() {
            if link.0 > generation {
                (newest, generation, tie) = (page, link.0, false);
            } else {
                tie |= link.0 == generation;
            }
        }
        if generation == 0 {
            // There is nothing to trust.
            self.tail = 0;
            if self.looks() {
                return Want::Done;
            }
            return self.open_page(0);
        }
        // Generations can tie while a header is unreadable, so each page is tried.
        if let Some(place) = self.chain.get_mut(newest) {
            *place = Link(u32::from(generation > STRAY));
        }
        self.stray = generation == STRAY;
        self.rivalled |= tie;
        self.scanner =
            Scanner::new::<F>(newest as u32, Geometry::<F>::HEADER, Geometry::<F>::WORDS);
        (self.overruled, self.chunk) = (u32::MAX, Geometry::<F>::CHUNK);
        self.phase = Phase::Try;
        self.read_on()
    }

    /// The header of the page that was scanned is there.
    pub(super) fn newest_read(&mut self, job: &mut Job<'_>, readable: bool) -> Want {
        let found = self.header(readable);
        let (Ok(header), 1..) = (found, self.scanner.evidence) else {
            self.rivalled = true;
            return match self.against_making(found) {
                Some(refusal) if self.stray => Want::Stop(refusal),
                _ => self.try_newest(),
            };
        };
        self.links = 0;
        self.tail = self.scanner.tail();
        self.keep = PAGES.min(header.keep as usize);
        self.link_older(self.page, self.scanner.end);
        self.chained(job, &header)
    }

    /// Why a page that is not to be trusted speaks against making a log.
    ///
    /// A first opening that was cut leaves no second mark: it is attempted when header and first mark stand, and
    /// then no cut can take both away. What it leaves may begin like a header, and one page, or two, may be unreadable.
    fn against_making(&self, found: Result<Header, NoHeader>) -> Option<Refusal> {
        let begun = match found {
            _ if self.scanner.evidence >= 2 => return Some(Refusal::Corrupt),
            Ok(_) => Geometry::<F>::WORD.trailing_zeros() as u8,
            Err(NoHeader::Begun(length)) => length,
            Err(_) => return None,
        };
        // Of shorter words, records may stand where the marks would be.
        let marks = u32::from(begun == Geometry::<F>::WORD.trailing_zeros() as u8);
        (self.scanner.erased > Geometry::<F>::HEADER + marks).then_some(Refusal::Foreign)
    }

    pub(super) fn chain_read(&mut self, job: &mut Job<'_>, readable: bool) -> Want {
        // The last link is the page whose header was wanted.
        match self.header(readable) {
            Ok(header) => self.chained(job, &header),
            Err(_) => {
                // A page that was retired for certain may have been erased since.
                self.links -= 1;
                let keep = self.scanner.keep as usize;
                if keep == 0 || self.links < keep {
                    return Want::Stop(Refusal::Corrupt);
                }
                self.chain_known(job)
            }
        }
    }

    /// Goes from the newest page back: each header says where the page before it ends.
    fn chained(&mut self, job: &mut Job<'_>, header: &Header) -> Want {
        let previous = header.previous;
        if self.links < self.keep && previous != self.page {
            if previous >= self.pages {
                return Want::Stop(Refusal::Corrupt);
            }
            self.link_older(previous, header.end);
            return self.read_header(previous, Phase::Chain);
        }
        self.chain_known(job)
    }

    fn link_older(&mut self, page: u32, end: u32) {
        if let Some(place) = self.chain.get_mut(self.links) {
            *place = Link::new(page, end);
            self.links += 1;
        }
    }

    fn chain_known(&mut self, job: &mut Job<'_>) -> Want {
        if self.looks() {
            return Want::Done;
        }
        // The page to be erased must be free whether or not a doubtful retirement counts.
        let free = self.free_page();
        self.links -= self.doubtful();
        // One mark may be torn and read differently the next time: two were not.
        if self.scanner.is_clean() && self.scanner.evidence >= 2 && !self.rivalled {
            return self.show(job);
        }
        match free {
            Some(page) => self.open_page(page),
            None => Want::Stop(Refusal::Full),
        }
    }

    /// How many of the oldest pages count only if the newest page's last retirement does not.
    pub(super) fn doubtful(&self) -> usize {
        match self.scanner.keep as usize {
            0 => 0,
            keep => self.links.saturating_sub(keep),
        }
    }

    /// Only simulations look without a boot.
    pub(super) const fn looks(&self) -> bool {
        cfg!(feature = "sim") && self.looking
    }

    /// Shows all entries to whom they concern.
    fn show(&mut self, job: &mut Job<'_>) -> Want {
        self.live.clear();
        self.shown = if L::COMPACTS { self.links } else { 0 };
        self.show_next(job)
    }

    /// Shows the entries of the next page, or ends the boot.
    pub(super) fn show_next(&mut self, job: &mut Job<'_>) -> Want {
        while let Some(at) = self.shown.checked_sub(1) {
            self.shown = at;
            self.aim(at, Geometry::<F>::BODY);
            if self.scanner.word < self.scanner.limit {
                self.phase = Phase::Show;
                return self.read_on();
            }
        }
        (self.settled, self.booting) = (true, false);
        self.start(job)
    }

    /// Opens a page as the newest, with a verdict on the one before it.
    pub(super) fn open_page(&mut self, page: u32) -> Want {
        self.settled = false;
        self.opening = page;
        match self.used().first().copied() {
            // Nothing in it counts: the new page takes its place, and says what it said.
            Some(newest) if newest.end() == 0 => self.read_header(newest.page(), Phase::Replaced),
            Some(newest) => self.erase(newest.page(), newest.end(), self.links + 1),
            // What has no page before it names itself.
            None => {
                self.last = [0; MAX_WORD];
                self.erase(page, 0, 1)
            }
        }
    }

    pub(super) fn replaced_read(&mut self, readable: bool) -> Want {
        let Ok(header) = self.header(readable) else {
            return Want::Stop(Refusal::Corrupt);
        };
        copy_word::<F>(&mut self.last, 0, &self.buffer, HEADER_FIELDS);
        let previous = match self.links {
            1 => self.opening,
            _ => header.previous,
        };
        self.erase(previous, header.end, self.links)
    }

    fn erase(&mut self, previous: u32, end: u32, keep: usize) -> Want {
        self.generation = self.generation.saturating_add(1);
        self.buffer = [0; CHUNK];
        copy_word::<F>(&mut self.buffer, HEADER_FIELDS, &self.last, 0);
        let header = Header {
            generation: self.generation,
            previous,
            keep: keep as u32,
            end,
        };
        header.encode(
            self.opening,
            Geometry::<F>::WORD,
            Geometry::<F>::HEADER_BYTES,
            &mut self.buffer,
        );
        (self.phase, self.page) = (Phase::Erase, self.opening);
        Want::Erase
    }

    pub(super) fn erased(&mut self) -> Want {
        self.phase = Phase::Open;
        (self.word, self.from, self.to) = (0, 0, Geometry::<F>::HEADER_BYTES);
        Want::Program
    }

    /// A header or a mark was programmed: each only after the one before it.
    #[inline(never)]
    pub(super) fn opened(&mut self, job: &mut Job<'_>) -> Want {
        self.word += (self.to / Geometry::<F>::WORD) as u32;
        self.tail = self.word;
        if self.word < Geometry::<F>::BODY {
            format::mark(self.page, self.word, &mut self.buffer);
            self.to = Geometry::<F>::WORD;
            return Want::Program;
        }
        if self.used().first().is_none_or(|newest| newest.end() > 0) {
            self.links = PAGES.min(self.links + 1);
        }
        let mut link = Link::new(self.page, 0);
        for place in self.chain.iter_mut().take(self.links) {
            core::mem::swap(place, &mut link);
            // The page takes the place of one in which nothing counts.
            if link.end() == 0 {
                break;
            }
        }
        self.quiet = false;
        if self.booting {
            return self.show(job);
        }
        self.find_room(job)
    }
}

fn copy_word<F: NorFlash>(to: &mut [u8], to_at: usize, from: &[u8], from_at: usize) {
    let from = from.get(from_at..from_at + Geometry::<F>::WORD);
    let to = to.get_mut(to_at..to_at + Geometry::<F>::WORD);
    if let (Some(to), Some(from)) = (to, from) {
        to.copy_from_slice(from);
    }
}
