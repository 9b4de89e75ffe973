//! The format of a tape: what a transport was asked, and what it answered, in that order.
//!
//! A tape is a sequence of small CBOR items; `tape.cddl` beside this file describes them. Each begins with the
//! version of the format, so that a tape can be cut anywhere between two items and stays a tape.

use alloc::vec::Vec;
use core::time::Duration;

use iot_core::codec::{self, CodecError, Writer, check_prefix, encode_into};
use iot_core::port::{Limits, TransportErrorKind};
use iot_core::{Channel, Fate, Message, Peer, Priority, Qos, Ticket};
use minicbor::Decoder;

use crate::hand;

/// The version of the format.
const VERSION: u8 = 1;
/// The longest payload that a tape can hold, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 16 << 20;
/// Room for everything of an entry but its payload and its names.
const HEAD_BYTES: usize = 96;
const NAME_BYTES: usize = 1_024;

const PRIORITIES: [Priority; 4] = [
    Priority::Low,
    Priority::Normal,
    Priority::High,
    Priority::Critical,
];
const QOS: [Qos; 2] = [Qos::AtMostOnce, Qos::AtLeastOnce];
const FATES: [Fate; 4] = [Fate::Delivered, Fate::Expired, Fate::Evicted, Fate::Refused];
const REASONS: [TransportErrorKind; 6] = [
    TransportErrorKind::Busy,
    TransportErrorKind::TooLarge,
    TransportErrorKind::Refused,
    TransportErrorKind::Buffer,
    TransportErrorKind::Closed,
    TransportErrorKind::Other,
];

/// Why bytes are no tape.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TapeError {
    /// An entry is malformed, too long or cut.
    #[error("the entry at byte {at} is malformed: {error}")]
    Malformed {
        /// Where it begins.
        at: usize,
        /// What is wrong with it.
        error: CodecError,
    },
    /// An entry is well-formed and none that this version knows.
    #[error("the entry at byte {at} is none of version {VERSION}")]
    Unknown {
        /// Where it begins.
        at: usize,
    },
    /// The tape does not begin with the limits of its transport.
    #[error("the tape has no beginning")]
    Headless,
}

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Entry<'a> {
    /// The tape begins: what the transport could carry.
    Opened(Limits),
    /// A message was accepted.
    Submitted(Message<'a>, Ticket),
    /// A message was refused.
    TurnedAway(Message<'a>, TransportErrorKind),
    /// A channel was asked for.
    Subscribed(Channel),
    /// A channel was asked for, and refused.
    NotSubscribed(Channel, TransportErrorKind),
    /// `next` returned a message.
    Received(Message<'a>),
    /// `next` returned a fate.
    Settled(Ticket, Fate),
    /// `next` said that the link is up, and whether the session was kept.
    Connected(bool),
    /// `next` said that the link is down.
    Disconnected,
    /// `next` returned an error.
    Failed(TransportErrorKind),
}

fn code<T: PartialEq>(all: &[T], one: &T) -> Option<u8> {
    let at = all.iter().position(|known| known == one)?;
    u8::try_from(at).ok()
}

fn decode<T: Copy>(all: &[T], decoder: &mut Decoder<'_>) -> Option<T> {
    all.get(usize::from(decoder.u8().ok()?)).copied()
}

type Written = Result<(), minicbor::encode::Error<minicbor::encode::write::EndOfSlice>>;

/// A message with its numbers, before it is written.
struct Coded<'a>(u8, u8, u8, Message<'a>);

impl<'a> Coded<'a> {
    fn of(message: Message<'a>) -> Option<Self> {
        Some(Self(
            code(&Channel::ALL, &message.channel)?,
            code(&PRIORITIES, &message.priority)?,
            code(&QOS, &message.qos)?,
            message,
        ))
    }

    fn write(&self, writer: &mut Writer<'_>) -> Written {
        let Self(channel, priority, qos, message) = self;
        writer.array(6)?.u8(*channel)?.u8(*priority)?.u8(*qos)?;
        match message.expires_in {
            Some(span) => writer.u64(milliseconds(span))?,
            None => writer.null()?,
        };
        match message.peer {
            Some(peer) => writer.array(2)?.str(peer.tenant())?.str(peer.device())?,
            None => writer.null()?,
        };
        writer.bytes(message.payload)?;
        Ok(())
    }
}

/// Rounded up: a message that expires must not be taken for one without time.
fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// The message as a tape keeps it.
pub(super) fn rounded<'a>(message: &Message<'a>) -> Message<'a> {
    let mut message = *message;
    let whole = |span| Duration::from_millis(milliseconds(span));
    message.expires_in = message.expires_in.map(whole);
    message
}

