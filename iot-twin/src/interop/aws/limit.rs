//! What the shadow service takes.

use core::time::Duration;

use iot_core::Instant;

/// The longest name of a thing.
pub const MAX_THING_NAME_BYTES: usize = 128;
/// The longest name of a shadow.
pub const MAX_SHADOW_NAME_BYTES: usize = 64;
/// The longest client token.
pub const MAX_TOKEN_BYTES: usize = 64;
/// The longest state, desired and reported together as compact JSON; metadata and version do not count.
pub const MAX_STATE_BYTES: usize = 8 << 10;
/// How many maps and arrays may lie in each other, the desired or reported one counted.
pub const MAX_DEPTH: usize = 6;
/// How many requests may be under way on one connection.
pub const MAX_IN_FLIGHT: usize = 10;
/// How many requests a thing may make in a second.
pub const MAX_REQUESTS_PER_S: u32 = 20;

/// Lets twenty requests through at once, and one more each twentieth of a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// When all twenty are free again.
    full_at: Instant,
}

const STEP: Duration = Duration::from_millis(1_000 / MAX_REQUESTS_PER_S as u64);

impl Rate {
    pub(super) const fn new() -> Self {
        Self {
            full_at: Instant::ZERO,
        }
    }

    /// When the next request may go: now, or later.
    pub(super) fn next_at(self, now: Instant) -> Instant {
        if self.is_before(now) {
            return now;
        }
        let burst = STEP * (MAX_REQUESTS_PER_S - 1);
        let millis = self
            .full_at
            .as_millis()
            .saturating_sub(burst.as_secs() * 1_000 + u64::from(burst.subsec_millis()));
        now.max(Instant::from_millis(millis))
    }

    pub(super) fn is_free(self, now: Instant) -> bool {
        self.next_at(now) == now
    }

    pub(super) fn take(&mut self, now: Instant) {
        if self.is_before(now) {
            self.full_at = now;
        }
        self.full_at = self.full_at.max(now) + STEP;
    }

    /// Whether a clock was set back since the last request: twenty never take longer than a second.
    fn is_before(self, now: Instant) -> bool {
        self.full_at > now + STEP * MAX_REQUESTS_PER_S
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_bars_nobody_for_as_long() {
        let mut rate = Rate::new();
        for _ in 0..20 {
            rate.take(Instant::from_millis(10_000_000));
        }
        assert!(!rate.is_free(Instant::from_millis(10_000_000)));
        let back = Instant::from_millis(6_400_000);
        assert!(rate.is_free(back));
        for _ in 0..20 {
            rate.take(back);
        }
        assert!(!rate.is_free(back));
    }

    #[test]
    fn no_second_holds_more_than_forty_and_no_minute_more_than_twenty_a_second() {
        let mut rate = Rate::new();
        let mut sent = alloc::vec::Vec::new();
        let mut at = Instant::from_millis(5_000);
        while at < Instant::from_millis(65_000) {
            if rate.is_free(at) {
                rate.take(at);
                sent.push(at.as_millis());
            } else {
                at = rate.next_at(at);
            }
        }
        assert_eq!(sent.iter().filter(|at| **at == 5_000).count(), 20);
        assert!(sent.len() <= 20 + 60 * 20, "{}", sent.len());
        assert!(sent.len() >= 60 * 20, "{}", sent.len());
    }
}
