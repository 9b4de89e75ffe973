//! The receiver's side of sequence numbers: what came twice, and what will never come.
//!
//! A sender numbers its messages and says with each below which number it will send nothing any more
//! ([`Position`]). So the receiver can tell a hole that may still be filled from one that will not, without asking:
//! every sequence is told to be new once, or to be missing once, and never both.

use crate::envelope::Position;

/// What a message is to its receiver.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
#[non_exhaustive]
pub enum Receipt {
    /// It comes for the first time: take it.
    New,
    /// It came before: ignore it.
    Repeated,
    /// It was told to be missing, or came before; ignore it, so that what was told stays true.
    TooLate,
}

/// Sequences that will never come, both ends included.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Gap {
    /// Of which stream.
    pub stream: u32,
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// Tracks one sender; names every missing sequence once.
///
/// It remembers `WORDS` × 64 sequences behind the newest: at least [`Outbox::SPAN`](crate::outbox::Outbox::SPAN) of
/// the sender. Should a sender go further, what falls out of the window and did not come is told as missing.
/// Read the gaps after each message: gaps that nobody read are not kept.
///
/// ```
/// use iot_transport::envelope::Position;
/// use iot_transport::gaps::{GapTracker, Receipt};
///
/// let mut tracker = GapTracker::<4>::new();
/// let mut missing = Vec::new();
/// assert_eq!(tracker.receive(Position::new(7, 1, 1), |gap| missing.push(gap)), Receipt::New);
/// assert_ne!(tracker.receive(Position::new(7, 1, 1), |gap| missing.push(gap)), Receipt::New);
/// // 2 may still come, 3 and 4 will not.
/// assert_eq!(tracker.receive(Position::new(7, 5, 2), |gap| missing.push(gap)), Receipt::New);
/// assert!(missing.is_empty());
/// assert_eq!(tracker.receive(Position::new(7, 2, 2), |gap| missing.push(gap)), Receipt::New);
/// assert_eq!(tracker.receive(Position::new(7, 6, 6), |gap| missing.push(gap)), Receipt::New);
/// assert_eq!((missing[0].first, missing[0].last, missing.len()), (3, 4, 1));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct GapTracker<const WORDS: usize> {
    stream: u32,
    /// The stream before: what still comes of it is late.
    previous: Option<u32>,
    /// Everything below was told.
    low: u64,
    /// What came of those from `low` on, one bit each, at the place of its number.
    came: [u64; WORDS],
}

impl<const WORDS: usize> Default for GapTracker<WORDS> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const WORDS: usize> GapTracker<WORDS> {
    /// How many sequences it remembers.
    pub const WINDOW: u64 = WORDS as u64 * 64;

    /// Knows of nothing yet: a stream is taken to begin with 1.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(WORDS > 0, "a tracker without a window remembers nothing") };
        Self {
            stream: 0,
            previous: None,
            low: 0,
            came: [0; WORDS],
        }
    }

    /// A message came; `missing` is told each gap that is now known never to be filled.
    ///
    /// With another stream the sender has begun anew. What was open in the old one is not told, since nobody will
    /// ever know, and what still comes of it is too late.
    pub fn receive(&mut self, position: Position, mut missing: impl FnMut(Gap)) -> Receipt {
        let Position {
            stream,
            sequence,
            floor,
        } = position;
        if self.previous == Some(stream) {
            return Receipt::TooLate;
        }
        if self.low == 0 || stream != self.stream {
            let previous = (self.low > 0).then_some(self.stream);
            *self = Self::new();
            (self.stream, self.previous, self.low) = (stream, previous, 1);
        }
        // Its floor may be old too. The last number is never a message's.
        if sequence < self.low || sequence == u64::MAX {
            return Receipt::TooLate;
        }
        let bottom = (sequence + 1).saturating_sub(Self::WINDOW);
        self.advance(bottom.max(floor.min(sequence)), &mut missing);
        if sequence < self.low || self.replace(sequence, true) {
            return Receipt::Repeated;
        }
        self.pass_row();
        Receipt::New
    }

    /// The stream that is tracked, and below which sequence everything was told; a fresh tracker has 0 and 0.
    #[must_use]
    pub const fn settled_below(&self) -> (u32, u64) {
        (self.stream, self.low)
    }

    /// Moves the window up to `low`, or to the first hole above it.
    fn advance(&mut self, low: u64, missing: &mut impl FnMut(Gap)) {
        let mut hole: Option<Gap> = None;
        // Beyond the window nothing came, however far it goes.
        let seen = low.min(self.low.saturating_add(Self::WINDOW));
        while self.low < seen {
            let here = self.low;
            if self.replace(here, false) {
                hole.take().into_iter().for_each(&mut *missing);
            } else {
                let first = hole.map_or(here, |hole| hole.first);
                hole = Some(self.gap(first, here));
            }
            self.low += 1;
        }
        if self.low < low {
            let first = hole.map_or(self.low, |hole| hole.first);
            hole = Some(self.gap(first, low - 1));
            self.low = low;
        }
        hole.into_iter().for_each(missing);
        self.pass_row();
    }

    /// What came in a row needs no place.
    fn pass_row(&mut self) {
        while self.replace(self.low, false) {
            self.low += 1;
        }
    }

    const fn gap(&self, first: u64, last: u64) -> Gap {
        Gap {
            stream: self.stream,
            first,
            last,
        }
    }

    /// Says whether `sequence` came, and notes whether it counts as such from now on.
    fn replace(&mut self, sequence: u64, came: bool) -> bool {
        let bit = 1 << (sequence % 64);
        let at = usize::try_from(sequence / 64 % WORDS as u64).unwrap_or_default();
        let Some(word) = self.came.get_mut(at) else {
            return false;
        };
        let before = *word & bit != 0;
        *word = if came { *word | bit } else { *word & !bit };
        before
    }
}

#[cfg(test)]
mod tests;
