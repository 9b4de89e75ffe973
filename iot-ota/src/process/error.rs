//! Why a process cannot begin, or has ended badly.

use iot_core::codec::CodecError;

use crate::manifest::{CommandCode, ParameterCode};

/// Why a manifest is not followed, or not to its end.
///
/// What comes from [`Process::new`](super::Process::new) was found before anything was done.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ProcessError {
    /// A sequence is not deterministic CBOR, or beyond the limits.
    #[error("a sequence is not acceptable CBOR: {0}")]
    Codec(#[from] CodecError),
    /// A sequence is not pairs of command and argument.
    #[error("not a command sequence: pairs of command and argument are expected")]
    Structure,
    /// A command that nobody knows, or that this device does not take, or not there.
    #[error("{command} is not supported here")]
    Command {
        /// Which one.
        command: CommandCode,
    },
    /// A command with an argument of the wrong type.
    #[error("{command} has an argument of the wrong type")]
    Argument {
        /// Which one.
        command: CommandCode,
    },
    /// A parameter that nobody knows, or with a value of the wrong type.
    #[error("{code} is unknown, or its value is of the wrong type or length")]
    Parameter {
        /// Which one.
        code: ParameterCode,
    },
    /// The manifest names a component that the device does not have.
    #[error("the manifest's component {index} is none of this device's")]
    Component {
        /// Its index in the manifest.
        index: u32,
    },
    /// The manifest names a component that its signers may not name.
    #[error("the manifest's signers have no right to its component {index}")]
    Unauthorised {
        /// Its index in the manifest.
        index: u32,
    },
    /// A part that is needed was severed.
    #[error("the manifest's part {key} was severed, and is needed")]
    Severed {
        /// Its key.
        key: i32,
    },
    /// Sequences or dependencies lie deeper than the device follows.
    #[error("sequences or dependencies are nested deeper than this device follows")]
    Nesting,
    /// The procedure has more commands than the device follows.
    #[error("the procedure takes more than {limit} commands")]
    TooLong {
        /// How many are followed.
        limit: u16,
    },
    /// There are more parameters than there is room for.
    #[error("more than {capacity} parameters are set: give the process more room")]
    Parameters {
        /// How many there may be.
        capacity: usize,
    },
    /// A command came before a component was chosen, or chose one where none may be chosen (§6.2, §6.7).
    #[error("at byte {offset} of part {section}: no component is chosen, or none may be")]
    Index {
        /// The section's key.
        section: i32,
        /// Where in it.
        offset: u32,
    },
    /// A component is source and target of commands that may be executed in any order (§6.7).
    #[error("component {index} is source and target of commands without order")]
    Order {
        /// The component's index in the manifest.
        index: u32,
    },
    /// A condition did not hold, or a directive failed.
    #[error("{command} failed, at byte {offset} of part {section}")]
    Failed {
        /// Which one.
        command: CommandCode,
        /// The section's key; 3 stands for the shared sequence.
        section: i32,
        /// Where in it.
        offset: u32,
    },
}
