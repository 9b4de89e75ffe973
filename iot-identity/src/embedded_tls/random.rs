//! Randomness that cannot fail in the middle of a handshake.

use core::fmt;

use iot_core::entropy::{Entropy, EntropyError};
use rand_core::{CryptoRng, Error, RngCore};
use zeroize::Zeroizing;

use crate::rustcrypto::HmacSha256;

/// Random bytes for one handshake: HMAC-SHA-256 over a counter (NIST SP 800-108r1 §4.1), under a seed that is drawn first.
///
/// `embedded-tls` takes no error from its generator. So everything that may fail happens when this is made.
pub(super) struct Random {
    seed: HmacSha256,
    blocks: u64,
}

impl Random {
    /// Draws the seed, 32 bytes.
    pub(super) fn new(entropy: &mut (impl Entropy + ?Sized)) -> Result<Self, EntropyError> {
        let mut seed = Zeroizing::new([0; 32]);
        entropy.fill(seed.as_mut_slice())?;
        let seed = HmacSha256::new(seed.as_slice()).map_err(|_| EntropyError::new())?;
        Ok(Self { seed, blocks: 0 })
    }

    fn fill(&mut self, out: &mut [u8]) {
        for part in out.chunks_mut(32) {
            let block = Zeroizing::new(self.seed.tag(&[&self.blocks.to_be_bytes()]));
            for (to, from) in part.iter_mut().zip(block.iter()) {
                *to = *from;
            }
            // No handshake comes near: each block is 32 bytes.
            self.blocks = self.blocks.wrapping_add(1);
        }
    }
}

impl RngCore for Random {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        u32::from_be_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_be_bytes(bytes)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        self.fill(out);
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        self.fill(out);
        Ok(())
    }
}

impl CryptoRng for Random {}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Source(Option<u8>);
    impl Entropy for Source {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
            out.fill(self.0.ok_or(EntropyError::new())?);
            Ok(())
        }
    }

    #[test]
    fn a_generator_that_fails_gives_no_randomness_at_all() {
        assert!(Random::new(&mut Source(None)).is_err());
    }

    #[test]
    fn no_block_comes_twice_and_each_seed_has_its_own() {
        let mut blocks = alloc::vec::Vec::new();
        for seed in [1, 2] {
            let mut random = Random::new(&mut Source(Some(seed))).unwrap();
            let mut bytes = [0; 100];
            random.fill_bytes(&mut bytes);
            for at in [0, 32, 64] {
                blocks.push(bytes[at..at + 32].to_vec());
            }
            random.try_fill_bytes(&mut bytes[..32]).unwrap();
            blocks.push(bytes[..32].to_vec());
            blocks.push([random.next_u64(); 4].map(u64::to_be_bytes).concat());
            blocks.push([random.next_u32(); 8].map(u32::to_be_bytes).concat());
        }
        for (place, block) in blocks.iter().enumerate() {
            assert!(!blocks[..place].contains(block), "{place}");
            assert_ne!(block[..4], [0; 4]);
        }
    }
}
