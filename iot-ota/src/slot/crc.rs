//! The checksum of what is stored.

/// CRC-32 of IEEE 802.3.
pub(super) fn crc32<'b>(bytes: impl Iterator<Item = &'b u8>) -> u32 {
    !bytes.fold(u32::MAX, |sum, &byte| add(sum, byte))
}

/// Bit by bit on a chip: a table would take more of its flash than it saves time.
#[cfg(not(target_pointer_width = "64"))]
fn add(sum: u32, byte: u8) -> u32 {
    eight_bits(sum ^ u32::from(byte))
}

#[cfg(target_pointer_width = "64")]
fn add(sum: u32, byte: u8) -> u32 {
    let [low, ..] = sum.to_le_bytes();
    let place = TABLE.get(usize::from(low ^ byte));
    (sum >> 8) ^ place.copied().unwrap_or(0)
}

#[cfg(target_pointer_width = "64")]
static TABLE: [u32; 256] = {
    let (mut table, mut at) = ([0; 256], 0);
    while at < 256 {
        #[allow(
            clippy::indexing_slicing,
            clippy::cast_possible_truncation,
            reason = "below 256, when it is compiled"
        )]
        {
            table[at] = eight_bits(at as u32);
        }
        at += 1;
    }
    table
};

const fn eight_bits(mut sum: u32) -> u32 {
    let mut bit = 0;
    while bit < 8 {
        sum = (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
        bit += 1;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::crc32;

    #[test]
    fn the_checksum_is_the_one_of_ieee_802_3() {
        assert_eq!(crc32(b"123456789".iter()), 0xcbf4_3926);
    }
}