impl<'a> Entry<'a> {
    /// Writes the entry to the end of `tape`; false when it cannot be written, and nothing was.
    ///
    /// That is the case for a payload of more than [`MAX_PAYLOAD_BYTES`], and for what a later version of the
    /// core may add.
    #[must_use]
    pub fn write(&self, tape: &mut Vec<u8>) -> bool {
        let before = tape.len();
        let content = match self {
            Self::Submitted(message, _)
            | Self::TurnedAway(message, _)
            | Self::Received(message) => {
                if message.payload.len() > MAX_PAYLOAD_BYTES {
                    return false;
                }
                hand::needed(message)
            }
            _ => 0,
        };
        tape.resize(before + content + HEAD_BYTES, 0);
        let room = tape.get_mut(before..).unwrap_or_default();
        let written = self.encode(room).unwrap_or_default();
        tape.truncate(before + written);
        written > 0
    }

    /// How many bytes were written.
    fn encode(&self, room: &mut [u8]) -> Option<usize> {
        let reason = |kind| code(&REASONS, kind);
        let channel = |channel| code(&Channel::ALL, channel);
        let start = |writer: &mut Writer<'_>, fields, kind: u8| -> Written {
            writer.array(fields)?.u8(VERSION)?.u8(kind)?;
            Ok(())
        };
        let written = match self {
            Self::Opened(limits) => encode_into(room, |writer| {
                start(writer, 4, 0)?;
                writer
                    .u64(limits.payload_bytes as u64)?
                    .u64(limits.in_flight as u64)?;
                Ok(())
            }),
            Self::Submitted(message, ticket) => {
                let message = Coded::of(*message)?;
                encode_into(room, |writer| {
                    start(writer, 4, 1)?;
                    message.write(writer)?;
                    writer.u64(ticket.get())?.ok()
                })
            }
            Self::TurnedAway(message, kind) => {
                let (message, kind) = (Coded::of(*message)?, reason(kind)?);
                encode_into(room, |writer| {
                    start(writer, 4, 2)?;
                    message.write(writer)?;
                    writer.u8(kind)?.ok()
                })
            }
            Self::Subscribed(which) => {
                let which = channel(which)?;
                encode_into(room, |writer| {
                    start(writer, 3, 3)?;
                    writer.u8(which)?.ok()
                })
            }
            Self::NotSubscribed(which, kind) => {
                let (which, kind) = (channel(which)?, reason(kind)?);
                encode_into(room, |writer| {
                    start(writer, 4, 4)?;
                    writer.u8(which)?.u8(kind)?.ok()
                })
            }
            Self::Received(message) => {
                let message = Coded::of(*message)?;
                encode_into(room, |writer| {
                    start(writer, 3, 5)?;
                    message.write(writer)
                })
            }
            Self::Settled(ticket, fate) => {
                let fate = code(&FATES, fate)?;
                encode_into(room, |writer| {
                    start(writer, 4, 6)?;
                    writer.u64(ticket.get())?.u8(fate)?.ok()
                })
            }
            Self::Connected(resumed) => encode_into(room, |writer| {
                start(writer, 3, 7)?;
                writer.bool(*resumed)?.ok()
            }),
            Self::Disconnected => encode_into(room, |writer| start(writer, 2, 8)),
            Self::Failed(kind) => {
                let kind = reason(kind)?;
                encode_into(room, |writer| {
                    start(writer, 3, 9)?;
                    writer.u8(kind)?.ok()
                })
            }
        };
        written.ok().map(<[u8]>::len)
    }

    /// Reads the entry that begins at byte `at` of `tape`, and tells where the next one begins.
    ///
    /// # Errors
    ///
    /// [`TapeError::Malformed`] and [`TapeError::Unknown`].
    pub fn read(tape: &'a [u8], at: usize) -> Result<(Self, usize), TapeError> {
        let most = MAX_PAYLOAD_BYTES + HEAD_BYTES + NAME_BYTES;
        let rest = tape.get(at..).unwrap_or_default();
        let rest = rest.get(..most).unwrap_or(rest);
        let limits = codec::Limits::new(most, 3, 16);
        let malformed = |error| TapeError::Malformed { at, error };
        let len = check_prefix(rest, limits).map_err(malformed)?;
        let unknown = TapeError::Unknown { at };
        let item = rest.get(..len).ok_or(unknown)?;
        let entry = Self::decode(item).ok_or(unknown)?;
        Ok((entry, at + len))
    }

    fn decode(item: &'a [u8]) -> Option<Self> {
        let mut decoder = Decoder::new(item);
        let decoder = &mut decoder;
        let fields = decoder.array().ok()??;
        if decoder.u8().ok()? != VERSION {
            return None;
        }
        let usize = |decoder: &mut Decoder<'_>| usize::try_from(decoder.u64().ok()?).ok();
        let ticket = |decoder: &mut Decoder<'_>| decoder.u64().ok().map(Ticket::new);
        let entry = match (decoder.u8().ok()?, fields) {
            (0, 4) => Self::Opened(Limits::new(usize(decoder)?, usize(decoder)?)),
            (1, 4) => Self::Submitted(message(decoder)?, ticket(decoder)?),
            (2, 4) => Self::TurnedAway(message(decoder)?, decode(&REASONS, decoder)?),
            (3, 3) => Self::Subscribed(decode(&Channel::ALL, decoder)?),
            (4, 4) => {
                Self::NotSubscribed(decode(&Channel::ALL, decoder)?, decode(&REASONS, decoder)?)
            }
            (5, 3) => Self::Received(message(decoder)?),
            (6, 4) => Self::Settled(ticket(decoder)?, decode(&FATES, decoder)?),
            (7, 3) => Self::Connected(decoder.bool().ok()?),
            (8, 2) => Self::Disconnected,
            (9, 3) => Self::Failed(decode(&REASONS, decoder)?),
            _ => return None,
        };
        (decoder.position() == item.len()).then_some(entry)
    }
}

fn message<'a>(decoder: &mut Decoder<'a>) -> Option<Message<'a>> {
    use minicbor::data::Type::Null;

    if decoder.array().ok()?? != 6 {
        return None;
    }
    let channel = decode(&Channel::ALL, decoder)?;
    let priority = decode(&PRIORITIES, decoder)?;
    let qos = decode(&QOS, decoder)?;
    let expires_in = match decoder.datatype().ok()? {
        Null => decoder.null().ok().map(|()| None)?,
        _ => Some(Duration::from_millis(decoder.u64().ok()?)),
    };
    let peer = match decoder.datatype().ok()? {
        Null => decoder.null().ok().map(|()| None)?,
        _ if decoder.array().ok()?? != 2 => return None,
        _ => Some(Peer::parse(decoder.str().ok()?, decoder.str().ok()?).ok()?),
    };
    let payload = decoder.bytes().ok()?;
    if payload.len() > MAX_PAYLOAD_BYTES {
        return None;
    }
    let mut message = Message::new(channel, payload)
        .with_priority(priority)
        .with_qos(qos);
    message.expires_in = expires_in;
    message.peer = peer;
    Some(message)
}
