//! The content of a flash: pages that copies share until one of them is written.

use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;

use super::cell::{ATTEMPTED, ECC, FlashCell, UNSTABLE};

/// How the words of a flash behave when they are programmed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Mode {
    /// Plain NOR: a word is programmed once between two erases, and every bit pattern can be read.
    Rewritable,
    /// NOR whose words may be programmed again; the bits of old and new value are ANDed.
    Multiwrite,
    /// Words with check bits: programmed once, and a torn one reads as an error.
    WriteOnce,
}

/// Everything that survives a power cut: the cells of every page.
///
/// A clone costs one allocation; pages are shared until one of the copies changes them.
#[derive(Clone, Debug)]
pub struct FlashImage<const WRITE: usize, const ERASE: usize> {
    pub(super) mode: Mode,
    pub(super) slots: Vec<Slot>,
    hash: u128,
    units: u32,
    blank: Rc<[u8]>,
}

/// One page: its bytes followed by the kind of each word, and what is worth counting.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) cells: Rc<[u8]>,
    hash: u128,
    unreadable: u32,
    unstable: u32,
    attempted: u32,
    pub(super) marginal: bool,
    pub(super) erases: u32,
}

impl Slot {
    const fn blank(cells: Rc<[u8]>, erases: u32) -> Self {
        Self {
            cells,
            hash: 0,
            unreadable: 0,
            unstable: 0,
            attempted: 0,
            marginal: false,
            erases,
        }
    }

    /// Whether every word reads as what is kept of it.
    const fn is_plain(&self) -> bool {
        self.unreadable == 0 && self.unstable == 0
    }

    const fn units(&self) -> u32 {
        units(self.marginal, self.unstable)
    }

    const fn count(&mut self, kind: u8, added: bool) {
        let counter = match kind {
            ECC => &mut self.unreadable,
            UNSTABLE => &mut self.unstable,
            ATTEMPTED => &mut self.attempted,
            _ => return,
        };
        *counter = match added {
            true => counter.saturating_add(1),
            false => counter.saturating_sub(1),
        };
    }
}

const fn units(marginal: bool, unstable: u32) -> u32 {
    match marginal && unstable > 0 {
        true => 1,
        false => unstable,
    }
}

impl<const WRITE: usize, const ERASE: usize> FlashImage<WRITE, ERASE> {
    /// Words in a page.
    pub const PAGE_WORDS: usize = {
        assert!(WRITE > 0 && WRITE <= 32, "a word has 1 to 32 bytes");
        assert!(
            ERASE > 0 && ERASE <= 65_536,
            "a page has at most 65,536 bytes"
        );
        assert!(
            ERASE.is_multiple_of(WRITE),
            "a page is a whole number of words"
        );
        ERASE / WRITE
    };

    /// An erased flash of `pages` pages.
    #[must_use]
    pub fn new(pages: u16, mode: Mode) -> Self {
        let mut cells = vec![0xff; ERASE];
        cells.resize(ERASE + Self::PAGE_WORDS, super::cell::ERASED);
        let blank: Rc<[u8]> = cells.into();
        Self {
            mode,
            slots: vec![Slot::blank(blank.clone(), 0); usize::from(pages)],
            hash: 0,
            units: 0,
            blank,
        }
    }

    /// How its words behave.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The number of pages.
    #[must_use]
    pub const fn pages(&self) -> usize {
        self.slots.len()
    }

    /// 128 bits that depend on every cell and its place, kept up to date word by word. Erase counts do not matter.
    #[must_use]
    pub const fn hash(&self) -> u128 {
        self.hash
    }

    /// The same for the cells of one page; zero for an erased page, or one that does not exist.
    #[must_use]
    pub fn page_hash(&self, page: usize) -> u128 {
        self.slots.get(page).map_or(0, |slot| slot.hash)
    }

    /// The first pages alone, as many as there are of them: what a subject sees that has only a part of the flash.
    ///
    /// ```
    /// use iot_core::sim::flash::{FlashImage, Mode};
    /// let image = FlashImage::<4, 256>::new(5, Mode::WriteOnce);
    /// assert_eq!(image.front(3).pages(), 3);
    /// ```
    #[must_use]
    pub fn front(&self, pages: usize) -> Self {
        let slots: Vec<_> = self.slots.iter().take(pages).cloned().collect();
        Self {
            mode: self.mode,
            hash: slots.iter().fold(0, |hash, slot| hash ^ slot.hash),
            units: slots.iter().map(Slot::units).sum(),
            slots,
            blank: self.blank.clone(),
        }
    }

    /// Independent instabilities: one for each unstable word, and one for each page a marginal erase left behind.
    #[must_use]
    pub const fn unstable_units(&self) -> u32 {
        self.units
    }

    /// Whether any word of this page is [`Unstable`](FlashCell::Unstable).
    #[must_use]
    pub fn is_unstable(&self, page: usize) -> bool {
        self.slots.get(page).is_some_and(|slot| slot.unstable > 0)
    }

    /// Whether any word is [`Attempted`](FlashCell::Attempted) or [`Unstable`](FlashCell::Unstable).
    #[must_use]
    pub fn has_doubt(&self) -> bool {
        self.slots
            .iter()
            .any(|slot| slot.unstable > 0 || slot.attempted > 0)
    }

