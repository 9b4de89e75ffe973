use minicbor::decode::{Decoder, Error};

use super::cbor::{self, Out};
use super::outcome::Outcome;
use crate::codec;
use crate::id::{CommandId, IssuerId};
use crate::time::Timestamp;

/// The longest message of this format in bytes; longer ones are not looked at.
pub const MAX_MESSAGE_BYTES: usize = 512;

/// The longest encoded command in bytes, its name included.
pub const MAX_COMMAND_BYTES: usize = MAX_MESSAGE_BYTES - 48;

const LIMITS: codec::Limits = codec::Limits::new(MAX_MESSAGE_BYTES, 8, MAX_MESSAGE_BYTES);
const VERSION: u8 = 1;
const REQUEST: u8 = 0;
const RESPONSE: u8 = 1;

/// Why bytes are no message of this format.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum WireError {
    /// Longer than [`MAX_MESSAGE_BYTES`].
    #[error("the message has {bytes} bytes: at most {MAX_MESSAGE_BYTES} are allowed")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// A version this code does not know.
    #[error("the message has version {found}, this code knows {VERSION}: update it")]
    Version {
        /// Which.
        found: u8,
    },
    /// Not what `command.cddl` describes.
    #[error("the message is not what command.cddl describes")]
    Malformed,
}

impl From<Error> for WireError {
    fn from(_: Error) -> Self {
        Self::Malformed
    }
}

/// 64 bits of a command's name and arguments, to notice that two commands share one identity.
///
/// It guards against an issuer that lost count, say one restored from a backup that kept its epoch: the
/// second command is refused instead of being taken for a repetition of the first. It does not guard
/// against an attacker, who must be kept off by the channel's authentication, and it is only compared while
/// the device still holds the first command's record.
///
/// ```
/// use iot_core::command::Fingerprint;
/// assert_ne!(Fingerprint::of(b"open"), Fingerprint::of(b"shut"));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Hashes an encoded command (FNV-1a, 64 bits).
    #[must_use]
    pub fn of(command: &[u8]) -> Self {
        Self(command.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    pub(super) const fn new(bits: u64) -> Self {
        Self(bits)
    }

    pub(super) const fn get(self) -> u64 {
        self.0
    }
}

/// A command on its way to a device.
///
/// ```
/// use iot_core::command::Request;
/// use iot_core::{CommandId, IssuerId};
///
/// let id = CommandId::new(IssuerId::new(1), 2, 40);
/// let request = Request::new(id, &[0x81, 0x61, b'A']).settled_below(38);
/// let mut buffer = [0; 64];
/// let len = request.encode(&mut buffer).unwrap();
/// assert_eq!(Request::decode(&buffer[..len]), Ok(request));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Request<'b> {
    /// Which command it is.
    pub id: CommandId,
    /// The issuer will never send or ask for anything below; at most the sequence itself. The device keeps
    /// every result from here on, and is `Busy` before it drops one; with 0 it drops the oldest.
    pub settled_below: u64,
    /// From this moment on it must not be started.
    pub expires: Option<Timestamp>,
    /// Its encoded name and arguments.
    pub command: &'b [u8],
}

impl<'b> Request<'b> {
    /// A request that does not expire and settles nothing.
    #[must_use]
    pub const fn new(id: CommandId, command: &'b [u8]) -> Self {
        Self {
            id,
            settled_below: 0,
            expires: None,
            command,
        }
    }

    /// States what the issuer is done with; cut to the request's own sequence.
    #[must_use]
    pub fn settled_below(mut self, sequence: u64) -> Self {
        self.settled_below = sequence.min(self.id.sequence);
        self
    }

    /// Forbids starting it at `moment` or later.
    #[must_use]
    pub const fn expires_at(mut self, moment: Option<Timestamp>) -> Self {
        self.expires = moment;
        self
    }

    /// Writes the message; `None` when it does not fit into `buffer` or [`MAX_MESSAGE_BYTES`].
    pub fn encode(&self, buffer: &mut [u8]) -> Option<usize> {
        let head = self.encode_head(buffer)?;
        let end = head.checked_add(self.command.len())?;
        buffer.get_mut(head..end)?.copy_from_slice(self.command);
        (end <= MAX_MESSAGE_BYTES).then_some(end)
    }

    /// Writes everything before the command, which is the last item and so may be encoded in place.
    pub(super) fn encode_head(&self, buffer: &mut [u8]) -> Option<usize> {
        cbor::fill(buffer, |out| {
            head(out, 8, REQUEST, self.id)?.u64(self.settled_below)?;
            match self.expires {
                Some(moment) => out.u64(moment.as_millis())?,
                None => out.null()?,
            };
            Ok(())
        })
    }

