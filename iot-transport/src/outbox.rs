//! Store and forward: messages that outlive the link and the power, and a fate for each of them.
//!
//! [`Outbox`] is an [`Engine`](iot_core::Engine): a node drives it over any transport and any records. What was pushed
//! is put on record, sent when there is a link, most urgent first, and sent again after a reboot until the next hop
//! has acknowledged it. Every message that was [stored](Outbox::is_stored) ends in exactly one [`Fate`], which is on
//! record before it is told and stays there until the application has read past it.
//!
//! Everything is bounded. What happens when there is no room is said for each channel with [`Overflow`]; nothing is
//! ever dropped without a fate that says so.
//!
//! Each message travels in an [`Envelope`](crate::envelope::Envelope) with its sequence, so that a
//! [`GapTracker`](crate::gaps::GapTracker) at the other end ignores what comes twice and names what will never come.
//! The format of the records is in `outbox.cddl`.

mod dead;
mod engine;
mod fates;
mod names;
mod order;
mod policy;
mod record;
mod room;
mod slot;
mod stage;

use core::time::Duration;

use iot_core::engine::{RecordKey, RecordRange};
use iot_core::{Channel, Fate, Instant, Message, Now};

pub use names::{Context, Cursor, PushError, Sequence, Settled};
pub use policy::Overflow;

use self::engine::Doing;
use self::fates::{Fates, GROUP};
use self::order::{Census, Order};
use self::policy::Policies;
use self::slot::{Parts, Slot, State};
use self::stage::Stage;
use crate::envelope::{MAX_CORRELATION_BYTES, TRACE_BYTES};

/// A store-and-forward queue of up to `ITEMS` messages (1,024 at most), with `BYTES` of memory for those that come in
/// and go out; what is stored is read back when it is sent. See the [module](self) for what it guarantees.
///
/// A message may have up to `BYTES` bytes with address and context. The driver's buffer must
/// have `BYTES` and [`BUFFER_OVERHEAD`](Self::BUFFER_OVERHEAD): a message that does not fit it is refused.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use iot_core::engine::RecordKey;
/// use iot_core::node::{Node, block_on};
/// use iot_core::sim::{Faults, SimClock, SimNetwork};
/// use iot_core::storage::memory::MemoryRecords;
/// use iot_core::{Channel, Fate, Message, port::{Timer, Transport}};
/// use iot_transport::outbox::{Cursor, Outbox, Overflow};
///
/// let clock = SimClock::new();
/// let (link, mut service) = SimNetwork::new(1, clock.clone(), Faults::NONE).link();
/// let mut node = Node::new(link, MemoryRecords::new(), clock.clone());
/// // The stream tells this life of the outbox from others: a random number will do.
/// let mut outbox = Outbox::<16, 1_024>::new(RecordKey::new(0x8000), 0x5eed)
///     .on(Channel::Telemetry, Overflow::Oldest);
/// let mut buffer = [0; 2_048];
/// block_on(async {
///     node.restore(&mut (&mut outbox,), &mut buffer).await?;
///     let sequence = outbox.push(clock.now(), &Message::telemetry(b"21.5").expires_in_h(24))?;
///     let settled = loop {
///         node.turn(&mut (&mut outbox,), &mut buffer).await?;
/// #       let mut other = [0; 256];
/// #       let mut next = core::pin::pin!(service.next(&mut other));
/// #       core::future::poll_fn(|cx| core::task::Poll::Ready(next.as_mut().poll(cx).is_ready())).await;
///         if let Some(settled) = outbox.settled_after(Cursor::START) { break settled }
///     };
///     assert_eq!((settled.sequence, settled.fate), (sequence, Fate::Delivered));
///     Ok::<(), Box<dyn core::error::Error>>(())
/// })?;
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Outbox<const ITEMS: usize, const BYTES: usize> {
    first_record: RecordKey,
    stream: u32,
    policies: Policies,
    limit_bytes: usize,
    window: usize,
    settle_within: Duration,
    plain: bool,

    slots: [Slot; ITEMS],
    order: Order<ITEMS>,
    census: Census,
    fates: Fates<ITEMS>,
    /// No message whose record is of no use ended with an earlier fate.
    oldest_dead: u64,
    stage: Stage<BYTES>,
    next_sequence: u64,
    doing: Doing,
    /// Powered seconds of all boots before this one.
    clock_base: u32,
    /// The last powered second that is on record.
    clock_durable: u32,
    /// No message that waits expires earlier, by either clock; what was shown while restoring is looked at once.
    soonest: u32,
    soonest_wall: u64,
    /// The head is on record.
    has_head: bool,
    /// Fates are to be put on record at this moment.
    settle_at: Option<Instant>,
    /// The storage is full: records of settled messages are removed.
    crowded: bool,
    /// It was full for several messages at once: one is tried.
    single: bool,
    no_storage: bool,
    no_link: bool,
    /// The transport did not take the oldest message, which goes first: others are offered until something happens.
    passes_oldest: bool,
    wake: Option<Instant>,
    restored: bool,
    damaged: bool,
}

