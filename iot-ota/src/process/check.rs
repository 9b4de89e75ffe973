//! What can be said of a manifest before anything is done.

use iot_core::codec::{self, FlatReader};

use super::capabilities::{Capabilities, CommandSet};
use super::error::ProcessError;
use super::flow::COMMON;
use super::frame::{is_alone, offset};
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
        allowed: capabilities.commands.common(SHARED),
        open: open.min(capabilities.nesting.min(NESTING) + 1),
        depth: 0,
        section: COMMON,
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
    // What the section that is being looked at may hold.
    allowed: CommandSet,
    section: i32,
    // How deep in it a sequence lies, and how many may lie open.
    depth: u8,
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
        // It stands in front of each section, and is looked at once.
        if let Some(shared) = manifest.shared_bytes() {
            self.sequence(shared)?;
        }
        self.allowed = self.capabilities.commands;
        for key in sections {
            self.section = *key;
            if let Some(section) = manifest.severable(*key) {
                self.sequence(section)?;
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

    /// One sequence and all within it. The recursion is as deep as the device follows, and no deeper.
    #[inline(never)]
    fn sequence(&mut self, bytes: &[u8]) -> Option<()> {
        if self.depth >= self.open {
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
        // With several components a section chooses first (§6.2); override-multiple names its own (update management).
        let mut chosen = self.depth > 0 || is_alone(self.manifest);
        for _ in 0..items / 2 {
            self.fault = ProcessError::Structure;
            let left = reader.rest()?.len();
            let (code, raw) = Commands::pair(&mut reader)?;
            chosen |= code == 12;
            if !chosen && code != 34 {
                return self.fail(ProcessError::Index {
                    section: self.section,
                    offset: offset(bytes.len() - left),
                });
            }
            self.command(code, raw)?;
        }
        self.fault = ProcessError::Structure;
        reader.is_empty().then_some(())
    }

    #[inline(never)]
    fn command(&mut self, code: i32, raw: &[u8]) -> Option<()> {
        let command = CommandCode::new(code);
        self.fault = ProcessError::Command { command };
        if !self.allowed.contains(command) {
            return None;
        }
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
                    self.within(&mut reader)?;
                }
            }
            19 | 20 => self.parameters(&mut reader)?,
            32 => self.within(&mut reader)?,
            34 | 35 => {
                for _ in 0..reader.map_len() {
                    self.index(&mut reader)?;
                    if code == 34 {
                        self.parameters(&mut reader)?;
                    } else {
                        let mut codes = FlatReader::new(reader.item());
                        for _ in 0..codes.array_len() {
                            codes.uint();
                        }
                        reader.require(codes.is_empty());
                    }
                }
            }
            _ => {
                let policy = reader.uint();
                reader.require(policy < 16);
            }
        }
        self.fault = ProcessError::Argument { command };
        reader.is_empty().then_some(())
    }

    /// A sequence that a command holds; where there is none, the command is found to be wrong at its end.
    #[inline(never)]
    fn within(&mut self, reader: &mut FlatReader<'_>) -> Option<()> {
        let sequence = reader.bytes();
        if reader.rest().is_some() {
            self.depth += 1;
            self.sequence(sequence)?;
            self.depth -= 1;
        }
        Some(())
    }

    /// Parameters that a command holds; where there are none, it is found to be wrong at its end.
    #[inline(never)]
    fn parameters(&mut self, reader: &mut FlatReader<'_>) -> Option<()> {
        let Some(mut parameters) = Parameters::of(reader.item()) else {
            reader.require(false);
            return Some(());
        };
        while let Some((code, value)) = parameters.pair() {
            let known = fits(code, value) == Some(true);
            let code = ParameterCode::new(code);
            self.fault = ProcessError::Parameter { code };
            known.then_some(())?;
            if code.get() == 22 {
                self.index(&mut FlatReader::new(value))?;
            }
        }
        // One that cannot be read ends the row too.
        reader.require(parameters.is_whole());
        Some(())
    }

    fn fail(&mut self, fault: ProcessError) -> Option<()> {
        self.fault = fault;
        None
    }
}
