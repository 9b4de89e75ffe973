//! What became of the devices of a campaign.

use iot_core::{DeviceId, Timestamp};

use super::cohort::Cohort;

/// One device of a campaign.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) cohort: Cohort,
    pub(super) device: DeviceId,
    pub(super) state: State,
}

/// Where a device stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// Not offered the release.
    Waiting,
    /// Offered the release at that moment; nothing final heard.
    Offered(Timestamp),
    /// Showed that it runs the release and is well.
    Succeeded,
    /// Reported a failure, and that it runs another release.
    Failed,
    /// Reported a failure, and not that it runs another release.
    Unwell,
    /// Did not answer in time.
    Silent,
    /// Told at that moment to go back.
    Restoring(Timestamp),
    /// Waits to be told to go back.
    ToRestore,
    /// Showed that it runs what it ran before.
    Restored,
}

/// The count by which a gate judges its wave.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Tally {
    /// Devices of this wave.
    pub(super) devices: usize,
    /// How many of them have succeeded, failed or run out of time.
    pub(super) answered: usize,
    /// Failures since the wave opened, also of devices of earlier waves.
    pub(super) failed: usize,
    /// Devices of this wave that ran out of time.
    pub(super) silent: usize,
}

/// A campaign in figures.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Devices in the campaign.
    pub devices: usize,
    /// Devices of the waves opened so far: no more can have been offered the release.
    pub opened: usize,
    /// Devices that were ever offered the release.
    pub exposed: usize,
    /// Offered, and not heard from.
    pub in_flight: usize,
    /// Run the release, by their own confirmed report.
    pub succeeded: usize,
    /// Reported a failure.
    pub failed: usize,
    /// Did not answer in time.
    pub silent: usize,
    /// Told to go back, or waiting to be told.
    pub restoring: usize,
    /// Back on what they ran before.
    pub restored: usize,
}

impl Progress {
    pub(super) fn count<'m>(
        members: impl Iterator<Item = &'m Member>,
        opened: usize,
        exposed: usize,
    ) -> Self {
        let mut progress = Self {
            opened,
            exposed,
            ..Self::default()
        };
        for member in members {
            progress.devices += 1;
            match member.state {
                State::Waiting => {}
                State::Offered(_) => progress.in_flight += 1,
                State::Succeeded => progress.succeeded += 1,
                State::Failed | State::Unwell => progress.failed += 1,
                State::Silent => progress.silent += 1,
                State::Restoring(_) | State::ToRestore => progress.restoring += 1,
                State::Restored => progress.restored += 1,
            }
        }
        progress
    }
}
