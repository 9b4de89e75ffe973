/// Where a sequence stands in a [`Window`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
#[non_exhaustive]
pub enum Standing {
    /// Below the window: settled, never to be executed.
    Settled,
    /// In the window and ended.
    Ended,
    /// In the window and not ended.
    Open,
    /// Above the window: it must advance first.
    Beyond,
}

const BYTES: usize = 32;
const BITS: usize = 8 * BYTES;

/// Which sequences of one issuer have ended: a floor, and a bit for each of the next `WIDTH` (4 to 256).
///
/// It advances only over sequences that have ended, so what falls out below may be refused for ever, and
/// a command can never run twice because its record was dropped.
///
/// ```
/// use iot_core::command::{Standing, Window};
/// let mut window = Window::<64>::new(1);
/// window.end(1);
/// assert_eq!(window.standing(1), Standing::Ended);
/// assert!(!window.reach(66)); // 2 is still open and would fall out
/// assert!(window.reach(65));
/// assert_eq!(window.standing(1), Standing::Settled);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Window<const WIDTH: usize> {
    floor: u64,
    // The bit of a sequence is that of its last eight binary digits, so nothing moves when the floor rises.
    // Whatever does not lie within 256 of the floor has no bit, and every bit that is free is clear.
    ended: [u8; BYTES],
}

impl<const WIDTH: usize> Window<WIDTH> {
    const CHECKED: () = assert!(WIDTH >= 4 && WIDTH <= BITS, "a window is 4 to 256 wide");

    /// Nothing from `floor` on has ended, everything below is settled.
    #[must_use]
    pub const fn new(floor: u64) -> Self {
        let () = Self::CHECKED;
        Self {
            floor,
            ended: [0; BYTES],
        }
    }

    /// Becomes as it was recorded; says whether it could be that.
    pub(super) fn restore(&mut self, floor: u64, ended: &[u8]) -> bool {
        let fits = ended.len() == BYTES;
        if fits {
            self.ended.copy_from_slice(ended);
        }
        self.floor = floor;
        fits
    }

    /// Notes that `sequence` has ended; outside the window it does nothing.
    pub fn end(&mut self, sequence: u64) {
        if let Some(above) = self.above(sequence)
            && above < WIDTH
        {
            let (at, bit) = self.place(above);
            if let Some(byte) = self.ended.get_mut(at) {
                *byte |= bit;
            }
        }
    }

    /// Raises the floor to `floor`, whatever lies below; it never falls.
    pub fn settle_below(&mut self, floor: u64) {
        for passed in 0..self.above(floor).unwrap_or(0).min(BITS) {
            let (at, bit) = self.place(passed);
            if let Some(byte) = self.ended.get_mut(at) {
                *byte &= !bit;
            }
        }
        self.floor = self.floor.max(floor);
    }

    /// Advances until `sequence` lies inside, but only over what has ended; says whether it does.
    pub fn reach(&mut self, sequence: u64) -> bool {
        let above = self.above(sequence).unwrap_or(0);
        let rise = above.saturating_sub(WIDTH - 1);
        let may_rise = rise <= BITS && (0..rise).all(|passed| self.has_ended(passed));
        if may_rise {
            self.settle_below(self.floor + rise as u64);
        }
        may_rise
    }

    /// Where `sequence` stands.
    pub fn standing(&self, sequence: u64) -> Standing {
        match self.above(sequence) {
            None => Standing::Settled,
            Some(above) if above >= WIDTH => Standing::Beyond,
            Some(above) if self.has_ended(above) => Standing::Ended,
            Some(_) => Standing::Open,
        }
    }

    /// Everything below is settled.
    #[must_use]
    pub const fn floor(&self) -> u64 {
        self.floor
    }

    pub(super) const fn ended(&self) -> &[u8; BYTES] {
        &self.ended
    }

    /// How far above the floor; what is further than that can be told counts as far.
    fn above(&self, sequence: u64) -> Option<usize> {
        let above = sequence.checked_sub(self.floor)?;
        Some(usize::try_from(above).unwrap_or(usize::MAX))
    }

    fn has_ended(&self, above: usize) -> bool {
        let (at, bit) = self.place(above);
        self.ended.get(at).is_some_and(|byte| byte & bit != 0)
    }

    /// Which byte, and which bit of it.
    const fn place(&self, above: usize) -> (usize, u8) {
        let [digits, ..] = self.floor.to_le_bytes();
        let at = (digits as usize + above) % BITS;
        (at / 8, 1 << (at % 8))
    }
}