    /// How often this page was erased; zero for one that does not exist.
    #[must_use]
    pub fn erases(&self, page: usize) -> u32 {
        self.slots.get(page).map_or(0, |slot| slot.erases)
    }

    /// The cell of word `word` of page `page`; `None` beyond the end.
    #[must_use]
    pub fn cell(&self, page: usize, word: usize) -> Option<FlashCell<WRITE>> {
        let cells = &self.slots.get(page)?.cells;
        let (words, kinds) = cells.split_at_checked(ERASE)?;
        let bytes = words.as_chunks::<WRITE>().0.get(word)?;
        Some(match *kinds.get(word)? {
            super::cell::ERASED => FlashCell::Erased,
            super::cell::PROGRAMMED => FlashCell::Programmed(*bytes),
            ECC => FlashCell::Ecc,
            ATTEMPTED => FlashCell::Attempted,
            _ => FlashCell::Unstable(*bytes),
        })
    }

    /// The word at this offset, if it is one whose reading is certain.
    pub(super) fn certain(&self, offset: u32) -> Option<[u8; WRITE]> {
        let offset = usize::try_from(offset).ok()?;
        let cells = &self.slots.get(offset / ERASE)?.cells;
        let start = offset % ERASE;
        let kind = *cells.get(ERASE + start / WRITE)?;
        if !start.is_multiple_of(WRITE) || kind == ECC || kind == UNSTABLE {
            return None;
        }
        cells.get(start..)?.first_chunk().copied()
    }

    /// The bytes of a page from `start` on, if every word of that page reads as what is kept of it.
    pub(super) fn plain(&self, page: usize, start: usize, length: usize) -> Option<&[u8]> {
        let slot = self.slots.get(page).filter(|slot| slot.is_plain())?;
        slot.cells.get(start..start.checked_add(length)?)
    }

    pub(super) fn at(&self, index: usize) -> FlashCell<WRITE> {
        self.cell(index / Self::PAGE_WORDS, index % Self::PAGE_WORDS)
            .unwrap_or(FlashCell::Ecc)
    }

    /// Replaces one word; beyond the end nothing happens.
    pub(super) fn set(&mut self, index: usize, cell: FlashCell<WRITE>) {
        let (page, word) = (index / Self::PAGE_WORDS, index % Self::PAGE_WORDS);
        let old = self.at(index);
        let Some(slot) = self.slots.get_mut(page) else {
            return;
        };
        let change = old.share(index) ^ cell.share(index);
        let units = slot.units();
        let Some((words, kinds)) = Rc::make_mut(&mut slot.cells).split_at_mut_checked(ERASE) else {
            return;
        };
        if let (Some(bytes), Some(kind)) = (
            words.as_chunks_mut::<WRITE>().0.get_mut(word),
            kinds.get_mut(word),
        ) {
            (*bytes, *kind) = (cell.stored(), cell.kind());
        }
        slot.count(old.kind(), false);
        slot.count(cell.kind(), true);
        slot.hash ^= change;
        self.hash ^= change;
        self.units = self.units - units + slot.units();
    }

    /// What [`hash`](Self::hash) and [`unstable_units`](Self::unstable_units) would be with that word replaced.
    pub(super) fn foresee(
        &self,
        index: usize,
        old: FlashCell<WRITE>,
        old_share: u128,
        cell: FlashCell<WRITE>,
    ) -> (u128, u32) {
        let hash = self.hash ^ old_share ^ cell.share(index);
        if old.kind() != UNSTABLE && cell.kind() != UNSTABLE {
            return (hash, self.units);
        }
        let Some(slot) = self.slots.get(index / Self::PAGE_WORDS) else {
            return (hash, self.units);
        };
        let unstable =
            slot.unstable + u32::from(cell.kind() == UNSTABLE) - u32::from(old.kind() == UNSTABLE);
        let after = units(slot.marginal, unstable);
        (hash, self.units - slot.units() + after)
    }

    /// Erases a page completely and counts it.
    pub(super) fn erase(&mut self, page: usize) {
        if let Some(slot) = self.slots.get_mut(page) {
            self.hash ^= slot.hash;
            self.units -= slot.units();
            *slot = Slot::blank(self.blank.clone(), slot.erases.saturating_add(1));
        }
    }

    /// Replaces every word of a page by what `change` makes of its number and cell.
    pub(super) fn change_page(
        &mut self,
        page: usize,
        mut change: impl FnMut(usize, FlashCell<WRITE>) -> FlashCell<WRITE>,
    ) {
        for word in 0..Self::PAGE_WORDS {
            let index = page * Self::PAGE_WORDS + word;
            let old = self.at(index);
            let new = change(word, old);
            if new != old {
                self.set(index, new);
            }
        }
    }

    /// Counts all instability of this page as one unit from now on, until it is erased.
    pub(super) fn set_marginal(&mut self, page: usize) {
        if let Some(slot) = self.slots.get_mut(page) {
            let units = slot.units();
            slot.marginal = slot.unstable > 0;
            self.units = self.units - units + slot.units();
        }
    }
}
