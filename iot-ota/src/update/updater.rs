//! The device's half.

use core::ops::Range;
use core::time::Duration;

use iot_core::crypto::Digest;
use iot_core::engine::{BatchWriter, RecordKey};
use iot_core::{Instant, Step};

use super::fetch::{Checkpoint, Fetch};
use super::payload::{Images, Payload, PayloadError, Payloads, nothing};
use super::probation::Verdict;
use super::report::{Outcome, Report, Running};
use super::wire::MAX_BLOCK_BYTES;
use crate::image::MinimumRate;
use crate::manifest::ManifestKeys;
use crate::schedule::Decision;
use crate::slot::{
    self, Banks, BootEvent, BootRecord, BootState, Release, RollBackReason, running_release,
};

mod consent;
mod engine;
mod offer;
mod start;
mod status;
mod told;

pub use status::{Activity, Status, Trust, Want};

use consent::Consent;
use told::Told;

/// So often a download goes back since the memory failed.
const MAX_REOPENED: u8 = 3;

/// The device's half of an update, as an engine for [`Channel::Update`](iot_core::Channel::Update).
///
/// It owns the banks and writes blocks as they arrive: what lies in the spare bank counts for nothing
/// until the boot record names it. Two records of the node's store keep where a download was and what was
/// reported, so that a power cut costs at most one block, and no outcome goes unreported.
///
/// A download goes on after a reboot, by what the node's records say; its image is staged when an offer of that release was
/// verified again, for nobody has signed the records. A service offers it again to whoever connects, and in front of the
/// [last block](super::Source::is_last).
///
/// After a power cut or reboot, build a new one; the boot loader's part is [`slot::boot`]. An image that stays staged
/// through eight such starts is given up: the boot loader cannot note that it is tried.
///
/// What a manifest asks of the moment and of what runs (use-before, a version, an image) is judged when it is offered,
/// and not again when the download goes on or its image boots, however much later that is.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// # use iot_core::crypto::{Digest, Sha256Digest};
/// # #[derive(Clone, Default)] struct Sum(Sha256Digest);
/// # impl Digest for Sum {
/// #     fn update(&mut self, bytes: &[u8]) { for b in bytes { self.0[0] = self.0[0].wrapping_add(*b) } }
/// #     fn finish(&mut self) -> Sha256Digest { core::mem::take(&mut self.0) }
/// # }
/// # let sha256 = Sum::default();
/// # let digest = { let mut d = sha256.clone(); d.update(b"one"); d.finish() };
/// use iot_core::{Engine, Event, Instant, Now, sim::ToyKey, time::TimeBounds};
/// use iot_ota::manifest::{Device, SigningKey};
/// use iot_ota::sim::MemoryBanks;
/// use iot_ota::slot::Release;
/// use iot_ota::update::{Trust, Updater, Want};
///
/// let banks = MemoryBanks::factory(4_096, 256, b"one", Release::new(1, digest, 3));
/// let device = Device::new([1; 16], [2; 16], &[b"firmware"]);
/// let mut update = Updater::new(banks, Trust::new(SigningKey::new(ToyKey::new(1)), sha256, device));
/// // A node does this when it restores.
/// update.input(Now::new(Instant::ZERO, TimeBounds::UNKNOWN), &Event::Restored);
/// assert_eq!(update.wants(), Want::Nothing);
/// assert_eq!(update.status().running.map(|release| release.sequence), Some(1));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Updater<'d, B, K, D, P = Images>
where
    D: Digest,
    P: Payloads<D>,
{
    banks: B,
    trust: Trust<'d, K, D>,
    settings: Settings,
    phase: Phase,
    boot: Option<BootRecord>,
    // Taken up; its download begins when the record that names it is durable.
    pending: Option<Checkpoint>,
    fetch: Option<Fetch<P::Download>>,
    // A manifest that was verified since the start names it: the record store is no signature.
    vouched: bool,
    // How often that one was gone back with, since the memory failed.
    reopened: u8,
    // From the records, until all of them are there; so many bytes of `room` belong to it.
    restored: Option<(Checkpoint, usize)>,
    payloads: P,
    // The form of what is pending or fetched stands there.
    room: P::Room,
    form: Range<usize>,
    told: Told,
    // The highest sequence number that it has gone back from: what was left behind comes back under a new one only.
    passed: u64,
    // Starts in a row that found an image staged which was not tried.
    starts: u8,
    // When the security counter, which could not be raised, is tried again.
    owed: Option<Instant>,
    // Raised with every change of what the records should say; equal to `durable` when they say it.
    change: u32,
    durable: u32,
    // When a write that failed is tried again.
    hold: Option<Instant>,
    issued: Option<Issued>,
    consent: Consent,
    // Runs while something is asked for over a link that stands.
    rate: Option<MinimumRate>,
    // What was last told of its progress.
    shown: Option<Activity>,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    records: RecordKey,
    block_bytes: u32,
    timeout_ms: u32,
    trials: u8,
    minimum_rate: Option<(u32, Duration)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Restoring,
    Unusable,
    // Fetching when there is a fetch.
    Confirmed,
    Staged,
    OnTrial,
    Rejected,
}

