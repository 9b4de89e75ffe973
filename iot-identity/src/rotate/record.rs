//! The records as bytes, and a slot's chain in memory.

use iot_core::Timestamp;
use iot_core::codec::encode_into;

use super::due::Term;
use super::pair::Side;
use crate::enrol::{Chain, WireError, open};

const HEAD_BYTES: usize = 24;

/// Which side is current.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Head {
    pub(super) generation: u32,
    pub(super) current: Side,
    pub(super) since: Timestamp,
}

impl Head {
    pub(super) fn write(&self, room: &mut [u8]) -> Option<usize> {
        let current = match self.current {
            Side::A => 0,
            Side::B => 1,
        };
        let written = encode_into(room, |out| {
            out.array(4)?.u8(1)?.u32(self.generation)?;
            out.u8(current)?.u64(self.since.as_millis())?;
            Ok(())
        });
        written.ok().map(<[u8]>::len)
    }

    pub(super) fn read(record: &[u8]) -> Result<Self, WireError> {
        if record.len() > HEAD_BYTES {
            return Err(WireError::Shape);
        }
        let mut input = open(record, 4)?;
        Ok(Self {
            generation: input.u32()?,
            current: match input.u8()? {
                0 => Side::A,
                1 => Side::B,
                _ => return Err(WireError::Shape),
            },
            since: Timestamp::from_millis(input.u64()?),
        })
    }
}

/// A chain in a slot's record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held<const BYTES: usize> {
    pub(super) generation: u32,
    pub(super) term: Term,
    // The encoded array of certificates.
    array: [u8; BYTES],
    len: usize,
}

impl<const BYTES: usize> Held<BYTES> {
    /// `None` when the chain does not fit, or its first certificate is none that we could use.
    pub(super) fn new(generation: u32, doubted: Timestamp, chain: Chain<'_>) -> Option<Self> {
        let term = Term::of(chain.iter().next()?, doubted)?;
        let mut array = [0; BYTES];
        let len = chain.as_bytes().len();
        array.get_mut(..len)?.copy_from_slice(chain.as_bytes());
        Some(Self {
            generation,
            term,
            array,
            len,
        })
    }

    pub(super) fn chain(&self) -> impl Iterator<Item = &[u8]> {
        let array = self.array.get(..self.len).unwrap_or(&[]);
        Chain::from_bytes(array).into_iter().flat_map(Chain::iter)
    }

    pub(super) fn write(&self, room: &mut [u8]) -> Option<usize> {
        let array = self.array.get(..self.len)?;
        let head = encode_into(room, |out| {
            out.array(4)?.u8(1)?.u32(self.generation)?;
            out.u64(self.term.doubted.as_millis())?;
            Ok(())
        });
        let start = head.ok()?.len();
        let end = start.checked_add(array.len())?;
        room.get_mut(start..end)?.copy_from_slice(array);
        Some(end)
    }

    pub(super) fn read(record: &[u8]) -> Option<Self> {
        let mut input = open(record, 4).ok()?;
        let generation = input.u32().ok()?;
        let doubted = Timestamp::from_millis(input.u64().ok()?);
        let chain = Chain::read(record, &mut input).ok()?;
        Self::new(generation, doubted, chain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_head_survives_its_encoding(generation: u32, b: bool, since: u64) {
            let current = if b { Side::B } else { Side::A };
            let head = Head { generation, current, since: Timestamp::from_millis(since) };
            let mut room = [0; HEAD_BYTES];
            let len = head.write(&mut room).unwrap();
            prop_assert_eq!(Head::read(&room[..len]), Ok(head));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let inside = [&[0x84, 1, 7][..], &bytes].concat();
            for bytes in [&bytes, &inside] {
                let _ = (Head::read(bytes), Held::<64>::read(bytes));
            }
        }
    }
}
