//! What a device takes, for authors.

use iot_core::codec::{EncodeError, encode_into};

use crate::manifest::CommandCode;
use crate::process::Capabilities;

const COMPONENTS: u8 = 1;
const COMMANDS: u8 = 2;
const PARAMETERS: u8 = 3;
const ALGORITHMS: u8 = 4;
const ENVELOPE: u8 = 5;
const MANIFEST: u8 = 6;
const COMMON: u8 = 7;

/// Every parameter that a process knows.
const KNOWN_PARAMETERS: [u8; 18] = [
    1, 2, 3, 4, 5, 12, 13, 14, 18, 19, 21, 22, 23, 24, 25, 26, 27, 28,
];
const MORE_PARAMETERS: [u8; 2] = [29, 30];
const KNOWN_ENVELOPE: [u8; 8] = [2, 3, 14, 15, 16, 18, 20, 23];
const KNOWN_MANIFEST: [u8; 15] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 15, 16, 18, 20, 23];
const UNINSTALL: u8 = 24;
const KNOWN_COMMON: [u8; 3] = [1, 2, 4];

/// Writes a `SUIT_Capability_Report` to `out`: components, commands, parameters, keys of envelope, manifest and
/// common, and the COSE numbers of the `algorithms` that the device has keys for.
///
/// # Errors
///
/// [`EncodeError`] when `out` is too small: it needs the components and about 130 bytes.
///
/// ```
/// use iot_ota::process::{Capabilities, Component, Identity};
/// use iot_ota::report::capability_report;
/// let own = [Component::new(&[b"firmware"])];
/// let device = Capabilities::new(Identity::new([1; 16], [2; 16]), &own);
/// let mut out = [0; 256];
/// let report = capability_report(&device, &[-16, -9], &mut out)?;
/// assert_eq!(report[..4], [0xa7, 1, 0x81, 0x81]);
/// # Ok::<(), iot_core::codec::EncodeError>(())
/// ```
pub fn capability_report<'o>(
    capabilities: &Capabilities<'_>,
    algorithms: &[i32],
    out: &'o mut [u8],
) -> Result<&'o [u8], EncodeError> {
    let takes = |code: &i32| capabilities.commands.contains(CommandCode::new(*code));
    encode_into(out, |writer| {
        writer.map(7)?.u8(COMPONENTS)?;
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
            writer.u8(key)?.array((codes.len() + more.len()) as u64)?;
            for code in codes.iter().chain(more) {
                writer.u8(*code)?;
            }
        }
        Ok(())
    })
}
