//! How a campaign is to go.

use alloc::vec::Vec;
use core::time::Duration;

use super::cohort::Share;

/// The most waves a plan may have.
pub const MAX_WAVES: usize = 32;

/// How many devices have been reached when a wave is through, counted from the campaign's start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Reach {
    /// That many devices; a larger fleet's first ones in the order of their [`Cohort`](super::Cohort).
    Count(usize),
    /// The devices whose cohort lies within that share.
    Share(Share),
}

/// How many failures close a wave's gate; when nobody in the wave succeeds it closes in any case.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Threshold {
    /// That many of the wave's devices; 0 is taken as 1.
    Count(usize),
    /// That share of the wave's devices, rounded up, at least 1.
    Share(Share),
}

impl Threshold {
    /// The number of failures that closes the gate of a wave of `devices`.
    #[must_use]
    pub fn failures(self, devices: usize) -> usize {
        match self {
            Self::Count(count) => count.max(1),
            Self::Share(share) => share.of(devices).max(1),
        }
    }
}

/// One step of a rollout and the gate behind it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Wave {
    /// How far it reaches.
    pub reach: Reach,
    /// How many failures halt the campaign.
    pub halt_at: Threshold,
    /// How long the wave is watched, after its last device has answered, before the next one opens.
    pub soak: Duration,
}

impl Wave {
    /// A wave up to `reach` that halts at the first failure and does not soak.
    #[must_use]
    pub const fn new(reach: Reach) -> Self {
        Self {
            reach,
            halt_at: Threshold::Count(1),
            soak: Duration::ZERO,
        }
    }

    /// The first `devices`.
    #[must_use]
    pub const fn count(devices: usize) -> Self {
        Self::new(Reach::Count(devices))
    }

    /// The first `percent` hundredths of the fleet.
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        Self::new(Reach::Share(Share::percent(percent)))
    }

    /// Halts at so many failures.
    #[must_use]
    pub const fn halt_at(mut self, threshold: Threshold) -> Self {
        self.halt_at = threshold;
        self
    }

    /// Watches the wave for `span` after its last answer.
    #[must_use]
    pub const fn soak(mut self, span: Duration) -> Self {
        self.soak = span;
        self
    }
}

/// What a halt does to the devices that already run the release.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum OnHalt {
    /// They keep it until somebody decides.
    #[default]
    Keep,
    /// They are rolled back.
    RollBack,
}

/// The checked course of a campaign.
///
/// ```
/// use core::time::Duration;
/// use iot_ota::rollout::{Plan, Threshold, Wave};
/// let plan = Plan::new([
///     Wave::count(50).halt_at(Threshold::Count(2)).soak(Duration::from_secs(3_600)),
///     Wave::percent(10),
///     Wave::percent(100),
/// ])?
/// .max_in_flight(32)
/// .timeout(Duration::from_secs(900));
/// assert_eq!(plan.waves().len(), 3);
/// # Ok::<(), iot_ota::rollout::PlanError>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    waves: Vec<Wave>,
    max_in_flight: usize,
    timeout: Duration,
    on_halt: OnHalt,
}

impl Plan {
    /// A plan of these waves: 32 devices at once, 15 minutes for each, nothing rolled back on a halt.
    ///
    /// # Errors
    ///
    /// [`PlanError`] when there is no wave, too many, or the last leaves devices out.
    pub fn new(waves: impl IntoIterator<Item = Wave>) -> Result<Self, PlanError> {
        let waves: Vec<Wave> = waves.into_iter().take(MAX_WAVES + 1).collect();
        match waves.last() {
            None => return Err(PlanError::NoWave),
            Some(_) if waves.len() > MAX_WAVES => return Err(PlanError::TooManyWaves),
            Some(last) if last.reach != Reach::Share(Share::ALL) => {
                return Err(PlanError::LeavesDevicesOut);
            }
            Some(_) => {}
        }
        Ok(Self {
            waves,
            max_in_flight: 32,
            timeout: Duration::from_secs(900),
            on_halt: OnHalt::Keep,
        })
    }

    /// How many devices may be busy with the release at the same time; 0 is taken as 1.
    #[must_use]
    pub const fn max_in_flight(mut self, devices: usize) -> Self {
        self.max_in_flight = if devices == 0 { 1 } else { devices };
        self
    }

    /// How long a device may stay silent before that counts as a failure.
    #[must_use]
    pub const fn timeout(mut self, span: Duration) -> Self {
        self.timeout = span;
        self
    }

    /// What a halt does to the devices that already run the release.
    #[must_use]
    pub const fn on_halt(mut self, action: OnHalt) -> Self {
        self.on_halt = action;
        self
    }

    /// The waves in their order.
    #[must_use]
    pub fn waves(&self) -> &[Wave] {
        &self.waves
    }

    pub(super) const fn in_flight_limit(&self) -> usize {
        self.max_in_flight
    }

    pub(super) const fn silence_limit(&self) -> Duration {
        self.timeout
    }

    pub(super) fn rolls_back_on_halt(&self) -> bool {
        self.on_halt == OnHalt::RollBack
    }
}

/// Why waves make no plan.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// There is none.
    #[error("the plan has no wave: give at least one")]
    NoWave,
    /// There are more than [`MAX_WAVES`].
    #[error("the plan has more than {MAX_WAVES} waves: merge some")]
    TooManyWaves,
    /// The last wave does not reach the whole fleet, so the campaign could never complete.
    #[error("the last wave must reach 100 percent: narrow the list of devices instead")]
    LeavesDevicesOut,
}
