//! Which image lies where images run.

use super::PAYLOAD_BYTES;
use crate::slot::{Bank, RECORD_BYTES};

/// Bytes beside the boot record: bank that is placed (0 A, 1 B), whether the other one is being brought (0 or 1), and
/// how many copies of that are known to be complete (2, big endian).
pub(super) const PLACEMENT_BYTES: usize = 4;

/// Which image lies where images run, and whether the other one is being brought there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Placement {
    pub(super) placed: Bank,
    /// How many copies are known to be complete; the journal may know of more.
    pub(super) moving: Option<u16>,
}

impl Placement {
    pub(super) const fn resting(placed: Bank) -> Self {
        Self {
            placed,
            moving: None,
        }
    }

    pub(super) const fn moving(placed: Bank, copied: u16) -> Self {
        Self {
            placed,
            moving: Some(copied),
        }
    }

    /// A device without a record runs from the first bank.
    pub(super) fn of(payload: Option<&[u8; PAYLOAD_BYTES]>) -> Self {
        let bytes = payload.and_then(|payload| payload.last_chunk());
        let &[placed, moving, high, low] = bytes.unwrap_or(&[0; PLACEMENT_BYTES]);
        Self {
            placed: if placed == 0 { Bank::A } else { Bank::B },
            moving: (moving != 0).then_some(u16::from_be_bytes([high, low])),
        }
    }

    pub(super) fn encode(self, payload: &mut [u8; PAYLOAD_BYTES]) {
        let [high, low] = self.moving.unwrap_or(0).to_be_bytes();
        let placed = u8::from(self.placed == Bank::B);
        let bytes = [placed, u8::from(self.moving.is_some()), high, low];
        for (to, from) in payload.iter_mut().skip(RECORD_BYTES).zip(bytes) {
            *to = from;
        }
    }
}
