//! The device's half.

use core::num::NonZeroU32;
use core::ops::Range;
use core::time::Duration;

use iot_core::Instant;
use iot_core::crypto::Digest;
use iot_core::engine::RecordKey;

use super::fetch::{Asking, Checkpoint, Course};
use super::payload::{Images, Payloads};
use super::probation::Verdict;
use super::report::Outcome;
use super::wire::MAX_BLOCK_BYTES;
use crate::alarm::{NEVER, milliseconds};
use crate::image::MinimumRate;
use crate::manifest::ManifestKeys;
use crate::slot::{self, Banks, BootEvent, BootRecord, BootState, Release, RollBackReason};

mod consent;
mod download;
mod engine;
mod offer;
mod start;
mod status;
mod told;

pub use status::{Activity, Status, Trust, Want};

use consent::{Consent, SHOWN_NOTHING, Shown};
use told::{Told, Word};

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
    // What is downloaded, or is to be, and how far it is.
    checkpoint: Checkpoint,
    course: Course<P::Download>,
    asking: Asking,
    // A manifest that was verified since the start names it: the record store is no signature.
    vouched: bool,
    // How often that one was gone back with, since the memory failed.
    reopened: u8,
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
    owed: Instant,
    // Raised with every change of what the records should say; equal to `durable` when they say it.
    change: u32,
    durable: u32,
    // When a write that failed is tried again; zero where none did.
    hold: Instant,
    issued: Option<Issued>,
    consent: Consent,
    // Runs while something is asked for over a link that stands.
    rate: Option<MinimumRate>,
    // What was last told of its progress.
    shown: Shown,
}

const DEFAULT_BLOCK_BYTES: NonZeroU32 = NonZeroU32::new(4_096).expect("not zero");

#[derive(Clone, Copy, Debug)]
struct Settings {
    records: RecordKey,
    block_bytes: NonZeroU32,
    timeout_ms: u32,
    trials: u8,
    // Bytes in so many milliseconds.
    minimum_rate: Option<(u32, u32)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Restoring,
    Unusable,
    // The course of the download says more.
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
    #[inline(never)]
    pub const fn new(banks: B, trust: Trust<'d, K, D>) -> Self {
        Self {
            banks,
            trust,
            settings: Settings {
                records: Self::RECORDS,
                block_bytes: DEFAULT_BLOCK_BYTES,
                timeout_ms: 10_000,
                trials: 3,
                minimum_rate: None,
            },
            phase: Phase::Restoring,
            boot: None,
            checkpoint: Checkpoint::NONE,
            course: Course::Nothing,
            asking: Asking::AT_ONCE,
            vouched: false,
            reopened: 0,
            payloads: Images,
            room: [0; 8],
            form: 0..0,
            told: Told::new(),
            passed: 0,
            starts: 0,
            owed: NEVER,
            change: 0,
            durable: 0,
            hold: Instant::ZERO,
            issued: None,
            consent: Consent::NOT_ASKED,
            rate: None,
            shown: SHOWN_NOTHING,
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
            checkpoint: Checkpoint::NONE,
            course: Course::Nothing,
            asking: Asking::AT_ONCE,
            vouched: false,
            reopened: 0,
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
        let bytes = if bytes < MAX_BLOCK_BYTES {
            bytes
        } else {
            MAX_BLOCK_BYTES
        };
        self.settings.block_bytes = match NonZeroU32::new(bytes) {
            Some(bytes) => bytes,
            None => NonZeroU32::MIN,
        };
        self
    }

    /// Waits so long for a block before it asks again, 1 ms to 49 days; twice as long each time, up to 32 times.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        // Zero stands for at once, which nobody is woken for.
        self.settings.timeout_ms = match milliseconds(timeout) {
            0 => 1,
            ms => ms,
        };
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
            Phase::Staged | Phase::Rejected if self.consent.may_restart => Want::Reboot,
            Phase::Confirmed if self.awaits_approval().is_some() => Want::Approve,
            _ => Want::Nothing,
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
        if self.phase == Phase::OnTrial {
            self.turn(event);
        }
    }

    /// Has the boot record say what `event` makes of it, durably; false when it says what it said.
    #[inline(never)]
    fn turn(&mut self, event: BootEvent) -> bool {
        let Some(mut record) = self.boot else {
            return false;
        };
        let turned = record.advance(event) && slot::store(&mut self.banks, &record).is_ok();
        if turned {
            self.adopt(record);
        }
        turned
    }

    /// What runs, what is being done, and how the last update ended.
    #[must_use]
    #[inline(never)]
    pub fn status(&self) -> Status {
        let mut status = Status {
            running: None,
            activity: Activity::Idle,
            ended: None,
        };
        let mut release = &self.checkpoint.release;
        if let Some(record) = &self.boot {
            if let Some(runs) = record.runs(self.banks.running()) {
                status.running = Some(same(runs));
            }
            status.ended = record.ended;
            // A trial that the loader could not have waits as well.
            if let BootState::Staged { candidate, .. } | BootState::Trial { candidate, .. } =
                &record.state
            {
                release = candidate;
            }
        }
        status.activity = match self.phase {
            Phase::Restoring => Activity::Restoring,
            Phase::Unusable => Activity::Unusable,
            Phase::Confirmed => match self.course {
                Course::Nothing | Course::OnRecord { .. } => Activity::Idle,
                Course::Pending if self.consent.waits() => Activity::AwaitingApproval {
                    release: same(release),
                },
                Course::Pending | Course::Fetching(_) => Activity::Fetching {
                    release: same(release),
                    offset: self.received(),
                },
            },
            Phase::Staged => Activity::Staged {
                release: same(release),
            },
            Phase::OnTrial => Activity::OnTrial,
            Phase::Rejected => Activity::Rejected,
        };
        status
    }

    /// What was refused or given up, and why, until the service knows it.
    pub(super) fn refusal(&self) -> Option<(Option<u64>, Outcome)> {
        let word = self.told.refusal();
        Some((word.sequence, Outcome::of_code(word.code)?))
    }

    /// The memory, to look at.
    pub const fn banks(&self) -> &B {
        &self.banks
    }

    /// Gives the banks back, as a reboot does.
    pub fn into_banks(self) -> B {
        self.banks
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
            self.told.queue_end(Word {
                sequence: Some(ended.sequence),
                code: Outcome::from(ended.how).code(),
            });
        }
    }

    #[inline(never)]
    fn refuse(&mut self, sequence: Option<u64>, outcome: Outcome) {
        let code = outcome.code();
        self.told.queue(Word { sequence, code });
    }
}

/// Fourteen words are many instructions wherever they are copied.
#[cfg_attr(target_pointer_width = "32", inline(never))]
#[cfg_attr(not(target_pointer_width = "32"), inline)]
const fn same(release: &Release) -> Release {
    *release
}
