//! The device's half: no heap, no clock, no storage of its own.

mod intake;
mod report;
mod storage;
#[cfg(feature = "sim")]
mod view;

use core::fmt;
use core::ops::Deref;
use core::time::Duration;

use iot_core::engine::{Done, Event, RecordKey, RecordRange, Step};
use iot_core::{Channel, Engine, Instant, Message, Now};

use super::slot::{Code, Slot, SubTwin, Version};
use crate::leaf::LeafWriter;
use crate::reflect::{Desired, Twin, field};
use crate::schema::Access;

/// How long a device waits before it repeats itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Timing {
    /// For an answer; doubled each time, up to 64 times as long.
    pub resend: Duration,
    /// Between two checks that both sides are equal when nothing else is sent.
    pub digest: Duration,
}

impl Timing {
    /// 5 s for an answer, 15 min between checks.
    pub const DEFAULT: Self = Self::new(Duration::from_secs(5), Duration::from_secs(900));

    /// States both spans.
    #[must_use]
    pub const fn new(resend: Duration, digest: Duration) -> Self {
        Self { resend, digest }
    }
}

/// What a service desires, durable here and not yet answered for.
///
/// It dereferences to the desired fields.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Change<D> {
    /// What to acknowledge.
    pub version: Version,
    /// Every desired field: as desired, or as it is where the desire was refused or overridden.
    pub desired: D,
}

impl<D> Deref for Change<D> {
    type Target = D;
    fn deref(&self) -> &D {
        &self.desired
    }
}

/// A device's twin: an [`Engine`] for [`Channel::Twin`].
///
/// `PENDING` is how many desired fields can arrive between two writes to storage; more than that are asked for
/// again. Give the driver a buffer of at least 128 bytes. Its records are keyed from
/// [`RECORDS`](Self::RECORDS) on, one for each desired field and one for itself.
///
/// ```
/// # #[cfg(feature = "derive")] {
/// use iot_twin::{Twin, TwinDevice};
///
/// #[derive(Twin)]
/// struct Room {
///     #[twin(desired, unit = "Cel", range = 5.0..=30.0)]
///     setpoint: f32,
///     #[twin(reported, unit = "Cel", deadband = 0.2)]
///     temperature: f32,
/// }
///
/// let mut twin = TwinDevice::<Room, 8>::new();
/// twin.report(|room| room.temperature = 19.5);
/// assert_eq!(twin.state().temperature, 19.5);
/// assert!(twin.changed().is_none());
/// # }
/// ```
#[derive(Clone)]
pub struct TwinDevice<T: Twin, const PENDING: usize> {
    /// What is the case.
    actual: T,
    /// What was last given a version to be reported under.
    told: T,
    /// What the service desires.
    desired: T,
    slots: T::Slots,
    /// Desired values that have arrived and are not durable yet.
    staged: T,
    pending: [Staged; PENDING],
    staging: Option<Staging>,
    issued: Option<Issued>,

    number: SubTwin,
    epoch: u32,
    contiguous: u64,
    unsaved: bool,

    /// The newest version given to a report, and the newest that storage allows.
    last: u64,
    reserved: u64,
    floor: u64,
    /// Up to where the service has taken reports in, and up to where they were sent.
    acknowledged: u64,
    sent: u64,
    /// The highest version that any life of this device can have sent.
    spoken: u64,
    /// Whether the service's knowledge of us is known not to be ahead of ours.
    greeted: bool,
    stated: bool,

    restored: bool,
    connected: bool,
    tell: bool,
    want: bool,
    timing: Timing,
    doublings: u8,
    resend_at: Option<Instant>,
    digest_at: Option<Instant>,
    hold_until: Option<Instant>,
    records: RecordKey,
}

/// One desired field on its way to storage.
#[derive(Clone, Copy, Debug)]
struct Staged {
    index: usize,
    version: u64,
    check: u32,
    code: Code,
    held: bool,
}

/// A delta on its way to storage: the pending fields, and what becomes true with them.
#[derive(Clone, Copy, Debug)]
struct Staging {
    epoch: u32,
    contiguous: u64,
    count: usize,
}

/// What the step that was handed out will change once it is done.
#[derive(Clone, Copy, Debug)]
enum Issued {
    Edits {
        below: usize,
        reserved: u64,
    },
    Staged {
        count: usize,
        contiguous: u64,
        reserved: u64,
    },
    Send {
        to: u64,
    },
}

const MAX_DOUBLINGS: u8 = 6;

