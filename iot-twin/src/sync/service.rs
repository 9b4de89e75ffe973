//! The service's half: one for each device.

mod edit;
mod intake;
mod outlet;
mod reader;
mod state;
mod store;
#[cfg(test)]
#[cfg(feature = "derive")]
mod tests;
#[cfg(feature = "sim")]
mod view;
mod watch;

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use iot_core::engine::{Done, Event, Step};
use iot_core::{Channel, DeviceId, Engine, Instant, Message, Now, Peer, TenantId};

use super::device::Timing;
use super::slot::{Code, SubTwin, Version};
use super::wire;
use crate::reflect::Twin;
use crate::schema::{FieldId, Schema};
use crate::value::{Limits, Value};

pub use edit::{Edit, EditError};
pub use reader::{Acknowledgement, DesireError, Reported};
pub use state::{DesiredField, ReportedField, StateError, TwinState};
pub use watch::{Cursor, Notice, SubscribeError, SubscriptionId, Subscriptions};

/// A service's copy of one device's twin: an [`Engine`] for [`Channel::Twin`].
///
/// It keeps nothing durable itself. Store what [`snapshot`](Self::snapshot) gives before the next message is sent,
/// and begin with [`restored`](Self::restored) after a restart: it goes on in the same epoch, and may do so in several
/// processes (see [`with_store`](Self::with_store)). Without that, desire what should be the case again, and it
/// catches up with the device (in a new epoch, which it opens by itself). A value that the device already holds is
/// then no new intent there.
///
/// Of reported fields that its schema does not know it keeps 32 KiB, so that no device can fill a service's memory; what
/// finds no room is left out.
///
/// ```
/// # #[cfg(feature = "derive")] {
/// use iot_twin::{Twin, TwinService};
///
/// #[derive(Twin)]
/// struct Room {
///     #[twin(desired, range = 5.0..=30.0)]
///     setpoint: f32,
/// }
///
/// let mut twin = TwinService::of::<Room>();
/// twin.desire::<Room>(|room: &mut RoomDesired| room.setpoint = 21.0)?;
/// assert!(twin.set("setpoint", 45.0).is_err());
/// assert!(!twin.is_converged());
/// # }
/// # Ok::<(), iot_twin::sync::DesireError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TwinService {
    peer: Option<(TenantId, DeviceId)>,
    number: SubTwin,
    schema: Cow<'static, [Schema]>,
    timing: Timing,

    epoch: u32,
    version: u32,
    /// Up to which version a snapshot is stored; `None` when nobody stores any.
    stored: Option<Version>,
    /// Whether the device has met a newer state of this twin than this one.
    behind: bool,
    desired: BTreeMap<FieldId, Wish>,
    /// Up to where the device has everything, and up to where it was sent.
    contiguous: u32,
    sent: u32,
    met: bool,
    log: Log,

    reported: BTreeMap<FieldId, Told>,
    /// Up to where every report is in, and from where on they were made after the device's last restart.
    taken: u64,
    floor: u64,
    /// The same as far as it is stored; only where there is a store.
    kept: u64,
    /// Whether reports were left out because there were too many fields that the schema does not know.
    crowded: bool,

    tell: bool,
    want: bool,
    /// From where on the reports are that answer `want`.
    asked: u64,
    doublings: u8,
    issued: Option<u32>,
    resend_at: Option<Instant>,
    hold_until: Option<Instant>,
}

/// A desired field.
#[derive(Clone)]
struct Wish {
    version: u32,
    hidden: Hidden,
    /// Null when the field shall have no value; nothing when the desire was withdrawn.
    value: Option<Value>,
    encoded: Vec<u8>,
    answer: Option<Code>,
    stated: Mark,
    answered: Mark,
}

/// Which version of a field that is on record a newer one hides, as long as that is not on record itself.
#[derive(Clone, Copy, Default)]
struct Hidden {
    /// It is one of these, both included; 0 when there is none.
    from: u32,
    upto: u32,
    /// The lowest version of the field above it.
    next: u32,
}

