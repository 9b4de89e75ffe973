//! CRC-32 (IEEE 802.3) without the final inversion, continued from a value.
//!
//! Followed by its own four bytes it becomes 0, which is how a checksum is checked.

#[cfg(not(target_pointer_width = "64"))]
pub(super) use small::crc32;
#[cfg(target_pointer_width = "64")]
pub(super) use wide::crc32;

/// What becomes of a register with so small a content after as many bits of zeros, for each content.
const fn table<const LEN: usize>(bits: u32) -> [u32; LEN] {
    let mut table = [0; LEN];
    let (mut rest, mut content) = (&mut table as &mut [u32], 0);
    while let Some((place, others)) = rest.split_first_mut() {
        let (mut register, mut bit) = (content, 0);
        while bit < bits {
            let reduced = if register & 1 == 0 { 0 } else { 0xEDB8_8320 };
            register = reduced ^ (register >> 1);
            bit += 1;
        }
        *place = register;
        content += 1;
        rest = others;
    }
    table
}

/// For chips: four bits at a time, with a table of 64 bytes instead of 1,024.
#[cfg(any(test, not(target_pointer_width = "64")))]
mod small {
    const TABLE: [u32; 16] = super::table(4);

    // Out of line, like `seed`: together 416 bytes of code on a chip.
    #[inline(never)]
    pub(in super::super) fn crc32(mut crc: u32, bytes: &[u8]) -> u32 {
        for &byte in bytes {
            crc ^= u32::from(byte);
            for _ in 0..2 {
                crc = crc >> 4 ^ TABLE.get((crc & 15) as usize).copied().unwrap_or(0);
            }
        }
        crc
    }
}

/// For computers, where simulations spend their time in it: eight bytes at a time.
#[cfg(target_pointer_width = "64")]
mod wide {
    use super::table;

    /// For each byte of eight: it and the bytes behind it are left.
    const HIGH: [[u32; 256]; 4] = [table(64), table(56), table(48), table(40)];
    const LOW: [[u32; 256]; 4] = [table(32), table(24), table(16), table(8)];

    fn look(table: &[u32; 256], byte: u8) -> u32 {
        table.get(usize::from(byte)).copied().unwrap_or(0)
    }

    fn look_all([first, second, third, last]: &[[u32; 256]; 4], word: u32) -> u32 {
        let [a, b, c, d] = word.to_le_bytes();
        look(first, a) ^ look(second, b) ^ look(third, c) ^ look(last, d)
    }

    pub(in super::super) fn crc32(mut crc: u32, bytes: &[u8]) -> u32 {
        let (pairs, rest) = bytes.as_chunks::<8>();
        for &[a, b, c, d, e, f, g, h] in pairs {
            let (first, second) = ([a, b, c, d], [e, f, g, h]);
            crc = look_all(&HIGH, crc ^ u32::from_le_bytes(first))
                ^ look_all(&LOW, u32::from_le_bytes(second));
        }
        let (words, rest) = rest.as_chunks::<4>();
        for &word in words {
            crc = look_all(&LOW, crc ^ u32::from_le_bytes(word));
        }
        let [.., last] = &LOW;
        for byte in rest {
            let [low, ..] = crc.to_le_bytes();
            crc = crc >> 8 ^ look(last, low ^ byte);
        }
        crc
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    #[test]
    fn it_is_the_crc_of_ieee_802_3_before_its_last_inversion() {
        // The check value of the catalogue of parametrised CRC algorithms.
        assert_eq!(!super::crc32(u32::MAX, b"123456789"), 0xCBF4_3926);
    }

    proptest! {
        #[test]
        fn chips_and_computers_agree_and_a_checksum_ends_in_zero(seed: u32, bytes: alloc::vec::Vec<u8>) {
            let sum = super::small::crc32(seed, &bytes);
            prop_assert_eq!(super::crc32(seed, &bytes), sum);
            prop_assert_eq!(super::crc32(sum, &sum.to_le_bytes()), 0);
        }
    }
}
