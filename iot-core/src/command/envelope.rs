use super::cbor::{Reader, Writer};
use super::outcome::Outcome;
use super::state::State;
use crate::id::{CommandId, IssuerId};
use crate::time::Timestamp;

/// The longest message of this format in bytes; longer ones are not looked at.
pub const MAX_MESSAGE_BYTES: usize = 512;

/// The longest encoded command in bytes, its name included.
pub const MAX_COMMAND_BYTES: usize = MAX_MESSAGE_BYTES - 56;

const VERSION: u8 = 1;
const REQUEST: u32 = 0;
const RESPONSE: u32 = 1;
const CANCEL: u32 = 2;
const REQUEST_ITEMS: u8 = 9;
const RESPONSE_ITEMS: u8 = 8;

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

/// A command on its way to a device, or the wish to take one back.
///
/// One message may carry several, each after the other; each is answered by itself.
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
    /// It is to be taken back: not started if it was not, and told to stop if it was.
    pub cancels: bool,
    /// The issuer will never send or ask for anything below; at most the sequence itself. The device keeps
    /// every result from here on, and is `Busy` before it drops one; with 0 it drops the oldest.
    pub settled_below: u32,
    /// Before this moment it must not be started.
    pub not_before: Option<Timestamp>,
    /// From this moment on it must not be started.
    pub expires: Option<Timestamp>,
    /// Its encoded name and arguments.
    pub command: &'b [u8],
}

impl<'b> Request<'b> {
    /// A request that may start at once, does not expire and settles nothing.
    #[must_use]
    pub const fn new(id: CommandId, command: &'b [u8]) -> Self {
        Self {
            id,
            cancels: false,
            settled_below: 0,
            not_before: None,
            expires: None,
            command,
        }
    }

    /// The wish to take the command back. Everything else is to be as it was when the command was sent.
    #[must_use]
    pub const fn cancel(mut self) -> Self {
        self.cancels = true;
        self
    }

    /// States what the issuer is done with; cut to the request's own sequence.
    #[must_use]
    pub fn settled_below(mut self, sequence: u32) -> Self {
        self.settled_below = sequence.min(self.id.sequence);
        self
    }

    /// Forbids starting it before `moment`.
    #[must_use]
    pub const fn not_before(mut self, moment: Option<Timestamp>) -> Self {
        self.not_before = moment;
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
        let room = buffer.len().min(MAX_MESSAGE_BYTES);
        let mut out = Writer::new(buffer.get_mut(..room)?);
        let kind = if self.cancels { CANCEL } else { REQUEST };
        head(&mut out, REQUEST_ITEMS, kind, &self.id);
        out.uint(self.settled_below.into());
        out.moment(self.not_before);
        out.moment(self.expires);
        out.bytes(self.command);
        out.finish()
    }

    /// Reads a message that carries exactly one request; the command inside is decoded by whoever knows its
    /// type.
    ///
    /// # Errors
    ///
    /// [`WireError`] with what is wrong.
    pub fn decode(bytes: &'b [u8]) -> Result<Self, WireError> {
        match Self::decode_first(bytes)? {
            (request, []) => Ok(request),
            _ => Err(WireError::Malformed),
        }
    }

    /// Reads the first request of a message, and what follows it.
    ///
    /// # Errors
    ///
    /// [`WireError`] with what is wrong.
    pub fn decode_first(bytes: &'b [u8]) -> Result<(Self, &'b [u8]), WireError> {
        check(bytes)?;
        let mut reader = Reader::new(bytes);
        let request = Self::read(&mut reader);
        let rest = reader.rest().ok_or(WireError::Malformed)?;
        Ok((request, rest))
    }

    fn read(reader: &mut Reader<'b>) -> Self {
        let mut head = Head::EMPTY;
        let body = head.read(reader);
        let moment = |moment| Some(moment).filter(|&moment| moment != Timestamp::EPOCH);
        Self {
            id: head.id,
            cancels: body.cancels,
            settled_below: body.settled_below,
            not_before: moment(head.not_before),
            expires: moment(head.expires),
            command: body.command,
        }
    }
}

