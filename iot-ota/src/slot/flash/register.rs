//! One value on three pages of flash, replaced as a whole.
//!
//! A page holds a whole value or counts for nothing:
//!
//! | part | bytes | what |
//! |---|---:|---|
//! | header | 2 | `iR` |
//! | | 1 | version: 1 |
//! | | 1 | kind: 1 boot record, 2 counter |
//! | | 4 | generation, rising with every write; big endian |
//! | value | `BYTES` | |
//! | checksum | 4 | CRC-32 (IEEE 802.3) of the bytes before it, big endian; ones up to the next word |
//! | mark | word | `5A A5 5A A5` … |
//!
//! The mark is written when everything before it stands. A value without its mark may read differently the next time:
//! its last word may be torn. So [`settle`](Register::settle) writes the newest value that was read to the other
//! pages until all three are marked and of different generations; before that nobody is told the value. No page is
//! written unless it was erased by the same run, and none that holds the only settled copy.

use embedded_storage::nor_flash::NorFlash;

use crate::slot::crc::crc32;

/// The pages of a register.
pub(super) const PAGES: u32 = 3;
/// The longest word of a flash, and room for a value with its header.
pub(super) const BUFFER: usize = 256;

const HEADER_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 4;
const VERSION: u8 = 1;

/// What a page holds, as it was read at the boot or written since.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Seen {
    /// Nothing that counts.
    Void,
    /// A whole value without its mark.
    Doubtful(u32),
    /// A whole value and its mark.
    Marked(u32),
}

impl Seen {
    const fn generation(self) -> Option<u32> {
        match self {
            Self::Void => None,
            Self::Doubtful(generation) | Self::Marked(generation) => Some(generation),
        }
    }
}

/// A value of `BYTES` bytes on the three pages from `at` on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Register<const BYTES: usize> {
    at: u32,
    kind: u8,
    seen: [Seen; PAGES as usize],
    newest: Option<usize>,
    value: [u8; BYTES],
}

/// Why a value was not stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum WriteError<E> {
    /// The flash failed; the value is the old or the new one, and the register must be opened again.
    Flash(E),
    /// The generations are used up.
    Worn,
    /// It does not read back as it was written.
    NotStored,
}

impl<const BYTES: usize> Register<BYTES> {
    /// Bytes of a page up to the mark.
    pub(super) const fn body<F: NorFlash>() -> usize {
        (HEADER_BYTES + BYTES + CHECKSUM_BYTES).next_multiple_of(F::WRITE_SIZE)
    }

    /// Bytes of a page that are used.
    pub(super) const fn used<F: NorFlash>() -> usize {
        Self::body::<F>() + F::WRITE_SIZE
    }

    /// Reads the pages, each once, and changes nothing.
    pub(super) fn open<F: NorFlash>(flash: &mut F, at: u32, kind: u8) -> Self {
        let mut register = Self {
            at,
            kind,
            seen: [Seen::Void; PAGES as usize],
            newest: None,
            value: [0; BYTES],
        };
        for page in 0..register.seen.len() {
            let mut buffer = [0; BUFFER];
            let Some((generation, value)) = register.read_value(flash, page, &mut buffer) else {
                continue;
            };
            let marked = register.is_marked(flash, page);
            let seen = match marked {
                true => Seen::Marked(generation),
                false => Seen::Doubtful(generation),
            };
            let newest = register.newest_seen();
            // Of two with one generation nobody was told the value yet: either will do.
            if newest.generation().is_none_or(|newest| generation > newest) {
                register.value = value;
                register.newest = Some(page);
            }
            register.set(page, seen);
        }
        register
    }

    /// The newest value; only to be believed when it is [settled](Self::settle).
    pub(super) const fn value(&self) -> Option<&[u8; BYTES]> {
        match self.newest {
            Some(_) => Some(&self.value),
            None => None,
        }
    }

    /// What each page holds.
    #[cfg(feature = "sim")]
    pub(super) const fn seen(&self) -> [Seen; PAGES as usize] {
        self.seen
    }

    /// Generation and value of a page as it reads now, marked or not.
    #[cfg(feature = "sim")]
    pub(super) fn look<F: NorFlash>(
        &self,
        flash: &mut F,
        page: usize,
    ) -> Option<(u32, [u8; BYTES])> {
        self.read_value(flash, page, &mut [0; BUFFER])
    }

    /// Which page of the flash a page of the register is.
    #[cfg(feature = "sim")]
    pub(super) const fn page_number<F: NorFlash>(&self, page: usize) -> usize {
        self.at as usize / F::ERASE_SIZE + page
    }

    /// Makes sure that every later boot reads the value that this one read.
    ///
    /// It writes only when the power was cut while a value was written: at most three values.
    pub(super) fn settle<F: NorFlash>(
        &mut self,
        flash: &mut F,
    ) -> Result<(), WriteError<F::Error>> {
        while let Some(page) = self.unsettled() {
            let value = self.value;
            self.put(flash, page, &value)?;
        }
        Ok(())
    }

    /// Replaces the value, after settling the old one.
    pub(super) fn write<F: NorFlash>(
        &mut self,
        flash: &mut F,
        value: &[u8; BYTES],
    ) -> Result<(), WriteError<F::Error>> {
        self.settle(flash)?;
        let page = self.oldest().unwrap_or(0);
        self.put(flash, page, value)?;
        self.settle(flash)
    }

