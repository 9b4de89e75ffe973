//! What can be said of a manifest before anything is done.

use iot_core::codec::{self, FlatReader};

use super::capabilities::{Capabilities, CommandSet};
use super::error::ProcessError;
use super::flow::COMMON;
use super::frame::{command_at, first_command, is_alone};
use crate::manifest::{
    CommandCode, Commands, ComponentId, Manifest, ParameterCode, Parameters, fits,
};

/// Conditions, and directives that change nothing but the processor's own state: all that a shared sequence may
/// hold (§8.4.6), so that it can be executed as often as there are sections.
const SHARED: CommandSet = CommandSet::of(&[
    1, 2, 3, 4, 5, 6, 7, 8, 12, 14, 15, 19, 20, 24, 25, 26, 27, 28, 32, 34, 35,
]);

/// How deep sequences may lie within sequences, whatever a device says.
pub(super) const NESTING: u8 = 8;

/// Refuses whatever a device does not have or take, in these sections of a manifest and the shared sequence in front.
///
/// So many sequences may lie open in it, one within the other.
pub(super) fn manifest(
    manifest: &Manifest<'_>,
    sections: &[i32],
    capabilities: &Capabilities<'_>,
    open: u8,
) -> Result<(), ProcessError> {
    let mut check = Checker {
        manifest,
        capabilities,
        open: open.min(capabilities.nesting.min(NESTING) + 1),
        fault: ProcessError::Structure,
    };
    match check.manifest(sections) {
        Some(()) => Ok(()),
        None => Err(check.fault),
    }
}

/// `None` is a refusal, and the reason is in `fault`: small enough for registers on every level of the recursion.
struct Checker<'c, 'a> {
    manifest: &'c Manifest<'a>,
    capabilities: &'c Capabilities<'c>,
    open: u8,
    // What is wrong, if something is from here on.
    fault: ProcessError,
}

impl Checker<'_, '_> {
    fn manifest(&mut self, sections: &[i32]) -> Option<()> {
        let manifest = self.manifest;
        for index in 0..manifest.component_count() {
            self.component(manifest.component(index), index)?;
        }
        for (index, id) in manifest.dependencies() {
            self.component(Some(id), u32::try_from(index).unwrap_or(u32::MAX))?;
        }
        let mut shared = manifest.shared_bytes();
        for key in sections {
            if let Some(section) = manifest.severable(*key) {
                self.section(*key, section, CommandSet::ALL)?;
                // It stands in front of each, and is looked at once.
                if let Some(shared) = shared.take() {
                    self.section(COMMON, shared, SHARED)?;
                }
            } else if manifest.part(*key).is_some() {
                return self.fail(ProcessError::Severed { key: *key });
            }
        }
        Some(())
    }

    /// Refuses a component that the device does not have, or whose signers have no right to it.
    #[inline(never)]
    fn component(&mut self, id: Option<ComponentId<'_>>, index: u32) -> Option<()> {
        self.fault = ProcessError::Component { index };
        let place = usize::from(self.capabilities.place(id?)?);
        let own = self.capabilities.components.get(place)?;
        if own.roles & self.manifest.roles() == 0 {
            return self.fail(ProcessError::Unauthorised { index });
        }
        Some(())
    }

    /// Refuses an index that stands for nothing.
    #[inline(never)]
    fn index(&mut self, reader: &mut FlatReader<'_>) -> Option<()> {
        let index = reader.u32();
        let dependency = self.manifest.dependency(index);
        self.component(dependency.or_else(|| self.manifest.component(index)), index)
    }

    /// A sequence that nothing is around.
    #[inline(never)]
    fn section(&mut self, section: i32, bytes: &[u8], allowed: CommandSet) -> Option<()> {
        self.sequence(bytes, allowed, 0)?;
        let (mut offset, _) = first_command(bytes, bytes);
        while let Some((code, _, next)) = command_at(bytes, offset) {
            // With several components it chooses first (§6.2); override-multiple names its own (update management).
            if code == 12 || is_alone(self.manifest) {
                break;
            }
            if code != 34 {
                return self.fail(ProcessError::Index { section, offset });
            }
            offset = next;
        }
        Some(())
    }

