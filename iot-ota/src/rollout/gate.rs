//! Whether the next wave may open.

use iot_core::Timestamp;

use super::plan::Wave;
use super::progress::Tally;

/// Why a campaign halted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HaltReason {
    /// Too many devices of a wave failed or stayed silent.
    #[error("wave {wave}: {failed} failed and {silent} silent devices reach the limit of {limit}")]
    Failures {
        /// Which wave, from 0.
        wave: usize,
        /// How many devices reported a failure.
        failed: usize,
        /// How many did not answer in time.
        silent: usize,
        /// The limit they reached.
        limit: usize,
    },
}

/// What the gate says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Devices of the wave have yet to answer.
    Wait,
    /// All have answered; the wave is being watched until then.
    Soak(Timestamp),
    /// The next wave may open.
    Open,
    /// No further device may be offered the release.
    Halt(HaltReason),
}

/// Judges the open wave.
pub(super) fn judge(
    index: usize,
    wave: &Wave,
    tally: &Tally,
    last_answer: Timestamp,
    now: Timestamp,
) -> Verdict {
    // A wave in which nobody succeeded is no evidence, however many failures the plan tolerates.
    let limit = wave
        .halt_at
        .failures(tally.devices)
        .min(tally.devices)
        .max(1);
    if tally.failed + tally.silent >= limit {
        return Verdict::Halt(HaltReason::Failures {
            wave: index,
            failed: tally.failed,
            silent: tally.silent,
            limit,
        });
    }
    if tally.answered < tally.devices {
        return Verdict::Wait;
    }
    let end = last_answer.after(wave.soak);
    if now < end {
        Verdict::Soak(end)
    } else {
        Verdict::Open
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::rollout::plan::Threshold;

    fn tally(devices: usize, answered: usize, failed: usize, silent: usize) -> Tally {
        Tally {
            devices,
            answered,
            failed,
            silent,
        }
    }

    fn verdict(wave: &Wave, tally: &Tally, now_secs: u64) -> Verdict {
        judge(
            0,
            wave,
            tally,
            Timestamp::from_secs(100),
            Timestamp::from_secs(now_secs),
        )
    }

    #[test]
    fn silence_and_failure_close_the_gate_alike_and_before_the_wave_is_through() {
        let wave = Wave::count(100).halt_at(Threshold::Count(3));
        assert_eq!(verdict(&wave, &tally(100, 2, 1, 1), 100), Verdict::Wait);
        assert!(matches!(
            verdict(&wave, &tally(100, 3, 1, 2), 100),
            Verdict::Halt(HaltReason::Failures { limit: 3, .. })
        ));
    }

    #[test]
    fn a_wave_that_has_answered_is_watched_before_the_next_opens() {
        let wave = Wave::count(2).soak(Duration::from_secs(60));
        assert_eq!(
            verdict(&wave, &tally(2, 2, 0, 0), 159),
            Verdict::Soak(Timestamp::from_secs(160))
        );
        assert_eq!(verdict(&wave, &tally(2, 2, 0, 0), 160), Verdict::Open);
        assert_eq!(verdict(&wave, &tally(2, 1, 0, 0), 500), Verdict::Wait);
    }

    #[test]
    fn a_wave_in_which_nobody_succeeded_opens_no_gate() {
        let wave = Wave::count(2).halt_at(Threshold::Count(5));
        assert_eq!(verdict(&wave, &tally(2, 2, 1, 0), 100), Verdict::Open);
        assert!(matches!(
            verdict(&wave, &tally(2, 2, 1, 1), 100),
            Verdict::Halt(_)
        ));
    }

    #[test]
    fn a_share_is_rounded_up_and_never_tolerates_everything() {
        use crate::rollout::cohort::Share;
        assert_eq!(Threshold::Share(Share::percent(3)).failures(50), 2);
        assert_eq!(Threshold::Share(Share::percent(0)).failures(50), 1);
        assert_eq!(Threshold::Count(0).failures(50), 1);
    }
}
