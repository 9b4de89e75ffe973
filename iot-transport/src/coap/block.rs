//! Where a block lies (RFC 7959 §2.2).

/// The value of a Block2 option: so many blocks of `16 << exponent` bytes before this one, and whether more follow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Block {
    number: u32,
    pub(super) more: bool,
    pub(super) exponent: u8,
}

/// The largest exponent; 7 is reserved.
const MAX_EXPONENT: u8 = 6;
/// Block numbers have 20 bits.
const NUMBERS: u32 = 1 << 20;

impl Block {
    /// The block of that size that begins at `offset`, a multiple of it; `None` when numbers do not reach so far.
    pub(super) fn at(offset: u32, exponent: u8, more: bool) -> Option<Self> {
        let number = offset.checked_shr(u32::from(exponent) + 4)?;
        (number < NUMBERS).then_some(Self {
            number,
            more,
            exponent,
        })
    }

    /// Reads the value of the option; `None` when it is none.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        if value.len() > 3 {
            return None;
        }
        let bits = (value.iter()).fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        let exponent = bits.to_be_bytes()[3] & 7;
        (exponent <= MAX_EXPONENT).then_some(Self {
            number: bits >> 4,
            more: bits & 8 != 0,
            exponent,
        })
    }

    /// The value of the option.
    pub(super) fn bits(self) -> u32 {
        self.number << 4 | u32::from(self.more) << 3 | u32::from(self.exponent)
    }

    /// Its first byte in the image; at most 1 GiB, because numbers have 20 bits.
    pub(super) fn offset(self) -> u32 {
        self.number << (self.exponent + 4)
    }

    /// How long a block of it is that is not the last.
    pub(super) fn bytes(self) -> u32 {
        bytes_of(self.exponent)
    }
}

/// The size of a block in bytes.
pub(super) const fn bytes_of(exponent: u8) -> u32 {
    16 << exponent
}

/// The exponent of blocks of so many bytes, which are a power of two from 16 to 1,024.
pub(super) const fn exponent_of(bytes: usize) -> u8 {
    match bytes {
        16 => 0,
        32 => 1,
        64 => 2,
        128 => 3,
        256 => 4,
        512 => 5,
        _ => MAX_EXPONENT,
    }
}
