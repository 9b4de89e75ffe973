use core::time::Duration;

use super::{at_least, millis};
use crate::time::Instant;

/// What one retry costs; a budget counts in thousandths of a retry.
const RETRY: u64 = 1_000;

/// Keeps the retries of a process a bounded share of its requests.
///
/// Each first attempt saves up `per_mille` thousandths of a retry, and time adds one retry every now and
/// then, so that a device that has nothing left still tries again. At no time were there more retries than
/// `burst`, plus `per_mille` thousandths of the requests, plus one for each `every` that passed since boot.
/// What is saved is lost in a restart, and the burst is there again.
///
/// Share one among all the [`Retry`](super::Retry)s that lead to the same service.
///
/// ```
/// use core::time::Duration;
/// use iot_core::Instant;
/// use iot_core::retry::Budget;
///
/// // Ten at once, then a fifth of the requests, and one a minute in any case.
/// let mut budget = Budget::new(10, 200, Duration::from_secs(60));
/// let now = Instant::ZERO;
/// for _ in 0..10 {
///     assert!(budget.retry(now).is_ok());
/// }
/// assert_eq!(budget.retry(now).unwrap_err().wait, Duration::from_secs(60));
/// for _ in 0..5 {
///     budget.request();
/// }
/// assert!(budget.retry(now).is_ok());
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Budget {
    /// In thousandths of a retry; cut to the limit when it is drawn from.
    saved: u64,
    limit: u64,
    per_request: u64,
    every_ms: u64,
    /// Up to when the time that passed is paid out.
    paid_to: Instant,
}

/// Retries have used up their share.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("too many retries for so few requests: wait {wait:?}")]
#[non_exhaustive]
pub struct BudgetSpent {
    /// After this time there is one again, even without any request.
    pub wait: Duration,
}

impl Budget {
    /// A full budget of `burst` retries, with `per_mille` of them for each thousand requests and one each
    /// `every`, which is at least a millisecond.
    #[must_use]
    pub const fn new(burst: u16, per_mille: u16, every: Duration) -> Self {
        let saved = burst as u64 * RETRY;
        Self {
            saved,
            // However small the burst is: without room for one retry there would never be any.
            limit: at_least(saved, RETRY),
            per_request: per_mille as u64,
            every_ms: at_least(millis(every), 1),
            paid_to: Instant::ZERO,
        }
    }

    /// A first attempt is made: it is always allowed.
    pub const fn request(&mut self) {
        self.saved = self.saved.saturating_add(self.per_request);
    }

    /// A retry is about to be made, `now` after its delay.
    ///
    /// # Errors
    ///
    /// [`BudgetSpent`]: it must not be made now; the budget is as it was.
    pub fn retry(&mut self, now: Instant) -> Result<(), BudgetSpent> {
        let passed_ms = millis(now.since(self.paid_to));
        let paid = passed_ms / self.every_ms;
        let earned = paid.saturating_mul(RETRY);
        self.saved = self.limit.min(self.saved.saturating_add(earned));
        let until_paid = Duration::from_millis(paid.saturating_mul(self.every_ms));
        self.paid_to = self.paid_to + until_paid;
        match self.saved.checked_sub(RETRY) {
            Some(rest) => {
                self.saved = rest;
                Ok(())
            }
            None => Err(BudgetSpent {
                wait: Duration::from_millis(self.every_ms - passed_ms % self.every_ms),
            }),
        }
    }
}
