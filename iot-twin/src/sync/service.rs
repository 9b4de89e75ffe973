//! The service's half: one for each device.

mod reader;
mod state;
#[cfg(test)]
#[cfg(feature = "derive")]
mod tests;

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use iot_core::engine::{Done, Event, Step};
use iot_core::{Channel, DeviceId, Engine, Instant, Message, Now, Peer, TenantId};

use super::device::Timing;
use super::slot::{Code, Version};
use super::wire::service::{FullReport, write_delta};
use super::wire::{self, Delta, Digests};
use crate::leaf::LeafWriter;
use crate::reflect::Twin;
use crate::schema::{Access, FieldId, Schema};
use crate::value::{Limits, Value};

pub use reader::{Acknowledgement, DesireError, Reported};
pub use state::{DesiredField, ReportedField, StateError, TwinState};

/// A service's copy of one device's twin: an [`Engine`] for [`Channel::Twin`].
///
/// It keeps nothing durable itself. Store what [`snapshot`](Self::snapshot) gives before the next message is sent,
/// and begin with [`restored`](Self::restored) after a restart: it goes on in the same epoch. Without that, desire
/// what should be the case again, and it catches up with the device (in a new epoch, which it opens by itself). A
/// value that the device already holds is then no new intent there.
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
    schema: Cow<'static, [Schema]>,
    timing: Timing,

    epoch: u32,
    version: u64,
    desired: BTreeMap<FieldId, Wish>,
    /// Up to where the device has everything, and up to where it was sent.
    contiguous: u64,
    sent: u64,
    met: bool,

    reported: BTreeMap<FieldId, Told>,
    /// Up to where every report is in, and from where on they were made after the device's last restart.
    taken: u64,
    floor: u64,

    tell: bool,
    want: bool,
    doublings: u8,
    issued: Option<u64>,
    resend_at: Option<Instant>,
    hold_until: Option<Instant>,
}

/// A desired field.
#[derive(Clone, Debug)]
struct Wish {
    version: u64,
    value: Value,
    encoded: Vec<u8>,
    answer: Option<Code>,
}

/// A reported field.
#[derive(Clone, Debug)]
struct Told {
    version: u64,
    value: Value,
}

