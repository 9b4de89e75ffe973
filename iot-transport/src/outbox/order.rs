//! In which order messages came and places became free, and how many there are of a kind.
//!
//! What an outbox asks with every message is answered from here. Looking through all places for it took most of the
//! time that a message costs, as soon as there are more than a few.

use super::slot::{Slot, State};
use crate::envelope::priority_code;

/// All places: first those of messages without a fate, by sequence, then the free ones, the longest free first.
///
/// Sequences grow, so the next message comes where the free places begin: nothing has to move for it.
#[derive(Clone, Debug)]
pub(super) struct Order<const ITEMS: usize> {
    places: [u16; ITEMS],
    live: usize,
}

impl<const ITEMS: usize> Order<ITEMS> {
    /// Knows no places before it is [made](Self::make).
    pub(super) const fn new() -> Self {
        Self {
            places: [0; ITEMS],
            live: 0,
        }
    }

    /// Looks at all places, once.
    pub(super) fn make(&mut self, slots: &[Slot; ITEMS]) {
        // The record of a settled message must be written over before its fate is forgotten.
        let rank = |slot: &Slot| match slot.state {
            State::Free { dead } => (true, dead.map_or(0, |number| number + 1)),
            _ => (false, slot.sequence),
        };
        let rank = |at: u16| slots.get(usize::from(at)).map(rank);
        for (place, at) in self.places.iter_mut().zip(0..) {
            *place = at;
        }
        // Sorted by insertion, once a boot: what the standard library has costs a chip 240 bytes more.
        for end in 1..ITEMS {
            for at in (0..end).rev() {
                match self.places.get_mut(at..at + 2) {
                    Some([before, behind]) if rank(*before) > rank(*behind) => {
                        core::mem::swap(before, behind);
                    }
                    _ => break,
                }
            }
        }
        self.live = slots.iter().filter(|slot| slot.is_live()).count();
    }

    /// How many messages have no fate.
    pub(super) const fn len(&self) -> usize {
        self.live
    }

    /// The place of the message before which so many came that have no fate either.
    pub(super) fn place(&self, index: usize) -> Option<usize> {
        let live = self.places.get(..self.live)?;
        live.get(index).map(|at| usize::from(*at))
    }

    /// The places of messages without a fate, by sequence.
    pub(super) fn live(&self) -> impl Iterator<Item = usize> {
        self.places
            .iter()
            .take(self.live)
            .map(|at| usize::from(*at))
    }

    /// The place that was free for the longest time.
    pub(super) fn free(&self) -> Option<usize> {
        self.places.get(self.live).map(|at| usize::from(*at))
    }

    /// A message is there now.
    pub(super) const fn take(&mut self) {
        self.live += 1;
    }

    /// A place becomes free, and is the next to be taken, or the last.
    pub(super) fn give_back(&mut self, at: usize, next: bool) {
        let end = if next { self.live } else { ITEMS };
        let Some(index) = self.live().position(|place| place == at) else {
            return;
        };
        if let Some(behind) = self.places.get_mut(index..end) {
            let mut moved = behind.first().copied().unwrap_or_default();
            for place in behind.iter_mut().rev() {
                core::mem::swap(place, &mut moved);
            }
            self.live -= 1;
        }
    }
}

/// How many messages there are of each kind that is asked for with every step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Census {
    pub(super) staged: usize,
    /// By their priority.
    pub(super) stored: [usize; 4],
    pub(super) in_flight: usize,
    /// Those whose life ends at some time, and how many of them are under way.
    pub(super) mortal: usize,
    pub(super) mortal_in_flight: usize,
    pub(super) payload_bytes: usize,
}

impl Census {
    pub(super) const EMPTY: Self = Self {
        staged: 0,
        stored: [0; 4],
        in_flight: 0,
        mortal: 0,
        mortal_in_flight: 0,
        payload_bytes: 0,
    };

    /// A message comes.
    pub(super) fn add(&mut self, slot: &Slot) {
        self.change(slot, usize::wrapping_add);
    }

    /// A message goes as it came, or becomes one of another kind.
    pub(super) fn remove(&mut self, slot: &Slot) {
        self.change(slot, usize::wrapping_sub);
    }

    /// The highest priority of what can be sent.
    pub(super) fn most_urgent(&self) -> Option<u8> {
        let highest = self.stored.iter().rposition(|count| *count > 0)?;
        u8::try_from(highest).ok()
    }

    #[inline(never)]
    fn change(&mut self, slot: &Slot, by: fn(usize, usize) -> usize) {
        let mortal = usize::from(slot.expires > 0);
        let kind = match slot.state {
            State::Free { .. } => return,
            State::Staged { .. } => Some(&mut self.staged),
            State::Stored => self
                .stored
                .get_mut(usize::from(priority_code(slot.priority))),
            State::InFlight(_) => {
                self.mortal_in_flight = by(self.mortal_in_flight, mortal);
                Some(&mut self.in_flight)
            }
        };
        if let Some(kind) = kind {
            *kind = by(*kind, 1);
        }
        self.mortal = by(self.mortal, mortal);
        self.payload_bytes = by(self.payload_bytes, slot.lengths.payload.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Slot = Slot::FREE;

    fn made(slots: [Slot; 4]) -> Order<4> {
        let mut order = Order::new();
        order.make(&slots);
        order
    }

    fn with(state: State, sequence: u64) -> Slot {
        Slot {
            state,
            sequence,
            ..FREE
        }
    }

    #[test]
    fn after_a_boot_messages_are_in_order_and_the_longest_free_place_is_next() {
        let freed = |number| with(State::Free { dead: Some(number) }, 0);
        let stored = |sequence| with(State::Stored, sequence);
        let mut order = made([freed(7), stored(9), freed(3), stored(8)]);
        assert!(order.live().eq([3, 1]));
        assert_eq!(
            (order.len(), order.place(1), order.place(2)),
            (2, Some(1), None)
        );
        for place in [2, 0] {
            assert_eq!(order.free(), Some(place));
            order.take();
        }
        assert_eq!((order.free(), order.len()), (None, 4));
    }

    #[test]
    fn a_place_is_taken_again_after_all_others_but_at_once_when_nothing_was_stored_there() {
        let mut order = made([FREE; 4]);
        for _ in 0..3 {
            order.take();
        }
        order.give_back(1, false);
        assert!(order.live().eq([0, 2]));
        assert_eq!(order.free(), Some(3));
        order.give_back(2, true);
        assert!(order.live().eq([0]));
        for place in [2, 3, 1] {
            assert_eq!(order.free(), Some(place));
            order.take();
        }
        order.give_back(7, true);
        assert!(order.live().eq([0, 2, 3, 1]), "nobody is there");
    }
}