/// A reported field.
#[derive(Clone)]
struct Told {
    version: u64,
    value: Value,
    stated: Mark,
}

/// The order of all changes, for those who watch.
#[derive(Clone, Copy, Debug, Default)]
struct Log {
    count: u64,
    /// The newest change that is forgotten.
    forgotten: u64,
}

/// When something changed last, and when before that.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    last: u64,
    before: u64,
}

impl Log {
    const fn mark(&mut self, mark: &mut Mark) {
        self.count += 1;
        mark.before = mark.last;
        mark.last = self.count;
    }
}

// Any tree of a report is a scalar, a text, or a list of scalars.
const LEAF: Limits = Limits::new(1, 65, 1_024);
const MAX_DOUBLINGS: u8 = 6;

impl TwinService {
    /// A twin whose fields are known by their numbers only.
    #[must_use]
    pub fn new() -> Self {
        Self::with_schema(Cow::Borrowed(&[]))
    }

    /// The twin of a device that runs with `T`.
    #[must_use]
    pub fn of<T: Twin>() -> Self {
        Self::with_schema(Cow::Borrowed(T::SCHEMA))
    }

    /// A twin with fields that are described at run time.
    #[must_use]
    pub fn with_schema(schema: Cow<'static, [Schema]>) -> Self {
        Self {
            peer: None,
            number: SubTwin::MAIN,
            schema,
            timing: Timing::DEFAULT,
            epoch: 1,
            version: 0,
            stored: None,
            behind: false,
            desired: BTreeMap::new(),
            contiguous: 0,
            sent: 0,
            met: false,
            log: Log::default(),
            reported: BTreeMap::new(),
            taken: 0,
            floor: 0,
            kept: 0,
            crowded: false,
            tell: false,
            want: false,
            asked: 0,
            doublings: 0,
            issued: None,
            resend_at: None,
            hold_until: None,
        }
    }

    /// Addresses its messages to a device, and takes in only that device's.
    #[must_use]
    pub const fn for_device(mut self, tenant: TenantId, device: DeviceId) -> Self {
        self.peer = Some((tenant, device));
        self
    }

    /// Is this one of the device's twins.
    #[must_use]
    pub const fn numbered(mut self, number: SubTwin) -> Self {
        self.number = number;
        self
    }

    /// Starts in an epoch; without it, in the first.
    ///
    /// Give each life of a service a higher one than the last: a count of restarts, or the seconds since 1970 at
    /// its start. A device follows at once to any below `0xf000_0000`, and above a few at a time. Without that, an old message that crosses a restart can make the device skip a desired value
    /// until the next exchange of digests.
    #[must_use]
    pub const fn in_epoch(mut self, epoch: u32) -> Self {
        self.epoch = if epoch == 0 { 1 } else { epoch };
        self
    }

    /// Waits otherwise; only the time for an answer counts.
    #[must_use]
    pub const fn with_timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// Asks the device for all it reports, now; otherwise that comes when the device connects, or by and by.
    pub const fn ask(&mut self) {
        self.want = true;
        self.asked = self.taken + 1;
        self.tell = true;
    }

    /// Gives a field its next version, if the value is news.
    pub(super) fn wish(&mut self, id: FieldId, value: Option<Value>) {
        let encoded = said(value.as_ref());
        let known = self.desired.get(&id);
        // The desire for a field that nobody desires cannot be withdrawn: its tombstone may have been dropped.
        let is_old = known.map_or(value.is_none(), |wish| {
            wish.encoded == encoded && wish.is_open()
        });
        if is_old {
            return;
        }
        if self.version == u32::MAX {
            self.open_epoch(self.epoch);
        }
        // Only a state that nobody came to, but made up, has no version left in its last epoch.
        let Some(version) = self.version.checked_add(1) else {
            return;
        };
        self.version = version;
        let recorded = self.recorded().unwrap_or(0);
        let before = self.desired.get(&id);
        let hidden = match before {
            Some(wish) if wish.version > recorded => wish.hidden,
            Some(wish) => Hidden::of(wish.version, self.version),
            None => Hidden::of(0, self.version),
        };
        let mut wish = Wish {
            version: self.version,
            hidden,
            value,
            encoded,
            answer: None,
            stated: before.map_or(Mark::default(), |wish| wish.stated),
            answered: before.map_or(Mark::default(), |wish| wish.answered),
        };
        self.log.mark(&mut wish.stated);
        self.desired.insert(id, wish);
        self.tell = true;
        self.doublings = 0;
    }
}

