//! The flash that holds a device's images: words are programmed once between two erasures, whole pages that are equal
//! lie in memory once for the whole building.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

use crate::power::Power;

/// The bytes of a page.
pub const PAGE: u32 = 4_096;
const PAGE_BYTES: usize = PAGE as usize;
const WORD_BYTES: usize = 4;
const WORDS: usize = PAGE_BYTES / WORD_BYTES;

type Whole = Arc<[u8; PAGE_BYTES]>;

/// The whole pages of all chips.
#[derive(Clone, Debug, Default)]
pub struct Stock(Arc<Mutex<HashSet<Whole>>>);

impl Stock {
    /// How many different ones there are, or have been, and how many pages of chips they stand for.
    pub fn pages(&self) -> (usize, usize) {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shares = known.iter().map(|page| Arc::strong_count(page) - 1);
        (known.len(), shares.sum())
    }

    fn share(&self, bytes: &[u8; PAGE_BYTES]) -> Whole {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = known.get(bytes) {
            return Arc::clone(page);
        }
        let page = Arc::new(*bytes);
        known.insert(Arc::clone(&page));
        page
    }
}

/// A flash chip; copies are the same one.
#[derive(Clone, Debug)]
pub struct Chip {
    pages: Arc<Mutex<Pages>>,
    stock: Stock,
    power: Power,
}

#[derive(Debug)]
struct Pages {
    pages: Vec<Page>,
    broken: Option<Broken>,
}

#[derive(Clone, Debug)]
enum Page {
    Erased,
    Begun(Box<Begun>),
    Whole(Whole),
}

#[derive(Clone, Debug)]
struct Begun {
    bytes: [u8; PAGE_BYTES],
    /// Words that were programmed, or that a failing power may have touched.
    attempted: [bool; WORDS],
}

/// Why the chip did not do what it was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Broken {
    /// There is no power.
    Off,
    /// The place is not on the chip.
    Outside,
    /// The place is between two words, or two pages.
    Between,
    /// A word was programmed that may have been programmed before.
    ProgrammedTwice,
}

impl core::fmt::Display for Broken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Off => "there is no power",
            Self::Outside => "the place is not on the chip",
            Self::Between => "the place is between two words",
            Self::ProgrammedTwice => "a word was programmed twice",
        })
    }
}

impl core::error::Error for Broken {}

impl NorFlashError for Broken {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Outside => NorFlashErrorKind::OutOfBounds,
            Self::Between => NorFlashErrorKind::NotAligned,
            Self::Off | Self::ProgrammedTwice => NorFlashErrorKind::Other,
        }
    }
}

impl Chip {
    /// An erased chip of so many pages.
    pub fn new(pages: usize, stock: Stock, power: Power) -> Self {
        let pages = Pages {
            pages: vec![Page::Erased; pages],
            broken: None,
        };
        Self {
            pages: Arc::new(Mutex::new(pages)),
            stock,
            power,
        }
    }

    /// The first thing that a data sheet forbids and that was tried all the same.
    pub fn broken(&self) -> Option<Broken> {
        self.lock().broken
    }

