//! So many bytes a day.

use core::time::Duration;

use iot_core::Instant;

const DAY: Duration = Duration::from_secs(86_400);

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
            renews: now.after(DAY),
        }
    }

    /// So many of them are spent already.
    #[must_use]
    pub const fn with_spent(mut self, bytes: u32) -> Self {
        self.spent = bytes;
        self
    }

    /// So many bytes went over the link.
    pub const fn spend(&mut self, now: Instant, bytes: u32) {
        self.renew(now);
        self.spent = self.spent.saturating_add(bytes);
    }

    /// What was spent of this day, and of those after it.
    #[must_use]
    pub const fn spent(&self) -> u32 {
        self.spent
    }

    /// When there will be something left again; `None` when there is now.
    pub(super) const fn exhausted_until(&mut self, now: Instant) -> Option<Instant> {
        self.renew(now);
        if self.spent < self.per_day {
            None
        } else {
            Some(self.renews)
        }
    }

    const fn renew(&mut self, now: Instant) {
        if now.as_millis() >= self.renews.as_millis() {
            self.spent = self.spent.saturating_sub(self.per_day);
            self.renews = now.after(DAY);
        }
    }
}