impl<T: Twin, const PENDING: usize> TwinDevice<T, PENDING> {
    /// The records of a twin that was not given others.
    pub const RECORDS: RecordKey = RecordKey::new(0x5457_0000);

    /// A twin that knows nothing; restoring and the first [`report`](Self::report) tell it.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(PENDING > 0, "a twin needs room for one pending field") };
        Self {
            actual: T::INITIAL,
            told: T::INITIAL,
            desired: T::INITIAL,
            slots: T::SLOTS,
            staged: T::INITIAL,
            pending: [Staged::EMPTY; PENDING],
            staging: None,
            issued: None,
            number: SubTwin::MAIN,
            epoch: 0,
            contiguous: 0,
            unsaved: false,
            last: 0,
            reserved: 0,
            floor: 1,
            acknowledged: 0,
            sent: 0,
            spoken: 0,
            greeted: false,
            stated: false,
            restored: false,
            connected: false,
            tell: false,
            want: false,
            timing: Timing::DEFAULT,
            doublings: 0,
            resend_at: None,
            digest_at: None,
            hold_until: None,
            records: Self::RECORDS,
        }
    }

    /// Keeps its records from `first` on; for a second twin in one node.
    #[must_use]
    pub const fn with_records(mut self, first: RecordKey) -> Self {
        self.records = first;
        self
    }

    /// Is this one of the device's twins.
    #[must_use]
    pub const fn numbered(mut self, number: SubTwin) -> Self {
        self.number = number;
        self
    }

    /// Waits otherwise.
    #[must_use]
    pub const fn with_timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// States what is the case; the service learns of it as soon as it can be told.
    ///
    /// The first call after a boot states every reported field, whether `edit` touches it or not: give fields
    /// that are not measured at once an `Option` type. Later, a field is reported when it has moved by its
    /// deadband. Editing a desired field overrides the service until it desires something newer
    /// ([`Code::OVERRIDDEN`]); that is durable before it is reported.
    pub fn report(&mut self, edit: impl FnOnce(&mut T)) {
        edit(&mut self.actual);
        for index in 0..T::FIELDS.len() {
            let desired = is_desired::<T>(index);
            let moved = self.actual.moved(index, &self.told);
            if !moved && (self.stated || desired) {
                continue;
            }
            if let Some(slot) = self.slots.as_mut().get_mut(index) {
                slot.known = true;
                if desired {
                    slot.unsaved = true;
                    slot.offered = false;
                    if slot.stamp > Version::ZERO {
                        slot.code = Code::OVERRIDDEN;
                    }
                }
            }
            self.tell_field(index);
        }
        self.stated = true;
    }

    /// What the service desires and the application has not answered for; also after every boot.
    ///
    /// It is durable here. It stays until [`acknowledge`](Self::acknowledge) is called with its version.
    #[must_use]
    pub fn changed(&self) -> Option<Change<T::Desired>> {
        let offered = self.slots().filter(|slot| slot.offered);
        let version = offered.map(|slot| slot.stamp).max()?;
        let mut view = T::INITIAL;
        for (index, slot) in (0..).zip(self.slots()) {
            let from = if slot.code.is_pending() && slot.held {
                &self.desired
            } else {
                &self.actual
            };
            view.copy(index, from);
        }
        Some(Change {
            version,
            desired: Desired::of(&view),
        })
    }

    /// Answers for every desired field up to `version`: with `true` or a [`Code`].
    ///
    /// [`Code::APPLIED`] makes the desired values actual ones; a code of 400 or above leaves the actual values
    /// as they are; after [`Code::PENDING`] answer again with the same version. Fields that the service has
    /// desired anew in the meantime stay unanswered.
    pub fn acknowledge(&mut self, version: Version, answer: impl Into<Code>) {
        let answer = answer.into();
        for index in 0..T::FIELDS.len() {
            let Some(slot) = self.slots.as_mut().get_mut(index) else {
                continue;
            };
            if slot.stamp > version || !(slot.offered || slot.code.is_pending()) {
                continue;
            }
            slot.offered = false;
            if !slot.code.is_pending() {
                continue;
            }
            slot.code = answer;
            if answer.is_applied() && slot.held {
                slot.known = true;
                self.actual.copy(index, &self.desired);
            }
            self.tell_field(index);
        }
    }

    /// What is the case, as far as it was reported or acknowledged.
    #[must_use]
    pub const fn state(&self) -> &T {
        &self.actual
    }

    /// Whether everything reported is known to have reached the service, and everything desired was answered.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.acknowledged >= self.last
            && self.staging.is_none()
            && !self.want
            && !self.slots().any(|slot| slot.offered || slot.unsaved)
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.as_ref().iter()
    }

    /// Gives a field a fresh version to be reported under.
    fn tell_field(&mut self, index: usize) {
        self.told.copy(index, &self.actual);
        self.last += 1;
        if let Some(slot) = self.slots.as_mut().get_mut(index) {
            slot.told = self.last;
        }
        self.tell = true;
    }

    fn wait(&self) -> Duration {
        self.timing.resend * (1 << self.doublings.min(MAX_DOUBLINGS))
    }
}

