//! When to try again: decorrelated jitter with a cap, a budget and the server's word.
//!
//! A fleet that lost its broker comes back at once unless its members wait for random times. Each delay
//! lies between the base and three times the previous one, never above the cap, so that a herd spreads
//! within a few rounds.

use core::time::Duration;

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
}

impl Policy {
    /// Waits at least `base` and at most `cap`, for ever; a cap below the base is raised to it.
    #[must_use]
    pub const fn new(base: Duration, cap: Duration) -> Self {
        let base_ms = millis(base);
        let cap_ms = millis(cap);
        Self {
            base_ms,
            cap_ms: if cap_ms < base_ms { base_ms } else { cap_ms },
            budget: None,
        }
    }

    /// Gives up after `attempts` attempts in a row.
    #[must_use]
    pub const fn attempts(mut self, attempts: u32) -> Self {
        self.budget = Some(attempts);
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
    at_least_ms: u64,
}

impl Retry {
    /// No attempt was made yet.
    #[must_use]
    pub const fn new(policy: Policy) -> Self {
        Self {
            policy,
            last_ms: policy.base_ms,
            attempts: 0,
            at_least_ms: 0,
        }
    }

    /// Counts a failed attempt and chooses the delay before the next one.
    ///
    /// # Errors
    ///
    /// [`RetryError::Exhausted`] when the budget is spent, [`RetryError::Entropy`] without randomness;
    /// the attempt is counted in both cases.
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
        let base = self.policy.base_ms;
        let span = self.last_ms.saturating_mul(3).saturating_sub(base);
        let jitter = u64::from_le_bytes(random) % span.saturating_add(1).max(1);
        self.last_ms = base.saturating_add(jitter).min(self.policy.cap_ms);
        // The server may know better, even beyond the cap; the jitter on top keeps the herd apart.
        let told = core::mem::take(&mut self.at_least_ms);
        let delay = if told > 0 {
            told.saturating_add(self.last_ms)
        } else {
            self.last_ms
        };
        Ok(Duration::from_millis(delay))
    }

    /// The server asks for at least `delay` before the next attempt; holds once.
    pub const fn wait_at_least(&mut self, delay: Duration) {
        self.at_least_ms = millis(delay);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimEntropy;
    use alloc::vec::Vec;

    const POLICY: Policy = Policy::new(Duration::from_secs(1), Duration::from_secs(30));

    #[test]
    fn every_delay_lies_between_base_and_cap_and_a_herd_spreads() {
        let mut second_delays = Vec::new();
        for seed in 0..500 {
            let (mut entropy, mut retry) = (SimEntropy::new(seed), Retry::new(POLICY));
            for round in 0..8 {
                let delay = retry.next_delay(&mut entropy).unwrap();
                assert!(delay >= Duration::from_secs(1) && delay <= Duration::from_secs(30));
                if round == 1 {
                    second_delays.push(delay.as_millis());
                }
            }
        }
        second_delays.sort_unstable();
        second_delays.dedup();
        assert!(
            second_delays.len() > 400,
            "only {} different delays",
            second_delays.len()
        );
    }

    #[test]
    fn the_budget_ends_it_and_success_refills_it() {
        let (mut entropy, mut retry) = (SimEntropy::new(1), Retry::new(POLICY.attempts(2)));
        assert!(retry.next_delay(&mut entropy).is_ok());
        assert_eq!(
            retry.next_delay(&mut entropy),
            Err(RetryError::Exhausted { attempts: 2 })
        );
        retry.succeeded();
        assert!(retry.next_delay(&mut entropy).is_ok());
    }

    #[test]
    fn the_server_is_obeyed_once() {
        let (mut entropy, mut retry) = (SimEntropy::new(1), Retry::new(POLICY));
        retry.wait_at_least(Duration::from_secs(300));
        assert!(retry.next_delay(&mut entropy).unwrap() > Duration::from_secs(300));
        assert!(retry.next_delay(&mut entropy).unwrap() <= Duration::from_secs(30));
    }
}
