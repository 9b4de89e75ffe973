//! Whom the fixture's deny-list denies: twenty thousand keys, each from its number alone.
//!
//! The build script makes the list of them, the image asks it, and a test holds it against the writer of the SDK.

/// How many entries the list has.
pub const ENTRIES: u32 = 20_000;
/// Its version.
pub const VERSION: u8 = 7;

/// What stands in for the hash of a key (SplitMix64); those from [`ENTRIES`] on are not denied.
#[must_use]
pub const fn key_hash(number: u32) -> [u8; 32] {
    let mut hash = [0; 32];
    let mut state = number as u64;
    let mut at = 0;
    while at < hash.len() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bytes = (z ^ (z >> 31)).to_be_bytes();
        let mut byte = 0;
        while byte < bytes.len() {
            hash[at] = bytes[byte];
            (at, byte) = (at + 1, byte + 1);
        }
    }
    hash
}