    /// Whether exactly these bytes lie there, as somebody sees them who opens the chip.
    pub fn holds(&self, at: u32, bytes: &[u8]) -> bool {
        let chip = self.lock();
        let mut at = at as usize;
        let mut rest = bytes;
        while !rest.is_empty() {
            let part = rest.len().min(PAGE_BYTES - at % PAGE_BYTES);
            let (now, later) = rest.split_at(part);
            let same = chip.pages.get(at / PAGE_BYTES).is_some_and(|page| {
                let from = at % PAGE_BYTES;
                page.bytes().get(from..from + part) == Some(now)
            });
            if !same {
                return false;
            }
            (at, rest) = (at + part, later);
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Page {
    fn bytes(&self) -> &[u8; PAGE_BYTES] {
        const ERASED: [u8; PAGE_BYTES] = [0xff; PAGE_BYTES];
        match self {
            Self::Erased => &ERASED,
            Self::Begun(begun) => &begun.bytes,
            Self::Whole(bytes) => bytes,
        }
    }

    fn begun(&mut self) -> Option<&mut Begun> {
        if matches!(self, Self::Erased) {
            *self = Self::Begun(Box::new(Begun {
                bytes: [0xff; PAGE_BYTES],
                attempted: [false; WORDS],
            }));
        }
        match self {
            Self::Begun(begun) => Some(begun),
            Self::Erased | Self::Whole(_) => None,
        }
    }

    /// Programs words from the one with this number on, as long as the power lasts.
    fn program(&mut self, first: usize, bytes: &[u8], power: &Power) -> Result<(), Broken> {
        let words = bytes.len() / WORD_BYTES;
        let begun = self.begun().ok_or(Broken::ProgrammedTwice)?;
        let attempted = begun.attempted.get(first..first + words);
        if attempted.ok_or(Broken::Outside)?.contains(&true) {
            return Err(Broken::ProgrammedTwice);
        }
        let lasts = power.draw(words).ok_or(Broken::Off)?;
        let torn = usize::from(lasts < words);
        let landed = lasts * WORD_BYTES + torn * WORD_BYTES / 2;
        let from = first * WORD_BYTES;
        let place = begun.bytes.get_mut(from..from + landed);
        if let (Some(place), Some(bytes)) = (place, bytes.get(..landed)) {
            place.copy_from_slice(bytes);
        }
        let touched = begun.attempted.get_mut(first..first + lasts + torn);
        touched.unwrap_or(&mut []).fill(true);
        if torn == 0 { Ok(()) } else { Err(Broken::Off) }
    }

    fn erase(&mut self, power: &Power) -> Result<(), Broken> {
        if power.draw(1).ok_or(Broken::Off)? == 1 {
            *self = Self::Erased;
            return Ok(());
        }
        // It reads half erased, and takes nothing before it is erased as a whole.
        let mut bytes = *self.bytes();
        let (half, _) = bytes.split_at_mut(PAGE_BYTES / 2);
        half.fill(0xff);
        *self = Self::Begun(Box::new(Begun {
            bytes,
            attempted: [true; WORDS],
        }));
        Err(Broken::Off)
    }
}

impl Pages {
    /// Remembers what must not happen.
    fn judge<T>(&mut self, done: Result<T, Broken>) -> Result<T, Broken> {
        if let Err(broken) = done
            && broken != Broken::Off
        {
            self.broken.get_or_insert(broken);
        }
        done
    }

    fn write(&mut self, at: usize, bytes: &[u8], chip: &Chip) -> Result<(), Broken> {
        if !at.is_multiple_of(WORD_BYTES) || !bytes.len().is_multiple_of(WORD_BYTES) {
            return Err(Broken::Between);
        }
        let (mut at, mut rest) = (at, bytes);
        while !rest.is_empty() {
            let part = rest.len().min(PAGE_BYTES - at % PAGE_BYTES);
            let (now, later) = rest.split_at(part);
            let page = self.pages.get_mut(at / PAGE_BYTES);
            let page = page.ok_or(Broken::Outside)?;
            page.program(at % PAGE_BYTES / WORD_BYTES, now, &chip.power)?;
            if let Page::Begun(begun) = page
                && !begun.attempted.contains(&false)
            {
                *page = Page::Whole(chip.stock.share(&begun.bytes));
            }
            (at, rest) = (at + part, later);
        }
        Ok(())
    }

    fn erase(&mut self, from: usize, to: usize, power: &Power) -> Result<(), Broken> {
        if !from.is_multiple_of(PAGE_BYTES) || !to.is_multiple_of(PAGE_BYTES) {
            return Err(Broken::Between);
        }
        let pages = self.pages.get_mut(from / PAGE_BYTES..to / PAGE_BYTES);
        let mut pages = pages.ok_or(Broken::Outside)?.iter_mut();
        pages.try_for_each(|page| page.erase(power))
    }
}

impl ErrorType for Chip {
    type Error = Broken;
}

impl ReadNorFlash for Chip {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, out: &mut [u8]) -> Result<(), Broken> {
        if self.power.is_off() {
            return Err(Broken::Off);
        }
        let mut chip = self.lock();
        let (mut at, mut rest) = (offset as usize, out);
        while !rest.is_empty() {
            let from = at % PAGE_BYTES;
            let part = rest.len().min(PAGE_BYTES - from);
            let (now, later) = rest.split_at_mut(part);
            let page = chip.pages.get(at / PAGE_BYTES);
            match page.and_then(|page| page.bytes().get(from..from + part)) {
                Some(bytes) => now.copy_from_slice(bytes),
                None => return chip.judge(Err(Broken::Outside)),
            }
            (at, rest) = (at + part, later);
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.lock().pages.len() * PAGE_BYTES
    }
}

impl NorFlash for Chip {
    const WRITE_SIZE: usize = WORD_BYTES;
    const ERASE_SIZE: usize = PAGE_BYTES;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Broken> {
        let mut chip = self.lock();
        let erased = chip.erase(from as usize, to as usize, &self.power);
        chip.judge(erased)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Broken> {
        let mut chip = self.lock();
        let written = chip.write(offset as usize, bytes, self);
        chip.judge(written)
    }
}
