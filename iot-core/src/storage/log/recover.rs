//! What a boot learns from the flash, and the one page it may have to open.

use embedded_storage_async::nor_flash::NorFlash;

use super::format::{Header, MAX_WORD, NoHeader};
use super::medium::Medium;
use super::scan::{Scanner, Seen};
use super::{Link, Log, LogError};

/// What a boot learned without writing anything.
pub(super) struct Learned {
    pub(super) scan: Scanner,
    /// How many of the oldest pages count only if a doubtful retirement in the newest does not.
    pub(super) doubtful: usize,
    /// Another page with a header could outrank the newest.
    pub(super) rivalled: bool,
}

impl Learned {
    /// Whether the newest page may be written to; otherwise the next one is opened, with a verdict on it.
    pub(super) const fn may_continue(&self) -> bool {
        // One mark may be torn and read differently the next time: two were not.
        self.scan.is_clean() && self.scan.evidence >= 2 && !self.rivalled
    }
}

impl<F: NorFlash, const PAGES: usize> Log<F, PAGES> {
    pub(super) async fn recover(&mut self) -> Result<(), LogError<F::Error>> {
        self.torn = true;
        self.quiet = true;
        match self.learn().await? {
            None => self.open_page(0).await?,
            Some(learned) if learned.may_continue() => self.forget_oldest(learned.doubtful),
            Some(learned) => {
                // The page to be erased must be free whether or not the doubtful retirement counts.
                let page = self.free_page()?;
                self.forget_oldest(learned.doubtful);
                self.open_page(page).await?;
            }
        }
        self.torn = false;
        Ok(())
    }

    /// Reads the flash into this log; `None` when there is no page to trust.
    pub(super) async fn learn(&mut self) -> Result<Option<Learned>, LogError<F::Error>> {
        let generations = self.generations().await?;
        self.generation = generations.iter().copied().max().unwrap_or(0);
        let mut tried = [false; PAGES];
        let (mut header, scan) = loop {
            // Generations can tie while a header is unreadable, so each page is tried.
            let mut newest = (0, 0);
            for (page, (&generation, tried)) in (0..).zip(generations.iter().zip(&tried)) {
                if generation > newest.0 && !tried {
                    newest = (generation, page);
                }
            }
            let (1.., page) = newest else {
                return Ok(None);
            };
            if let Some(tried) = tried.get_mut(usize::from(page)) {
                *tried = true;
            }
            let (begin, end) = (Medium::<F>::HEADER, Medium::<F>::WORDS);
            self.links = 0;
            self.link(page, 0);
            let mut scan = Scanner::new(page, begin, end);
            while self.pass(0, &mut scan, end, &mut []).await? == Seen::Record {}
            let header = self.medium.header(page).await.map_err(LogError::Flash)?;
            if scan.evidence > 0
                && let Ok(header) = header
            {
                break (header, scan);
            }
        };
        // What was ignored may read differently the next time: it must be outranked first.
        let equals = generations
            .iter()
            .filter(|&&other| other >= header.generation);
        let rivalled = equals.count() > 1;
        (self.tail, self.last) = (scan.tail() as u16, scan.last);

        // From the newest page back; each header says where the page before it ends.
        let mut page = self.chain.first().map_or(0, |link| link.page);
        let keep = usize::from(header.keep);
        self.links = 0;
        self.link(page, scan.end as u16);
        while self.links < keep.min(PAGES) && header.previous != page {
            page = header.previous;
            if page >= self.medium.pages {
                return Err(LogError::Corrupt);
            }
            self.link(page, header.end);
            let before = self.medium.header(page).await.map_err(LogError::Flash)?;
            header = before.map_err(|_| LogError::Corrupt)?;
        }
        let used = self.chain.get_mut(..self.links).unwrap_or_default();
        used.reverse();
        let kept = match scan.keep as usize {
            0 => self.links,
            kept => kept.min(self.links),
        };
        Ok(Some(Learned {
            scan,
            doubtful: self.links - kept,
            rivalled,
        }))
    }

    /// Adds a page to the chain.
    fn link(&mut self, page: u16, end: u16) {
        if let Some(place) = self.chain.get_mut(self.links) {
            *place = Link { page, end };
            self.links += 1;
        }
    }

    /// The generation of each page, each header read once; 0 where there is none.
    async fn generations(&mut self) -> Result<[u32; PAGES], LogError<F::Error>> {
        let mut generations = [0; PAGES];
        for (page, generation) in (0..self.medium.pages).zip(&mut generations) {
            match self.medium.header(page).await.map_err(LogError::Flash)? {
                Ok(header) => *generation = header.generation,
                Err(NoHeader::Version(found)) => return Err(LogError::Version { found }),
                Err(NoHeader::Unreadable) => {}
            }
        }
        Ok(generations)
    }

    /// Drops the oldest pages from the chain.
    pub(super) fn forget_oldest(&mut self, count: usize) {
        let count = count.min(self.links);
        self.chain.copy_within(count..self.links, 0);
        self.links -= count;
    }

    /// The next page in turn that does not count.
    pub(super) fn free_page(&self) -> Result<u16, LogError<F::Error>> {
        let used = self.used();
        let newest = used.last().map_or(0, |link| link.page);
        let pages = self.medium.pages;
        (1..=pages)
            .map(|by| (newest + by) % pages)
            .find(|&page| used.iter().all(|link| link.page != page))
            .ok_or(LogError::Full)
    }

    /// Opens the next free page.
    pub(in crate::storage) async fn open_next(&mut self) -> Result<(), LogError<F::Error>> {
        let page = self.free_page()?;
        self.open_page(page).await
    }

    /// Erases `page` and makes it the newest, with a verdict on the one before it.
    async fn open_page(&mut self, page: u16) -> Result<(), LogError<F::Error>> {
        // What has no page before it names itself.
        let (mut previous, mut end, mut last) = (page, 0, [0; MAX_WORD]);
        let newest = self.used().last().copied();
        if let Some(newest) = newest {
            (previous, end, last) = (newest.page, newest.end, self.last);
            if newest.end == 0 {
                // Nothing in it counts: the new page takes its place, and says what it said.
                let old = self
                    .medium
                    .header(newest.page)
                    .await
                    .map_err(LogError::Flash)?;
                let old = old.map_err(|_| LogError::Corrupt)?;
                self.links -= 1;
                let first = self.links == 0;
                (previous, end, last) =
                    (if first { page } else { old.previous }, old.end, old.last);
            }
        }
        self.generation = self.generation.saturating_add(1);
        let header = Header {
            generation: self.generation,
            previous,
            keep: self.links as u16 + 1,
            end,
            last,
        };
        self.torn = true;
        self.medium
            .open(page, &header)
            .await
            .map_err(LogError::Flash)?;
        self.torn = false;
        self.link(page, 0);
        (self.tail, self.last, self.quiet) = (Medium::<F>::BODY as u16, [0; MAX_WORD], false);
        Ok(())
    }
}
