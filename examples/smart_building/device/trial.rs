//! A firmware's part in its update: it probes itself, and says so before a deadline.

use std::time::Duration;

use iot_core::Instant;
use iot_core::crypto::Digest;
use iot_ota::manifest::ManifestKeys;
use iot_ota::update::{Activity, Probation, Updater, Verdict, Want};

use crate::board::{Board, Memory};
use crate::firmware::Conduct;
use crate::mishap::Mishaps;
use crate::power::Power;
use crate::witness::{Lie, Witness};

/// How long a new firmware has to prove itself.
const PATIENCE: Duration = Duration::from_secs(60);
/// Its probes: what it is, and whether it reaches the service.
const SELF_TEST: usize = 0;
const LINK: usize = 1;

/// The first boot of a firmware, or any other one.
pub struct Trial {
    probation: Probation<2>,
    over: core::pin::Pin<Box<tokio::time::Sleep>>,
}

impl Trial {
    pub fn begin(conduct: Conduct, now: Instant) -> Self {
        let mut probation = Probation::new(now + PATIENCE);
        probation.report(SELF_TEST, conduct == Conduct::Well);
        Self {
            probation,
            over: Box::pin(tokio::time::sleep(PATIENCE)),
        }
    }

    /// Comes when the verdict is due in any case.
    pub async fn is_over(&mut self) {
        match self.over.is_elapsed() {
            true => core::future::pending().await,
            false => self.over.as_mut().await,
        }
    }

    pub fn report(&mut self, connected: bool) {
        if connected {
            self.probation.report(LINK, true);
        }
    }

    /// Tells the witness what the update does; its power fails when a download has begun, if that is planned.
    pub fn hear<K: ManifestKeys, D: Digest + Clone>(
        &self,
        update: &mut Updater<'_, Memory, K, D>,
        witness: &mut Witness,
        board: &Board,
        mishaps: &Mishaps,
        power: &Power,
    ) -> Result<(), Lie> {
        let Some(status) = update.progress() else {
            return Ok(());
        };
        if matches!(status.activity, Activity::Fetching { .. })
            && let Some(operations) = mishaps.in_download()
        {
            power.cut_after(operations);
        }
        // What it says without power nobody hears.
        match power.is_off() {
            true => Ok(()),
            false => witness.hear(&status, board),
        }
    }

    /// Judges a firmware on trial as soon as it can be judged; true when this boot ends.
    pub fn ends_boot<K: ManifestKeys, D: Digest + Clone>(
        &mut self,
        update: &mut Updater<'_, Memory, K, D>,
        witness: &mut Witness,
        mishaps: &Mishaps,
        power: &Power,
        now: Instant,
    ) -> bool {
        if update.wants() == Want::Confirm {
            let verdict = self.probation.verdict(now);
            if verdict != Verdict::Pending && mishaps.in_trial() {
                return true;
            }
            if verdict == Verdict::Well
                && let Some(operations) = mishaps.in_confirmation()
            {
                power.cut_after(operations);
            }
            update.conclude(verdict);
            witness.judged(verdict, !power.is_off());
        }
        power.is_off() || update.wants() == Want::Reboot
    }
}
