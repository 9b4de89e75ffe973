//! What a device takes, for authors.

use iot_core::codec::{EncodeError, encode_into};

use crate::manifest::{COUNTER, CommandCode, Limits};
use crate::process::Capabilities;

const COMPONENTS: u8 = 1;
const COMMANDS: u8 = 2;
const PARAMETERS: u8 = 3;
const ALGORITHMS: u8 = 4;
const ENVELOPE: u8 = 5;
const MANIFEST: u8 = 6;
const COMMON: u8 = 7;
/// Ours: what a device follows and reads at most.
const LIMITS: i32 = -256;

/// What no process goes beyond, whatever its device says.
const MAX_COMPONENTS: usize = 32;
const MAX_NESTING: u8 = 8;
const MAX_DEPENDENCIES: u8 = 3;

/// Every parameter that a process knows.
const KNOWN_PARAMETERS: [u8; 18] = [
    1, 2, 3, 4, 5, 12, 13, 14, 18, 19, 21, 22, 23, 24, 25, 26, 27, 28,
];
const MORE_PARAMETERS: [u8; 2] = [29, 30];
const KNOWN_ENVELOPE: [u8; 8] = [2, 3, 14, 15, 16, 18, 20, 23];
const KNOWN_MANIFEST: [u8; 15] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 15, 16, 18, 20, 23];
const UNINSTALL: u8 = 24;
const KNOWN_COMMON: [u8; 3] = [1, 2, 4];

/// Why a device's capabilities cannot be written down.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CapabilityError {
    /// A process finds none of the components beyond that.
    #[error("{count} components are more than the {limit} that a process finds")]
    Components {
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The buffer is too small.
    #[error(transparent)]
    Room(#[from] EncodeError),
}

/// Writes a `SUIT_Capability_Report` to `out`, for authors: what this device reads and follows.
///
/// It has the components, commands and parameters; the keys of envelope, manifest and common, our security counter -256
/// among them; and the COSE numbers of the `algorithms` that the device has keys for. Under a key of our own, -256, it
/// has the device's limits: how deep sequences and dependencies may lie, how many commands a procedure may take, how many
/// `parameters` its [`Process`](crate::process::Process) has room for, and the `limits` that it decodes envelopes with.
/// See `report.cddl`. Send it in a `COSE_Sign1` like any report; nothing in it says when it was written.
///
/// # Errors
///
/// [`CapabilityError::Components`] for more than 32; [`CapabilityError::Room`] when `out` is too small: it needs the
/// components and about 180 bytes. Nothing in `out` may be used.
///
/// ```
/// use iot_ota::manifest::Limits;
/// use iot_ota::process::{Capabilities, Component, Identity};
/// use iot_ota::report::capability_report;
/// let own = [Component::new(&[b"firmware"])];
/// let device = Capabilities::new(Identity::new([1; 16], [2; 16]), &own);
/// let mut out = [0; 256];
/// let report = capability_report(&device, &Limits::default(), 48, &[-16, -9], &mut out)?;
/// assert_eq!(report[..4], [0xa8, 1, 0x81, 0x81]);
/// # Ok::<(), iot_ota::report::CapabilityError>(())
/// ```
pub fn capability_report<'o>(
    capabilities: &Capabilities<'_>,
    limits: &Limits,
    parameters: usize,
    algorithms: &[i32],
    out: &'o mut [u8],
) -> Result<&'o [u8], CapabilityError> {
    let count = capabilities.components.len();
    if count > MAX_COMPONENTS {
        let limit = MAX_COMPONENTS;
        return Err(CapabilityError::Components { count, limit });
    }
    let takes = |code: &i32| capabilities.commands.contains(CommandCode::new(*code));
    let written = encode_into(out, |writer| {
        writer.map(8)?.u8(COMPONENTS)?;
        writer.array(capabilities.components.len() as u64)?;
        for component in capabilities.components {
            writer.array(component.id.len() as u64)?;
            for segment in component.id {
                writer.bytes(segment)?;
            }
        }
        writer
            .u8(COMMANDS)?
            .array((0..64).filter(takes).count() as u64)?;
        for code in (0..64).filter(takes) {
            writer.i32(code)?;
        }
        let lists: [(u8, &[u8], &[u8]); 4] = [
            (PARAMETERS, &KNOWN_PARAMETERS, &MORE_PARAMETERS),
            (ENVELOPE, &KNOWN_ENVELOPE, &[]),
            (MANIFEST, &KNOWN_MANIFEST, &[UNINSTALL]),
            (COMMON, &KNOWN_COMMON, &[]),
        ];
        for (key, codes, more) in lists {
            if key == ENVELOPE {
                writer.u8(ALGORITHMS)?.array(algorithms.len() as u64)?;
                for algorithm in algorithms {
                    writer.i32(*algorithm)?;
                }
            }
            let own: &[i32] = if key == MANIFEST { &[COUNTER] } else { &[] };
            let codes = codes.iter().chain(more);
            let length = codes.clone().count() + own.len();
            writer.u8(key)?.array(length as u64)?;
            for code in codes {
                writer.u8(*code)?;
            }
            for code in own {
                writer.i32(*code)?;
            }
        }
        writer.i32(LIMITS)?.array(9)?;
        writer.u8(capabilities.nesting.min(MAX_NESTING))?;
        writer.u8(capabilities.dependencies.min(MAX_DEPENDENCIES))?;
        writer.u16(capabilities.steps)?.u64(parameters as u64)?;
        for limit in [
            limits.codec.bytes,
            limits.codec.depth,
            limits.codec.items,
            limits.components,
            limits.commands,
        ] {
            writer.u64(limit as u64)?;
        }
        Ok(())
    });
    Ok(written?)
}
