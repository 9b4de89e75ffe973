//! From an offer to what it leads to: the same offer again leads to the same.

use iot_core::cose::Tagged;
use iot_core::crypto::Digest;
use iot_core::time::TimeBounds;

use super::{Phase, Trust, Updater};
use crate::manifest::{
    Floor, Limits, ManifestKeys, Plan, PlanError, SignedManifest, Situation, VerifyError,
};
use crate::process::ProcessError;
use crate::slot::{Bank, Banks, BootRecord, BootState, EndedAs};
use crate::update::fetch::{Checkpoint, Course};
use crate::update::payload::{PayloadError, Payloads};
use crate::update::report::Outcome;

/// A release that this device could install.
struct Offered<'a> {
    plan: Plan<'a>,
    // Whether a signer with a right to the component may go back with it.
    may_go_back: bool,
}

/// Why an offer is refused, and which, where that is known.
type Refusal = (Option<u64>, Outcome);

impl<B: Banks, K: ManifestKeys, D: Digest + Clone, P: Payloads<D>> Updater<'_, B, K, D, P> {
    pub(super) fn offered(&mut self, wall: TimeBounds, envelope: &[u8]) {
        match self.judge(wall, envelope) {
            Ok(offered) => self.take_up(&offered),
            Err((sequence, outcome)) => self.refuse(sequence, outcome),
        }
    }

    /// From the offer to the release that this device could install.
    #[inline(never)]
    fn judge<'a>(
        &mut self,
        wall: TimeBounds,
        envelope: &'a [u8],
    ) -> Result<Offered<'a>, Refusal> {
        let Some(record) = &self.boot else {
            return Err((None, Outcome::Memory));
        };
        let limits = Limits::default();
        let signed = SignedManifest::decode(envelope, Tagged::Required, limits)
            .map_err(|_| (None, Outcome::NotAuthentic))?;
        let floor = Floor::new(record.installed.sequence);
        let Trust {
            keys,
            digest,
            device,
        } = &mut self.trust;
        let manifest = signed
            .verify(&*keys, digest, floor)
            .map_err(|error| match error {
                VerifyError::TooOld { found, .. } => (Some(found), Outcome::TooOld),
                _ => (None, Outcome::NotAuthentic),
            })?;
        let sequence = manifest.sequence();
        let refused = |outcome| (Some(sequence), outcome);
        // The floor has no counter, so that a refusal can say which release it is about.
        match self.banks.counter() {
            Ok(counter) if manifest.security_counter() < counter.max(record.installed.counter) => {
                return Err(refused(Outcome::BelowCounter));
            }
            Ok(_) => {}
            Err(_) => return Err(refused(Outcome::Memory)),
        }
        // While an image is on trial nothing is fetched, so what runs is what is installed.
        let spare = match self.banks.running().other() {
            Bank::A => 0,
            Bank::B => 1,
        };
        let slot = device.slots.and_then(|slots| slots.get(spare).copied());
        let situation = Situation::new(wall)
            .running(record.installed.digest, record.installed.size)
            .in_slot(slot);
        let plan = manifest
            .plan_in(device, &situation)
            .map_err(|error| refused(outcome_of(error)))?;
        match plan.release {
            release if release.size > self.banks.capacity() => Err(refused(Outcome::TooLarge)),
            release if release.size == 0 => Err(refused(Outcome::Unsupported)),
            _ => Ok(Offered {
                plan,
                may_go_back: manifest.may_go_back(device.roles),
            }),
        }
    }

    fn take_up(&mut self, offered: &Offered<'_>) {
        let outcome = match self.answer(offered) {
            Answer::Say(outcome) => outcome,
            Answer::Nothing => return,
            Answer::Vouch => {
                // What is fetched of it may be staged.
                self.vouched = true;
                return self.complete();
            }
            Answer::Fetch { back } => match self.start(&offered.plan, back) {
                Ok(()) => return,
                Err(error) => error.outcome(),
            },
        };
        self.refuse(Some(offered.plan.release.sequence), outcome);
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

    /// What an offer leads to.
    #[inline(never)]
    fn answer(&self, offered: &Offered<'_>) -> Answer {
        let release = &offered.plan.release;
        let sequence = release.sequence;
        let Some(record) = &self.boot else {
            return Answer::Say(Outcome::Memory);
        };
        match (self.phase, &record.state) {
            (Phase::Confirmed, _) => {}
            (_, BootState::Staged { candidate, .. } | BootState::Trial { candidate, .. })
                if candidate == release =>
            {
                return Answer::Nothing;
            }
            (Phase::Unusable | Phase::Restoring, _) => return Answer::Say(Outcome::Memory),
            _ => return Answer::Say(Outcome::Busy),
        }
        if record.installed.sequence == sequence {
            return Answer::Say(match record.installed.digest == release.digest {
                true => Outcome::Confirmed,
                false => Outcome::SequenceReused,
            });
        }
        if let Some(how) = ended_with(record, sequence) {
            // It had its chance: another one needs a new sequence number.
            return Answer::Say(how.into());
        }
        // What is neither newer than all that was there nor its signers' to bring back may be a replay.
        let back = sequence <= self.highest();
        if back && !offered.may_go_back {
            return Answer::Say(Outcome::TooOld);
        }
        match self.fetched() {
            Some(fetched) if fetched == release => Answer::Vouch,
            Some(fetched) if fetched.sequence == sequence => Answer::Say(Outcome::SequenceReused),
            // Nobody goes back behind a download: it can be called off.
            Some(fetched) if fetched.sequence > sequence => Answer::Say(Outcome::TooOld),
            _ => Answer::Fetch { back },
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
    /// A word.
    Say(Outcome),
    /// Its end will be reported.
    Nothing,
}

/// What the service is told of a manifest that this device does not follow.
const fn outcome_of(error: PlanError) -> Outcome {
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
