//! What may be on record, in the words of the guarantee rather than of the code.

use iot_core::sim::power::WorldCell;
use iot_ota::slot::{Ended, EndedAs, RollBackReason};
use iot_ota::update::{Activity, Outcome, Report, Status};

use super::World;

/// How many boots a candidate has to confirm itself.
pub(super) const TRIALS: u8 = 2;

/// One thing that may be on record.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Truth {
    /// The confirmed image.
    pub(super) active: u64,
    /// The candidate, and how often it was booted.
    candidate: Option<(u64, u8)>,
    /// The last update that ended, and how.
    ended: Option<(u64, End)>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum End {
    Confirmed,
    SelfTest,
    Unconfirmed,
}

impl End {
    /// `None` for what must never be.
    const fn of(how: EndedAs) -> Option<Self> {
        match how {
            EndedAs::Confirmed => Some(Self::Confirmed),
            EndedAs::RolledBack(RollBackReason::SelfTest) => Some(Self::SelfTest),
            EndedAs::RolledBack(RollBackReason::Unconfirmed) => Some(Self::Unconfirmed),
            _ => None,
        }
    }
}

impl Truth {
    pub(super) const fn factory() -> Self {
        Self {
            active: 1,
            candidate: None,
            ended: None,
        }
    }

    pub(super) const fn staged(self, sequence: u64) -> Self {
        Self {
            candidate: Some((sequence, 0)),
            ..self
        }
    }

    /// After the boot loader.
    pub(super) const fn booted(&self) -> Self {
        match self.candidate {
            None => *self,
            Some((sequence, TRIALS)) => Self {
                candidate: None,
                ended: Some((sequence, End::Unconfirmed)),
                ..*self
            },
            Some((sequence, boots)) => Self {
                candidate: Some((sequence, boots + 1)),
                ..*self
            },
        }
    }

    pub(super) const fn confirmed(self) -> Self {
        match self.candidate {
            Some((sequence, 1..)) => Self {
                active: sequence,
                candidate: None,
                ended: Some((sequence, End::Confirmed)),
            },
            _ => self,
        }
    }

    pub(super) const fn rejected(self) -> Self {
        match self.candidate {
            Some((sequence, 1..)) => Self {
                candidate: None,
                ended: Some((sequence, End::SelfTest)),
                ..self
            },
            _ => self,
        }
    }

    /// Whether the last update ended as a report says.
    pub(super) fn ended_so(&self, report: &Report) -> bool {
        let how = match report.outcome {
            Outcome::Confirmed => EndedAs::Confirmed,
            Outcome::RolledBack(reason) => EndedAs::RolledBack(reason),
            // What is offered here is good, and nobody calls it off.
            _ => return false,
        };
        let ended = self
            .ended
            .map(|(sequence, how)| (Some(sequence), Some(how)));
        ended == Some((report.sequence, End::of(how)))
    }

    /// Whether the status says exactly this, and `runs` is what should run.
    pub(super) fn shows(&self, status: &Status, runs: u64) -> bool {
        let ended = status.ended;
        let ended = ended.map(|Ended { sequence, how, .. }| (sequence, End::of(how)));
        let right_end = ended == self.ended.map(|(sequence, how)| (sequence, Some(how)));
        let named = status.running.map(|release| release.sequence);
        right_end
            && match (self.candidate, status.activity) {
                (None, Activity::Idle | Activity::Fetching { .. }) => {
                    runs == self.active && named == Some(runs)
                }
                (Some((sequence, 0)), Activity::Staged { release }) => {
                    runs == self.active && named == Some(runs) && release.sequence == sequence
                }
                (Some((sequence, 1..)), Activity::OnTrial) => {
                    runs == sequence && named == Some(runs)
                }
                // It rejected itself, and still runs until the reboot.
                (None, Activity::Rejected) => {
                    runs != self.active
                        && named.is_none()
                        && self.ended == Some((runs, End::SelfTest))
                }
                _ => false,
            }
    }
}

/// Sorted, each once.
pub(super) fn set(truths: impl Iterator<Item = Truth>) -> Vec<Truth> {
    let mut truths: Vec<_> = truths.collect();
    truths.sort_unstable();
    truths.dedup();
    truths
}

/// What is on record may from now on also be what `next` makes of it.
pub(super) fn may_also(world: &WorldCell<World>, next: impl Fn(Truth) -> Truth) {
    world.update(|world| {
        let truths = world.truths.iter().copied();
        world.truths = set(truths.clone().chain(truths.map(next)));
    });
}
