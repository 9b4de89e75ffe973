//! What the user of a log remembers of its entries.

use crate::engine::RecordKey;

/// Where a value stands in a log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(in crate::storage) struct Place {
    pub(in crate::storage) page: u16,
    pub(in crate::storage) word: u16,
    pub(in crate::storage) len: u16,
}

/// Knows which values still count, so that a page can be compacted.
pub(in crate::storage) trait Live {
    /// Whether the oldest page is compacted when too many are in use; otherwise its user retires it.
    const COMPACTS: bool;

    /// Forgets everything: all entries will be shown.
    fn clear(&mut self);

    /// Learns of the next entry, a value or a removal; `false` when there is no room for it.
    fn show(&mut self, key: RecordKey, place: Option<Place>) -> bool;

    /// The first value from number `from` on that counts and stands in `page`, and its number.
    fn find_in(&self, page: u16, from: usize) -> Option<(usize, RecordKey, Place)>;

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

    fn find_in(&self, _: u16, _: usize) -> Option<(usize, RecordKey, Place)> {
        None
    }

    fn moved(&mut self, _: usize, _: Place) {}
}
