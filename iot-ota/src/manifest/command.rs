//! Command sequences (§8.4.9, §8.4.10), decoded one command at a time.

use core::fmt;

use iot_core::codec::{self, CodecError, FlatReader};

use super::envelope::Limits;
use super::parameter::{ParameterCode, Parameters};

/// The number of a condition or directive, known or not.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CommandCode(i32);

impl CommandCode {
    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> i32 {
        self.0
    }

    /// The code of a number, known or not.
    #[must_use]
    pub const fn new(code: i32) -> Self {
        Self(code)
    }

    /// What the specifications call it; `None` when none of them has it.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            1 => "condition-vendor-identifier",
            2 => "condition-class-identifier",
            3 => "condition-image-match",
            4 => "condition-use-before",
            5 => "condition-component-slot",
            6 => "condition-check-content",
            7 => "condition-dependency-integrity",
            8 => "condition-is-dependency",
            11 => "directive-process-dependency",
            12 => "directive-set-component-index",
            14 => "condition-abort",
            15 => "directive-try-each",
            18 => "directive-write",
            19 => "directive-set-parameters",
            20 => "directive-override-parameters",
            21 => "directive-fetch",
            22 => "directive-copy",
            23 => "directive-invoke",
            24 => "condition-device-identifier",
            25 => "condition-image-not-match",
            26 => "condition-minimum-battery",
            27 => "condition-update-authorized",
            28 => "condition-version",
            29 => "directive-wait",
            31 => "directive-swap",
            32 => "directive-run-sequence",
            33 => "directive-unlink",
            34 => "directive-override-multiple",
            35 => "directive-copy-params",
            _ => return None,
        })
    }
}

impl fmt::Display for CommandCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "command {}", self.0),
        }
    }
}

/// Why a sequence cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CommandError {
    /// Not deterministic CBOR, or beyond the limits.
    #[error("not acceptable CBOR: {0}")]
    Codec(#[from] CodecError),
    /// Not pairs of command and argument.
    #[error("not a command sequence: pairs of command and argument are expected")]
    Structure,
    /// More commands than allowed.
    #[error("more than the limit of {limit} commands")]
    TooMany {
        /// How many are allowed.
        limit: usize,
    },
    /// A command that no version of SUIT defines.
    #[error("{command} is unknown: the manifest must be refused")]
    Unknown {
        /// Which one.
        command: CommandCode,
    },
    /// A command with an argument of the wrong type.
    #[error("{command} has an argument of the wrong type")]
    Argument {
        /// Which one.
        command: CommandCode,
    },
    /// A parameter with a value of the wrong type.
    #[error("{code} has a value of the wrong type or length")]
    Parameter {
        /// Which one.
        code: ParameterCode,
    },
}

/// A sequence of commands, not yet decoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sequence<'a> {
    bytes: &'a [u8],
    limits: Limits,
}

impl<'a> Sequence<'a> {
    pub(crate) const fn new(bytes: &'a [u8], limits: Limits) -> Self {
        Self { bytes, limits }
    }

    /// The sequence as CBOR.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Checks the sequence's form and goes through its commands.
    ///
    /// # Errors
    ///
    /// [`CommandError`] when it is not a sequence within the limits.
    pub fn commands(&self) -> Result<Commands<'a>, CommandError> {
        codec::check(self.bytes, self.limits.codec)?;
        let mut reader = FlatReader::new(self.bytes);
        let items = reader.array_len();
        if !items.is_multiple_of(2) || reader.rest().is_none() {
            return Err(CommandError::Structure);
        }
        let limit = self.limits.commands;
        if items / 2 > u32::try_from(limit).unwrap_or(u32::MAX) {
            return Err(CommandError::TooMany { limit });
        }
        Ok(Commands {
            reader,
            left: items / 2,
        })
    }
}

/// Goes through the commands of a [`Sequence`]; ends after the first error.
#[derive(Clone, Debug)]
pub struct Commands<'a> {
    reader: FlatReader<'a>,
    left: u32,
}

/// One command.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Command<'a> {
    /// Which one.
    pub code: CommandCode,
    /// With what.
    pub argument: Argument<'a>,
}

/// What a command is given.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Argument<'a> {
    /// When its outcome is recorded: a bit field (§8.4.7), of no effect on what is done.
    ReportingPolicy(u8),
    /// The component that the commands after it are about.
    Component(u64),
    /// Every component in turn.
    EveryComponent,
    /// Parameters to set.
    Parameters(Parameters<'a>),
    /// One that is read where it is used, as CBOR: components, sequences, or parameters of several components.
    Other(&'a [u8]),
}

impl<'a> Argument<'a> {
    /// Reads what belongs to a command; `None` when it is of the wrong type.
    #[inline(never)]
    pub(crate) fn decode(code: i32, raw: &'a [u8]) -> Option<Self> {
        let mut reader = FlatReader::new(raw);
        let argument = match (code, reader.peek()?) {
            // Only `true` stands for every component; `false` stands for nothing (§8.4.10.1).
            (12, 7) => {
                let every = reader.boolean();
                reader.require(every);
                Self::EveryComponent
            }
            (12, 4) | (15, 4) | (32, 2) | (34 | 35, 5) => Self::Other(reader.item()),
            (12, _) => Self::Component(reader.uint()),
            (19 | 20, _) => Self::Parameters(Parameters::of(reader.item())?),
            (15 | 32 | 34 | 35, _) => return None,
            _ => {
                let policy = reader.uint();
                reader.require(policy < 16);
                Self::ReportingPolicy(u8::try_from(policy).unwrap_or(0))
            }
        };
        reader.is_empty().then_some(argument)
    }
}

impl<'a> Commands<'a> {
    /// Which command is next, and its argument as CBOR.
    #[inline(never)]
    pub(crate) fn pair(reader: &mut FlatReader<'a>) -> Option<(i32, &'a [u8])> {
        let pair = (reader.i32(), reader.item());
        reader.rest().map(|_| pair)
    }

    fn command(&mut self) -> Result<Command<'a>, CommandError> {
        let (code, raw) = Self::pair(&mut self.reader).ok_or(CommandError::Structure)?;
        let command = CommandCode(code);
        if command.name().is_none() {
            return Err(CommandError::Unknown { command });
        }
        let argument = Argument::decode(code, raw).ok_or(CommandError::Argument { command })?;
        Ok(Command {
            code: command,
            argument,
        })
    }
}

impl<'a> Iterator for Commands<'a> {
    type Item = Result<Command<'a>, CommandError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let command = self.command();
        if command.is_err() {
            self.left = 0;
        }
        Some(command)
    }
}
