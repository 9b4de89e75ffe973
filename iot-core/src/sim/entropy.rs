//! Randomness that repeats.

use crate::entropy::{Entropy, EntropyError};

/// The same bytes for the same seed, on every machine. Never for keys.
///
/// The generator is SplitMix64: small, fast and good enough to choose faults.
///
/// ```
/// use iot_core::sim::SimEntropy;
/// assert_eq!(SimEntropy::new(7).next_u64(), SimEntropy::new(7).next_u64());
/// ```
#[derive(Clone, Debug)]
pub struct SimEntropy(u64);

impl SimEntropy {
    /// Starts from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 random bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; zero when `bound` is zero.
    pub const fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            0
        } else {
            self.next_u64() % bound
        }
    }

    /// True in `per_mille` of 1,000 calls on average.
    pub const fn chance(&mut self, per_mille: u16) -> bool {
        self.below(1_000) < per_mille as u64
    }

    /// An independent generator for another part of the simulation.
    #[must_use]
    pub const fn fork(&mut self) -> Self {
        Self(self.next_u64())
    }
}

impl Entropy for SimEntropy {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        for chunk in out.chunks_mut(8) {
            let random = self.next_u64().to_le_bytes();
            for (to, from) in chunk.iter_mut().zip(random) {
                *to = from;
            }
        }
        Ok(())
    }
}
