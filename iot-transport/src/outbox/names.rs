//! What the application says and hears: names of messages, fates, errors, contexts.

use iot_core::Fate;

use crate::envelope::{MAX_CORRELATION_BYTES, TRACE_BYTES};

/// Names a message of an [`Outbox`](super::Outbox), over all boots: its sequence in the outbox's stream.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sequence(pub(super) u64);

impl Sequence {
    /// The message that was kept as a number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number, from 1.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// A place among the fates, to read on from; keep it with what was done about them.
///
/// ```
/// use iot_transport::outbox::Cursor;
/// assert_eq!(Cursor::new(Cursor::START.get()), Cursor::START);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Cursor(pub(super) u64);

impl Cursor {
    /// Before every fate.
    pub const START: Self = Self(0);

    /// The cursor that was kept as a number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// How many fates lie before it, as a number to keep.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// How a message ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Settled {
    /// Which message.
    pub sequence: Sequence,
    /// How. What is not [`Delivered`](Fate::Delivered) was not acknowledged; it may have arrived all the same when it
    /// was sent before its time ran out.
    pub fate: Fate,
    /// Where to read on.
    pub cursor: Cursor,
}

/// Why a message was not taken; nothing was changed then.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PushError {
    /// The records were not shown yet.
    #[error("the outbox does not know its records: restore the node first")]
    NotRestored,
    /// The records are damaged, or of an outbox with more places.
    #[error("the outbox cannot use its records: see is_damaged")]
    Damaged,
    /// No room, and nothing may be pushed out for it.
    #[error("all {items} places or {bytes} bytes are taken: wait until messages are settled")]
    Full {
        /// How many messages it holds.
        items: usize,
        /// How many bytes of payload it holds.
        bytes: usize,
    },
    /// Too many fates were not read.
    #[error("{fates} fates were not read: call settled_after with the last cursor")]
    Unread {
        /// How many.
        fates: usize,
    },
    /// Messages wait to be put on record.
    #[error(
        "the memory is taken by messages that are not stored yet: drive the node, then push again"
    )]
    Busy,
    /// It can never be taken.
    #[error("the message has {bytes} bytes: at most {limit} fit, addresses and contexts included")]
    TooLarge {
        /// How long it is, in all its parts.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A correlation or a trace context of a length that is not allowed.
    #[error(
        "a correlation has up to {MAX_CORRELATION_BYTES} bytes, a trace context {TRACE_BYTES} or none"
    )]
    Context,
}

/// What a message belongs to; it travels in the envelope and survives a reboot.
///
/// ```
/// use iot_transport::outbox::Context;
/// let context = Context::NONE.correlated(b"request-9");
/// assert_eq!(context.correlation, b"request-9");
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Context<'a> {
    /// Such as the number of a request, up to 16 bytes; empty for nothing.
    pub correlation: &'a [u8],
    /// W3C trace context: trace id (16 bytes), parent id (8), flags (1); empty for none.
    pub trace: &'a [u8],
}

impl<'a> Context<'a> {
    /// It belongs to nothing.
    pub const NONE: Self = Self {
        correlation: &[],
        trace: &[],
    };

    /// Names what it belongs to.
    #[must_use]
    pub const fn correlated(mut self, correlation: &'a [u8]) -> Self {
        self.correlation = correlation;
        self
    }

    /// Adds a trace context.
    #[must_use]
    pub const fn traced(mut self, trace: &'a [u8]) -> Self {
        self.trace = trace;
        self
    }
}
