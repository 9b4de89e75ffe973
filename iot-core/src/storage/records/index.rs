//! Where each value stands: a sorted table in RAM.

use crate::engine::{Batch, RecordKey};
use crate::storage::log::{Live, Place};

/// The places of at most `KEYS` values, in the order of their keys.
#[derive(Clone, Debug)]
pub(super) struct Index<const KEYS: usize> {
    slots: [(RecordKey, Option<Place>); KEYS],
    used: usize,
}

impl<const KEYS: usize> Index<KEYS> {
    pub(super) const fn new() -> Self {
        Self {
            slots: [(RecordKey::new(0), None); KEYS],
            used: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.used
    }

    fn filled(&self) -> &[(RecordKey, Option<Place>)] {
        self.slots.get(..self.used).unwrap_or_default()
    }

    /// Where the key stands, or would.
    // Out of line: 92 bytes of code on a chip.
    #[inline(never)]
    fn find(&self, key: RecordKey) -> usize {
        let (mut low, mut high) = (0, self.used);
        while low < high {
            let middle = (low + high) / 2;
            if self.slots.get(middle).is_some_and(|slot| slot.0 < key) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn place(&self, at: usize, key: RecordKey) -> Option<Place> {
        let slot = self.filled().get(at)?;
        slot.1.filter(|_| slot.0 == key)
    }

    pub(super) fn next(&self, from: RecordKey) -> Option<RecordKey> {
        self.filled().get(self.find(from)).map(|slot| slot.0)
    }

    /// Notes where the value of a key stands, or that it has none any more; `false` when there is no room.
    pub(super) fn set(&mut self, key: RecordKey, place: Option<Place>) -> bool {
        let at = self.find(key);
        let known = self.place(at, key).is_some();
        if place.is_none() {
            if known {
                self.used -= 1;
                (at..self.used).for_each(|at| self.swap(at));
            }
            return true;
        }
        if !known {
            if self.used >= KEYS {
                return false;
            }
            (at..self.used).rev().for_each(|at| self.swap(at));
            self.used += 1;
        }
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = (key, place);
        }
        true
    }

    /// Exchanges a slot and the next.
    fn swap(&mut self, at: usize) {
        if let Some([a, b]) = self.slots.get_mut(at..at + 2) {
            core::mem::swap(a, b);
        }
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

    /// Shows them to a copy: what counts is that no entry finds it full, here or at a boot.
    fn has_room(&self, batch: &Batch<'_>) -> bool {
        let mut trial = self.clone();
        batch
            .iter()
            .all(|(key, value)| trial.set(key, value.map(|_| Place::ANY)))
    }

    fn get(&self, key: RecordKey) -> Option<Place> {
        self.place(self.find(key), key)
    }

    fn find_in(&self, page: u32, from: usize) -> Option<(usize, RecordKey, Place)> {
        for (at, &(key, place)) in self.filled().iter().enumerate() {
            if let Some(place) = place
                && at >= from
                && place.page() == page
            {
                return Some((at, key, place));
            }
        }
        None
    }

    fn moved(&mut self, number: usize, place: Place) {
        if let Some(slot) = self.slots.get_mut(number) {
            slot.1 = Some(place);
        }
    }
}
