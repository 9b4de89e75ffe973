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

const BITS: u32 = 256;
const BYTES: usize = BITS as usize / 8;

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
    floor: u32,
    // The bit of a sequence is that of its last eight binary digits, so nothing moves when the floor rises.
    // Whatever does not lie within 256 of the floor has no bit, and every bit that is free is clear.
    ended: [u8; BYTES],
}

impl<const WIDTH: usize> Window<WIDTH> {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the assertion leaves it below 257"
    )]
    const SPAN: u32 = {
        assert!(
            WIDTH >= 4 && WIDTH <= BITS as usize,
            "a window is 4 to 256 wide"
        );
        WIDTH as u32
    };

    /// Nothing from `floor` on has ended, everything below is settled.
    #[must_use]
    pub const fn new(floor: u32) -> Self {
        let _ = Self::SPAN;
        Self {
            floor,
            ended: [0; BYTES],
        }
    }

    /// Becomes as it was recorded; says whether it could be that.
    pub(super) fn restore(&mut self, floor: u32, ended: &[u8]) -> bool {
        let fits = ended.len() == BYTES;
        if fits {
            self.ended.copy_from_slice(ended);
        }
        self.floor = floor;
        fits
    }

    /// Notes that `sequence` has ended; outside the window it does nothing.
    pub fn end(&mut self, sequence: u32) {
        if self.standing(sequence) == Standing::Open {
            let (at, bit) = place(sequence);
            if let Some(byte) = self.ended.get_mut(at) {
                *byte |= bit;
            }
        }
    }

    /// Raises the floor to `floor`, whatever lies below; it never falls.
    pub fn settle_below(&mut self, floor: u32) {
        let rise = floor.saturating_sub(self.floor);
        for passed in 0..rise.min(BITS) {
            let (at, bit) = place(self.floor.wrapping_add(passed));
            if let Some(byte) = self.ended.get_mut(at) {
                *byte &= !bit;
            }
        }
        self.floor += rise;
    }

    /// Advances until `sequence` lies inside, but only over what has ended; says whether it does.
    pub fn reach(&mut self, sequence: u32) -> bool {
        let floor = sequence.saturating_sub(Self::SPAN - 1);
        let is_near = floor.saturating_sub(self.floor) <= BITS;
        let may_rise = is_near && (self.floor..floor).all(|passed| self.has_bit(passed));
        if may_rise {
            self.settle_below(floor);
        }
        may_rise
    }

    /// Where `sequence` stands.
    pub fn standing(&self, sequence: u32) -> Standing {
        match sequence.checked_sub(self.floor) {
            None => Standing::Settled,
            Some(above) if above >= Self::SPAN => Standing::Beyond,
            Some(_) if self.has_bit(sequence) => Standing::Ended,
            Some(_) => Standing::Open,
        }
    }

    /// Everything below is settled.
    #[must_use]
    pub const fn floor(&self) -> u32 {
        self.floor
    }

    pub(super) const fn ended(&self) -> &[u8; BYTES] {
        &self.ended
    }

    /// Whether `sequence`, which lies in the window, has ended.
    pub(super) fn has_bit(&self, sequence: u32) -> bool {
        let (at, bit) = place(sequence);
        self.ended.get(at).is_some_and(|byte| byte & bit != 0)
    }
}

/// Which byte, and which bit of it.
const fn place(sequence: u32) -> (usize, u8) {
    let [digits, ..] = sequence.to_le_bytes();
    ((digits / 8) as usize, 1 << (digits % 8))
}