/// The step that was handed out and not yet done.
#[derive(Clone, Copy, Debug)]
enum Issued {
    Persist { change: u32 },
    Report,
    Request,
}

impl<'d, B: Banks, K: ManifestKeys, D: Digest + Clone> Updater<'d, B, K, D> {
    /// The record that its own two begin at, unless told otherwise.
    pub const RECORDS: RecordKey = RecordKey::new(0x0007_0000);

    /// An updater for images as they are, in blocks of 4 KiB, asked for again after 10 s, and three trial boots.
    pub const fn new(banks: B, trust: Trust<'d, K, D>) -> Self {
        Self {
            banks,
            trust,
            settings: Settings {
                records: Self::RECORDS,
                block_bytes: 4_096,
                timeout_ms: 10_000,
                trials: 3,
                minimum_rate: None,
            },
            phase: Phase::Restoring,
            boot: None,
            pending: None,
            fetch: None,
            vouched: false,
            reopened: 0,
            restored: None,
            payloads: Images,
            room: [0; 8],
            form: 0..0,
            told: Told::new(),
            passed: 0,
            starts: 0,
            owed: None,
            change: 0,
            durable: 0,
            hold: None,
            issued: None,
            consent: Consent::NOT_ASKED,
            rate: None,
            shown: None,
        }
    }
}