    /// The page that has to be written before the value may be believed.
    fn unsettled(&self) -> Option<usize> {
        let newest = self.newest?;
        let seen = self.newest_seen();
        let others = || (self.seen.iter().enumerate()).filter(|(page, _)| *page != newest);
        let unmarked = others().find(|(_, seen)| !matches!(seen, Seen::Marked(_)));
        let tied = || others().find(|(_, other)| other.generation() == seen.generation());
        match unmarked.or_else(tied) {
            Some((page, _)) => Some(page),
            // The two marked copies of what was before are two more than needed.
            None if !matches!(seen, Seen::Marked(_)) => self.oldest(),
            None => None,
        }
    }

    /// The page with the lowest generation, which is never the newest.
    fn oldest(&self) -> Option<usize> {
        let newest = self.newest?;
        let pages = self.seen.iter().enumerate();
        let others = pages.filter(|(page, _)| *page != newest);
        let oldest = others.min_by_key(|(_, seen)| seen.generation());
        oldest.map(|(page, _)| page)
    }

    /// Erases `page` and writes `value` to it, above every generation that was seen.
    fn put<F: NorFlash>(
        &mut self,
        flash: &mut F,
        page: usize,
        value: &[u8; BYTES],
    ) -> Result<(), WriteError<F::Error>> {
        let highest = self.newest_seen().generation().unwrap_or(0);
        let generation = highest.checked_add(1).ok_or(WriteError::Worn)?;
        let mut buffer = [0xff; BUFFER];
        self.encode(&mut buffer, generation, value);
        let body = Self::body::<F>();
        let at = self.page_at::<F>(page);
        self.set(page, Seen::Void);
        let written = flash
            .erase(at, at.saturating_add(size(F::ERASE_SIZE)))
            .and_then(|()| flash.write(at, buffer.get(..body).unwrap_or(&[])))
            // A call of its own: words of one call may land in any order.
            .and_then(|()| {
                fill_mark(&mut buffer);
                let mark = buffer.get(..F::WRITE_SIZE).unwrap_or(&[]);
                flash.write(at.saturating_add(size(body)), mark)
            });
        written.map_err(WriteError::Flash)?;
        // A worn page may take what it never gives back: a trial counted there would never end.
        let stored = self.read_value(flash, page, &mut buffer);
        if stored != Some((generation, *value)) || !self.is_marked(flash, page) {
            return Err(WriteError::NotStored);
        }
        self.set(page, Seen::Marked(generation));
        self.newest = Some(page);
        self.value = *value;
        Ok(())
    }

    fn read_value<F: NorFlash>(
        &self,
        flash: &mut F,
        page: usize,
        buffer: &mut [u8; BUFFER],
    ) -> Option<(u32, [u8; BYTES])> {
        let stored = buffer.get_mut(..Self::body::<F>())?;
        read(flash, self.page_at::<F>(page), stored)?;
        let (header, rest) = stored.split_first_chunk::<4>()?;
        if *header != self.header() {
            return None;
        }
        let (generation, rest) = rest.split_first_chunk()?;
        let (value, rest) = rest.split_first_chunk()?;
        let (generation, value) = (u32::from_be_bytes(*generation), *value);
        let (sum, _) = rest.split_first_chunk()?;
        let covered = stored.iter().take(HEADER_BYTES + BYTES);
        (crc32(covered) == u32::from_be_bytes(*sum)).then_some((generation, value))
    }

    fn encode(&self, buffer: &mut [u8; BUFFER], generation: u32, value: &[u8; BYTES]) {
        let header = self.header();
        let generation = generation.to_be_bytes();
        let content = header.iter().chain(&generation).chain(value);
        let sum = crc32(content.clone()).to_be_bytes();
        for (to, from) in buffer.iter_mut().zip(content.chain(&sum)) {
            *to = *from;
        }
    }

    fn is_marked<F: NorFlash>(&self, flash: &mut F, page: usize) -> bool {
        let (mut buffer, mut mark) = ([0; BUFFER], [0; BUFFER]);
        fill_mark(&mut mark);
        let Some(stored) = buffer.get_mut(..F::WRITE_SIZE) else {
            return false;
        };
        let at = self
            .page_at::<F>(page)
            .saturating_add(size(Self::body::<F>()));
        read(flash, at, stored).is_some() && mark.starts_with(stored)
    }

    const fn header(&self) -> [u8; 4] {
        [b'i', b'R', VERSION, self.kind]
    }

    fn page_at<F: NorFlash>(&self, page: usize) -> u32 {
        self.at.saturating_add(size(page * F::ERASE_SIZE))
    }

    fn newest_seen(&self) -> Seen {
        let newest = self.newest.and_then(|page| self.seen.get(page));
        newest.copied().unwrap_or(Seen::Void)
    }

    fn set(&mut self, page: usize, seen: Seen) {
        if let Some(place) = self.seen.get_mut(page) {
            *place = seen;
        }
    }
}

/// Reads, and asks once more when that fails: a bus may have been disturbed.
fn read<F: NorFlash>(flash: &mut F, at: u32, out: &mut [u8]) -> Option<()> {
    flash.read(at, out).or_else(|_| flash.read(at, out)).ok()
}

const fn fill_mark(buffer: &mut [u8; BUFFER]) {
    let mut rest: &mut [u8] = buffer;
    while let [even, odd, tail @ ..] = rest {
        (*even, *odd) = (0x5a, 0xa5);
        rest = tail;
    }
}

/// Sizes of flash have 32 bits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "no flash has more than 4 GiB"
)]
pub(super) const fn size(bytes: usize) -> u32 {
    bytes as u32
}
