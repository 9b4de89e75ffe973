//! What the user of a log remembers of its entries.

use core::num::NonZeroU32;

use crate::engine::{Batch, RecordKey};

/// Where a value stands in a log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(in crate::storage) struct Place {
    /// Page and word.
    at: u32,
    /// One more than the value's length: so a place, or none, fits two registers.
    len_and_one: NonZeroU32,
}

impl Place {
    /// Somewhere, for who counts places only.
    pub(in crate::storage) const ANY: Self = Self::new(0, 0, 0);

    pub(super) const fn new(page: u32, word: u32, len: usize) -> Self {
        Self {
            at: page << 16 | word,
            len_and_one: NonZeroU32::MIN.saturating_add(len as u32),
        }
    }

    pub(in crate::storage) const fn page(self) -> u32 {
        self.at >> 16
    }

    pub(super) const fn word(self) -> u32 {
        self.at & 0xFFFF
    }

    /// The length of the value in bytes.
    pub(in crate::storage) const fn len(self) -> usize {
        self.len_and_one.get() as usize - 1
    }
}

/// Knows which values still count, so that a page can be compacted.
pub(in crate::storage) trait Live {
    /// Whether the oldest page is compacted when too many are in use; otherwise its user retires it.
    const COMPACTS: bool;

    /// Forgets everything: all entries will be shown.
    fn clear(&mut self);

    /// Learns of the next entry, a value or a removal; `false` when there is no room for it.
    fn show(&mut self, key: RecordKey, place: Option<Place>) -> bool;

    /// Whether there is room for the keys of a batch.
    fn has_room(&self, batch: &Batch<'_>) -> bool;

    /// Where the value of a key stands.
    fn get(&self, key: RecordKey) -> Option<Place>;

    /// The first value from number `from` on that counts and stands in `page`, and its number.
    fn find_in(&self, page: u32, from: usize) -> Option<(usize, RecordKey, Place)>;

    /// Learns that the value with a number was copied.
    fn moved(&mut self, number: usize, place: Place);
}

/// Remembers nothing.
impl Live for () {
    const COMPACTS: bool = false;

    fn clear(&mut self) {}

    fn show(&mut self, _: RecordKey, _: Option<Place>) -> bool {
        true
    }

    fn has_room(&self, _: &Batch<'_>) -> bool {
        true
    }

    fn get(&self, _: RecordKey) -> Option<Place> {
        None
    }

    fn find_in(&self, _: u32, _: usize) -> Option<(usize, RecordKey, Place)> {
        None
    }

    fn moved(&mut self, _: usize, _: Place) {}
}
