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
//! its last word may be torn. And a page may be lost, a worn one or one that a boot cannot read. So
//! [`settle`](Register::settle) writes the newest value that was read until it stands on two pages, and all three are
//! marked and of different generations; before that nobody is told the value. No page is written unless it was erased
//! by the same run, and never the newest one.
//!
//! A page that cannot be written is given up until the next boot, or the next value: two do as well.

use embedded_storage::nor_flash::NorFlash;

use crate::slot::crc::crc32;

/// The pages of a register.
pub(super) const PAGES: u32 = 3;
/// How often is asked for what cannot be read.
const READS: u32 = 3;
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
    /// The generation; 0 for none, since the first one is 1.
    const fn generation(self) -> u32 {
        match self {
            Self::Void => 0,
            Self::Doubtful(generation) | Self::Marked(generation) => generation,
        }
    }
}

/// A value of `BYTES` bytes on the three pages from `at` on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Register<const BYTES: usize> {
    at: u32,
    kind: u8,
    pages: [Page; PAGES as usize],
    newest: Option<usize>,
    /// How many pages could not be read.
    unreadable: u8,
    /// The highest generation that was seen or tried.
    highest: u32,
    value: [u8; BYTES],
}

/// What is known of a page.
#[derive(Clone, Copy, Debug)]
struct Page {
    seen: Seen,
    /// It holds the newest value.
    agrees: bool,
    /// It could not be written.
    worn: bool,
}