    /// One sequence and all within it. The recursion is as deep as the device follows, and no deeper.
    #[inline(never)]
    fn sequence(&mut self, bytes: &[u8], allowed: CommandSet, depth: u8) -> Option<()> {
        if depth >= self.open {
            return self.fail(ProcessError::Nesting);
        }
        let limits = self.manifest.limits();
        if let Err(error) = codec::check(bytes, limits.codec) {
            return self.fail(error.into());
        }
        let mut reader = FlatReader::new(bytes);
        let items = reader.array_len();
        reader.require(
            items.is_multiple_of(2)
                && items / 2 <= u32::try_from(limits.commands).unwrap_or(u32::MAX),
        );
        for _ in 0..items / 2 {
            self.fault = ProcessError::Structure;
            let (code, raw) = Commands::pair(&mut reader)?;
            self.command(code, raw, allowed, depth)?;
        }
        self.fault = ProcessError::Structure;
        reader.is_empty().then_some(())
    }

    #[inline(never)]
    fn command(&mut self, code: i32, raw: &[u8], allowed: CommandSet, depth: u8) -> Option<()> {
        let command = CommandCode::new(code);
        self.fault = ProcessError::Command { command };
        if !(self.capabilities.commands.contains(command) && allowed.contains(command)) {
            return None;
        }
        let wrong = ProcessError::Argument { command };
        self.fault = wrong;
        let mut reader = FlatReader::new(raw);
        let kind = reader.peek();
        match code {
            // Only `true` stands for every component; `false` stands for nothing (§8.4.10.1).
            12 if kind == Some(7) => {
                let every = reader.boolean();
                reader.require(every);
            }
            12 if kind == Some(4) => {
                let indices = reader.array_len();
                reader.require(indices > 0);
                for _ in 0..indices {
                    self.index(&mut reader)?;
                }
            }
            12 => self.index(&mut reader)?,
            15 => {
                let branches = reader.array_len();
                // At least two sequences; nil may stand at the end for one that always succeeds (§8.4.10.2).
                reader.require(branches >= 2);
                for branch in 1..=branches {
                    if branch == branches && reader.null() {
                        break;
                    }
                    self.within(&mut reader, allowed, depth)?;
                    self.fault = wrong;
                }
            }
            19 | 20 => return self.parameters(raw),
            32 => self.within(&mut reader, allowed, depth)?,
            34 | 35 => {
                for _ in 0..reader.map_len() {
                    self.index(&mut reader)?;
                    self.fault = wrong;
                    let value = reader.item();
                    if code == 34 {
                        self.parameters(value)?;
                        self.fault = wrong;
                    } else {
                        let mut codes = FlatReader::new(value);
                        numbers(&mut codes);
                        reader.require(codes.is_empty());
                    }
                }
            }
            _ => {
                let policy = reader.uint();
                reader.require(policy < 16);
            }
        }
        self.fault = wrong;
        reader.is_empty().then_some(())
    }

    /// A sequence that a command holds.
    #[inline(never)]
    fn within(
        &mut self,
        reader: &mut FlatReader<'_>,
        allowed: CommandSet,
        depth: u8,
    ) -> Option<()> {
        let sequence = reader.bytes();
        reader.rest()?;
        self.sequence(sequence, allowed, depth + 1)
    }

    #[inline(never)]
    fn parameters(&mut self, map: &[u8]) -> Option<()> {
        let mut parameters = Parameters::of(map)?;
        while let Some((code, value)) = parameters.pair() {
            let known = fits(code, value) == Some(true);
            self.fault = ProcessError::Parameter {
                code: ParameterCode::new(code),
            };
            known.then_some(())?;
            if code == 22 {
                self.index(&mut FlatReader::new(value))?;
            }
        }
        // One that cannot be read ends the row too.
        self.fault = ProcessError::Structure;
        parameters.is_whole().then_some(())
    }

    fn fail(&mut self, fault: ProcessError) -> Option<()> {
        self.fault = fault;
        None
    }
}

/// An array of unsigned integers.
#[inline(never)]
fn numbers(reader: &mut FlatReader<'_>) {
    for _ in 0..reader.array_len() {
        reader.uint();
    }
}