impl<const ITEMS: usize, const BYTES: usize> Outbox<ITEMS, BYTES> {
    /// How many record keys it owns from the first on: no other engine may have them.
    pub const RECORDS: u32 = FIRST_MESSAGE + MAX_PLACES;

    /// How far its newest message may be ahead of its oldest: the window that a receiver must remember.
    ///
    /// When it comes near, the oldest message goes first, whatever its priority.
    pub const SPAN: u64 = 4 * ITEMS as u64;

    /// How much longer than the longest message the driver's buffer must be, at least.
    pub const BUFFER_OVERHEAD: usize = 512;

    /// An empty outbox whose records begin at `first_record`.
    ///
    /// `stream` tells the receiver this life of the outbox from an earlier one, whose records are gone: a random
    /// number will do. Where there are records, theirs holds.
    #[must_use]
    pub const fn new(first_record: RecordKey, stream: u32) -> Self {
        const {
            assert!(
                ITEMS > 0 && ITEMS <= MAX_ITEMS,
                "an outbox has 1 to 1,024 places"
            );
            assert!(
                BYTES > 0 && BYTES <= 65_535,
                "an outbox has up to 65,535 bytes of memory"
            );
        }
        Self {
            first_record,
            stream,
            policies: Policies::new(),
            limit_bytes: usize::MAX,
            window: 8,
            settle_within: Duration::from_secs(1),
            plain: false,
            slots: [Slot::FREE; ITEMS],
            order: Order::new(),
            census: Census::EMPTY,
            fates: Fates::new(),
            oldest_dead: 0,
            stage: Stage::new(),
            next_sequence: 1,
            doing: Doing::Nothing,
            clock_base: 0,
            clock_durable: 0,
            soonest: 0,
            soonest_wall: 0,
            has_head: false,
            settle_at: None,
            crowded: false,
            single: false,
            no_storage: false,
            no_link: false,
            passes_oldest: false,
            wake: None,
            restored: false,
            damaged: false,
        }
    }

    /// Says what happens with messages of a channel when there is no room; [`Overflow::Newest`] where nothing is said.
    #[must_use]
    pub fn on(mut self, channel: Channel, overflow: Overflow) -> Self {
        self.policies.set(channel, overflow);
        self
    }

    /// Holds at most so many bytes of payload; without it, as many as the places give.
    #[must_use]
    pub const fn with_limit(mut self, bytes: usize) -> Self {
        self.limit_bytes = bytes;
        self
    }

    /// Hands the transport at most so many messages at a time (8 by default, at least 1): the more there are, the
    /// longer an urgent one waits behind others.
    #[must_use]
    pub const fn with_window(mut self, messages: usize) -> Self {
        self.window = if messages == 0 { 1 } else { messages };
        self
    }

    /// Puts fates on record at the latest after `span` (a second by default, and up to 16 together): the longer it
    /// waits, the less it writes, and the more is sent again after a power cut.
    #[must_use]
    pub const fn settles_within(mut self, span: Duration) -> Self {
        self.settle_within = span;
        self
    }

    /// Sends payloads as they are, for receivers that know no envelope; they cannot tell repetitions and gaps.
    #[must_use]
    pub const fn without_envelope(mut self) -> Self {
        self.plain = true;
        self
    }

    /// Takes a message; [`is_stored`](Self::is_stored) says when it is safe.
    ///
    /// # Errors
    ///
    /// [`PushError`] says what to do; nothing was changed then.
    pub fn push(&mut self, now: Now, message: &Message<'_>) -> Result<Sequence, PushError> {
        self.push_with(now, message, Context::NONE)
    }

