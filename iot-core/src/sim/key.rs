//! A key that costs nothing and protects nothing.

use crate::crypto::{BadSignature, KeyError, Signature, SignatureAlgorithm, Signer, Verifier};

/// Signs and verifies with a checksum, for tests of everything around a signature. **It is not cryptography**:
/// whoever holds the verifier can sign.
///
/// ```
/// use iot_core::crypto::{Signature, Signer, Verifier};
/// use iot_core::sim::ToyKey;
/// let mut signature = Signature::empty();
/// ToyKey::new(1).sign(&[b"open"], &mut signature)?;
/// assert!(ToyKey::new(1).verify(&[b"op", b"en"], signature.as_bytes()).is_ok());
/// assert!(ToyKey::new(2).verify(&[b"open"], signature.as_bytes()).is_err());
/// # Ok::<(), iot_core::crypto::KeyError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ToyKey(u64);

impl ToyKey {
    /// The key of that number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    fn checksum(self, message: &[&[u8]]) -> [u8; 64] {
        // FNV-1a in eight lanes.
        let mut out = [0; 64];
        for (lane, to) in (1u64..).zip(out.chunks_mut(8)) {
            let seed = 0xcbf2_9ce4_8422_2325 ^ self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ lane;
            let hash = message
                .iter()
                .flat_map(|part| part.iter())
                .fold(seed, |hash, &byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
                });
            to.copy_from_slice(&hash.to_le_bytes());
        }
        out
    }
}

impl Signer for ToyKey {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EcdsaP256Sha256
    }

    fn public_key<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], KeyError> {
        let needed = SignatureAlgorithm::EcdsaP256Sha256.public_key_bytes();
        let key = out.get_mut(..needed).ok_or(KeyError::Buffer { needed })?;
        key.fill(4);
        for (to, from) in key.iter_mut().skip(1).zip(self.0.to_le_bytes()) {
            *to = from;
        }
        Ok(key)
    }

    fn sign(&self, message: &[&[u8]], out: &mut Signature) -> Result<(), KeyError> {
        if out.set(&self.checksum(message)) {
            Ok(())
        } else {
            Err(KeyError::Device)
        }
    }
}

impl Verifier for ToyKey {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EcdsaP256Sha256
    }

    fn verify(&self, message: &[&[u8]], signature: &[u8]) -> Result<(), BadSignature> {
        if signature == self.checksum(message) {
            Ok(())
        } else {
            Err(BadSignature::new())
        }
    }
}