// Any tree of a report is one scalar.
const SCALAR: Limits = Limits::new(0, 1, 1_024);
const MAX_DOUBLINGS: u8 = 6;
// A field is at most its array, number, version and 1,024 bytes of value.
const HEAD_BYTES: usize = 48;

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
            schema,
            timing: Timing::DEFAULT,
            epoch: 1,
            version: 0,
            desired: BTreeMap::new(),
            contiguous: 0,
            sent: 0,
            met: false,
            reported: BTreeMap::new(),
            taken: 0,
            floor: 0,
            tell: false,
            want: false,
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

    /// Starts in an epoch; without it, in the first.
    ///
    /// Give each life of a service a higher one than the last: a count of restarts, or the seconds since 1970 at
    /// its start. Without that, an old message that crosses a restart can make the device skip a desired value
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
        self.tell = true;
    }

    /// Gives a field its next version, if the value is news.
    fn wish(&mut self, id: FieldId, value: Value) {
        let encoded = value.to_cbor();
        if self
            .desired
            .get(&id)
            .is_some_and(|wish| wish.encoded == encoded && wish.is_open())
        {
            return;
        }
        self.version += 1;
        let wish = Wish {
            version: self.version,
            value,
            encoded,
            answer: None,
        };
        self.desired.insert(id, wish);
        self.tell = true;
        self.doublings = 0;
    }

    /// Takes a report in; one that is malformed changes nothing.
    fn report(&mut self, payload: &[u8]) {
        let Some(report) = FullReport::read(payload) else {
            return;
        };
        self.doublings = 0;
        self.take_fields(&report);
        self.take_desired(&report);
    }

    /// The reported half: the newer version of each field wins.
    fn take_fields(&mut self, report: &FullReport<'_>) {
        for leaf in &report.fields {
            let Ok(value) = Value::from_cbor(leaf.value, SCALAR) else {
                continue;
            };
            let version = leaf.version;
            if self
                .reported
                .get(&leaf.id)
                .is_some_and(|told| told.version >= version)
            {
                continue;
            }
            self.reported.insert(leaf.id, Told { version, value });
            if let Some((answered, code)) = leaf.answer
                && report.head.epoch == self.epoch
                && let Some(wish) = self.desired.get_mut(&leaf.id)
                && answered >= wish.version
            {
                wish.answer = Some(code);
            }
        }
        self.floor = self.floor.max(report.head.floor);
        let gap = report.head.base > self.taken;
        // A device that is behind what it once reported has lost its records; the answer tells it.
        self.tell |=
            gap || report.head.want || report.to != self.taken || !report.fields.is_empty();
        self.want = gap;
        if !gap {
            self.taken = self.taken.max(report.to);
        }
        if let Some(digests) = report.digests
            && self.is_complete(report)
            && digests.reported != self.reported_digest(report.head.floor)
        {
            // Old versions of a device that lost its records shadow the new ones: have it go above all of them.
            let newest = self.reported.values().map(|told| told.version).max();
            self.taken = self.taken.max(newest.unwrap_or(0));
            self.want = true;
            self.tell = true;
        }
    }

    /// Whether nothing that the device reported up to this report is missing.
    const fn is_complete(&self, report: &FullReport<'_>) -> bool {
        report.to == self.taken && !self.want
    }

    fn reported_digest(&self, floor: u64) -> u32 {
        let mut digests = Digests::default();
        for (&id, told) in self
            .reported
            .iter()
            .filter(|(_, told)| told.version >= floor)
        {
            digests.add_reported(id, told.version);
        }
        digests.reported
    }

    /// The desired half: what the device has, and whether it is ours.
    fn take_desired(&mut self, report: &FullReport<'_>) {
        let head = &report.head;
        let first = !core::mem::replace(&mut self.met, true);
        let ahead = head.epoch > self.epoch
            || (head.epoch == self.epoch && (head.contiguous > self.version || first));
        if ahead {
            self.open_epoch(head.epoch);
            return;
        }
        if head.epoch < self.epoch {
            // It has nothing of this epoch, or the report is an old one: repeating does no harm.
            self.rewind(0);
            self.tell = true;
            return;
        }
        if head.want {
            self.contiguous = head.contiguous;
            self.rewind(head.contiguous);
        } else {
            self.contiguous = self.contiguous.max(head.contiguous);
        }
        self.sent = self.sent.max(self.contiguous);
        self.tell |= self.sent < self.version;
        if self.contiguous >= self.version {
            self.resend_at = None;
        }
        let complete = report.digests.filter(|_| self.is_complete(report));
        let (Some(digests), true) = (complete, head.contiguous == self.version) else {
            return;
        };
        // It claims every desired field, and we have its answer to each that it took: it does not know the others,
        // unless it reports them. Then it took the claim from another life of the service.
        let mut mistaken = false;
        for (id, wish) in self
            .desired
            .iter_mut()
            .filter(|(_, wish)| wish.answer.is_none())
        {
            mistaken |= self
                .reported
                .get(id)
                .is_some_and(|told| told.version >= head.floor);
            wish.answer = Some(Code::UNKNOWN);
        }
        if mistaken || digests.desired != self.desired_digest() {
            self.open_epoch(self.epoch);
        }
    }

    fn rewind(&mut self, to: u64) {
        self.sent = self.sent.min(to);
    }

    fn desired_digest(&self) -> u32 {
        let known = self
            .desired
            .iter()
            .filter(|(_, wish)| wish.answer != Some(Code::UNKNOWN));
        known.fold(0, |sum, (&id, wish)| {
            let version = Version::new(self.epoch, wish.version);
            sum.wrapping_add(wire::check(id, version, &wish.encoded))
        })
    }

    /// Supersedes every epoch up to `last`: all that is desired is stated anew.
    fn open_epoch(&mut self, last: u32) {
        let Some(epoch) = last.checked_add(1) else {
            return;
        };
        self.epoch = epoch;
        let mut wishes: Vec<_> = self.desired.values_mut().collect();
        wishes.sort_by_key(|wish| wish.version);
        self.version = 0;
        for wish in wishes {
            self.version += 1;
            wish.version = self.version;
            wish.answer = None;
        }
        self.contiguous = 0;
        self.sent = 0;
        self.tell = true;
    }

    /// Puts the device's address at the front of the buffer: a step borrows nothing else.
    fn address<'b>(&self, buffer: &'b mut [u8]) -> Option<(Option<Peer<'b>>, &'b mut [u8])> {
        let Some((tenant, device)) = &self.peer else {
            return Some((None, buffer));
        };
        let (tenant, rest) = place(tenant.as_str(), buffer)?;
        let (device, rest) = place(device.as_str(), rest)?;
        Some((Some(Peer::parse(tenant, device).ok()?), rest))
    }

    /// Writes what was not sent yet; says up to which version.
    fn write<'b>(&self, buffer: &'b mut [u8]) -> Option<(&'b [u8], u64)> {
        let mut open: Vec<_> = self
            .desired
            .iter()
            .filter(|(_, wish)| wish.version > self.sent)
            .collect();
        open.sort_by_key(|(_, wish)| wish.version);
        // How many fit decides what the head says.
        let room = buffer.len().checked_sub(HEAD_BYTES)?;
        let mut used = 0;
        let fits = open
            .iter()
            .take(wire::MAX_FIELDS.into())
            .take_while(|(_, wish)| {
                used += wish.encoded.len() + 13;
                used <= room
            });
        let fits = fits.count();
        if fits == 0 && !open.is_empty() {
            return None;
        }
        let to = match open.get(fits) {
            Some((_, next)) => next.version - 1,
            None => self.version,
        };
        let mut out = LeafWriter::new(buffer);
        let delta = Delta {
            epoch: self.epoch,
            base: self.sent,
            to,
            acknowledged: self.taken,
            want: self.want,
        };
        let mut fields = write_delta(&mut out, &delta)?;
        for (id, wish) in open.iter().take(fits) {
            let added = fields.add(&mut out, |out| {
                wire::open_leaf(out, 3, **id, wish.version)?;
                out.raw(&wish.encoded)
            });
            if !added {
                return None;
            }
        }
        Some((out.finish(), to))
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
                    (Some((tenant, device)), Some(peer)) => peer == Peer::new(tenant, device),
                    _ => true,
                };
                if ours {
                    self.report(message.payload);
                }
            }
            Event::Connected { .. } => self.tell |= self.sent < self.version,
            _ => {}
        }
    }

    fn step<'b>(&mut self, now: Now, buffer: &'b mut [u8]) -> Step<'b> {
        self.issued = None;
        let due = |at: Option<Instant>| at.is_some_and(|at| now.instant >= at);
        if self.hold_until.is_some() && !due(self.hold_until) {
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
                self.tell = self.sent < self.version;
                if self.contiguous < self.version || self.want {
                    let wait = self.timing.resend * (1 << self.doublings);
                    self.resend_at = Some(now.instant + wait);
                    self.doublings = (self.doublings + 1).min(MAX_DOUBLINGS);
                }
            }
            (Done::Failed(_), Some(_)) => self.hold_until = Some(now.instant + self.timing.resend),
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.hold_until.or(self.resend_at)
    }
}

impl Default for TwinService {
    fn default() -> Self {
        Self::new()
    }
}

fn place<'b>(text: &str, buffer: &'b mut [u8]) -> Option<(&'b str, &'b mut [u8])> {
    let (head, rest) = buffer.split_at_mut_checked(text.len())?;
    head.copy_from_slice(text.as_bytes());
    Some((core::str::from_utf8(head).ok()?, rest))
}

fn is_writable(schema: &Schema) -> bool {
    schema.field.access == Access::Desired
}