    /// Takes a message that belongs to something.
    ///
    /// # Errors
    ///
    /// [`PushError`] says what to do; nothing was changed then.
    pub fn push_with(
        &mut self,
        now: Now,
        message: &Message<'_>,
        context: Context<'_>,
    ) -> Result<Sequence, PushError> {
        if self.damaged {
            return Err(PushError::Damaged);
        }
        if !self.restored {
            return Err(PushError::NotRestored);
        }
        if context.correlation.len() > MAX_CORRELATION_BYTES
            || !context.trace.is_empty() && context.trace.len() != TRACE_BYTES
        {
            return Err(PushError::Context);
        }
        let parts = Parts {
            tenant: message.peer.map_or("", iot_core::Peer::tenant),
            device: message.peer.map_or("", iot_core::Peer::device),
            correlation: context.correlation,
            trace: context.trace,
            payload: message.payload,
        };
        let bytes = parts.as_array().iter().map(|part| part.len()).sum();
        let limit = BYTES;
        let lengths = parts.lengths().filter(|_| bytes <= limit);
        let lengths = lengths.ok_or(PushError::TooLarge { bytes, limit })?;
        let room = self.find_room(message, lengths)?;
        if self.remembers() >= Fates::<ITEMS>::CAPACITY {
            return Err(PushError::Busy);
        }
        if self.stage.room() < bytes {
            self.keep_staged();
        }
        let staged = self.stage.add(&parts.as_array());
        let staged = staged.ok_or(PushError::Busy)?;
        let at = room.evict(self, now, message).ok_or(PushError::Busy)?;
        let clock = self.clock(now);
        let life = message.expires_in.map(whole_seconds);
        let sequence = self.next_sequence;
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Slot {
                state: State::Staged { dead: slot.dead() },
                writing: false,
                sequence,
                channel: message.channel,
                priority: message.priority,
                qos: message.qos,
                expires: life.map_or(0, |life| clock.saturating_add(life)),
                expires_wall: life.map_or(0, |life| wall_end(now, life)),
                lengths,
                at: Some(staged),
            };
            self.census.add(slot);
            self.order.take();
        }
        self.expects(now, at);
        self.next_sequence += 1;
        Ok(Sequence(sequence))
    }

    /// Whether a message is on record, so that it survives a power cut and has or gets a fate.
    ///
    /// What was not stored when the power was cut is gone, as if it had never been pushed. A message that the storage
    /// had no room for is [`Refused`](Fate::Refused), which is on record like every fate.
    #[must_use]
    pub fn is_stored(&self, sequence: Sequence) -> bool {
        let is_it = |slot: &&Slot| slot.is_live() && slot.sequence == sequence.0;
        match self.slots.iter().find(is_it) {
            Some(slot) => !slot.is_staged(),
            // It was settled: safe when that is on record, or while its own record is there.
            None => {
                let mut pending = self.fates.durable..self.fates.next;
                let number = pending.find(|number| {
                    (self.fates.get(*number)).is_some_and(|ended| ended.sequence == sequence.0)
                });
                let is_there = |number| self.slots.iter().any(|slot| slot.dead() == Some(number));
                sequence.0 < self.next_sequence && number.is_none_or(is_there)
            }
        }
    }

    /// The first fate after `cursor`; `None` when there is none on record yet. Fates before the cursor count as read:
    /// their places are free.
    ///
    /// What was read is not told again in the same boot. After a reboot the fates of the last messages are there again:
    /// go on with the cursor that was kept.
    pub fn settled_after(&mut self, cursor: Cursor) -> Option<Settled> {
        // A cursor of an outbox whose records are gone says nothing about this one.
        let cursor = if cursor.0 > self.fates.next {
            0
        } else {
            cursor.0
        };
        self.fates.read = self.fates.read.max(cursor.min(self.fates.durable));
        self.fates.skip_unknown();
        let number = self.fates.read.max(cursor);
        if number >= self.fates.durable {
            // Somebody waits for it.
            self.settle_at = (self.fates.next > self.fates.durable).then_some(Instant::ZERO);
            return None;
        }
        let ended = self.fates.get(number)?;
        Some(Settled {
            sequence: Sequence(ended.sequence),
            fate: ended.fate,
            cursor: Cursor(number + 1),
        })
    }

    /// How many messages have no fate yet.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether every message has its fate.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes of payload wait for their fate.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.census.payload_bytes
    }

    /// Whether its records cannot be read, or are those of an outbox with more places. It takes and sends nothing
    /// then, and changes no record: give it its old number of places, or remove the records of its range and with
    /// them what was not sent.
    #[must_use]
    pub const fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// The stream of its messages.
    #[must_use]
    pub const fn stream(&self) -> u32 {
        self.stream
    }

    /// What the device was powered, in seconds over all boots, as far as that is on record.
    fn clock(&self, now: Now) -> u32 {
        let here = seconds_of(now.instant.as_millis());
        let here = u32::try_from(here).unwrap_or(u32::MAX);
        self.clock_base.saturating_add(here)
    }

    const fn range(&self) -> RecordRange {
        RecordRange::new(self.first_record, Self::RECORDS)
    }

    /// What lies below is settled, and that is on record: nothing below is ever sent again.
    fn floor(&self) -> u64 {
        let oldest = self.order.place(0).and_then(|at| self.slots.get(at));
        let mut floor = oldest.map_or(self.next_sequence, |slot| slot.sequence);
        for number in self.fates.durable..self.fates.next {
            if let Some(ended) = self.fates.get(number) {
                floor = floor.min(ended.sequence);
            }
        }
        floor
    }

    /// A message ends.
    fn settle(&mut self, now: Now, at: usize, fate: Fate) {
        let Some(slot) = self.slots.get_mut(at) else {
            return;
        };
        // What was never stored lies over an older record, which stays dead.
        let (dead, next) = match slot.state {
            State::Staged { dead } => (dead, true),
            _ => (Some(self.fates.next), false),
        };
        let sequence = slot.sequence;
        self.census.remove(slot);
        self.order.give_back(at, next);
        *slot = Slot {
            state: State::Free { dead },
            ..Slot::FREE
        };
        self.fates.add(sequence, fate);
        if self.settle_at.is_none() {
            self.settle_at = Some(now.instant.after(self.settle_within));
        }
    }

    /// A message comes further, or falls back.
    fn turn(&mut self, at: usize, state: State) {
        if let Some(slot) = self.slots.get_mut(at) {
            self.census.remove(slot);
            slot.state = state;
            self.census.add(slot);
        }
    }

    /// What is not stored came last: where it begins and ends in the order.
    const fn staged(&self) -> core::ops::Range<usize> {
        let end = self.order.len();
        end.saturating_sub(self.census.staged)..end
    }

    /// Frees the stage of everything that is stored, but for what the driver was asked to send.
    fn keep_staged(&mut self) {
        let doing = self.doing;
        for (at, slot) in self.slots.iter_mut().enumerate() {
            if !slot.is_staged() && !doing.concerns(at) {
                slot.at = None;
            }
        }
        self.stage.begin();
        // In the order in which they lie: what is staged came one behind the other, and that of the driver lies
        // anywhere.
        let mut loaded = match doing {
            Doing::Read(at) | Doing::Send(at) => Some(at),
            _ => None,
        };
        for index in self.staged() {
            let Some(at) = self.order.place(index) else {
                break;
            };
            if let Some(other) = loaded
                && self.offset(other) < self.offset(at)
            {
                self.keep(other);
                loaded = None;
            }
            self.keep(at);
        }
        if let Some(other) = loaded {
            self.keep(other);
        }
    }

    /// Where the bytes of a message lie in the stage.
    fn offset(&self, at: usize) -> Option<u16> {
        self.slots.get(at)?.at
    }

    fn keep(&mut self, at: usize) {
        if let Some(slot) = self.slots.get_mut(at) {
            let len = slot.lengths.all();
            if let Some(at) = &mut slot.at {
                self.stage.keep(at, len);
            }
        }
    }
}

