//! When something may be tried again.

use core::time::Duration;

use iot_core::Instant;
use iot_core::entropy::Entropy;
use iot_core::retry::{Policy, Retry};

const CAP: Duration = Duration::from_secs(300);
const PAUSE: Policy = Policy::new(Duration::from_secs(2), CAP);

/// Growing pauses between attempts at one thing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    retry: Retry,
    until: Instant,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self {
            retry: Retry::new(PAUSE),
            until: Instant::ZERO,
        }
    }

    pub(super) fn wait(&mut self, now: Instant, entropy: &mut dyn Entropy) {
        // Without randomness for the jitter it waits as long as it ever does.
        self.until = now + self.retry.next_delay(entropy).unwrap_or(CAP);
    }

    pub(super) fn wait_at_least(
        &mut self,
        now: Instant,
        least: Duration,
        entropy: &mut dyn Entropy,
    ) {
        self.retry.wait_at_least(least);
        self.wait(now, entropy);
    }

    pub(super) const fn attempts(&self) -> u32 {
        self.retry.attempts()
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.until
    }

    pub(super) const fn until(&self) -> Instant {
        self.until
    }
}
