//! From an offer to what it leads to: the same offer again leads to the same.

use iot_core::cose::Tagged;
use iot_core::crypto::Digest;
use iot_core::time::TimeBounds;

use super::{Phase, Trust, Updater};
use crate::manifest::{
    Floor, Limits, ManifestKeys, Plan, PlanError, SignedManifest, Situation, VerifyError,
};
use crate::process::ProcessError;
use crate::slot::{Bank, Banks, BootRecord, BootState, EndedAs, Release};
use crate::update::fetch::{Checkpoint, Course};
use crate::update::payload::{PayloadError, Payloads};
use crate::update::report::Outcome;

impl<B: Banks, K: ManifestKeys, D: Digest + Clone, P: Payloads<D>> Updater<'_, B, K, D, P> {
    pub(super) fn offered(&mut self, wall: TimeBounds, envelope: &[u8]) {
        let mut sequence = None;
        if let Err(outcome) = self.judge(wall, envelope, &mut sequence) {
            self.refuse(sequence, outcome);
        }
    }

    /// From the offer to what it leads to, or to a word about it; `sequence` is set once it is known to be authentic.
    #[inline(never)]
    fn judge(
        &mut self,
        wall: TimeBounds,
        envelope: &[u8],
        sequence: &mut Option<u64>,
    ) -> Result<(), Outcome> {
        let Some(record) = &self.boot else {
            return Err(Outcome::Memory);
        };
        let limits = Limits::default();
        let signed = SignedManifest::decode(envelope, Tagged::Required, limits)
            .map_err(|_| Outcome::NotAuthentic)?;
        let installed = &record.installed;
        let floor = Floor::new(installed.sequence);
        let Trust {
            keys,
            digest,
            device,
        } = &mut self.trust;
        // Looked at where they were made: moving them costs a chip more than making them.
        let verified = signed.verify(&*keys, digest, floor);
        let manifest = match &verified {
            Ok(manifest) => manifest,
            Err(VerifyError::TooOld { found, .. }) => {
                *sequence = Some(*found);
                return Err(Outcome::TooOld);
            }
            Err(_) => return Err(Outcome::NotAuthentic),
        };
        *sequence = Some(manifest.sequence());
        // The floor has no counter, so that a refusal can say which release it is about.
        match self.banks.counter() {
            Ok(counter) if manifest.security_counter() < counter.max(installed.counter) => {
                return Err(Outcome::BelowCounter);
            }
            Ok(_) => {}
            Err(_) => return Err(Outcome::Memory),
        }
        // While an image is on trial nothing is fetched, so what runs is what is installed.
        let spare = match self.banks.running().other() {
            Bank::A => 0,
            Bank::B => 1,
        };
        let slot = device.slots.and_then(|slots| slots.get(spare).copied());
        let situation = Situation::new(wall)
            .running(installed.digest, installed.size)
            .in_slot(slot);
        let planned = manifest.plan_in(device, &situation);
        let plan = match &planned {
            Ok(plan) => plan,
            Err(error) => return Err(outcome_of(error)),
        };
        let may_go_back = manifest.may_go_back(device.roles);
        match plan.release.size {
            0 => Err(Outcome::Unsupported),
            size if size > self.banks.capacity() => Err(Outcome::TooLarge),
            _ => match self.answer(&plan.release, may_go_back)? {
                Answer::Fetch { back } => self.start(plan, back).map_err(PayloadError::outcome),
                Answer::Vouch => {
                    // What is fetched of it may be staged.
                    self.vouched = true;
                    Ok(())
                }
                Answer::Nothing => Ok(()),
            },
        }
    }

    /// Notes what is to be fetched, in place of what was.
    #[inline(never)]
    fn start(&mut self, plan: &Plan<'_>, back: bool) -> Result<(), PayloadError> {
        // Not where the form of a download under way stands: this may be refused.
        let mut room = P::ROOM;
        let (bytes, form_bytes) = self.payloads.describe(plan, room.as_mut())?;
        if back {
            self.passed = self.highest();
        }
        // An older checkpoint must be replaced durably before the bytes it counts are erased.
        self.end_fetch();
        (self.room, self.form) = (room, 0..form_bytes);
        self.consent.is_asked_for = plan.authorization.is_some();
        self.vouched = true;
        self.checkpoint = Checkpoint {
            release: plan.release,
            back,
            bytes,
        };
        self.course = Course::Pending;
        Ok(())
    }

    /// What the offer of a release that this device could install leads to; `may_go_back` where one of its signers has a
    /// right to go back with it.
    #[inline(never)]
    fn answer(&self, release: &Release, may_go_back: bool) -> Result<Answer, Outcome> {
        let sequence = release.sequence;
        let Some(record) = &self.boot else {
            return Err(Outcome::Memory);
        };
        match (self.phase, &record.state) {
            (Phase::Confirmed, _) => {}
            (_, BootState::Staged { candidate, .. } | BootState::Trial { candidate, .. })
                if candidate == release =>
            {
                return Ok(Answer::Nothing);
            }
            (Phase::Unusable | Phase::Restoring, _) => return Err(Outcome::Memory),
            _ => return Err(Outcome::Busy),
        }
        if record.installed.sequence == sequence {
            return Err(match record.installed.digest == release.digest {
                true => Outcome::Confirmed,
                false => Outcome::SequenceReused,
            });
        }
        if let Some(how) = ended_with(record, sequence) {
            // It had its chance: another one needs a new sequence number.
            return Err(how.into());
        }
        // What is neither newer than all that was there nor its signers' to bring back may be a replay.
        let back = sequence <= self.highest();
        if back && !may_go_back {
            return Err(Outcome::TooOld);
        }
        match self.fetched() {
            Some(fetched) if fetched == release => Ok(Answer::Vouch),
            Some(fetched) if fetched.sequence == sequence => Err(Outcome::SequenceReused),
            // Nobody goes back behind a download: it can be called off.
            Some(fetched) if fetched.sequence > sequence => Err(Outcome::TooOld),
            _ => Ok(Answer::Fetch { back }),
        }
    }

    /// Whether the download on record is to go on.
    pub(super) fn still_wants(&mut self) -> bool {
        // One that cannot be read now is no reason to forget a download: the boot loader reads it too.
        let counter = self.banks.counter().unwrap_or(0);
        let Checkpoint { release, back, .. } = &self.checkpoint;
        let Some(record) = &self.boot else {
            return false;
        };
        self.phase == Phase::Confirmed
            && (*back || release.sequence > self.highest())
            && release.sequence != record.installed.sequence
            && ended_with(record, release.sequence).is_none()
            && release.size <= self.banks.capacity()
            && release.counter >= counter.max(record.installed.counter)
    }

    /// The highest sequence number of all that this device has had, as far as it remembers: the boot record keeps the
    /// last end alone.
    #[inline(never)]
    fn highest(&self) -> u64 {
        let Some(record) = &self.boot else {
            return self.passed;
        };
        let ended = record.ended.map_or(0, |ended| ended.sequence);
        self.passed.max(record.installed.sequence).max(ended)
    }
}

/// What an offer leads to.
enum Answer {
    /// A download, which may go back.
    Fetch { back: bool },
    /// What is fetched is what it names.
    Vouch,
    /// Its end will be reported.
    Nothing,
}

/// What the service is told of a manifest that this device does not follow.
const fn outcome_of(error: &PlanError) -> Outcome {
    match error {
        PlanError::OtherDevice { .. } | PlanError::OtherComponent => Outcome::OtherDevice,
        PlanError::Unauthorised => Outcome::NotAuthentic,
        PlanError::Process(ProcessError::Failed { .. }) => Outcome::NotApplicable,
        PlanError::TooLarge { .. } => Outcome::TooLarge,
        _ => Outcome::Unsupported,
    }
}

/// How the boot record says the update of that sequence number ended.
fn ended_with(record: &BootRecord, sequence: u64) -> Option<EndedAs> {
    let ended = record.ended.filter(|ended| ended.sequence == sequence);
    ended.map(|ended| ended.how)
}
