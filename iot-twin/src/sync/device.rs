//! The device's half: no heap, no clock, no storage of its own.

mod intake;
mod policy;
mod report;
mod state;
mod storage;
#[cfg(feature = "sim")]
mod view;

use core::fmt;
use core::ops::Deref;
use core::time::Duration;

use iot_core::engine::{Done, Event, RecordKey, RecordRange, Step};
use iot_core::{Channel, Engine, Instant, Now};

use super::slot::{Code, Slot, SubTwin, Version};
use super::wire;
use crate::reflect::{Desired, Twin};
use state::{Issued, State};

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

    /// States both spans; each is at least a millisecond, or a device would do nothing but send.
    #[must_use]
    pub const fn new(resend: Duration, digest: Duration) -> Self {
        Self {
            resend: at_least(resend),
            digest: at_least(digest),
        }
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
/// While its storage refuses what must become durable, it says nothing at all, for nothing of that may be told: to its
/// service it is a device that is away.
///
/// `PENDING` is how many desired fields are taken from one message; more than that are asked for again. Give the driver a buffer of at least [`BUFFER_BYTES`](Self::BUFFER_BYTES). Its records are keyed from
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
    state: State,
}

impl<T: Twin, const PENDING: usize> TwinDevice<T, PENDING> {
    /// The records of a twin that was not given others.
    pub const RECORDS: RecordKey = RecordKey::new(0x5457_0000);

    /// How many bytes the driver's buffer must have, so that each field finds room in a message and in a batch.
    pub const BUFFER_BYTES: usize = storage::buffer_bytes(T::FIELDS);

    /// A twin that knows nothing; restoring and the first [`report`](Self::report) tell it.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(PENDING > 0, "a twin takes at least one field of a message") };
        Self {
            actual: T::INITIAL,
            told: T::INITIAL,
            desired: T::INITIAL,
            slots: T::SLOTS,
            state: State::new(Self::RECORDS),
        }
    }

    /// A twin that begins with the values of `model`, and has its fields: for one whose fields are known at run time
    /// only, such as a [`Dynamic`](crate::dynamic::Dynamic).
    #[must_use]
    pub fn of(model: T) -> Self {
        const { assert!(PENDING > 0, "a twin takes at least one field of a message") };
        Self {
            told: model.blank(),
            desired: model.blank(),
            slots: model.blank_slots(),
            actual: model,
            state: State::new(Self::RECORDS),
        }
    }

    /// [`BUFFER_BYTES`](Self::BUFFER_BYTES) for the fields of this twin, which may be known at run time only.
    #[must_use]
    pub fn buffer_bytes(&self) -> usize {
        storage::buffer_bytes(&self.actual.fields())
    }

    /// Keeps its records from `first` on; for a second twin in one node.
    #[must_use]
    pub const fn with_records(mut self, first: RecordKey) -> Self {
        self.state.records = first;
        self
    }

    /// Is this one of the device's twins.
    #[must_use]
    pub const fn numbered(mut self, number: SubTwin) -> Self {
        self.state.number = number;
        self
    }

    /// Waits otherwise.
    #[must_use]
    pub const fn with_timing(mut self, timing: Timing) -> Self {
        self.state.set_timing(timing);
        self
    }

    /// States what is the case; the service learns of it as soon as it can be told.
    ///
    /// The first call after a boot states every reported field, whether `edit` touches it or not: give fields
    /// that are not measured at once an `Option` type. Later, a field is reported when it has moved by its
    /// deadband. Editing a field that is desired and nothing else means what its policy says
    /// ([`LocalEdit`](crate::schema::LocalEdit)); by default it overrides the service until that desires something
    /// newer ([`Code::OVERRIDDEN`]). The edit is durable before it is reported.
    ///
    /// Call it after the records were read ([`Event::Restored`]): what it says before of a field that is on record is
    /// replaced by the record.
    pub fn report(&mut self, edit: impl FnOnce(&mut T)) {
        edit(&mut self.actual);
        self.compare();
    }

    /// What the service desires and the application has not answered for; also after every boot.
    ///
    /// It is durable here. It stays until [`acknowledge`](Self::acknowledge) is called with its version, which
    /// answers for what was shown here last: what is offered again afterwards, because it was edited at the device or
    /// [released](Self::release), stays to be answered for.
    /// Set only what differs from [`state`](Self::state): right after a boot a field that is not desired shows what was on
    /// record, which somebody's hand may have changed since.
    #[must_use]
    pub fn changed(&mut self) -> Option<Change<T::Desired>> {
        let mut offered = None;
        for slot in self
            .slots
            .as_mut()
            .iter_mut()
            .filter(|slot| slot.is_offered())
        {
            slot.shown = true;
            offered = offered.max(Some(slot.stamp));
        }
        let version = offered?;
        let mut view = self.actual.blank();
        for (index, slot) in (0..).zip(self.slots()) {
            let wanted = slot.held
                && !slot.unsaved
                && (slot.code.is_pending() || (!self.is_edited(index) && slot.code.is_applied()));
            view.copy(index, if wanted { &self.desired } else { &self.actual });
        }
        Some(Change {
            version,
            desired: Desired::of(&view),
        })
    }

    /// Answers for every desired field up to `version`: with `true` or a [`Code`].
    ///
    /// [`Code::APPLIED`] makes the desired values actual ones, except where the device measures them; a code of 400 or
    /// above leaves the actual values as they are; after [`Code::PENDING`] answer again with the same version. Fields
    /// that the service has desired anew in the meantime stay unanswered.
    pub fn acknowledge(&mut self, version: Version, answer: impl Into<Code>) {
        let answer = answer.into();
        for index in 0..self.slots.as_ref().len() {
            let edited = self.is_edited(index);
            let Some(slot) = self.slots.as_mut().get_mut(index) else {
                continue;
            };
            // The same "not yet" again is no answer.
            let asked = slot.offered || (slot.code.is_pending() && !answer.is_pending());
            if slot.stamp > version || !slot.shown || !asked {
                continue;
            }
            slot.offered = false;
            if !slot.code.is_pending() {
                continue;
            }
            slot.code = answer;
            if answer.is_applied() && slot.held && edited {
                slot.known = true;
                self.actual.copy(index, &self.desired);
            }
            self.tell_field(index);
        }
    }

    /// Whether [`changed`](Self::changed) has something to show.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.slots().any(Slot::is_offered)
    }

    /// Gives up every edit that overrides what is desired: the service's values are offered again.
    ///
    /// That is how a field with [`LocalSticky`](crate::schema::LocalEdit::LocalSticky) gets back under the service.
    /// It is durable before it is reported.
    pub fn release(&mut self) {
        for index in 0..self.slots.as_ref().len() {
            if let Some(slot) = self.slots.as_mut().get_mut(index)
                && core::mem::take(&mut slot.edited)
            {
                slot.unsaved = true;
                if slot.held {
                    slot.offer();
                }
                self.state.touch();
                self.tell_field(index);
            }
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
        self.state.is_told() && !self.slots().any(|slot| slot.offered)
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.as_ref().iter()
    }

    /// Whether a change of a field at the device is an edit, not a measurement.
    fn is_edited(&self, index: usize) -> bool {
        let fields = self.actual.fields();
        fields
            .get(index)
            .is_some_and(crate::schema::Field::is_edited)
    }

    fn slot(&mut self, index: usize) -> Option<&mut Slot> {
        self.slots.as_mut().get_mut(index)
    }

    /// Gives a field a fresh version to be reported under.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    fn tell_field(&mut self, index: usize) {
        self.told.copy(index, &self.actual);
        if let Some(field) = self.actual.fields().get(index) {
            let factor = wire::factor(field.id);
            self.state.tell(self.slots.as_mut(), index, factor);
        }
    }
}