    /// Reads a message; the command inside is decoded by whoever knows its type.
    ///
    /// # Errors
    ///
    /// [`WireError`] with what is wrong.
    pub fn decode(bytes: &'b [u8]) -> Result<Self, WireError> {
        let (mut decoder, items, id) = open(bytes, REQUEST)?;
        let settled_below = decoder.u64()?;
        let expires = cbor::optional_u64(&mut decoder)?.map(Timestamp::from_millis);
        let command = cbor::rest(&decoder);
        if items != 8 || command.is_empty() || settled_below > id.sequence {
            return Err(WireError::Malformed);
        }
        Ok(Self {
            id,
            settled_below,
            expires,
            command,
        })
    }
}

/// What a device answers to a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Answer {
    /// It has ended so; this is the last word.
    Ended(Outcome),
    /// It runs: ask again later.
    InProgress,
    /// No room for another command, or for its record: send it again later.
    Busy,
    /// It expires, and the device cannot prove what time it is: send it again later.
    ClockUnknown,
    /// The device knows no such issuer and so keeps nothing of it: send it again later, when it may have
    /// been allowed.
    UnknownIssuer,
}

/// An answer on its way to the issuer.
///
/// ```
/// use iot_core::command::{Answer, Outcome, Response};
/// use iot_core::{CommandId, IssuerId};
///
/// let id = CommandId::new(IssuerId::new(1), 2, 40);
/// let response = Response::new(id, Answer::Ended(Outcome::DONE));
/// let mut buffer = [0; 64];
/// let len = response.encode(&mut buffer).unwrap();
/// assert_eq!(Response::decode(&buffer[..len]), Ok(response));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Response {
    /// To which command.
    pub id: CommandId,
    /// The answer.
    pub answer: Answer,
}

impl Response {
    /// Puts a response together.
    #[must_use]
    pub const fn new(id: CommandId, answer: Answer) -> Self {
        Self { id, answer }
    }

    /// Writes the message; `None` when it does not fit into `buffer`.
    pub fn encode(&self, buffer: &mut [u8]) -> Option<usize> {
        cbor::fill(buffer, |out| {
            head(out, 6, RESPONSE, self.id)?;
            match self.answer {
                Answer::Ended(outcome) => outcome.encode(out)?,
                Answer::InProgress => drop(out.array(1)?.u8(16)?),
                Answer::Busy => drop(out.array(1)?.u8(17)?),
                Answer::ClockUnknown => drop(out.array(1)?.u8(18)?),
                Answer::UnknownIssuer => drop(out.array(1)?.u8(19)?),
            }
            Ok(())
        })
    }

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// [`WireError`] with what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let (mut decoder, items, id) = open(bytes, RESPONSE)?;
        let inner = cbor::array(&mut decoder)?;
        let answer = match (decoder.u8()?, inner) {
            (16, 1) => Answer::InProgress,
            (17, 1) => Answer::Busy,
            (18, 1) => Answer::ClockUnknown,
            (19, 1) => Answer::UnknownIssuer,
            (code, inner) => Answer::Ended(Outcome::decode(inner, code, &mut decoder)?),
        };
        if items != 6 || !cbor::rest(&decoder).is_empty() {
            return Err(WireError::Malformed);
        }
        Ok(Self { id, answer })
    }
}

fn head<'o, 'b>(
    out: &'o mut Out<'b>,
    items: u64,
    kind: u8,
    id: CommandId,
) -> Result<&'o mut Out<'b>, minicbor::encode::Error<minicbor::encode::write::EndOfSlice>> {
    out.array(items)?
        .u8(VERSION)?
        .u8(kind)?
        .u32(id.issuer.get())?
        .u32(id.epoch)?
        .u64(id.sequence)
}

fn open(bytes: &[u8], kind: u8) -> Result<(Decoder<'_>, u64, CommandId), WireError> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(WireError::TooLong { bytes: bytes.len() });
    }
    codec::check(bytes, LIMITS).map_err(|_| WireError::Malformed)?;
    let mut decoder = Decoder::new(bytes);
    let items = cbor::array(&mut decoder)?;
    let found = decoder.u8()?;
    if found != VERSION {
        return Err(WireError::Version { found });
    }
    if decoder.u8()? != kind {
        return Err(WireError::Malformed);
    }
    let issuer = IssuerId::new(decoder.u32()?);
    let id = CommandId::new(issuer, decoder.u32()?, decoder.u64()?);
    Ok((decoder, items, id))
}
