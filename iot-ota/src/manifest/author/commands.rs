//! Commands to be written.

use alloc::vec::Vec;

use iot_core::codec::{self, FlatReader};

use super::super::command::{Commands, Sequence};
use super::super::envelope::Limits;
use super::cbor;
use super::parameters::ParameterList;

/// The reporting policy that asks for records and for the system's state, always (§8.4.7).
pub const RECORD_ALWAYS: u8 = 15;
/// The reporting policy that asks for a record of a failure.
pub const RECORD_FAILURE: u8 = 2;

/// A sequence of commands (§8.4.9, §8.4.10) in the making.
///
/// ```
/// use iot_ota::manifest::{CommandList, ParameterList};
/// let install = CommandList::new()
///     .set(ParameterList::new().uri("iot:firmware"))
///     .fetch()
///     .image_match();
/// assert_eq!(install.len(), 3);
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CommandList(Vec<(i32, Vec<u8>)>);

impl CommandList {
    /// No commands.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// How many there are, those within others not counted.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What follows is about the component of that index.
    #[must_use]
    pub fn choose(self, index: u64) -> Self {
        self.raw(12, cbor::uint(index))
    }

    /// What follows is about each of these components in turn.
    #[must_use]
    pub fn choose_some(self, indices: &[u64]) -> Self {
        let indices: Vec<_> = indices.iter().map(|index| cbor::uint(*index)).collect();
        self.raw(12, cbor::array(&indices))
    }

    /// What follows is about every component in turn.
    #[must_use]
    pub fn choose_all(self) -> Self {
        self.raw(12, cbor::boolean(true))
    }

    /// Overrides parameters.
    #[must_use]
    pub fn set(self, parameters: ParameterList) -> Self {
        self.raw(20, parameters.encode())
    }

    /// Sets parameters that are not set yet (trust domains).
    #[must_use]
    pub fn set_if_unset(self, parameters: ParameterList) -> Self {
        self.raw(19, parameters.encode())
    }

    /// The vendor must match.
    #[must_use]
    pub fn vendor(self) -> Self {
        self.command(1, RECORD_ALWAYS)
    }

    /// The class must match.
    #[must_use]
    pub fn class(self) -> Self {
        self.command(2, RECORD_ALWAYS)
    }

    /// The component must have the digest.
    #[must_use]
    pub fn image_match(self) -> Self {
        self.command(3, RECORD_ALWAYS)
    }

    /// Obtains the component's content.
    #[must_use]
    pub fn fetch(self) -> Self {
        self.command(21, RECORD_FAILURE)
    }

    /// Copies from the source component.
    #[must_use]
    pub fn copy(self) -> Self {
        self.command(22, RECORD_FAILURE)
    }

    /// Writes the content parameter.
    #[must_use]
    pub fn write(self) -> Self {
        self.command(18, RECORD_FAILURE)
    }

    /// Starts the component.
    #[must_use]
    pub fn invoke(self) -> Self {
        self.command(23, RECORD_FAILURE)
    }

    /// Follows the dependency's section of the same name (trust domains).
    #[must_use]
    pub fn process_dependency(self) -> Self {
        self.command(11, RECORD_FAILURE)
    }

    /// The dependency must have the digest (trust domains).
    #[must_use]
    pub fn dependency_integrity(self) -> Self {
        self.command(7, RECORD_ALWAYS)
    }

    /// The first of these whose conditions hold.
    #[must_use]
    pub fn try_each(self, alternatives: &[Self]) -> Self {
        let wrapped: Vec<_> = alternatives.iter().map(Self::wrapped).collect();
        self.raw(15, cbor::array(&wrapped))
    }

    /// A sequence of its own.
    #[must_use]
    pub fn run(self, sequence: &Self) -> Self {
        self.raw(32, sequence.wrapped())
    }

    /// Any command that takes a reporting policy.
    #[must_use]
    pub fn command(self, code: i32, policy: u8) -> Self {
        self.raw(code, cbor::uint(policy.into()))
    }

    /// Any command with its argument as CBOR.
    #[must_use]
    pub fn raw(mut self, code: i32, argument: Vec<u8>) -> Self {
        self.0.push((code, argument));
        self
    }

    /// These commands, and then those.
    #[must_use]
    pub fn then(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    /// The sequence as CBOR.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let items = self.0.iter();
        let items: Vec<_> = items
            .flat_map(|(code, argument)| [cbor::int((*code).into()), argument.clone()])
            .collect();
        cbor::array(&items)
    }

    pub(super) fn wrapped(&self) -> Vec<u8> {
        cbor::bytes(&self.encode())
    }

    /// Reads a sequence, and those within it.
    pub(super) fn decode(sequence: &Sequence<'_>) -> Option<Self> {
        sequence.commands().ok()?;
        Self::decode_bytes(sequence.as_bytes(), 8)
    }

    fn decode_bytes(bytes: &[u8], depth: u8) -> Option<Self> {
        let depth = depth.checked_sub(1)?;
        // What lies in byte strings was not checked with what is around them.
        codec::check(bytes, Limits::default().codec).ok()?;
        let mut reader = FlatReader::new(bytes);
        let items = reader.array_len();
        let mut list = Self::new();
        for _ in 0..items / 2 {
            let (code, raw) = Commands::pair(&mut reader)?;
            let mut argument = FlatReader::new(raw);
            list = match code {
                19 | 20 => list.raw(code, ParameterList::decode(raw)?.encode()),
                32 => {
                    let sequence = argument.bytes();
                    argument.rest()?;
                    list.run(&Self::decode_bytes(sequence, depth)?)
                }
                15 => {
                    let mut branches = Vec::new();
                    for _ in 0..argument.array_len() {
                        branches.push(if argument.null() {
                            cbor::null()
                        } else {
                            Self::decode_bytes(argument.bytes(), depth)?.wrapped()
                        });
                    }
                    argument.rest()?;
                    list.raw(code, cbor::array(&branches))
                }
                _ => list.raw(code, raw.to_vec()),
            };
        }
        (reader.is_empty() && items.is_multiple_of(2)).then_some(list)
    }
}