/// The first key of fates, of messages, and how many records of fates there may be.
const FIRST_FATES: u32 = 1;
const FATE_RECORDS: u32 = 512;
const FIRST_MESSAGE: u32 = FIRST_FATES + FATE_RECORDS;
/// The most places. The records of all of them are looked at, so that none is overlooked by a smaller outbox.
const MAX_PLACES: u32 = 1_024;
const MAX_ITEMS: usize = MAX_PLACES as usize;
const _: () = assert!(
    4 * MAX_ITEMS as u64 / GROUP + 2 < FATE_RECORDS as u64,
    "fates come round too soon"
);

/// Milliseconds in whole seconds.
// A division of 64 bits costs a chip 470 bytes; this is the one by hand, 16 bits at a time.
#[inline(never)]
fn seconds_of(millis: u64) -> u64 {
    // A device is seldom up for 49 days.
    if let Ok(millis) = u32::try_from(millis) {
        return (millis / 1_000).into();
    }
    let (mut seconds, mut rest) = (0_u64, 0_u32);
    for shift in [48, 32, 16, 0] {
        let part = u32::try_from(millis >> shift & 0xFFFF).unwrap_or_default();
        rest = rest << 16 | part;
        seconds = seconds << 16 | u64::from(rest / 1_000);
        rest %= 1_000;
    }
    seconds
}

/// At least one: what is worth something for no time was worth something when it was pushed.
fn whole_seconds(life: Duration) -> u32 {
    let up = u64::from(life.subsec_nanos() > 0);
    u32::try_from(life.as_secs().saturating_add(up).max(1)).unwrap_or(u32::MAX)
}

/// The latest moment at which a life that begins now can end, in seconds since 1970; 0 when nobody knows.
fn wall_end(now: Now, life: u32) -> u64 {
    let latest = now.wall.not_after();
    let latest = latest.map(|moment| seconds_of(moment.as_millis()) + 1);
    latest.map_or(0, |latest| latest.saturating_add(life.into()))
}

#[cfg(test)]
mod tests;
