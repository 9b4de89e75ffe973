//! When to try again: decorrelated jitter with a cap, budgets, and the server's word.
//!
//! A fleet that lost its broker comes back at once unless its members wait for random times. Each delay is
//! drawn between the base and three times the previous one, never above the cap, so that a herd spreads
//! within a few rounds and stays spread at the cap. A server that names a delay is obeyed, and those who
//! were told the same come back at different times all the same.
//!
//! [`Policy::attempts`] bounds the attempts at one thing; a [`Budget`] bounds the retries of a whole process
//! to a share of its requests, so that they cannot keep a service down that is trying to get up.

mod budget;

use core::time::Duration;

pub use self::budget::{Budget, BudgetSpent};
use crate::entropy::{Entropy, EntropyError};

/// How long to wait between attempts, and how many to make.
///
/// ```
/// use core::time::Duration;
/// use iot_core::retry::Policy;
/// const POLICY: Policy = Policy::new(Duration::from_millis(500), Duration::from_secs(60));
/// assert_eq!(POLICY.attempts(5).budget(), Some(5));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Policy {
    base_ms: u64,
    cap_ms: u64,
    budget: Option<u32>,
    told_limit_ms: u64,
}

impl Policy {
    /// Waits at least `base` and at most `cap`, for ever; a base below a millisecond is raised to one, and a
    /// cap below the base to the base. A server is obeyed for up to a day.
    #[must_use]
    pub const fn new(base: Duration, cap: Duration) -> Self {
        // A base of nothing would be a loop without a pause.
        let base_ms = at_least(millis(base), 1);
        Self {
            base_ms,
            cap_ms: at_least(millis(cap), base_ms),
            budget: None,
            told_limit_ms: 86_400_000,
        }
    }

    /// Gives up after `attempts` attempts in a row.
    #[must_use]
    pub const fn attempts(mut self, attempts: u32) -> Self {
        self.budget = Some(attempts);
        self
    }

    /// Obeys a server that asks for a delay up to `limit`, and takes a longer one for that: nobody should be
    /// able to send a device to sleep for ever with one answer.
    #[must_use]
    pub const fn obey_up_to(mut self, limit: Duration) -> Self {
        self.told_limit_ms = millis(limit);
        self
    }

    /// After how many attempts it gives up; `None` for never.
    #[must_use]
    pub const fn budget(self) -> Option<u32> {
        self.budget
    }
}

impl Default for Policy {
    /// One second to two minutes, for ever.
    fn default() -> Self {
        Self::new(Duration::from_secs(1), Duration::from_secs(120))
    }
}

const fn at_least(number: u64, least: u64) -> u64 {
    if number < least { least } else { number }
}

const fn millis(span: Duration) -> u64 {
    span.as_secs()
        .saturating_mul(1_000)
        .saturating_add(span.subsec_millis() as u64)
}

/// Why there is no next attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RetryError {
    /// The budget is spent.
    #[error("gave up after {attempts} attempts")]
    Exhausted {
        /// How many were made.
        attempts: u32,
    },
    /// No randomness for the jitter.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// Counts attempts and chooses delays.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use core::time::Duration;
/// use iot_core::retry::{Policy, Retry};
/// use iot_core::sim::SimEntropy;
/// let mut entropy = SimEntropy::new(1);
/// let mut retry = Retry::new(Policy::new(Duration::from_secs(1), Duration::from_secs(8)));
/// let delay = retry.next_delay(&mut entropy)?;
/// assert!(delay >= Duration::from_secs(1) && delay <= Duration::from_secs(3));
/// retry.succeeded();
/// # }
/// # Ok::<(), iot_core::retry::RetryError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Retry {
    policy: Policy,
    last_ms: u64,
    attempts: u32,
    told_ms: u64,
}

impl Retry {
    /// No attempt was made yet.
    #[must_use]
    pub const fn new(policy: Policy) -> Self {
        Self {
            policy,
            last_ms: policy.base_ms,
            attempts: 0,
            told_ms: 0,
        }
    }

    /// Counts a failed attempt and chooses the delay before the next one.
    ///
    /// It depends on nothing but the policy, what was said here before, and eight random bytes.
    ///
    /// # Errors
    ///
    /// [`RetryError::Exhausted`] when the budget is spent, [`RetryError::Entropy`] without randomness;
    /// the attempt is counted in both cases, and what the server asked for still holds.
    pub fn next_delay(&mut self, entropy: &mut dyn Entropy) -> Result<Duration, RetryError> {
        self.attempts = self.attempts.saturating_add(1);
        if self
            .policy
            .budget
            .is_some_and(|budget| self.attempts >= budget)
        {
            return Err(RetryError::Exhausted {
                attempts: self.attempts,
            });
        }
        let mut random = [0; 8];
        entropy.fill(&mut random)?;
        let random = u64::from_le_bytes(random);
        let base = self.policy.base_ms;
        // The cap bounds what is drawn from, not what was drawn: else most of a herd would meet at the cap.
        let most = self.last_ms.saturating_mul(3).min(self.policy.cap_ms);
        self.last_ms = between(base, most, random);
        let delay = match core::mem::take(&mut self.told_ms) {
            0 => self.last_ms,
            // Everybody was told the same: a quarter of a long delay keeps the herd apart.
            told => told.saturating_add(between(base, most.max(told / 4), random)),
        };
        Ok(Duration::from_millis(delay))
    }

    /// The server asks for at least `delay` before the next attempt, even beyond the cap; holds once, and of
    /// two the longer one. More than [`Policy::obey_up_to`] counts as that.
    ///
    /// The next delay is longer than that by at least the base, and by at most the cap or a quarter.
    pub const fn wait_at_least(&mut self, delay: Duration) {
        let limit_ms = self.policy.told_limit_ms;
        let told_ms = millis(delay);
        self.told_ms = at_least(
            self.told_ms,
            if told_ms > limit_ms {
                limit_ms
            } else {
                told_ms
            },
        );
    }

    /// An attempt succeeded: the next failure starts from the base again.
    pub const fn succeeded(&mut self) {
        *self = Self::new(self.policy);
    }

    /// How many attempts failed in a row.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }
}

/// A number from `least` to `most`, both included, evenly but for a bias below one in a billion.
const fn between(least: u64, most: u64, random: u64) -> u64 {
    match most.saturating_sub(least).checked_add(1) {
        Some(count) => least.saturating_add(random % count),
        None => random,
    }
}

#[cfg(test)]
mod tests;
