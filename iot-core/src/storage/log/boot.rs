//! What a boot learns from the flash, and the one page it may have to open.

use embedded_storage_async::nor_flash::NorFlash;

use super::format::{Header, MAX_WORD, NoHeader};
use super::geometry::Geometry;
use super::live::Live;
use super::machine::{Job, Machine, Phase, Refusal, Want};
use super::scan::{Scanner, Seen};

/// How far a boot has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Boot<const PAGES: usize> {
    /// The generation of each page whose header was readable and that was not tried.
    generations: [u32; PAGES],
    /// A page was ignored, or one has the generation of the newest: it may read differently the next time.
    pub(super) rivalled: bool,
    /// How many pages the newest says that count.
    keep: u16,
    /// The chain is known, and its entries are being shown.
    pub(super) showing: bool,
    /// It ends when the chain is known, and writes nothing.
    pub(super) looking: bool,
}

impl<const PAGES: usize> Boot<PAGES> {
    pub(super) const fn new() -> Self {
        Self {
            generations: [0; PAGES],
            rivalled: false,
            keep: 0,
            showing: false,
            looking: false,
        }
    }
}

impl<F: NorFlash, L: Live, const PAGES: usize> Machine<F, L, PAGES> {
    /// The first thing a boot wants.
    pub(super) fn boot(&mut self) -> Want {
        (self.torn, self.quiet, self.generation) = (true, true, 0);
        self.read_header(0, Phase::Headers(0))
    }

    pub(super) fn header_read(
        &mut self,
        job: &mut Job<'_, PAGES>,
        page: u16,
        readable: bool,
    ) -> Want {
        let generation = match self.header(page, readable) {
            Ok(header) => header.generation,
            Err(NoHeader::Version(found)) => return Want::Stop(Refusal::Version(found)),
            Err(NoHeader::Unreadable) => 0,
        };
        self.generation = self.generation.max(generation);
        if let Job::Boot(boot) = job
            && let Some(place) = boot.generations.get_mut(usize::from(page))
        {
            *place = generation;
        }
        let next = page + 1;
        if next < self.pages {
            return self.read_header(next, Phase::Headers(next));
        }
        self.try_newest(job)
    }

    /// Scans the page with the highest generation of those that were not tried.
    fn try_newest(&mut self, job: &mut Job<'_, PAGES>) -> Want {
        let Job::Boot(boot) = job else {
            return Want::Done;
        };
        self.links = 0;
        let mut newest = (0, 0);
        for (page, &generation) in (0..).zip(&boot.generations) {
            if generation > newest.0 {
                newest = (generation, page);
            }
        }
        let (generation, page) = newest;
        if generation == 0 {
            // There is nothing to trust.
            self.tail = 0;
            if boot.looking {
                return Want::Done;
            }
            return self.open_page(0);
        }
        // Generations can tie while a header is unreadable, so each page is tried.
        if let Some(place) = boot.generations.get_mut(usize::from(page)) {
            *place = 0;
        }
        boot.rivalled |= boot.generations.contains(&generation);
        self.link(page, 0);
        (self.at, self.end) = (0, Geometry::<F>::WORDS);
        self.scanner = Scanner::new(page, Geometry::<F>::HEADER, self.end);
        self.read_word()
    }

    /// The scanner has seen something, or the end of what it may read.
    pub(super) fn boot_seen(&mut self, job: &mut Job<'_, PAGES>) -> Want {
        let Job::Boot(boot) = job else {
            return Want::Done;
        };
        if !boot.showing {
            if self.seen == Seen::Record && self.scanner.word < self.end {
                return self.read_word();
            }
            return self.read_header(self.newest(), Phase::Newest);
        }
        match self.seen {
            Seen::Nothing => return Want::Stop(Refusal::Corrupt),
            Seen::Record => {
                if let Some(entry) = self.entry()
                    && let Err(refusal) = self.live.show(&entry)
                {
                    return Want::Stop(refusal);
                }
                if self.scanner.word < self.end {
                    return self.read_word();
                }
            }
            Seen::Part => {}
        }
        self.show_from(self.at + 1)
    }

    /// The header of the page that was scanned is there.
    pub(super) fn newest_read(&mut self, job: &mut Job<'_, PAGES>, readable: bool) -> Want {
        let page = self.newest();
        let header = self.header(page, readable);
        let (Ok(header), 1..) = (header, self.scanner.evidence) else {
            if let Job::Boot(boot) = job {
                boot.rivalled = true;
            }
            return self.try_newest(job);
        };
        self.links = 0;
        self.link(page, self.scanner.end as u16);
        (self.tail, self.last) = (self.scanner.tail() as u16, self.scanner.last);
        if let Job::Boot(boot) = job {
            boot.keep = header.keep;
        }
        self.chained(job, &header)
    }

