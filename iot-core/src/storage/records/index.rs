//! Where each value stands: a sorted table in RAM.

use crate::engine::{Batch, RecordKey};
use crate::storage::log::{Entry, Live, Place, Refusal};

/// The places of at most `KEYS` values, in the order of their keys.
#[derive(Clone, Debug)]
pub(super) struct Index<const KEYS: usize> {
    slots: [(RecordKey, Place); KEYS],
    used: usize,
}

impl<const KEYS: usize> Index<KEYS> {
    pub(super) const fn new() -> Self {
        let none = Place {
            page: 0,
            word: 0,
            len: 0,
        };
        Self {
            slots: [(RecordKey::new(0), none); KEYS],
            used: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.used
    }

    fn filled(&self) -> &[(RecordKey, Place)] {
        self.slots.get(..self.used).unwrap_or_default()
    }

    fn find(&self, key: RecordKey) -> Result<usize, usize> {
        self.filled().binary_search_by_key(&key, |slot| slot.0)
    }

    pub(super) fn get(&self, key: RecordKey) -> Option<Place> {
        let at = self.find(key).ok()?;
        self.filled().get(at).map(|slot| slot.1)
    }

    pub(super) fn next(&self, from: RecordKey) -> Option<RecordKey> {
        let (Ok(at) | Err(at)) = self.find(from);
        self.filled().get(at).map(|slot| slot.0)
    }

    /// The lengths of the values that stand in a page.
    pub(super) fn lengths_in(&self, page: u16) -> impl Iterator<Item = u16> {
        let slots = self.filled().iter();
        slots.filter_map(move |slot| (slot.1.page == page).then_some(slot.1.len))
    }

    /// Notes where the value of a key stands, or that it has none any more.
    pub(super) fn set(&mut self, key: RecordKey, place: Option<Place>) -> Result<(), Refusal> {
        match (self.find(key), place) {
            (Ok(at), Some(place)) => {
                if let Some(slot) = self.slots.get_mut(at) {
                    slot.1 = place;
                }
            }
            (Ok(at), None) => {
                self.used -= 1;
                for at in at..self.used {
                    self.swap(at);
                }
            }
            (Err(_), None) => {}
            (Err(at), Some(place)) => {
                if self.used >= KEYS {
                    return Err(Refusal::Keys);
                }
                for at in (at..self.used).rev() {
                    self.swap(at);
                }
                self.used += 1;
                if let Some(slot) = self.slots.get_mut(at) {
                    *slot = (key, place);
                }
            }
        }
        Ok(())
    }

    /// Exchanges a slot and the next.
    fn swap(&mut self, at: usize) {
        if let Some([a, b]) = self.slots.get_mut(at..at + 2) {
            core::mem::swap(a, b);
        }
    }

    /// Whether the table has room for the new keys of a batch, beside those that the batch removes.
    pub(super) fn has_room(&self, batch: &Batch<'_>) -> bool {
        let new = batch
            .iter()
            .filter(|entry| entry.1.is_some() && self.find(entry.0).is_err());
        self.used + new.count() <= KEYS
    }
}

impl<const KEYS: usize> Live for Index<KEYS> {
    const COMPACTS: bool = true;

    fn clear(&mut self) {
        self.used = 0;
    }

    fn show(&mut self, entry: &Entry) -> Result<(), Refusal> {
        self.set(entry.key, (!entry.removal).then_some(entry.place))
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