impl<T: Twin, const PENDING: usize> Engine for TwinDevice<T, PENDING> {
    fn handles(&self, channel: Channel) -> bool {
        channel == Channel::Twin
    }

    fn records(&self) -> RecordRange {
        // One for the twin and one for each number a field can have.
        RecordRange::new(self.records, 1 + 0x1_0000)
    }

    fn input(&mut self, _: Now, event: &Event<'_>) {
        match *event {
            Event::Record { key, value } if !self.restored => self.restore_record(key, value),
            Event::Restored if !self.restored => self.finish_restore(),
            Event::Message(message) if message.channel == Channel::Twin && self.restored => {
                self.delta(message.payload);
            }
            Event::Connected { .. } => {
                self.connected = true;
                self.want = true;
                self.tell = true;
                self.sent = self.acknowledged;
                self.doublings = 0;
            }
            Event::Disconnected => self.connected = false,
            _ => {}
        }
    }

    fn step<'b>(&mut self, now: Now, buffer: &'b mut [u8]) -> Step<'b> {
        self.issued = None;
        let due = |at: Option<Instant>| at.is_some_and(|at| now.instant >= at);
        let held = self.hold_until.is_some() && !due(self.hold_until);
        if !self.restored || held {
            return Step::Idle;
        }
        self.hold_until = None;
        if self.must_persist() {
            return self.persist(now, buffer);
        }
        if !self.connected {
            return Step::Idle;
        }
        if due(self.resend_at) {
            self.resend_at = None;
            self.sent = self.acknowledged;
            self.tell = true;
        }
        self.tell |= due(self.digest_at);
        if !self.tell {
            return Step::Idle;
        }
        let mut out = LeafWriter::new(buffer);
        let Some(to) = self.write_report(&mut out) else {
            self.hold_until = Some(now.instant + self.timing.resend);
            return Step::Idle;
        };
        self.issued = Some(Issued::Send { to });
        Step::Send(Message::new(Channel::Twin, out.finish()))
    }

    fn done(&mut self, now: Now, done: Done<'_>) {
        self.hold_until = None;
        match (done, self.issued.take()) {
            (Done::Persisted, Some(issued)) => self.persisted(issued),
            (Done::Sent(_), Some(Issued::Send { to })) => {
                self.sent = self.sent.max(to);
                self.spoken = self.spoken.max(to);
                // What did not fit goes into the next message at once.
                self.tell = self.greeted && self.sent < self.last;
                let open = self.want || self.sent > self.acknowledged;
                self.resend_at = open.then(|| now.instant + self.wait());
                self.doublings = (self.doublings + 1).min(MAX_DOUBLINGS);
                self.digest_at = Some(now.instant + self.timing.digest);
            }
            (Done::Failed(_), Some(_)) => self.hold_until = Some(now.instant + self.timing.resend),
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        if !self.restored || self.hold_until.is_some() {
            return self.hold_until;
        }
        if !self.connected {
            return None;
        }
        match (self.resend_at, self.digest_at) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        }
    }
}

impl<T: Twin, const PENDING: usize> Default for TwinDevice<T, PENDING> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Twin, const PENDING: usize> fmt::Debug for TwinDevice<T, PENDING> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwinDevice")
            .field("slots", &self.slots.as_ref())
            .field("epoch", &self.epoch)
            .field("contiguous", &self.contiguous)
            .field("last", &self.last)
            .field("reserved", &self.reserved)
            .field("acknowledged", &self.acknowledged)
            .field("staging", &self.staging)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<T: Twin, const PENDING: usize> defmt::Format for TwinDevice<T, PENDING> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "TwinDevice {{ epoch: {}, contiguous: {}, last: {}, reserved: {}, acknowledged: {} }}",
            self.epoch,
            self.contiguous,
            self.last,
            self.reserved,
            self.acknowledged
        );
    }
}

pub(super) fn is_desired<T: Twin>(index: usize) -> bool {
    field::<T>(index).is_some_and(|field| field.access == Access::Desired)
}
