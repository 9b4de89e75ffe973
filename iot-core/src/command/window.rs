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

const WORDS: usize = 4;

/// Which sequences of one issuer have ended: a floor and a bit for each of the next `WIDTH` (8 to 256).
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
    ended: [u64; WORDS],
}

impl<const WIDTH: usize> Window<WIDTH> {
    const SPAN: u64 = {
        assert!(
            WIDTH >= 8 && WIDTH <= 64 * WORDS,
            "a window is 8 to 256 wide"
        );
        WIDTH as u64
    };

    /// Nothing from `floor` on has ended, everything below is settled.
    #[must_use]
    pub const fn new(floor: u64) -> Self {
        Self {
            floor,
            ended: [0; WORDS],
        }
    }

    pub(super) const fn from_parts(floor: u64, ended: [u64; WORDS]) -> Self {
        Self { floor, ended }
    }

    /// Notes that `sequence` has ended; outside the window it does nothing.
    pub fn end(&mut self, sequence: u64) {
        if self.standing(sequence) == Standing::Open {
            let at = sequence - self.floor;
            if let Some(word) = self.ended.get_mut((at / 64) as usize & (WORDS - 1)) {
                *word |= 1 << (at % 64);
            }
        }
    }

    /// Raises the floor to `floor`, whatever lies below; it never falls.
    pub fn settle_below(&mut self, floor: u64) {
        while self.floor < floor {
            // A jump past the whole window is done in one go: the loop runs at most WORDS + 64 times.
            let by = (floor - self.floor).min(64 * WORDS as u64);
            if by >= 64 * WORDS as u64 {
                *self = Self::new(floor);
                return;
            }
            let by = by.min(63);
            let mut carry = 0;
            for word in self.ended.iter_mut().rev() {
                let low = *word;
                *word = (low >> by) | carry;
                carry = if by == 0 { 0 } else { low << (64 - by) };
            }
            self.floor += by;
        }
    }

    /// Advances until `sequence` lies inside, but only over what has ended; says whether it does.
    pub fn reach(&mut self, sequence: u64) -> bool {
        let needed = sequence.saturating_sub(self.floor.saturating_add(Self::SPAN - 1));
        if needed > self.ended_in_front() {
            return false;
        }
        self.settle_below(self.floor + needed);
        true
    }

    /// Where `sequence` stands.
    pub fn standing(&self, sequence: u64) -> Standing {
        let Some(at) = sequence.checked_sub(self.floor) else {
            return Standing::Settled;
        };
        if at >= Self::SPAN {
            return Standing::Beyond;
        }
        let word = self.ended.get((at / 64) as usize & (WORDS - 1));
        if word.is_some_and(|word| word >> (at % 64) & 1 == 1) {
            Standing::Ended
        } else {
            Standing::Open
        }
    }

    /// Everything below is settled.
    #[must_use]
    pub const fn floor(&self) -> u64 {
        self.floor
    }

    pub(super) const fn ended(&self) -> [u64; WORDS] {
        self.ended
    }

    fn ended_in_front(&self) -> u64 {
        let mut count = 0;
        for word in self.ended {
            count += u64::from(word.trailing_ones());
            if word != u64::MAX {
                break;
            }
        }
        count.min(Self::SPAN)
    }
}
