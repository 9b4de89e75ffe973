use core::fmt;

use minicbor::decode::{Decoder, Error};

use super::cbor::{self, Out, Written};

/// Why a command was never executed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Reason {
    /// The device knows no such command, or not with these arguments.
    #[error("no such command, or not with these arguments")]
    Invalid,
    /// The device knows the issuer, but it may not issue this command.
    #[error("the issuer may not issue this command")]
    Unauthorised,
    /// Another command was sent under the same identity: the issuer lost count and must open a new epoch.
    #[error("another command has this identity: open a new epoch")]
    Mismatch,
    /// Its sequence was settled before, or its epoch is over.
    #[error("the identity is too old to be executed")]
    TooOld,
}

impl Reason {
    const ALL: [Self; 4] = [
        Self::Invalid,
        Self::Unauthorised,
        Self::Mismatch,
        Self::TooOld,
    ];

    const fn code(self) -> u8 {
        match self {
            Self::Invalid => 0,
            Self::Unauthorised => 1,
            Self::Mismatch => 2,
            Self::TooOld => 3,
        }
    }
}

/// The result is longer than [`Output::MAX_BYTES`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error(
    "the result has {bytes} bytes, at most {} fit: report long results as telemetry",
    Output::MAX_BYTES
)]
#[non_exhaustive]
pub struct OutputTooLong {
    /// How long it is.
    pub bytes: usize,
}

/// The few bytes a command may return.
///
/// ```
/// use iot_core::command::Output;
/// assert_eq!(Output::new(b"21.5")?.as_bytes(), b"21.5");
/// assert!(Output::new(&[0; 33]).is_err());
/// # Ok::<(), iot_core::command::OutputTooLong>(())
/// ```
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Output {
    // Unused bytes stay zero, so that derived equality is that of the content.
    bytes: [u8; Self::MAX_BYTES],
    len: u8,
}

impl Output {
    /// The longest result in bytes.
    pub const MAX_BYTES: usize = 32;

    /// Nothing to say.
    pub const EMPTY: Self = Self {
        bytes: [0; Self::MAX_BYTES],
        len: 0,
    };

    /// Copies `bytes`.
    ///
    /// # Errors
    ///
    /// [`OutputTooLong`] above [`MAX_BYTES`](Self::MAX_BYTES).
    pub fn new(bytes: &[u8]) -> Result<Self, OutputTooLong> {
        let mut output = Self::EMPTY;
        let too_long = OutputTooLong { bytes: bytes.len() };
        let room = output.bytes.get_mut(..bytes.len()).ok_or(too_long)?;
        room.copy_from_slice(bytes);
        output.len = u8::try_from(bytes.len()).map_err(|_| too_long)?;
        Ok(output)
    }

    /// The result.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Output").field(&self.as_bytes()).finish()
    }
}

/// How a command ended; written once.
///
/// ```
/// use iot_core::command::Outcome;
/// fn turn(valve: Result<(), u16>) -> Outcome {
///     valve.into()
/// }
/// assert_eq!(turn(Ok(())), Outcome::DONE);
/// assert_eq!(turn(Err(7)), Outcome::Failed { code: 7 });
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Outcome {
    /// It was carried out; here is its result.
    Done(Output),
    /// It was tried and did not succeed; the device defines the codes.
    Failed {
        /// Why.
        code: u16,
    },
    /// Its time had run out before it was started; it was not executed.
    Expired,
    /// The power was cut while it ran and nobody can tell how far it came; it will not run again.
    InDoubt,
    /// It ended long ago, and how is no longer on record; it will not run again.
    Forgotten,
    /// It was not executed and never will be.
    Rejected {
        /// Why.
        reason: Reason,
    },
}

impl Outcome {
    /// Carried out, with nothing to say.
    pub const DONE: Self = Self::Done(Output::EMPTY);

    /// Carried out, with a result.
    ///
    /// # Errors
    ///
    /// [`OutputTooLong`] above [`Output::MAX_BYTES`].
    pub fn done_with(result: &[u8]) -> Result<Self, OutputTooLong> {
        Output::new(result).map(Self::Done)
    }

    /// Whether it is certain that the effect took place.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }

    pub(super) fn encode(&self, out: &mut Out<'_>) -> Written {
        match self {
            Self::Done(output) => out.array(2)?.u8(0)?.bytes(output.as_bytes())?,
            Self::Failed { code } => out.array(2)?.u8(1)?.u16(*code)?,
            Self::Expired => out.array(1)?.u8(2)?,
            Self::InDoubt => out.array(1)?.u8(3)?,
            Self::Forgotten => out.array(1)?.u8(4)?,
            Self::Rejected { reason } => out.array(2)?.u8(5)?.u8(reason.code())?,
        };
        Ok(())
    }

    /// Reads what stands after the array's head and the code.
    pub(super) fn decode(items: u64, code: u8, decoder: &mut Decoder<'_>) -> Result<Self, Error> {
        Ok(match (code, items) {
            (0, 2) => Self::Done(
                Output::new(decoder.bytes()?).map_err(|_| Error::message("a result too long"))?,
            ),
            (1, 2) => Self::Failed {
                code: decoder.u16()?,
            },
            (2, 1) => Self::Expired,
            (3, 1) => Self::InDoubt,
            (4, 1) => Self::Forgotten,
            (5, 2) => {
                let code = decoder.u8()?;
                let reason = Reason::ALL.into_iter().find(|reason| reason.code() == code);
                let reason = reason.ok_or_else(|| Error::message("an unknown reason"))?;
                Self::Rejected { reason }
            }
            _ => return Err(Error::message("an unknown outcome")),
        })
    }

    pub(super) fn decode_whole(decoder: &mut Decoder<'_>) -> Result<Self, Error> {
        let items = cbor::array(decoder)?;
        let code = decoder.u8()?;
        Self::decode(items, code, decoder)
    }
}

impl From<Result<(), u16>> for Outcome {
    fn from(result: Result<(), u16>) -> Self {
        result.map_or_else(|code| Self::Failed { code }, |()| Self::DONE)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(_) => f.write_str("done"),
            Self::Failed { code } => write!(f, "failed with code {code}"),
            Self::Expired => f.write_str("expired before it was started"),
            Self::InDoubt => f.write_str("in doubt: it may have run, and will not run again"),
            Self::Forgotten => f.write_str("ended long ago, no longer on record"),
            Self::Rejected { reason } => write!(f, "rejected: {reason}"),
        }
    }
}