impl<T: Twin, const PENDING: usize> Engine for TwinDevice<T, PENDING> {
    fn handles(&self, channel: Channel) -> bool {
        channel == Channel::Twin
    }

    fn records(&self) -> RecordRange {
        // One for the twin and one for each number a field can have.
        RecordRange::new(self.state.records, 1 + 0x1_0000)
    }

    fn input(&mut self, _: Now, event: &Event<'_>) {
        match *event {
            Event::Record { key, value } if !self.state.restored => self.restore_record(key, value),
            Event::Restored if !self.state.restored => self.finish_restore(),
            Event::Message(message) if message.channel == Channel::Twin && self.state.restored => {
                self.delta(message.payload);
            }
            Event::Connected { .. } => self.state.connect(),
            Event::Disconnected => self.state.connected = false,
            _ => {}
        }
    }

    fn step<'b>(&mut self, now: Now, buffer: &'b mut [u8]) -> Step<'b> {
        let now = now.instant.as_millis();
        self.state.issued = Issued::Nothing;
        if !self.state.may_act(now) {
            return Step::Idle;
        }
        let step = if self.state.must_persist() {
            self.persist(buffer).map(Step::Persist)
        } else if self.state.must_tell(now) {
            self.tell(buffer).map(Step::Send)
        } else {
            return Step::Idle;
        };
        // Without room nothing can be done; the driver may bring a larger buffer.
        step.unwrap_or_else(|| {
            self.state.hold(now);
            Step::Idle
        })
    }

    fn done(&mut self, now: Now, done: Done<'_>) {
        self.state.hold_until = 0;
        let issued = core::mem::replace(&mut self.state.issued, Issued::Nothing);
        let now = now.instant.as_millis();
        match (done, issued) {
            (Done::Failed(_), Issued::Persist { .. } | Issued::Send { .. }) => {
                self.state.hold(now);
            }
            (Done::Persisted, Issued::Persist { below, reserved }) => {
                self.persisted(below, reserved)
            }
            (Done::Sent(_), Issued::Send { to }) => self.state.sent(now, to),
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.state.deadline()
    }
}

impl<T: Twin, const PENDING: usize> Default for TwinDevice<T, PENDING> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Twin, const PENDING: usize> fmt::Debug for TwinDevice<T, PENDING> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No values: some are not for logs.
        f.debug_struct("TwinDevice")
            .field("slots", &self.slots.as_ref())
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<T: Twin, const PENDING: usize> defmt::Format for TwinDevice<T, PENDING> {
    fn format(&self, f: defmt::Formatter<'_>) {
        let state = &self.state;
        defmt::write!(
            f,
            "TwinDevice {{ epoch: {}, contiguous: {}, last: {}, reserved: {}, sent: {} }}",
            state.epoch,
            state.contiguous,
            state.last,
            state.reserved,
            state.from()
        );
    }
}

const fn at_least(span: Duration) -> Duration {
    if span.as_millis() == 0 {
        Duration::from_millis(1)
    } else {
        span
    }
}
