//! A rotation's records, for the fuzz targets alone.

use alloc::vec::Vec;

use super::record::{Head, Held};

/// As much as a slot of the tests' devices holds.
const BYTES: usize = 1_024;

/// What is written for the head that a record holds.
#[must_use]
pub fn rotation_head(record: &[u8]) -> Option<Vec<u8>> {
    let mut room = [0; 64];
    let len = Head::read(record).ok()?.write(&mut room)?;
    room.get(..len).map(<[u8]>::to_vec)
}

/// What is written for the slot that a record holds, and the certificates of its chain.
#[must_use]
pub fn rotation_slot(record: &[u8]) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let held = Held::<BYTES>::read(record)?;
    let mut room = [0; BYTES + 64];
    // What was read and cannot be written leaves nothing, and the target notices.
    let len = held.write(&mut room).unwrap_or(0);
    let again = room.get(..len).map(<[u8]>::to_vec);
    Some((again?, held.chain().map(<[u8]>::to_vec).collect()))
}
