//! Whether a device could follow a manifest: read to the last command, and begun, as a device does.

use std::path::Path;

use iot_ota::manifest::{ComponentId, Manifest};
use iot_ota::process::{Capabilities, Component, Identity, Procedure, Process, ProcessError};

use crate::opened::{as_devices_read, unverified};
use crate::problem::{Problem, warn};
use crate::render::lines;

/// Every section of a manifest is in one of them.
const PROCEDURES: [(Procedure, &str); 4] = [
    (Procedure::Stage, "staging"),
    (Procedure::Install, "installation"),
    (Procedure::Invoke, "invocation"),
    (Procedure::Uninstall, "uninstallation"),
];
/// What no process goes beyond.
const MAX_NESTING: u8 = 8;
const MAX_DEPENDENCIES: u8 = 3;

/// The places that a manifest names: its components, and where its dependencies are kept.
pub(crate) fn places<'m>(manifest: &Manifest<'m>) -> Vec<Vec<&'m [u8]>> {
    let segments = |id: ComponentId<'m>| id.segments().collect();
    let components = manifest.components().map(segments);
    let dependencies = manifest.dependencies().map(|(_, id)| segments(id));
    components.chain(dependencies).collect()
}

/// A device of that identity which has all these places, and takes whatever a device can.
pub(crate) fn taking<'d>(
    identity: Identity<'d>,
    components: &'d [Component<'d>],
) -> Capabilities<'d> {
    Capabilities::new(identity, components)
        .with_nesting(MAX_NESTING)
        .with_dependencies(MAX_DEPENDENCIES)
        .with_steps(u16::MAX)
}

/// Refuses what no device could follow, and warns of what most devices do not.
pub(crate) fn is_for_devices(
    path: &Path,
    bytes: &[u8],
    manifest: &Manifest<'_>,
) -> Result<(), Problem> {
    lines(manifest)?;
    let identity = Identity::new([0; 16], [0; 16]);
    let places = places(manifest);
    let components: Vec<_> = places.iter().map(|id| Component::new(id)).collect();
    begin(manifest, &taking(identity, &components)).map_err(|(name, error)| {
        let element = format!("{}, {name}", path.display());
        Problem::new(element, error, remedy(&error))
    })?;
    // The limits that a device has unless its firmware's author changed them.
    let refused = match as_devices_read(bytes) {
        Err(error) => Some(error.to_string()),
        Ok(signed) => match unverified(path, &signed) {
            Err(problem) => Some(problem.cause().to_owned()),
            Ok(manifest) => {
                let usual = Capabilities::new(identity, &components);
                let refused = begin(&manifest, &usual).err();
                refused.map(|(name, error)| format!("{name}: {error}"))
            }
        },
    };
    if let Some(cause) = refused {
        let cause = format!("devices with the default limits refuse it: {cause}");
        let remedy = "make it smaller, or have the firmware take more (Limits, Capabilities)";
        warn(path.display(), cause, remedy);
    }
    Ok(())
}

/// Begins every procedure; what was severed can only be followed where it is.
fn begin(
    manifest: &Manifest<'_>,
    device: &Capabilities<'_>,
) -> Result<(), (&'static str, ProcessError)> {
    for (procedure, name) in PROCEDURES {
        match Process::<1>::new(*manifest, procedure, device) {
            Ok(_) | Err(ProcessError::Severed { .. }) => {}
            Err(error) => return Err((name, error)),
        }
    }
    Ok(())
}

const fn remedy(error: &ProcessError) -> &'static str {
    match error {
        ProcessError::Component { .. } => "name at most 32 components and dependencies",
        ProcessError::Nesting => "nest sequences less deep: no device follows more than 8",
        _ => "have it written by a tool that keeps to the draft: no device will take it",
    }
}