/// What a device keeps of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Head {
    pub(super) id: CommandId,
    /// 1970 for at once.
    pub(super) not_before: Timestamp,
    /// 1970 for never.
    pub(super) expires: Timestamp,
}

/// The rest of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body<'b> {
    pub(super) cancels: bool,
    pub(super) settled_below: u32,
    pub(super) command: &'b [u8],
}

impl Head {
    pub(super) const EMPTY: Self = Self {
        id: CommandId::new(IssuerId::new(0), 0, 0),
        not_before: Timestamp::EPOCH,
        expires: Timestamp::EPOCH,
    };

    /// Reads a request: for a chip, straight into the place where it is kept.
    pub(super) fn read<'b>(&mut self, reader: &mut Reader<'b>) -> Body<'b> {
        reader.array(REQUEST_ITEMS, VERSION);
        let kind = reader.u32();
        reader.id(&mut self.id);
        let settled_below = reader.u32();
        self.not_before = reader.timestamp();
        self.expires = reader.timestamp();
        let command = reader.bytes();
        reader.require(
            (kind == REQUEST || kind == CANCEL)
                && is_sequence(self.id.sequence)
                && settled_below <= self.id.sequence
                && !command.is_empty(),
        );
        Body {
            cancels: kind == CANCEL,
            settled_below,
            command,
        }
    }
}

/// What a device answers to a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Answer {
    /// It has ended so; this is the last word.
    Ended(Outcome),
    /// It waits or runs: ask again later.
    InProgress,
    /// It runs and has come so far; the device defines the scale. 0 is read as `InProgress`.
    Progress {
        /// How far.
        number: u32,
    },
    /// No room for another command, or for its record: send it again later.
    Busy,
    /// It expires, and the device cannot prove what time it is: send it again later.
    ClockUnknown,
    /// The device knows no such issuer and so keeps nothing of it: send it again later, when it may have
    /// been allowed.
    UnknownIssuer,
    /// It was to be taken back and runs already: its handler knows, and its end follows.
    TooLate,
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
        write_response(&self.id, &State::from_answer(&self.answer), buffer)
    }

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// [`WireError`] with what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        check(bytes)?;
        let mut reader = Reader::new(bytes);
        reader.array(RESPONSE_ITEMS, VERSION);
        let (kind, mut id) = (reader.u32(), Head::EMPTY.id);
        reader.id(&mut id);
        let state = State::read(&mut reader);
        reader.require(kind == RESPONSE && state.is_plain());
        match reader.rest() {
            Some([]) => Ok(Self::new(id, state.answer())),
            _ => Err(WireError::Malformed),
        }
    }
}

pub(super) fn write_response(
    id: &CommandId,
    state: &State<'_>,
    buffer: &mut [u8],
) -> Option<usize> {
    let mut out = Writer::new(buffer);
    head(&mut out, RESPONSE_ITEMS, RESPONSE, id);
    state.write(&mut out);
    out.finish()
}

fn head(out: &mut Writer<'_>, items: u8, kind: u32, id: &CommandId) {
    out.array(items, VERSION);
    out.uint(kind.into());
    out.id(id);
}

/// Neither end of the numbers is a command's: 0 lies below every floor, and nothing above the last.
pub(super) const fn is_sequence(number: u32) -> bool {
    number.wrapping_sub(1) < u32::MAX - 1
}

/// What can be said about a message that is not looked into.
fn check(bytes: &[u8]) -> Result<(), WireError> {
    match *bytes {
        _ if bytes.len() > MAX_MESSAGE_BYTES => Err(WireError::TooLong { bytes: bytes.len() }),
        [_, found @ 0..=23, ..] if found != VERSION => Err(WireError::Version { found }),
        _ => Ok(()),
    }
}
