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
/// It cannot be copied, shown or stored, but one that lies in a file can be read.
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

    /// Reads an unencrypted PKCS#8 key (RFC 5208, RFC 5958), as OpenSSL's `genpkey` writes them: P-256 with its public
    /// key inside, or Ed25519. The bytes are the caller's to wipe.
    ///
    /// `None` for any other key, and for one whose public half does not belong to it.
    ///
    /// ```
    /// assert!(iot_identity::ring::SoftwareKey::from_pkcs8(b"no key").is_none());
    /// ```
    #[must_use]
    pub fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let alg = &ECDSA_P256_SHA256_FIXED_SIGNING;
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(alg, der, &SystemRandom::new()) {
            return Some(Self(Pair::P256(pair)));
        }
        // Without the public key inside, which version 1 of the format has no place for, there is none to compare.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
        Some(Self(Pair::Ed25519(pair)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::PublicKey;
    use crate::ring::SoftwareVerifier;
    use iot_core::crypto::Verifier;

    fn signs(key: &SoftwareKey, public: &[u8]) -> bool {
        let mut signature = Signature::empty();
        key.sign(&[b"hello"], &mut signature).unwrap();
        let public = PublicKey::new(key.algorithm(), public).unwrap();
        let verifier = SoftwareVerifier::new(public);
        verifier.verify(&[b"hello"], signature.as_bytes()).is_ok()
    }

    #[test]
    fn a_key_in_a_file_signs_for_its_own_public_half_only() {
        let random = SystemRandom::new();
        let alg = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let der = EcdsaKeyPair::generate_pkcs8(alg, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(alg, der.as_ref(), &random).unwrap();
        let key = SoftwareKey::from_pkcs8(der.as_ref()).unwrap();
        assert_eq!(key.algorithm(), SignatureAlgorithm::EcdsaP256Sha256);
        assert!(signs(&key, pair.public_key().as_ref()));
        // The public key is the end of the file.
        let mut other = der.as_ref().to_vec();
        *other.last_mut().unwrap() ^= 1;
        assert!(SoftwareKey::from_pkcs8(&other).is_none());
        assert!(SoftwareKey::from_pkcs8(&der.as_ref()[1..]).is_none());
    }

    #[test]
    fn an_ed25519_key_is_read_with_and_without_its_public_half() {
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap();
        // Version 1, as OpenSSL writes it (RFC 8410 §7): the 32 bytes of the seed stand behind 16 of version 2.
        let head = [
            0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
        ];
        let bare = [&head[..], &der.as_ref()[16..48]].concat();
        for der in [der.as_ref(), &bare] {
            let key = SoftwareKey::from_pkcs8(der).unwrap();
            assert_eq!(key.algorithm(), SignatureAlgorithm::Ed25519);
            assert!(signs(&key, pair.public_key().as_ref()));
        }
    }
}
