//! One P-256 key.

use core::fmt;

use iot_core::crypto::{KeyError, Signature, SignatureAlgorithm, Signer};
use iot_core::entropy::Entropy;
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::MultipartSigner;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// A P-256 key in memory, wiped when it is dropped; it cannot be copied, shown or stored.
///
/// ```
/// use iot_core::crypto::{Signature, Signer, Verifier};
/// use iot_identity::{key::PublicKey, rustcrypto::{P256Key, P256Verifier}};
/// # struct Chip;
/// # impl iot_core::entropy::Entropy for Chip {
/// #     fn fill(&mut self, out: &mut [u8]) -> Result<(), iot_core::entropy::EntropyError> { out.fill(7); Ok(()) }
/// # }
/// let key = P256Key::generate(&mut Chip)?; // the chip's random generator
/// let mut signature = Signature::empty();
/// key.sign(&[b"hello"], &mut signature)?;
/// let verifier = P256Verifier::new(&PublicKey::of(&key)?).unwrap();
/// assert!(verifier.verify(&[b"hello"], signature.as_bytes()).is_ok());
/// # Ok::<(), iot_core::crypto::KeyError>(())
/// ```
pub struct P256Key(SigningKey);

// A random 256-bit number is no P-256 scalar once in 2^32; a source that fails this often is broken.
const ATTEMPTS: usize = 8;

impl P256Key {
    /// Creates a key from `entropy`.
    ///
    /// # Errors
    ///
    /// [`KeyError::Device`] when the entropy fails or yields no valid number.
    pub fn generate(entropy: &mut (impl Entropy + ?Sized)) -> Result<Self, KeyError> {
        let mut secret = Zeroizing::new([0; 32]);
        for _ in 0..ATTEMPTS {
            entropy
                .fill(secret.as_mut_slice())
                .map_err(|_| KeyError::Device)?;
            if let Ok(key) = SigningKey::from_slice(secret.as_slice()) {
                return Ok(Self(key));
            }
        }
        Err(KeyError::Device)
    }
}

impl ZeroizeOnDrop for P256Key {}

// What the mark above says is true as long as what is held keeps it.
const _: fn() = || {
    const fn wiped<T: ZeroizeOnDrop>() {}
    wiped::<SigningKey>();
};

impl Signer for P256Key {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EcdsaP256Sha256
    }

    fn public_key<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], KeyError> {
        let point = self.0.verifying_key().to_sec1_point(false);
        let needed = point.as_bytes().len();
        let out = out.get_mut(..needed).ok_or(KeyError::Buffer { needed })?;
        out.copy_from_slice(point.as_bytes());
        Ok(out)
    }

    fn sign(&self, message: &[&[u8]], out: &mut Signature) -> Result<(), KeyError> {
        put(self.0.try_multipart_sign(message), out)
    }

    fn sign_digest(&self, digest: &[u8; 32], out: &mut Signature) -> Result<(), KeyError> {
        put(self.0.sign_prehash(digest), out)
    }
}

fn put(
    signature: Result<p256::ecdsa::Signature, p256::ecdsa::Error>,
    out: &mut Signature,
) -> Result<(), KeyError> {
    let bytes = signature.map_err(|_| KeyError::Device)?.to_bytes();
    let fits = out.set(&bytes);
    fits.then_some(()).ok_or(KeyError::Buffer { needed: 64 })
}

impl fmt::Debug for P256Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("P256Key(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iot_core::entropy::EntropyError;

    struct Stuck(u8);
    impl Entropy for Stuck {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
            out.fill(self.0);
            Ok(())
        }
    }

    #[test]
    fn a_broken_random_generator_gives_no_key() {
        for stuck in [0, 0xff] {
            let key = P256Key::generate(&mut Stuck(stuck));
            assert_eq!(key.map(|_| ()), Err(KeyError::Device));
        }
    }

    #[test]
    fn a_digest_signed_is_the_message_signed() {
        use iot_core::crypto::Digest as _;
        let key = P256Key::generate(&mut Stuck(7)).unwrap();
        let mut hash = super::super::Sha256::new();
        hash.update(b"hello");
        let (mut a, mut b) = (Signature::empty(), Signature::empty());
        key.sign(&[b"hel", b"lo"], &mut a).unwrap();
        key.sign_digest(&hash.finish(), &mut b).unwrap();
        assert_eq!(a, b);
    }
}
