//! When an update may happen: maintenance windows, power, metered links, a budget of bytes, jitter, and people.
//!
//! A [`Schedule`] is asked before each stage, and answers with yes, or with why not and when to ask again. It is plain
//! arithmetic: no clock, no storage. The [`Updater`](crate::update::Updater) takes its answers with
//! [`gate`](crate::update::Updater::gate).
//!
//! A *deadline* ends all patience but the one that protects the device: after it, neither windows nor links nor people
//! hold an update up; a battery that is too low still does.

mod budget;
mod plan;
mod window;

pub use budget::ByteBudget;
pub use plan::{Conditions, Decision, Schedule, Stage, Why};
pub use window::{Days, Window};

/// Quotient and remainder, bit by bit; `by` is less than 2^31 and not 0.
// A chip has no instruction for it, and where nothing else divides 64 bits the compiler's costs it half a kilobyte.
#[inline(never)]
const fn divide(value: u64, by: u32) -> (u64, u32) {
    let (mut quotient, mut rest, mut bits) = (value, 0, 64);
    while bits > 0 {
        rest <<= 1;
        if quotient >> 63 == 1 {
            rest |= 1;
        }
        quotient <<= 1;
        if rest >= by {
            rest -= by;
            quotient |= 1;
        }
        bits -= 1;
    }
    (quotient, rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_divided_bit_by_bit_is_what_a_processor_divides(value: u64, by in 1_u32..1 << 31, shorter in 0_u32..31) {
            // Small ones too: their multiples are met on the way.
            let by = (by >> shorter).max(1);
            let wide = u64::from(by);
            let (quotient, rest) = super::divide(value, by);
            prop_assert_eq!((quotient, u64::from(rest)), (value / wide, value % wide));
        }
    }
}
