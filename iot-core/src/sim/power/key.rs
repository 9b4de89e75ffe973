//! Hashes long enough to stand for what they were made of.

use core::hash::Hasher;

use crate::sim::flash::{mix, mix_b};

/// Collects what two states must have in common to be the same; 128 bits, and 64 more to audit them.
///
/// Whatever implements `Hash` can be added:
///
/// ```
/// use core::hash::Hash;
/// use iot_core::sim::power::KeyHasher;
/// let mut key = KeyHasher::new();
/// ("free", [1, 2]).hash(&mut key);
/// key.word(3);
/// assert_ne!(key.key(), KeyHasher::new().key());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct KeyHasher {
    high: u64,
    low: u64,
    audit: u64,
}

impl KeyHasher {
    /// Nothing collected yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            high: 0x243f_6a88_85a3_08d3,
            low: 0x1319_8a2e_0370_7344,
            audit: 0xa409_3822_299f_31d0,
        }
    }

    /// Adds 64 bits.
    // Each lane is a bijection of its state for every word, so nothing that was added is ever forgotten.
    pub const fn word(&mut self, word: u64) {
        self.high = mix(self.high.rotate_left(23) ^ word);
        self.low = mix_b(self.low.wrapping_mul(5).wrapping_add(word));
        let audit = self.audit.rotate_left(41).wrapping_add(word);
        self.audit = (audit ^ (audit >> 29)).wrapping_mul(0x9fb2_1c65_1e98_df25);
    }

    /// Adds an image's or a page's hash.
    pub const fn image(&mut self, hash: u128) {
        let [a, b] = halves(hash);
        self.word(a);
        self.word(b);
    }

    /// Adds bytes, and how many they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        self.write(bytes);
    }

    /// The key of everything that was added, in its order.
    #[must_use]
    pub const fn key(&self) -> u128 {
        ((mix_b(self.high) as u128) << 64) | mix(self.low) as u128
    }

    /// Another hash of the same, independent of the key.
    #[must_use]
    pub const fn audit(&self) -> u64 {
        mix(self.audit)
    }
}

const fn halves(hash: u128) -> [u64; 2] {
    #[expect(clippy::cast_possible_truncation, reason = "the halves are wanted")]
    let low = hash as u64;
    [(hash >> 64) as u64, low]
}

impl Default for KeyHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        mix_b(self.high)
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            for (to, from) in last.iter_mut().zip(rest) {
                *to = *from;
            }
            self.word(u64::from_le_bytes(last));
        }
    }

    fn write_u8(&mut self, i: u8) {
        self.word(u64::from(i));
    }

    fn write_u16(&mut self, i: u16) {
        self.word(u64::from(i));
    }

    fn write_u32(&mut self, i: u32) {
        self.word(u64::from(i));
    }

    fn write_u64(&mut self, i: u64) {
        self.word(i);
    }

    fn write_u128(&mut self, i: u128) {
        self.image(i);
    }

    fn write_usize(&mut self, i: usize) {
        self.word(i as u64);
    }
}
