//! Command sequences (§8.4.9, §8.4.10), decoded one command at a time.

use core::fmt;

use iot_core::codec::{self, CodecError};
use minicbor::Decoder;
use minicbor::data::Type;

use super::envelope::Limits;
use super::parameter::{ParameterCode, Parameters};

/// The number of a condition or directive, known or not.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CommandCode(i64);

impl CommandCode {
    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    const fn name(self) -> Option<&'static str> {
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
    pub(super) const fn new(bytes: &'a [u8], limits: Limits) -> Self {
        Self { bytes, limits }
    }

    /// Checks the sequence's form and goes through its commands.
    ///
    /// # Errors
    ///
    /// [`CommandError`] when it is not a sequence within the limits.
    pub fn commands(&self) -> Result<Commands<'a>, CommandError> {
        codec::check(self.bytes, self.limits.codec)?;
        let mut decoder = Decoder::new(self.bytes);
        let items = decoder.array().ok().flatten();
        let items = items.ok_or(CommandError::Structure)?;
        if items % 2 != 0 {
            return Err(CommandError::Structure);
        }
        let limit = self.limits.commands;
        if items / 2 > limit as u64 {
            return Err(CommandError::TooMany { limit });
        }
        Ok(Commands {
            decoder,
            left: items / 2,
        })
    }
}

/// Goes through the commands of a [`Sequence`]; ends after the first error.
#[derive(Clone, Debug)]
pub struct Commands<'a> {
    decoder: Decoder<'a>,
    left: u64,
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
    /// One that is not interpreted here, as CBOR.
    Other(&'a [u8]),
}

impl<'a> Commands<'a> {
    fn command(&mut self) -> Result<Command<'a>, CommandError> {
        let code = self.decoder.i64().map_err(|_| CommandError::Structure)?;
        let command = CommandCode(code);
        if command.name().is_none() {
            return Err(CommandError::Unknown { command });
        }
        let start = self.decoder.position();
        let mut value = self.decoder.clone();
        self.decoder.skip().map_err(|_| CommandError::Structure)?;
        let raw = self.decoder.input().get(start..self.decoder.position());
        let wrong = CommandError::Argument { command };
        let raw = raw.ok_or(wrong)?;
        let argument = match code {
            12 => match value.datatype() {
                Ok(Type::Bool) => Argument::EveryComponent,
                Ok(Type::Array) => Argument::Other(raw),
                _ => Argument::Component(value.u64().map_err(|_| wrong)?),
            },
            19 | 20 => Argument::Parameters(Parameters::of(raw)?),
            15 | 32 | 34 | 35 => Argument::Other(raw),
            _ => Argument::ReportingPolicy(value.u8().ok().filter(|&bits| bits < 16).ok_or(wrong)?),
        };
        // Only `true` stands for every component; `false` stands for nothing (§8.4.10.1).
        if matches!(argument, Argument::EveryComponent) && !value.bool().unwrap_or(false) {
            return Err(wrong);
        }
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
