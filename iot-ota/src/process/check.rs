//! What can be said of a manifest before anything is done.

use iot_core::codec::{self, FlatReader};

use super::capabilities::{Capabilities, CommandSet};
use super::error::ProcessError;
use crate::manifest::{
    Argument, CommandCode, Commands, ComponentId, Limits, Manifest, ParameterCode, Parameters, fits,
};

/// Conditions, and directives that change nothing but the processor's own state: all that a shared sequence may
/// hold (§8.4.6), so that it can be executed as often as there are sections.
const SHARED: CommandSet = CommandSet::of(&[
    1, 2, 3, 4, 5, 6, 7, 8, 12, 14, 15, 19, 20, 24, 25, 26, 27, 28, 32, 34, 35,
]);

/// Refuses components that the device does not have, or whose signers have no right to them.
pub(super) fn components(
    manifest: &Manifest<'_>,
    capabilities: &Capabilities<'_>,
) -> Result<(), ProcessError> {
    for index in 0..manifest.component_count() {
        component(manifest.component(index), index, manifest, capabilities)?;
    }
    for (index, id) in manifest.dependencies() {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        component(Some(id), index, manifest, capabilities)?;
    }
    Ok(())
}

#[inline(never)]
fn component(
    id: Option<ComponentId<'_>>,
    index: u32,
    manifest: &Manifest<'_>,
    capabilities: &Capabilities<'_>,
) -> Result<(), ProcessError> {
    let place = id.and_then(|id| capabilities.place(id)).map(usize::from);
    let own = place.and_then(|place| capabilities.components.get(place));
    let own = own.ok_or(ProcessError::Component { index })?;
    if own.roles & manifest.roles() == 0 {
        return Err(ProcessError::Unauthorised { index });
    }
    Ok(())
}

/// Goes through a section, and through the shared sequence in front of it.
pub(super) fn section(
    manifest: &Manifest<'_>,
    key: i32,
    capabilities: &Capabilities<'_>,
) -> Result<(), ProcessError> {
    let check = Checker {
        limits: manifest.limits(),
        capabilities,
    };
    if let Some(section) = manifest.commands(key) {
        check.sequence(section.as_bytes(), CommandSet::ALL, 0)?;
        if let Some(shared) = manifest.shared() {
            check.sequence(shared.as_bytes(), SHARED, 0)?;
        }
    } else if manifest.part(key).is_some() {
        return Err(ProcessError::Severed { key });
    }
    Ok(())
}

struct Checker<'c> {
    limits: Limits,
    capabilities: &'c Capabilities<'c>,
}

impl Checker<'_> {
    /// One sequence and all within it. The recursion is as deep as the device follows, and no deeper.
    fn sequence(&self, bytes: &[u8], allowed: CommandSet, depth: u8) -> Result<(), ProcessError> {
        if depth > self.capabilities.nesting {
            return Err(ProcessError::Nesting);
        }
        codec::check(bytes, self.limits.codec)?;
        let mut reader = FlatReader::new(bytes);
        let items = reader.array_len();
        if !items.is_multiple_of(2)
            || items / 2 > u32::try_from(self.limits.commands).unwrap_or(u32::MAX)
        {
            return Err(ProcessError::Structure);
        }
        for _ in 0..items / 2 {
            let (code, raw) = Commands::pair(&mut reader).ok_or(ProcessError::Structure)?;
            self.command(code, raw, allowed, depth)?;
        }
        if reader.is_empty() {
            Ok(())
        } else {
            Err(ProcessError::Structure)
        }
    }

    fn command(
        &self,
        code: i32,
        raw: &[u8],
        allowed: CommandSet,
        depth: u8,
    ) -> Result<(), ProcessError> {
        let command = CommandCode::new(code);
        if !(self.capabilities.commands.contains(command) && allowed.contains(command)) {
            return Err(ProcessError::Command { command });
        }
        let wrong = ProcessError::Argument { command };
        let mut reader = FlatReader::new(raw);
        match Argument::decode(code, raw).ok_or(wrong)? {
            Argument::Parameters(parameters) => each_parameter(parameters)?,
            Argument::Other(_) => match code {
                15 => self.branches(&mut reader, allowed, depth, wrong)?,
                32 => self.sequence(reader.bytes(), allowed, depth + 1)?,
                12 => {
                    for _ in 0..reader.array_len() {
                        reader.uint();
                        reader.rest().ok_or(wrong)?;
                    }
                }
                _ => {
                    for _ in 0..reader.map_len() {
                        reader.uint();
                        let value = reader.item();
                        reader.rest().ok_or(wrong)?;
                        if code == 34 {
                            each_parameter(Parameters::of(value).ok_or(wrong)?)?;
                        } else {
                            let mut codes = FlatReader::new(value);
                            for _ in 0..codes.array_len() {
                                codes.uint();
                                codes.rest().ok_or(wrong)?;
                            }
                            codes.is_empty().then_some(()).ok_or(wrong)?;
                        }
                    }
                }
            },
            _ => return Ok(()),
        }
        Ok(())
    }

    /// At least two sequences; nil may stand at the end for one that always succeeds (§8.4.10.2).
    fn branches(
        &self,
        reader: &mut FlatReader<'_>,
        allowed: CommandSet,
        depth: u8,
        wrong: ProcessError,
    ) -> Result<(), ProcessError> {
        let branches = reader.array_len();
        if branches < 2 {
            return Err(wrong);
        }
        for branch in 1..=branches {
            if branch == branches && reader.null() {
                break;
            }
            let sequence = reader.bytes();
            reader.rest().ok_or(wrong)?;
            self.sequence(sequence, allowed, depth + 1)?;
        }
        Ok(())
    }
}

fn each_parameter(mut parameters: Parameters<'_>) -> Result<(), ProcessError> {
    while let Some((code, value)) = parameters.pair() {
        if fits(code, value) != Some(true) {
            let code = ParameterCode::new(code);
            return Err(ProcessError::Parameter { code });
        }
    }
    // One that cannot be read ends the row too.
    parameters
        .is_whole()
        .then_some(())
        .ok_or(ProcessError::Structure)
}
