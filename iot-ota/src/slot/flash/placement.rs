//! Which image lies where images run.

use super::PAYLOAD_BYTES;
use crate::slot::Bank;

/// Bytes beside the boot record: bank that is placed (0 A, 1 B), what is on the way (0 nothing, 1 the other one comes, 2 this
/// one comes back), and for that how many copies are known to be complete, or how many pages come back (2, big endian).
pub(super) const PLACEMENT_BYTES: usize = 4;

/// Which image lies where images run, and what is on the way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Placement {
    pub(super) placed: Bank,
    pub(super) moving: Moving,
}

/// What is on the way to where images run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Moving {
    Nothing,
    /// The other image. So many copies are known to be complete; the journal may know of more.
    Other(u16),
    /// The image that is placed, of which so many pages may be gone from there.
    Back(u16),
}

impl Placement {
    pub(super) const fn resting(placed: Bank) -> Self {
        Self {
            placed,
            moving: Moving::Nothing,
        }
    }

    pub(super) const fn moving(placed: Bank, copied: u16) -> Self {
        Self {
            placed,
            moving: Moving::Other(copied),
        }
    }

    pub(super) const fn returning(placed: Bank, pages: u16) -> Self {
        Self {
            placed,
            moving: Moving::Back(pages),
        }
    }

    /// A device without a record runs from the first bank.
    pub(super) fn of(payload: Option<&[u8; PAYLOAD_BYTES]>) -> Self {
        let bytes = payload.and_then(|payload| payload.last_chunk());
        let &[placed, moving, high, low] = bytes.unwrap_or(&[0; PLACEMENT_BYTES]);
        let number = u16::from_be_bytes([high, low]);
        Self {
            placed: if placed == 0 { Bank::A } else { Bank::B },
            moving: match moving {
                0 => Moving::Nothing,
                1 => Moving::Other(number),
                _ => Moving::Back(number),
            },
        }
    }

    pub(super) fn encode(self, payload: &mut [u8; PAYLOAD_BYTES]) {
        let (moving, number) = match self.moving {
            Moving::Nothing => (0, 0),
            Moving::Other(copies) => (1, copies),
            Moving::Back(pages) => (2, pages),
        };
        let [high, low] = number.to_be_bytes();
        let bytes = [u8::from(self.placed == Bank::B), moving, high, low];
        if let Some(place) = payload.last_chunk_mut() {
            *place = bytes;
        }
    }
}
