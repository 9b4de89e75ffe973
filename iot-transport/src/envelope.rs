//! The envelope around a payload: sequence, life, correlation and trace.
//!
//! Brokers and their gateways often speak MQTT 3.1.1, which has no place for any of this, so it travels inside. The
//! [`Outbox`](crate::outbox::Outbox) writes it, [`GapTracker`](crate::gaps::GapTracker) reads its numbers. The format
//! is in `envelope.cddl` beside this file.

use core::time::Duration;

use iot_core::Priority;
use iot_core::codec::{EncodeError, FlatReader, FlatWriter};

const VERSION: u8 = 1;
const FIELDS: u8 = 9;
/// The longest correlation in bytes.
pub const MAX_CORRELATION_BYTES: usize = 16;
/// The length of a trace context in bytes.
pub const TRACE_BYTES: usize = 25;
/// How many bytes an envelope needs beyond its payload, at most.
pub const OVERHEAD_BYTES: usize =
    2 + 5 + 9 + 9 + 1 + 9 + 1 + MAX_CORRELATION_BYTES + 2 + TRACE_BYTES + 5;

/// The bytes are no envelope.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("the message is not an envelope of version {VERSION}: see envelope.cddl")]
#[non_exhaustive]
pub struct NotAnEnvelope;

/// Where a message stands in its stream.
///
/// ```
/// use iot_transport::envelope::Position;
/// let position = Position::new(7, 41, 40);
/// assert_eq!((position.stream, position.sequence, position.floor), (7, 41, 40));
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Position {
    /// One for each life of a sender: with another one all numbers begin again.
    pub stream: u32,
    /// The number of the message, from 1; the same when it is sent again.
    pub sequence: u64,
    /// What lies below is settled and is never sent again; at most the sequence.
    pub floor: u64,
}

impl Position {
    /// Puts a position together; a floor above the sequence counts as the sequence.
    #[must_use]
    pub const fn new(stream: u32, sequence: u64, floor: u64) -> Self {
        let floor = if floor > sequence { sequence } else { floor };
        Self {
            stream,
            sequence,
            floor,
        }
    }
}

/// A payload with everything that travels around it, borrowed.
///
/// ```
/// use iot_core::Priority;
/// use iot_transport::envelope::{Envelope, Position};
///
/// let envelope = Envelope::new(Position::new(7, 41, 40), b"21.5")
///     .with_priority(Priority::High)
///     .with_correlation(b"request-9");
/// let mut buffer = [0; 64];
/// let bytes = envelope.encode(&mut buffer)?;
/// assert_eq!(Envelope::decode(bytes)?, envelope);
/// assert!(Envelope::decode(b"21.5").is_err());
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Envelope<'a> {
    /// Where it stands in its stream.
    pub position: Position,
    /// Its priority.
    pub priority: Priority,
    /// How long it is worth something, counted from here, in whole seconds; `None` for ever.
    pub life: Option<Duration>,
    /// What it belongs to, such as a request; empty for nothing.
    pub correlation: &'a [u8],
    /// W3C trace context: trace id (16 bytes), parent id (8), flags (1); empty for none.
    pub trace: &'a [u8],
    /// The content.
    pub payload: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// An envelope of normal priority that does not expire and belongs to nothing.
    #[must_use]
    pub const fn new(position: Position, payload: &'a [u8]) -> Self {
        Self {
            position,
            priority: Priority::Normal,
            life: None,
            correlation: &[],
            trace: &[],
            payload,
        }
    }

    /// Sets the priority.
    #[must_use]
    pub const fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Sets how long it is worth something; cut to whole seconds, at least one.
    #[must_use]
    pub fn with_life(mut self, life: Option<Duration>) -> Self {
        self.life = life.map(|life| Duration::from_secs(life.as_secs().max(1)));
        self
    }

    /// Sets what it belongs to; at most [`MAX_CORRELATION_BYTES`].
    #[must_use]
    pub const fn with_correlation(mut self, correlation: &'a [u8]) -> Self {
        self.correlation = correlation;
        self
    }

    /// Sets the trace context: [`TRACE_BYTES`], or none.
    #[must_use]
    pub const fn with_trace(mut self, trace: &'a [u8]) -> Self {
        self.trace = trace;
        self
    }

    /// Reads an envelope where it stands.
    ///
    /// # Errors
    ///
    /// [`NotAnEnvelope`] for anything that [`encode`](Self::encode) does not write.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, NotAnEnvelope> {
        let mut from = FlatReader::new(bytes);
        from.array(FIELDS, VERSION);
        let position = Position {
            stream: from.u32(),
            sequence: from.uint(),
            floor: from.uint(),
        };
        let priority = u8::try_from(from.uint()).ok().and_then(priority_of);
        let life = Some(from.uint()).filter(|&life| life > 0);
        let envelope = Self {
            position,
            priority: priority.ok_or(NotAnEnvelope)?,
            life: life.map(Duration::from_secs),
            correlation: from.bytes(),
            trace: from.bytes(),
            payload: from.bytes(),
        };
        let is_one = from.is_empty() && envelope.is_valid();
        is_one.then_some(envelope).ok_or(NotAnEnvelope)
    }

    fn is_valid(&self) -> bool {
        (1..=self.position.sequence).contains(&self.position.floor)
            && self.correlation.len() <= MAX_CORRELATION_BYTES
            && (self.trace.is_empty() || self.trace.len() == TRACE_BYTES)
    }

    /// Writes the envelope to the front of `buffer`.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when `buffer` is too small (the payload and [`OVERHEAD_BYTES`] are always enough), or when a
    /// part does not have the length that it must have.
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], EncodeError> {
        let bytes = buffer.len();
        let mut to = FlatWriter::new(buffer);
        to.array(FIELDS, VERSION);
        to.uint(self.position.stream.into());
        to.uint(self.position.sequence);
        to.uint(self.position.floor);
        to.uint(priority_code(self.priority).into());
        to.uint(self.life.map_or(0, |life| life.as_secs()));
        for part in [self.correlation, self.trace, self.payload] {
            to.bytes(part);
        }
        let used = to.finish().filter(|_| self.is_valid());
        let written = used.and_then(|used| buffer.get(..used));
        written.ok_or(EncodeError::new(bytes))
    }
}

/// The number of a priority in formats; what is not known is normal.
pub(crate) const fn priority_code(priority: Priority) -> u8 {
    match priority {
        Priority::Low => 0,
        Priority::High => 2,
        Priority::Critical => 3,
        _ => 1,
    }
}

pub(crate) const fn priority_of(code: u8) -> Option<Priority> {
    Some(match code {
        0 => Priority::Low,
        1 => Priority::Normal,
        2 => Priority::High,
        3 => Priority::Critical,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