impl Hidden {
    const fn of(version: u32, next: u32) -> Self {
        Self {
            from: version,
            upto: version,
            next,
        }
    }

    /// Everything up to a version is on record, but not what hides it.
    fn record(&mut self, recorded: u32) {
        if self.next <= recorded {
            (self.from, self.upto) = (self.next, recorded);
            self.next = recorded.saturating_add(1);
        }
    }
}

impl Wish {
    /// Whether desiring the same value again would say nothing new.
    fn is_open(&self) -> bool {
        !self.answer.is_some_and(Code::is_rejected)
    }
}

impl Engine for TwinService {
    fn handles(&self, channel: Channel) -> bool {
        channel == Channel::Twin
    }

    fn input(&mut self, _: Now, event: &Event<'_>) {
        match event {
            Event::Message(message) if message.channel == Channel::Twin => {
                let ours = match (&self.peer, message.peer) {
                    (None, _) => true,
                    (Some((tenant, device)), peer) => peer == Some(Peer::new(tenant, device)),
                };
                if ours {
                    self.report(message.payload);
                }
            }
            Event::Connected { .. } => self.tell |= self.has_more(),
            _ => {}
        }
    }

    fn step<'b>(&mut self, now: Now, buffer: &'b mut [u8]) -> Step<'b> {
        self.issued = None;
        let due = |at: Option<Instant>| at.is_some_and(|at| now.instant >= at);
        if self.hold_until.is_some() && !due(self.hold_until) || self.limit().is_none() {
            return Step::Idle;
        }
        self.hold_until = None;
        if due(self.resend_at) {
            self.resend_at = None;
            self.sent = self.sent.min(self.contiguous);
            self.tell = true;
        }
        if !self.tell {
            return Step::Idle;
        }
        let written = self
            .address(buffer)
            .and_then(|(peer, rest)| Some((peer, self.write(rest)?)));
        let Some((peer, (payload, to))) = written else {
            self.hold_until = Some(now.instant + self.timing.resend);
            return Step::Idle;
        };
        self.issued = Some(to);
        let message = Message::new(Channel::Twin, payload);
        Step::Send(match peer {
            Some(peer) => message.to(peer),
            None => message,
        })
    }

    fn done(&mut self, now: Now, done: Done<'_>) {
        match (done, self.issued.take()) {
            (Done::Sent(_), Some(to)) => {
                self.sent = self.sent.max(to);
                self.tell = self.has_more();
                if self.limit().is_some_and(|limit| self.contiguous < limit) || self.want {
                    let wait = self.timing.resend.saturating_mul(1 << self.doublings);
                    self.resend_at = Some(now.instant + wait);
                    self.doublings = (self.doublings + 1).min(MAX_DOUBLINGS);
                }
            }
            (Done::Failed(_), Some(_)) => self.hold_until = Some(now.instant + self.timing.resend),
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.limit()?;
        self.hold_until.or(self.resend_at)
    }
}

impl Default for TwinService {
    fn default() -> Self {
        Self::new()
    }
}

/// What is said of a desire.
fn said(value: Option<&Value>) -> Vec<u8> {
    match value {
        None => [wire::NULL].into(),
        Some(Value::Null) => [wire::NONE].into(),
        Some(value) => value.to_cbor(),
    }
}

fn is_writable(schema: &Schema) -> bool {
    schema.field.is_desired()
}

// No values: some are not for logs.
impl fmt::Debug for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wish")
            .field("version", &self.version)
            .field("answer", &self.answer)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
