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
use crate::update::fetch::Checkpoint;
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
        let Some(record) = self.boot else {
            self.refuse(None, Outcome::Memory);
            return;
        };
        match self.judge(wall, envelope, &record) {
            Ok(offered) => self.take_up(&offered, &record),
            Err((sequence, outcome)) => self.refuse(sequence, outcome),
        }
    }

    /// From the offer to the release that this device could install.
    #[inline(never)]
    fn judge<'a>(
        &mut self,
        wall: TimeBounds,
        envelope: &'a [u8],
        record: &BootRecord,
    ) -> Result<Offered<'a>, Refusal> {
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
        let installed = record.installed;
        // While an image is on trial nothing is fetched, so what runs is what is installed.
        let spare = match self.banks.running().other() {
            Bank::A => 0,
            Bank::B => 1,
        };
        let slot = device.slots.and_then(|slots| slots.get(spare).copied());
        let situation = Situation::new(wall)
            .running(installed.digest, installed.size)
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

    fn take_up(&mut self, offered: &Offered<'_>, record: &BootRecord) {
        let sequence = offered.plan.release.sequence;
        match self.answer(offered, record) {
            Some(Ok(back)) => {
                if let Err(error) = self.start(&offered.plan, back, record) {
                    self.refuse(Some(sequence), error.outcome());
                }
            }
            Some(Err(outcome)) => self.refuse(Some(sequence), outcome),
            None => self.vouch(offered.plan.release),
        }
    }

    /// Notes what is to be fetched, in place of what was.
    #[inline(never)]
    fn start(
        &mut self,
        plan: &Plan<'_>,
        back: bool,
        record: &BootRecord,
    ) -> Result<(), PayloadError> {
        // Not where the form of a download under way stands: this may be refused.
        let mut room = P::ROOM;
        let (bytes, form_bytes) = self.payloads.describe(plan, room.as_mut())?;
        if back {
            self.passed = self.highest(record);
        }
        // An older checkpoint must be replaced durably before the bytes it counts are erased.
        self.end_fetch();
        (self.room, self.form) = (room, 0..form_bytes);
        self.consent.is_asked_for = plan.authorization.is_some();
        self.vouched = true;
        self.pending = Some(Checkpoint {
            release: plan.release,
            back,
            bytes,
        });
        Ok(())
    }

    /// What an offer leads to: a download, which may go back, a word, or nothing where its end will be reported.
    #[inline(never)]
    fn answer(&self, offered: &Offered, record: &BootRecord) -> Option<Result<bool, Outcome>> {
        let release = offered.plan.release;
        let sequence = release.sequence;
        match (self.phase, record.state) {
            (Phase::Confirmed, _) => {}
            (_, BootState::Staged { candidate, .. } | BootState::Trial { candidate, .. })
                if candidate == release =>
            {
                return None;
            }
            (Phase::Unusable | Phase::Restoring, _) => return Some(Err(Outcome::Memory)),
            _ => return Some(Err(Outcome::Busy)),
        }
        if record.installed.sequence == sequence {
            return Some(Err(match record.installed.digest == release.digest {
                true => Outcome::Confirmed,
                false => Outcome::SequenceReused,
            }));
        }
        if let Some(how) = ended_with(record, sequence) {
            // It had its chance: another one needs a new sequence number.
            return Some(Err(how.into()));
        }
        // What is neither newer than all that was there nor its signers' to bring back may be a replay.
        let back = sequence <= self.highest(record);
        if back && !offered.may_go_back {
            return Some(Err(Outcome::TooOld));
        }
        match self.fetched() {
            Some(fetched) if fetched == release => None,
            Some(fetched) if fetched.sequence == sequence => Some(Err(Outcome::SequenceReused)),
            // Nobody goes back behind a download: it can be called off.
            Some(fetched) if fetched.sequence > sequence => Some(Err(Outcome::TooOld)),
            _ => Some(Ok(back)),
        }
    }

    /// Whether a download on record is to go on.
    pub(super) fn still_wants(&mut self, checkpoint: &Checkpoint, record: &BootRecord) -> bool {
        let Checkpoint { release, back, .. } = *checkpoint;
        // One that cannot be read now is no reason to forget a download: the boot loader reads it too.
        let counter = self.banks.counter().unwrap_or(0);
        self.phase == Phase::Confirmed
            && (back || release.sequence > self.highest(record))
            && release.sequence != record.installed.sequence
            && ended_with(record, release.sequence).is_none()
            && release.size <= self.banks.capacity()
            && release.counter >= counter.max(record.installed.counter)
    }

    /// The highest sequence number of all that this device has had, as far as it remembers: the boot record keeps the
    /// last end alone.
    #[inline(never)]
    fn highest(&self, record: &BootRecord) -> u64 {
        let ended = record.ended.map_or(0, |ended| ended.sequence);
        self.passed.max(record.installed.sequence).max(ended)
    }
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
