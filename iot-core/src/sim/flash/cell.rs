//! What one word of flash is, and the hash that makes an image cheap to recognise.

/// One word of a [`SimFlash`](super::SimFlash).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum FlashCell<const WRITE: usize> {
    /// Reads as ones and may be programmed.
    Erased,
    /// Reads as this value. A word that was programmed with ones alone is [`Attempted`](Self::Attempted).
    Programmed([u8; WRITE]),
    /// Reading it is an error: its check bits do not fit.
    Ecc,
    /// Reads as ones like an erased word, but something tried to program it: data would be a second program.
    Attempted,
    /// Reads as ones, as this value, as something between or as an error, and not always the same.
    Unstable([u8; WRITE]),
}

pub(super) const ERASED: u8 = 0;
pub(super) const PROGRAMMED: u8 = 1;
pub(super) const ECC: u8 = 2;
pub(super) const ATTEMPTED: u8 = 3;
pub(super) const UNSTABLE: u8 = 4;

impl<const WRITE: usize> FlashCell<WRITE> {
    pub(super) const ONES: [u8; WRITE] = [0xff; WRITE];
    pub(super) const ZERO: [u8; WRITE] = [0; WRITE];

    /// A word that holds `value`; [`Attempted`](Self::Attempted) when that is ones alone.
    pub(super) fn holding(value: [u8; WRITE]) -> Self {
        match value == Self::ONES {
            true => Self::Attempted,
            false => Self::Programmed(value),
        }
    }

    /// Undoes [`kind`](Self::kind) and [`stored`](Self::stored); `None` for bytes that no cell gives.
    pub(super) fn from_parts(kind: u8, bytes: [u8; WRITE]) -> Option<Self> {
        let cell = match kind {
            ERASED => Self::Erased,
            PROGRAMMED => Self::holding(bytes),
            ECC => Self::Ecc,
            ATTEMPTED => Self::Attempted,
            UNSTABLE => Self::Unstable(bytes),
            _ => return None,
        };
        (cell.kind() == kind && cell.stored() == bytes).then_some(cell)
    }

    pub(super) const fn kind(&self) -> u8 {
        match self {
            Self::Erased => ERASED,
            Self::Programmed(_) => PROGRAMMED,
            Self::Ecc => ECC,
            Self::Attempted => ATTEMPTED,
            Self::Unstable(_) => UNSTABLE,
        }
    }

    /// What is kept of it: what it reads as, where that is certain.
    pub(super) const fn stored(&self) -> [u8; WRITE] {
        match self {
            Self::Erased | Self::Attempted => Self::ONES,
            Self::Programmed(value) | Self::Unstable(value) => *value,
            Self::Ecc => Self::ZERO,
        }
    }

    /// The cell's share in the hash of an image, in which it is the word with number `index`.
    ///
    /// An image's hash is the exclusive or of its cells' shares, so that one word changes it in constant time.
    /// Erased words have no share.
    pub(super) fn share(&self, index: usize) -> u128 {
        let kind = self.kind();
        if kind == ERASED {
            return 0;
        }
        let place = ((index as u64) << 3) | u64::from(kind);
        let (mut high, mut low) = (place.wrapping_mul(ODD_A), place.wrapping_mul(ODD_B));
        let stored = self.stored();
        for chunk in stored.chunks(8) {
            let mut bytes = [0; 8];
            for (to, from) in bytes.iter_mut().zip(chunk) {
                *to = *from;
            }
            let value = u64::from_le_bytes(bytes);
            high = mix(high ^ value);
            low = mix_b(low ^ value.rotate_left(32));
        }
        (u128::from(high) << 64) | u128::from(low)
    }
}

const ODD_A: u64 = 0x9e37_79b9_7f4a_7c15;
const ODD_B: u64 = 0xd6e8_feb8_6659_fd93;

/// The finaliser of SplitMix64.
pub(in crate::sim) const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The finaliser of MurmurHash3: as good as [`mix`], and independent of it.
pub(in crate::sim) const fn mix_b(mut x: u64) -> u64 {
    x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

/// `value` with some of its zeroes turned into ones, chosen by `seed`.
pub(super) fn towards_ones<const WRITE: usize>(mut value: [u8; WRITE], seed: u64) -> [u8; WRITE] {
    for (block, chunk) in (0u64..).zip(value.chunks_mut(8)) {
        let ones = mix(seed ^ block.wrapping_mul(ODD_B)).to_le_bytes();
        for (byte, ones) in chunk.iter_mut().zip(ones) {
            *byte |= ones;
        }
    }
    value
}

/// The bits that are programmed in `a` or in `b`.
pub(super) fn both<const WRITE: usize>(mut a: [u8; WRITE], b: [u8; WRITE]) -> [u8; WRITE] {
    for (a, b) in a.iter_mut().zip(b) {
        *a &= b;
    }
    a
}
