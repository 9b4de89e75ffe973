use core::fmt;

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
    /// Its sequence was settled before, or its epoch is over: it will not be executed any more.
    #[error("the identity is too old to be executed any more")]
    TooOld,
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
        if output.set(bytes) {
            Ok(output)
        } else {
            Err(OutputTooLong { bytes: bytes.len() })
        }
    }

    /// Fills an empty one, unless that is too long.
    pub(super) fn set(&mut self, bytes: &[u8]) -> bool {
        let len = u8::try_from(bytes.len());
        let (Some(room), Ok(len)) = (self.bytes.get_mut(..bytes.len()), len) else {
            return false;
        };
        room.copy_from_slice(bytes);
        self.len = len;
        true
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
    /// It was tried and did not succeed; the device defines the codes, but for that of
    /// [`NO_ROOM`](Self::NO_ROOM).
    Failed {
        /// Why.
        code: u16,
    },
    /// Its time had run out before it was started; it was not executed. An idempotent one may have run all the same,
    /// before a power cut that left nothing of its start on record.
    Expired,
    /// The power was cut while it ran and nobody can tell how far it came; it will not run again.
    InDoubt,
    /// It ended long ago, and how is no longer on record; it will not run again.
    Forgotten,
    /// Its issuer took it back before it was started; it was not executed and never will be. An idempotent one may
    /// have run all the same, before a power cut that left nothing of its start on record.
    Cancelled,
    /// It was not executed and never will be; what is [`TooOld`](Reason::TooOld) may have been, before its issuer
    /// settled it.
    Rejected {
        /// Why.
        reason: Reason,
    },
}

impl Outcome {
    /// Carried out, with nothing to say.
    pub const DONE: Self = Self::Done(Output::EMPTY);

    /// The storage had no room for the effect of a transactional command, so there is none: `Failed` with the code
    /// 65535, which no handler should use.
    pub const NO_ROOM: Self = Self::Failed { code: u16::MAX };

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
            Self::Cancelled => f.write_str("cancelled before it was started"),
            Self::Rejected { reason } => write!(f, "rejected: {reason}"),
        }
    }
}