impl Page {
    const LOST: Self = Self {
        seen: Seen::Void,
        agrees: false,
        worn: true,
    };
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
        let nothing = Page {
            worn: false,
            ..Page::LOST
        };
        let mut register = Self {
            at,
            kind,
            pages: [nothing; PAGES as usize],
            newest: None,
            unreadable: 0,
            highest: 0,
            value: [0; BYTES],
        };
        for page in 0..register.pages.len() {
            let mut buffer = [0; BUFFER];
            let (generation, value) = match register.read_value(flash, page, &mut buffer) {
                Ok(Some(found)) => found,
                Ok(None) => continue,
                Err(_) => {
                    register.unreadable = register.unreadable.saturating_add(1);
                    continue;
                }
            };
            let marked = register.is_marked(flash, page);
            let seen = match marked {
                true => Seen::Marked(generation),
                false => Seen::Doubtful(generation),
            };
            // Of two with one generation nobody was told the value yet: either will do.
            if register.newest.is_none() || generation > register.highest {
                if value != register.value {
                    register.disagree();
                }
                register.highest = generation;
                register.value = value;
                register.newest = Some(page);
            }
            let agrees = value == register.value;
            register.set(page, seen, agrees);
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

    /// The newest value; zeros where there is none.
    pub(super) const fn value_or_zeros(&self) -> &[u8; BYTES] {
        &self.value
    }

    /// What each page holds.
    #[cfg(feature = "sim")]
    pub(super) fn seen(&self) -> [Seen; PAGES as usize] {
        self.pages.map(|page| page.seen)
    }

    /// Which pages hold the newest value.
    #[cfg(feature = "sim")]
    pub(super) fn agreeing(&self) -> [bool; PAGES as usize] {
        self.pages.map(|page| page.agrees)
    }

    /// Generation and value of a page as it reads now, marked or not.
    #[cfg(feature = "sim")]
    pub(super) fn look<F: NorFlash>(
        &self,
        flash: &mut F,
        page: usize,
    ) -> Option<(u32, [u8; BYTES])> {
        self.read_value(flash, page, &mut [0; BUFFER]).ok()?
    }

    /// Which page of the flash a page of the register is.
    #[cfg(feature = "sim")]
    pub(super) const fn page_number<F: NorFlash>(&self, page: usize) -> usize {
        self.at as usize / F::ERASE_SIZE + page
    }

    /// Makes sure that every later boot reads the value that this one read, also when a page is lost.
    ///
    /// It writes only when the power was cut while a value was written, or a page was lost: at most three values.
    pub(super) fn settle<F: NorFlash>(
        &mut self,
        flash: &mut F,
    ) -> Result<(), WriteError<F::Error>> {
        // The first value of all may be torn; one that was told stands on two pages.
        if self.newest.is_none() && self.unreadable > 1 {
            return Err(WriteError::NotStored);
        }
        let mut result = Ok(());
        while let Some(page) = self.unsettled() {
            let value = self.value;
            if let Err(error) = self.put(flash, page, &value) {
                result = Err(error);
            }
        }
        match self.newest_seen() {
            // What was marked stays, whatever the other pages take.
            Seen::Void | Seen::Marked(_) => Ok(()),
            // No other page takes it, and it may be gone at the next boot.
            Seen::Doubtful(_) => result,
        }
    }

    /// Replaces the value, after settling the old one.
    pub(super) fn write<F: NorFlash>(
        &mut self,
        flash: &mut F,
        value: &[u8; BYTES],
    ) -> Result<(), WriteError<F::Error>> {
        self.settle(flash)?;
        // A firmware runs for months, and a write may fail once.
        for page in &mut self.pages {
            page.worn = false;
        }
        let mut result = Err(WriteError::NotStored);
        while result.is_err()
            && let Some(page) = self.oldest()
        {
            result = self.put(flash, page, value);
        }
        result.and_then(|()| self.settle(flash))
    }

    /// The page that has to be written before the value may be believed.
    fn unsettled(&self) -> Option<usize> {
        let seen = self.newest_seen();
        // It may be gone at the next boot. Then the next best counts, which may have been told to somebody, even if its
        // mark does not read now: so it is the third page that is given up.
        if !matches!(seen, Seen::Marked(_)) {
            return self.newest.and_then(|_| self.oldest());
        }
        let mut agree = false;
        for (page, other) in self.others() {
            // It may read as anything at the next boot, unless its generation is outdone.
            if !matches!(other.seen, Seen::Marked(generation) if generation != seen.generation()) {
                return Some(page);
            }
            agree |= other.agrees;
        }
        // Another value would count, which may have been told to somebody, were the newest one gone at the next boot.
        if agree { None } else { self.oldest() }
    }

    /// The page with the lowest generation, which is never the newest.
    fn oldest(&self) -> Option<usize> {
        let (mut oldest, mut lowest) = (None, u32::MAX);
        for (page, other) in self.others() {
            if other.seen.generation() < lowest {
                (oldest, lowest) = (Some(page), other.seen.generation());
            }
        }
        oldest
    }

    /// The pages that may be written.
    fn others(&self) -> impl Iterator<Item = (usize, &Page)> {
        let pages = self.pages.iter().enumerate();
        pages.filter(|(page, state)| Some(*page) != self.newest && !state.worn)
    }

    /// Erases `page` and writes `value` to it, above every generation that was seen; or gives it up.
    fn put<F: NorFlash>(
        &mut self,
        flash: &mut F,
        page: usize,
        value: &[u8; BYTES],
    ) -> Result<(), WriteError<F::Error>> {
        if let Some(page) = self.pages.get_mut(page) {
            *page = Page::LOST;
        }
        let generation = self.highest.checked_add(1).ok_or(WriteError::Worn)?;
        self.highest = generation;
        let mut buffer = [0xff; BUFFER];
        self.encode(&mut buffer, generation, value);
        let body = Self::body::<F>();
        let at = self.page_at::<F>(page);
        let written = flash
            .erase(at, at.saturating_add(size(F::ERASE_SIZE)))
            .and_then(|()| flash.write(at, buffer.get(..body).unwrap_or(&[])))
            // A call of its own: words of one call may land in any order.
            .and_then(|()| {
                for (at, byte) in buffer.iter_mut().enumerate() {
                    *byte = mark_byte(at);
                }
                let mark = buffer.get(..F::WRITE_SIZE).unwrap_or(&[]);
                flash.write(at.saturating_add(size(body)), mark)
            });
        written.map_err(WriteError::Flash)?;
        // A worn page may take what it never gives back: a trial counted there would never end.
        let stored = self.read_value(flash, page, &mut buffer);
        if stored.map_err(WriteError::Flash)? != Some((generation, *value))
            || !self.is_marked(flash, page)
        {
            return Err(WriteError::NotStored);
        }
        if self.value != *value {
            self.disagree();
            self.value = *value;
        }
        self.newest = Some(page);
        self.set(page, Seen::Marked(generation), true);
        Ok(())
    }

    fn read_value<F: NorFlash>(
        &self,
        flash: &mut F,
        page: usize,
        buffer: &mut [u8; BUFFER],
    ) -> Result<Option<(u32, [u8; BYTES])>, F::Error> {
        let stored = buffer.get_mut(..Self::body::<F>()).unwrap_or(&mut []);
        read(flash, self.page_at::<F>(page), stored)?;
        Ok(self.decode(stored))
    }

    fn decode(&self, stored: &[u8]) -> Option<(u32, [u8; BYTES])> {
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
        put_at(buffer, 0, &self.header());
        put_at(buffer, 4, &generation.to_be_bytes());
        put_at(buffer, HEADER_BYTES, value);
        let sum = crc32(buffer.iter().take(HEADER_BYTES + BYTES));
        put_at(buffer, HEADER_BYTES + BYTES, &sum.to_be_bytes());
    }

    fn is_marked<F: NorFlash>(&self, flash: &mut F, page: usize) -> bool {
        let mut buffer = [0; BUFFER];
        let stored = buffer.get_mut(..F::WRITE_SIZE).unwrap_or(&mut []);
        let at = self
            .page_at::<F>(page)
            .saturating_add(size(Self::body::<F>()));
        let is_mark = |(at, byte): (usize, &u8)| *byte == mark_byte(at);
        read(flash, at, stored).is_ok() && stored.iter().enumerate().all(is_mark)
    }

    const fn header(&self) -> [u8; 4] {
        [b'i', b'R', VERSION, self.kind]
    }

    fn page_at<F: NorFlash>(&self, page: usize) -> u32 {
        self.at.saturating_add(size(page * F::ERASE_SIZE))
    }

    fn newest_seen(&self) -> Seen {
        let newest = self.newest.and_then(|page| self.pages.get(page));
        newest.map_or(Seen::Void, |page| page.seen)
    }

    fn set(&mut self, page: usize, seen: Seen, agrees: bool) {
        if let Some(place) = self.pages.get_mut(page) {
            *place = Page {
                seen,
                agrees,
                worn: false,
            };
        }
    }

    // Inlined it would be there twice.
    #[inline(never)]
    fn disagree(&mut self) {
        for page in &mut self.pages {
            page.agrees = false;
        }
    }
}

/// Reads, and asks again when that fails: a bus may have been disturbed.
pub(super) fn read<F: NorFlash>(flash: &mut F, at: u32, out: &mut [u8]) -> Result<(), F::Error> {
    let mut result = flash.read(at, out);
    for _ in 1..READS {
        if result.is_ok() {
            break;
        }
        result = flash.read(at, out);
    }
    result
}

// Inlined it would be there four times.
#[inline(never)]
fn put_at(buffer: &mut [u8; BUFFER], at: usize, bytes: &[u8]) {
    for (to, from) in buffer.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}

const fn mark_byte(at: usize) -> u8 {
    if at.is_multiple_of(2) { 0x5a } else { 0xa5 }
}

/// Sizes of flash have 32 bits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "no flash has more than 4 GiB"
)]
pub(super) const fn size(bytes: usize) -> u32 {
    bytes as u32
}
