//! Where each value stands: a sorted table in RAM.

use crate::engine::{Batch, RecordKey};
use crate::storage::log::{Live, Place};

/// The places of at most `KEYS` values, in the order of their keys.
#[derive(Clone, Debug)]
pub(super) struct Index<const KEYS: usize> {
    slots: [(RecordKey, Place); KEYS],
    used: usize,
}

impl<const KEYS: usize> Index<KEYS> {
    const NONE: Place = Place {
        page: 0,
        word: 0,
        len: 0,
    };

    pub(super) const fn new() -> Self {
        Self {
            slots: [(RecordKey::new(0), Self::NONE); KEYS],
            used: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.used
    }

    fn filled(&self) -> &[(RecordKey, Place)] {
        self.slots.get(..self.used).unwrap_or_default()
    }

    /// Where the key stands, or would.
    fn find(&self, key: RecordKey) -> usize {
        let (mut low, mut high) = (0, self.used);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.slots.get(middle).is_some_and(|slot| slot.0 < key) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn slot(&self, at: usize, key: RecordKey) -> Option<&Place> {
        let slot = self.filled().get(at)?;
        (slot.0 == key).then_some(&slot.1)
    }

    pub(super) fn get(&self, key: RecordKey) -> Option<Place> {
        self.slot(self.find(key), key).copied()
    }

    pub(super) fn next(&self, from: RecordKey) -> Option<RecordKey> {
        self.filled().get(self.find(from)).map(|slot| slot.0)
    }

    /// The lengths of the values that stand in a page.
    pub(super) fn lengths_in(&self, page: u16) -> impl Iterator<Item = usize> {
        let slots = self.filled().iter();
        slots.filter_map(move |slot| (slot.1.page == page).then_some(slot.1.len.into()))
    }

    /// Notes where the value of a key stands, or that it has none any more; `false` when there is no room.
    pub(super) fn set(&mut self, key: RecordKey, place: Option<Place>) -> bool {
        let at = self.find(key);
        let known = self.slot(at, key).is_some();
        let mut moved = (key, place.unwrap_or(Self::NONE));
        match place {
            Some(_) if known => {
                if let Some(slot) = self.slots.get_mut(at) {
                    *slot = moved;
                }
            }
            Some(_) => {
                if self.used >= KEYS {
                    return false;
                }
                self.used += 1;
                let slots = self.slots.iter_mut().take(self.used).skip(at);
                slots.for_each(|slot| core::mem::swap(slot, &mut moved));
            }
            None if known => {
                let slots = self.slots.iter_mut().take(self.used).skip(at).rev();
                slots.for_each(|slot| core::mem::swap(slot, &mut moved));
                self.used -= 1;
            }
            None => {}
        }
        true
    }

    /// Whether the table has room for the new keys of a batch, beside those that the batch removes.
    pub(super) fn has_room(&self, batch: &Batch<'_>) -> bool {
        let new = batch
            .iter()
            .filter(|entry| entry.1.is_some() && self.get(entry.0).is_none());
        self.used + new.count() <= KEYS
    }
}

impl<const KEYS: usize> Live for Index<KEYS> {
    const COMPACTS: bool = true;

    fn clear(&mut self) {
        self.used = 0;
    }

    fn show(&mut self, key: RecordKey, place: Option<Place>) -> bool {
        self.set(key, place)
    }

    fn find_in(&self, page: u16, from: usize) -> Option<(usize, RecordKey, Place)> {
        let slots = self.filled().iter().enumerate().skip(from);
        let mut inside = slots.filter(|(_, slot)| slot.1.page == page);
        inside.next().map(|(at, slot)| (at, slot.0, slot.1))
    }

    fn moved(&mut self, number: usize, place: Place) {
        if let Some(slot) = self.slots.get_mut(number) {
            slot.1 = place;
        }
    }
}
