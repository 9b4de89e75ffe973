//! The shape of every engine: time and input go in, the next step comes out.
//!
//! An engine does no I/O, not even storage. It says what it wants done with [`Engine::step`], the driver
//! (a `Node`, or a loop of your own) does it, and [`Engine::done`] reports back. State
//! advances there and only there, so "persist before you act" is visible in the type and a driver that is
//! cut off anywhere loses nothing.
//!
//! **The contract.** `step` returns the same step until `done` is called for it: a driver may drop it and
//! ask again. `input` never fails: what an engine does not understand it ignores or counts. No engine
//! blocks, allocates behind the driver's back, reads a clock or logs.

mod batch;

pub use batch::{Batch, BatchError, BatchWriter, RecordKey, RecordRange};

use crate::crypto::{KeyError, Signature, SlotId};
use crate::message::{Channel, Fate, Message, Ticket};
use crate::time::{Instant, Now};

/// What reaches an engine.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Event<'a> {
    /// A message on a channel the engine handles.
    Message(Message<'a>),
    /// One of the engine's own records, while restoring after a boot.
    Record {
        /// Its key.
        key: RecordKey,
        /// Its value.
        value: &'a [u8],
    },
    /// Every record has been shown; the engine may act from now on.
    Restored,
    /// A message that some engine submitted has met its fate. Others' tickets are to be ignored.
    Settled {
        /// Which message.
        ticket: Ticket,
        /// How it ended.
        fate: Fate,
    },
    /// The link is up.
    Connected {
        /// Whether the other end kept the session, and with it our subscriptions and unacknowledged messages.
        resumed: bool,
    },
    /// The link is down.
    Disconnected,
}

/// What an engine wants done next.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
#[non_exhaustive]
pub enum Step<'b> {
    /// Nothing until the next input or the engine's deadline.
    Idle,
    /// Make these records durable, all or none.
    Persist(Batch<'b>),
    /// Read one of the engine's own records: what it keeps may be larger than its memory.
    Read(RecordKey),
    /// Submit this message.
    Send(Message<'b>),
    /// Sign with the key in a slot.
    Sign {
        /// Whose key.
        slot: SlotId,
        /// What to sign.
        message: &'b [u8],
    },
    /// Have the device do something that only it can do.
    Effect(Effect<'b>),
}

/// Something that only the device can do, such as switching banks; the engine that asks defines the codes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Effect<'b> {
    /// What to do.
    pub code: u16,
    /// With what.
    pub argument: &'b [u8],
}

impl<'b> Effect<'b> {
    /// Puts an effect together.
    #[must_use]
    pub const fn new(code: u16, argument: &'b [u8]) -> Self {
        Self { code, argument }
    }
}

/// How the last step ended.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Done<'a> {
    /// The batch is durable.
    Persisted,
    /// Here is the record's value; `None` when there is no such record.
    Read(Option<&'a [u8]>),
    /// The message was accepted for sending; its fate follows as [`Event::Settled`].
    Sent(Ticket),
    /// Here is the signature.
    Signed(&'a Signature),
    /// The effect took place.
    Performed,
    /// The step was not done; nothing of it took effect.
    Failed(Failure),
}

/// Why a step was not done.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Failure {
    /// The storage has no room for the batch.
    #[error("the storage is full")]
    StorageFull,
    /// The message cannot be accepted now: the queue is full or the link is down. The engine should first
    /// offer what else it has, records above all, and then this again.
    #[error("the transport is busy")]
    Busy,
    /// The message can never be accepted: too long, or not allowed.
    #[error("the transport refuses the message")]
    Refused,
    /// The key could not be used.
    #[error("the key could not be used: {0}")]
    Key(KeyError),
    /// The device does not know this effect, or failed at it.
    #[error("the device did not perform the effect")]
    Effect,
    /// The engine's step did not fit the driver's buffer.
    #[error("the buffer is too small for the step")]
    Buffer,
}

/// A protocol as a state machine without I/O; see the [module](self) for its contract.
///
/// It is synchronous and object safe, and needs no allocator.
pub trait Engine {
    /// Whether messages of `channel` are for this engine.
    fn handles(&self, channel: Channel) -> bool;

    /// The records this engine owns; no two engines of one node may share any.
    fn records(&self) -> RecordRange {
        RecordRange::NONE
    }

    /// Takes in what happened.
    fn input(&mut self, now: Now, event: &Event<'_>);

    /// Says what to do next, using `buffer` for its content.
    fn step<'b>(&mut self, now: Now, buffer: &'b mut [u8]) -> Step<'b>;

    /// Learns how the last step ended.
    fn done(&mut self, now: Now, done: Done<'_>);

    /// When it wants to be asked again although nothing happened; `None` for never. A moment that has passed is at once:
    /// who drives an engine by hand asks for its next step then, also after [`Step::Idle`].
    fn deadline(&self) -> Option<Instant> {
        None
    }
}

impl<E: Engine + ?Sized> Engine for &mut E {
    fn handles(&self, channel: Channel) -> bool {
        (**self).handles(channel)
    }
    fn records(&self) -> RecordRange {
        (**self).records()
    }
    fn input(&mut self, now: Now, event: &Event<'_>) {
        (**self).input(now, event);
    }
    fn step<'b>(&mut self, now: Now, buffer: &'b mut [u8]) -> Step<'b> {
        (**self).step(now, buffer)
    }
    fn done(&mut self, now: Now, done: Done<'_>) {
        (**self).done(now, done);
    }
    fn deadline(&self) -> Option<Instant> {
        (**self).deadline()
    }
}
