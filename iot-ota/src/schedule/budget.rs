//! So many bytes a day.

use iot_core::Instant;

use super::divide;
use crate::alarm::{NEVER, later};

const DAY_MS: u32 = 86_400_000;

/// What updates may cost of a link that is paid for.
///
/// Nothing is begun once they are spent. What is under way then may go over; that is spent of the days after, so that a
/// budget is never overdrawn by more than one block.
///
/// A day is 24 hours of the device's running time. After a reboot a new one begins, with what the application says is
/// [spent](Self::with_spent) of it: nothing here is on record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ByteBudget {
    per_day: u32,
    spent: u32,
    renews: Instant,
}

impl ByteBudget {
    /// So many bytes in each day from `now` on.
    #[must_use]
    pub const fn per_day(bytes: u32, now: Instant) -> Self {
        Self {
            per_day: bytes,
            spent: 0,
            renews: later(now, DAY_MS),
        }
    }

    /// So many of them are spent already.
    #[must_use]
    pub const fn with_spent(mut self, bytes: u32) -> Self {
        self.spent = bytes;
        self
    }

    /// So many bytes went over the link.
    pub fn spend(&mut self, now: Instant, bytes: u32) {
        self.renew(now);
        self.spent = self.spent.saturating_add(bytes);
    }

    /// What was spent of this day, and of those after it.
    #[must_use]
    pub const fn spent(&self) -> u32 {
        self.spent
    }

    /// When there will be something left again; never when there is now.
    pub(super) fn exhausted_until(&mut self, now: Instant) -> Instant {
        self.renew(now);
        if self.spent < self.per_day {
            NEVER
        } else {
            self.renews
        }
    }

    #[inline(never)]
    fn renew(&mut self, now: Instant) {
        if let Some(late) = now.as_millis().checked_sub(self.renews.as_millis()) {
            // Those in which nobody asked are paid back, too.
            let (days, _) = divide(late, DAY_MS);
            let days = u32::try_from(days + 1).unwrap_or(u32::MAX);
            self.spent = self.spent.saturating_sub(self.per_day.saturating_mul(days));
            self.renews = later(now, DAY_MS);
        }
    }
}