    pub(super) fn chain_read(&mut self, job: &mut Job<'_, PAGES>, readable: bool) -> Want {
        // The last link is the page whose header was wanted.
        match self.header(self.newest(), readable) {
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
    fn chained(&mut self, job: &mut Job<'_, PAGES>, header: &Header) -> Want {
        let Job::Boot(boot) = job else {
            return Want::Done;
        };
        if self.links < usize::from(boot.keep).min(PAGES) && header.previous != self.newest() {
            if header.previous >= self.pages {
                return Want::Stop(Refusal::Corrupt);
            }
            self.link(header.previous, header.end);
            return self.read_header(header.previous, Phase::Chain);
        }
        self.chain_known(job)
    }

    /// The chain was gathered, newest page first.
    fn chain_known(&mut self, job: &mut Job<'_, PAGES>) -> Want {
        let Job::Boot(boot) = job else {
            return Want::Done;
        };
        for at in 0..self.links / 2 {
            self.chain.swap(at, self.links - 1 - at);
        }
        // One mark may be torn and read differently the next time: two were not.
        let go_on = self.scanner.is_clean() && self.scanner.evidence >= 2 && !boot.rivalled;
        if boot.looking {
            return Want::Done;
        }
        // The page to be erased must be free whether or not a doubtful retirement counts.
        let free = self.free_page();
        self.unlink_oldest(self.doubtful());
        boot.showing = true;
        if go_on {
            return self.show();
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

    /// Shows all entries to whom they concern.
    pub(super) fn show(&mut self) -> Want {
        self.torn = false;
        if !L::COMPACTS {
            return Want::Done;
        }
        self.live.clear();
        self.show_from(0)
    }

    fn show_from(&mut self, at: usize) -> Want {
        for at in at..self.links {
            let Some(link) = self.chain.get(at).copied() else {
                break;
            };
            if link.end > 0 {
                (self.at, self.end) = (at, link.end.into());
                self.scanner = Scanner::new(link.page, Geometry::<F>::BODY, self.end);
                self.scanner.accepted = true;
                return self.read_word();
            }
        }
        Want::Done
    }

    /// Opens a page as the newest, with a verdict on the one before it.
    pub(super) fn open_page(&mut self, page: u16) -> Want {
        self.torn = true;
        match self.used().last() {
            // Nothing in it counts: the new page takes its place, and says what it said.
            Some(newest) if newest.end == 0 => self.read_header(newest.page, Phase::Replaced(page)),
            Some(&newest) => self.erase(page, newest.page, newest.end),
            // What has no page before it names itself.
            None => {
                self.last = [0; MAX_WORD];
                self.erase(page, page, 0)
            }
        }
    }

    pub(super) fn replaced_read(&mut self, page: u16, readable: bool) -> Want {
        let Ok(header) = self.header(self.newest(), readable) else {
            return Want::Stop(Refusal::Corrupt);
        };
        self.links -= 1;
        self.last = header.last;
        let previous = if self.links == 0 {
            page
        } else {
            header.previous
        };
        self.erase(page, previous, header.end)
    }

    fn erase(&mut self, page: u16, previous: u16, end: u16) -> Want {
        self.generation = self.generation.saturating_add(1);
        let header = Header {
            generation: self.generation,
            previous,
            keep: self.links as u16 + 1,
            end,
            last: self.last,
        };
        let bytes = Geometry::<F>::HEADER_BYTES;
        header.encode(page, Geometry::<F>::WORD, bytes, &mut self.stage);
        self.phase = Phase::Erase(page);
        Want::Erase { page }
    }

    pub(super) fn erased(&mut self, page: u16) -> Want {
        self.phase = Phase::Open(page, 0);
        Want::Program {
            page,
            word: 0,
            bytes: Geometry::<F>::HEADER_BYTES,
        }
    }

    /// A header or a mark was programmed: each only after the one before it.
    pub(super) fn opened(&mut self, job: &mut Job<'_, PAGES>, page: u16, word: u32) -> Want {
        let word = (word + 1).max(Geometry::<F>::HEADER);
        if word < Geometry::<F>::BODY {
            super::format::mark(page.into(), word, &mut self.stage);
            self.phase = Phase::Open(page, word);
            return Want::Program {
                page,
                word,
                bytes: Geometry::<F>::WORD,
            };
        }
        self.link(page, 0);
        (self.tail, self.quiet) = (word as u16, false);
        match job {
            Job::Boot(boot) => {
                boot.showing = true;
                self.show()
            }
            _ => self.find_room(job),
        }
    }
}
