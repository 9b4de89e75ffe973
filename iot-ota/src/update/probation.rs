//! Whether a firmware on trial is well.

use iot_core::time::Instant;

/// What the probes of a firmware on trial say so far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Verdict {
    /// Not every probe has passed, and there is still time.
    Pending,
    /// Every probe has passed in time: the firmware stays.
    Well,
    /// A probe has failed: the old firmware is to run again.
    Failed,
    /// A probe has neither passed nor failed in time: the old firmware is to run again.
    TooLate,
}

/// The probes of a firmware on trial: each must pass once before a deadline. The first end that is reached stays.
///
/// It also says when the watchdog may be fed, so that a firmware that cannot even judge itself is reset: the boot loader
/// counts that boot, and rolls back when none is left.
///
/// ```
/// use core::time::Duration;
/// use iot_core::Instant;
/// use iot_ota::update::{Probation, Verdict};
///
/// const SENSOR: usize = 0;
/// const LINK: usize = 1;
/// let boot = Instant::ZERO;
/// let mut probation = Probation::<2>::new(boot + Duration::from_secs(300));
/// probation.report(SENSOR, true);
/// assert_eq!(probation.verdict(boot), Verdict::Pending);
/// probation.report(LINK, true);
/// assert_eq!(probation.verdict(boot), Verdict::Well);     // hand it to `Updater::conclude`
/// ```
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Probation<const PROBES: usize> {
    deadline: Instant,
    passed: [bool; PROBES],
    end: Option<Verdict>,
}

impl<const PROBES: usize> Probation<PROBES> {
    /// Begins with no probe passed. At `deadline` it is too late.
    #[must_use]
    pub const fn new(deadline: Instant) -> Self {
        Self {
            deadline,
            passed: [false; PROBES],
            end: None,
        }
    }

    /// A probe, counted from 0, has passed or failed. A number that no probe has counts as a failure: a mistake in the
    /// new firmware must not be confirmed.
    pub fn report(&mut self, probe: usize, passed: bool) {
        match self.passed.get_mut(probe) {
            Some(place) if passed => *place = true,
            _ => {
                self.end.get_or_insert(Verdict::Failed);
            }
        }
    }

    /// What the probes say at `now`. Whoever passes too late has not passed.
    pub fn verdict(&mut self, now: Instant) -> Verdict {
        if let Some(end) = self.end {
            return end;
        }
        let all = self.passed.iter().all(|passed| *passed);
        let verdict = match now >= self.deadline {
            true => Verdict::TooLate,
            false if all => Verdict::Well,
            false => return Verdict::Pending,
        };
        *self.end.insert(verdict)
    }

    /// Whether the watchdog may be fed: not when it is too late and nobody has acted on that.
    pub fn may_feed(&mut self, now: Instant) -> bool {
        self.verdict(now) != Verdict::TooLate
    }

    /// When [`verdict`](Self::verdict) is worth asking for again without any report; `None` at its end.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        match self.end {
            Some(_) => None,
            None => Some(self.deadline),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const DEADLINE: Instant = Instant::from_millis(1_000);
    const BEFORE: Instant = Instant::from_millis(999);

    #[test]
    fn every_probe_has_to_pass_and_in_time() {
        let mut probation = Probation::<2>::new(DEADLINE);
        probation.report(0, true);
        probation.report(0, true);
        assert_eq!(probation.verdict(BEFORE), Verdict::Pending);
        assert_eq!(probation.deadline(), Some(DEADLINE));
        let mut late = probation;
        probation.report(1, true);
        assert_eq!(probation.verdict(BEFORE), Verdict::Well);
        assert_eq!(probation.deadline(), None);
        late.report(1, true);
        assert_eq!(late.verdict(DEADLINE), Verdict::TooLate);
        assert!(!late.may_feed(BEFORE));
    }

    #[test]
    fn the_first_end_stays() {
        let mut probation = Probation::<1>::new(DEADLINE);
        probation.report(0, false);
        probation.report(0, true);
        assert_eq!(probation.verdict(BEFORE), Verdict::Failed);
        assert_eq!(
            probation.verdict(DEADLINE + Duration::from_secs(1)),
            Verdict::Failed
        );
        let mut well = Probation::<1>::new(DEADLINE);
        well.report(0, true);
        assert_eq!(well.verdict(BEFORE), Verdict::Well);
        well.report(0, false);
        assert_eq!(well.verdict(DEADLINE), Verdict::Well);
    }

    #[test]
    fn a_probe_that_does_not_exist_is_a_failure() {
        let mut probation = Probation::<1>::new(DEADLINE);
        probation.report(1, true);
        assert_eq!(probation.verdict(BEFORE), Verdict::Failed);
    }
}
