//! One private key in this process's memory.

use core::fmt;

use ::ring::rand::SystemRandom;
use ::ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use iot_core::crypto::{KeyError, Signature, SignatureAlgorithm, Signer};

use super::verify::join;

/// A P-256 or Ed25519 key of its own, for an authority, a server or a test.
///
/// It cannot be copied, shown or stored.
///
/// ```
/// use iot_core::crypto::{Signature, SignatureAlgorithm, Signer};
/// let key = iot_identity::ring::SoftwareKey::generate(SignatureAlgorithm::EcdsaP256Sha256)?;
/// let mut signature = Signature::empty();
/// key.sign(&[b"hello"], &mut signature)?;
/// # Ok::<(), iot_core::crypto::KeyError>(())
/// ```
pub struct SoftwareKey(Pair);

enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SoftwareKey {
    /// Creates a key from the operating system's randomness.
    ///
    /// # Errors
    ///
    /// [`KeyError::Unsupported`] for an algorithm without software keys, [`KeyError::Device`] when there is
    /// no randomness.
    pub fn generate(algorithm: SignatureAlgorithm) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        Ok(Self(match algorithm {
            SignatureAlgorithm::EcdsaP256Sha256 => {
                let alg = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let pkcs8 =
                    EcdsaKeyPair::generate_pkcs8(alg, &random).map_err(|_| KeyError::Device)?;
                let pair = EcdsaKeyPair::from_pkcs8(alg, pkcs8.as_ref(), &random);
                Pair::P256(pair.map_err(|_| KeyError::Device)?)
            }
            SignatureAlgorithm::Ed25519 => {
                let pkcs8 =
                    Ed25519KeyPair::generate_pkcs8(&random).map_err(|_| KeyError::Device)?;
                let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref());
                Pair::Ed25519(pair.map_err(|_| KeyError::Device)?)
            }
            _ => return Err(KeyError::Unsupported),
        }))
    }
}

impl Signer for SoftwareKey {
    fn algorithm(&self) -> SignatureAlgorithm {
        match self.0 {
            Pair::P256(_) => SignatureAlgorithm::EcdsaP256Sha256,
            Pair::Ed25519(_) => SignatureAlgorithm::Ed25519,
        }
    }

    fn public_key<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], KeyError> {
        let key = match &self.0 {
            Pair::P256(pair) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        };
        let needed = key.len();
        let out = out.get_mut(..needed).ok_or(KeyError::Buffer { needed })?;
        out.copy_from_slice(key);
        Ok(out)
    }

    fn sign(&self, message: &[&[u8]], out: &mut Signature) -> Result<(), KeyError> {
        let message = join(message);
        let signature = match &self.0 {
            Pair::P256(pair) => pair
                .sign(&SystemRandom::new(), &message)
                .map_err(|_| KeyError::Device)?,
            Pair::Ed25519(pair) => pair.sign(&message),
        };
        let needed = signature.as_ref().len();
        let fits = out.set(signature.as_ref());
        fits.then_some(()).ok_or(KeyError::Buffer { needed })
    }
}

impl fmt::Debug for SoftwareKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SoftwareKey({:?})", self.algorithm())
    }
}