impl<'d, B: Banks, K: ManifestKeys, D: Digest + Clone, P: Payloads<D>> Updater<'d, B, K, D, P> {
    /// Takes the payloads that `payloads` takes; to be called before it is given its records.
    ///
    /// The driver's buffer for steps has to hold 104 bytes and the room of `payloads`.
    ///
    /// ```no_run
    /// # use iot_core::crypto::Digest;
    /// # use iot_ota::{manifest::ManifestKeys, slot::Banks};
    /// use iot_ota::update::{Patched, Trust, Updater};
    /// # fn make<'d, B: Banks, K: ManifestKeys, D: Digest + Clone>(banks: B, trust: Trust<'d, K, D>) {
    /// let update = Updater::new(banks, trust).with_payloads(Patched::<4096, 256, 384, 416>::new());
    /// # }
    /// ```
    #[must_use]
    pub fn with_payloads<Q: Payloads<D>>(self, payloads: Q) -> Updater<'d, B, K, D, Q> {
        Updater {
            banks: self.banks,
            trust: self.trust,
            settings: self.settings,
            phase: self.phase,
            boot: self.boot,
            pending: None,
            fetch: None,
            vouched: false,
            reopened: 0,
            restored: None,
            payloads,
            room: Q::ROOM,
            form: 0..0,
            told: self.told,
            passed: self.passed,
            starts: self.starts,
            owed: self.owed,
            change: self.change,
            durable: self.durable,
            hold: self.hold,
            issued: self.issued,
            consent: self.consent,
            rate: self.rate,
            shown: self.shown,
        }
    }

    /// Asks for blocks of so many bytes, 1 to [`MAX_BLOCK_BYTES`]; a multiple of what the banks write at once.
    #[must_use]
    pub const fn with_block_bytes(mut self, bytes: u32) -> Self {
        self.settings.block_bytes = match bytes {
            0 => 1,
            MAX_BLOCK_BYTES.. => MAX_BLOCK_BYTES,
            bytes => bytes,
        };
        self
    }

    /// Waits so long for a block before it asks again, at most 49 days; twice as long each time, up to 32 times.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        self
    }

    /// Gives a new image so many boots to confirm itself, at least 1.
    #[must_use]
    pub const fn with_trials(mut self, trials: u8) -> Self {
        self.settings.trials = trials;
        self
    }

    /// Keeps its two records at `first` and the key after it.
    #[must_use]
    pub const fn with_records(mut self, first: RecordKey) -> Self {
        self.settings.records = first;
        self
    }

    /// What it wants from the application.
    #[must_use]
    pub const fn wants(&self) -> Want {
        match self.phase {
            Phase::OnTrial => Want::Confirm,
            Phase::Staged | Phase::Rejected => match self.consent.restart {
                Decision::Go => Want::Reboot,
                Decision::Wait { .. } => Want::Nothing,
            },
            Phase::Confirmed if self.awaits_approval().is_some() => Want::Approve,
            Phase::Restoring | Phase::Unusable | Phase::Confirmed => Want::Nothing,
        }
    }

    /// Says whether the firmware on trial is well: it stays, or the old one boots next.
    ///
    /// Durable when this returns, unless the memory failed: then it [`wants`](Self::wants) the answer again.
    /// Without a firmware on trial nothing happens.
    pub fn confirm(&mut self, well: bool) {
        self.end_trial(if well {
            BootEvent::Confirm
        } else {
            BootEvent::Reject(RollBackReason::SelfTest)
        });
    }

    /// The same for what the probes of a [`Probation`](super::Probation) say: nothing while they are pending; that they
    /// took too long is told as such.
    pub fn conclude(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Pending => {}
            Verdict::Well => self.confirm(true),
            Verdict::Failed => self.confirm(false),
            Verdict::TooLate => self.end_trial(BootEvent::Reject(RollBackReason::Unconfirmed)),
        }
    }

    fn end_trial(&mut self, event: BootEvent) {
        if self.phase != Phase::OnTrial {
            return;
        }
        if let Some(record) = self.boot
            && let Ok(record) = record.on(event)
            && slot::store(&mut self.banks, &record).is_ok()
        {
            self.adopt(record);
        }
    }

    /// What runs, what is being done, and how the last update ended.
    #[must_use]
    pub fn status(&self) -> Status {
        let activity = match (self.phase, &self.fetch) {
            (Phase::Restoring, _) => Activity::Restoring,
            (Phase::Unusable, _) => Activity::Unusable,
            (Phase::Confirmed, None) => match self.pending {
                Some(pending) => {
                    consent::pending(pending.release, self.awaits_approval().is_some())
                }
                None => Activity::Idle,
            },
            (Phase::Confirmed, Some(fetch)) => Activity::Fetching {
                release: fetch.release(),
                offset: fetch.received(),
            },
            (Phase::Staged, _) => Activity::Staged,
            (Phase::OnTrial, _) => Activity::OnTrial,
            (Phase::Rejected, _) => Activity::Rejected,
        };
        Status {
            running: self
                .boot
                .and_then(|record| running_release(&self.banks, &record)),
            activity,
            ended: self.boot.and_then(|record| record.ended),
        }
    }

    /// The memory, to look at.
    pub const fn banks(&self) -> &B {
        &self.banks
    }

    /// Gives the banks back, as a reboot does.
    pub fn into_banks(self) -> B {
        self.banks
    }

    fn running(&self) -> Option<Running> {
        let release = running_release(&self.banks, self.boot.as_ref()?)?;
        Some(Running::new(release.sequence, release.digest))
    }

    /// Takes in what the boot record says, and reports an end that was not reported yet.
    fn adopt(&mut self, record: BootRecord) {
        let runs_confirmed = self.banks.running() == record.active;
        self.phase = match record.state {
            BootState::Confirmed if runs_confirmed => Phase::Confirmed,
            BootState::Confirmed => Phase::Rejected,
            BootState::Trial { .. } if !runs_confirmed => Phase::OnTrial,
            BootState::Staged { .. } | BootState::Trial { .. } => Phase::Staged,
        };
        self.boot = Some(record);
        // If the power fails before this, the next start does it.
        self.raise(Instant::ZERO);
        // An image that was rejected still runs: its end is reported by the firmware that replaces it.
        if let Some(ended) = record.ended
            && self.phase != Phase::Rejected
        {
            let report = Report::of_ended(ended, self.running());
            self.told.queue_end(report);
        }
    }

    /// Begins the download that waits until its record is durable.
    fn begin(&mut self) {
        if self.change != self.durable {
            return;
        }
        let Some(pending) = self.pending.take_if(|_| !self.consent.waits()) else {
            return;
        };
        let Some(installed) = self.boot.map(|record| record.installed) else {
            return;
        };
        let form = self.room.as_ref().get(self.form.clone()).unwrap_or(&[]);
        let payload = payload_of(&pending, form, installed);
        let digest = self.trust.digest.clone();
        match self.payloads.open(&payload, digest, &mut self.banks, &[]) {
            Ok(download) => self.fetch = Some(Fetch::new(pending, download)),
            Err(error) => {
                self.end_fetch();
                self.refuse(Some(pending.release.sequence), error.outcome());
            }
        }
    }

    fn fetched(&self) -> Option<Release> {
        let fetch = self.fetch.as_ref();
        let pending = self.pending.map(|pending| pending.release);
        pending.or_else(|| fetch.map(Fetch::release))
    }

    #[inline(never)]
    fn refuse(&mut self, sequence: Option<u64>, outcome: Outcome) {
        let report = Report::new(sequence, outcome, self.running());
        self.told.queue(report);
    }

    #[inline(never)]
    fn end_fetch(&mut self) {
        self.fetch = None;
        self.pending = None;
        self.rate = None;
        self.reopened = 0;
        self.consent.forget();
        self.change = self.change.wrapping_add(1);
    }

    fn block(&mut self, now: Instant, sequence: u64, offset: u32, bytes: &[u8]) {
        let block_bytes = self.settings.block_bytes;
        let Some(fetch) = &mut self.fetch else { return };
        if fetch.release().sequence != sequence {
            return;
        }
        match fetch.block(&mut self.banks, offset, bytes, block_bytes) {
            Ok(false) => {}
            Ok(true) => {
                if let Some(rate) = &mut self.rate {
                    rate.progress(now, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                }
                self.change = self.change.wrapping_add(1);
                if fetch.is_complete() {
                    // The offer that is waited for comes with the last block.
                    fetch.asked(now, self.settings.timeout_ms);
                    self.rate = None;
                }
            }
            Err(error) => self.failed(error),
        }
    }

    /// The download did not go on.
    #[inline(never)]
    fn failed(&mut self, error: PayloadError) {
        if error == PayloadError::Banks && self.reopen() {
            return;
        }
        let sequence = self.fetched().map(|release| release.sequence);
        self.end_fetch();
        self.refuse(sequence, error.outcome());
    }

    /// Goes back to the last page that is whole when one could not be written, and says whether it may go on.
    ///
    /// What is on record counts no byte that this erases.
    fn reopen(&mut self) -> bool {
        let (Some(fetch), Some(record)) = (&self.fetch, self.boot) else {
            return false;
        };
        if self.reopened == MAX_REOPENED {
            return false;
        }
        self.reopened += 1;
        let (checkpoint, mut room) = (fetch.checkpoint(), P::ROOM);
        let progress = fetch.progress(room.as_mut()).unwrap_or(0);
        let progress = room.as_ref().get(..progress).unwrap_or(&[]);
        let form = self.room.as_ref().get(self.form.clone()).unwrap_or(&[]);
        let payload = payload_of(&checkpoint, form, record.installed);
        let digest = self.trust.digest.clone();
        let download = self
            .payloads
            .open(&payload, digest, &mut self.banks, progress);
        let download = download.ok();
        self.fetch = download.map(|download| Fetch::new(checkpoint, download));
        self.change = self.change.wrapping_add(1);
        self.fetch.is_some()
    }

    /// An offer that was verified names that release: what is fetched of it may be staged.
    fn vouch(&mut self, release: Release) {
        if self.fetched() == Some(release) {
            self.vouched = true;
        }
    }

    /// Whether all bytes are there, and vouched for.
    fn is_whole(&self) -> bool {
        self.vouched && self.fetch.as_ref().is_some_and(Fetch::is_complete)
    }

    /// When all is there, and the bank is erased behind it, one page each time, the image is staged if it is the right one.
    fn complete(&mut self) {
        if !self.is_whole() {
            return;
        }
        let cleared = self
            .fetch
            .as_mut()
            .map(|fetch| fetch.clear_next(&mut self.banks));
        match cleared {
            Some(Ok(true)) => {}
            Some(Err(error)) => return self.failed(error),
            Some(Ok(false)) | None => return,
        }
        let Some(fetch) = self.fetch.take() else {
            return;
        };
        let sequence = fetch.release().sequence;
        self.end_fetch();
        let candidate = match fetch.finish(&mut self.banks) {
            Ok(candidate) => candidate,
            Err(error) => return self.refuse(Some(sequence), error.outcome()),
        };
        let stage = BootEvent::Stage {
            candidate,
            trials: self.settings.trials,
        };
        match self.boot.and_then(|record| record.on(stage).ok()) {
            Some(record) if slot::store(&mut self.banks, &record).is_ok() => {
                self.adopt(record);
            }
            _ => self.refuse(Some(sequence), Outcome::Memory),
        }
    }

    fn abort(&mut self, sequence: u64) {
        if self
            .fetched()
            .is_some_and(|release| release.sequence == sequence)
        {
            self.end_fetch();
            self.refuse(Some(sequence), Outcome::Aborted);
        } else if let Some(BootState::Staged { candidate, .. } | BootState::Trial { candidate, .. }) =
            self.boot.map(|record| record.state)
            && candidate.sequence == sequence
        {
            // Its end will be reported; until then nobody need wait for an answer.
            self.refuse(Some(sequence), Outcome::Busy);
        }
    }

    fn persist<'b>(&self, buffer: &'b mut [u8]) -> Option<Step<'b>> {
        let mut writer = BatchWriter::new(buffer);
        let first = self.settings.records;
        // What nobody has agreed to must not be fetched after a reboot.
        let agreed = |_: &Checkpoint| !self.consent.waits();
        let form = self.room.as_ref().get(self.form.clone()).unwrap_or(&[]);
        match (self.pending.filter(agreed), &self.fetch) {
            (Some(pending), _) => {
                let encode = |out: &mut [u8]| pending.encode(form, nothing, out);
                writer.put_with(first, encode).ok()?;
            }
            (None, Some(fetch)) => {
                let encode = |out: &mut [u8]| fetch.encode(form, out);
                writer.put_with(first, encode).ok()?;
            }
            (None, None) => writer.remove(first).ok()?,
        }
        if let Some(key) = first.offset(1) {
            writer
                .put_with(key, |out| self.told.encode(self.passed, self.starts, out))
                .ok()?;
        }
        Some(Step::Persist(writer.finish()))
    }
}

fn payload_of<'f>(checkpoint: &Checkpoint, form: &'f [u8], running: Release) -> Payload<'f> {
    Payload {
        bytes: checkpoint.bytes,
        form,
        image: checkpoint.release,
        running,
    }
}
