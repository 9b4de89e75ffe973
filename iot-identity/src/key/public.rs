//! A public key and its hash.

use core::fmt;

use iot_core::crypto::{
    Digest, KeyError, MAX_PUBLIC_KEY_BYTES, Sha256Digest, SignatureAlgorithm, Signer,
};

/// The longest SubjectPublicKeyInfo of a [`PublicKey`], in bytes.
pub const MAX_SPKI_BYTES: usize = 91;

// The SubjectPublicKeyInfo of both algorithms has one fixed head (RFC 5480 §2, RFC 8410 §4).
const P256_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const ED25519_HEAD: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// A public key as data: an uncompressed P-256 point or an Ed25519 key.
///
/// ```
/// use iot_identity::key::PublicKey;
/// use iot_core::crypto::SignatureAlgorithm;
/// let key = PublicKey::new(SignatureAlgorithm::Ed25519, &[7; 32]).unwrap();
/// let [head, tail] = key.spki_parts();
/// assert_eq!(PublicKey::from_spki(&[head, tail].concat()), Some(key));
/// ```
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct PublicKey {
    algorithm: SignatureAlgorithm,
    // Unused bytes stay zero, so that derived equality is that of the key.
    bytes: [u8; MAX_PUBLIC_KEY_BYTES],
}

impl PublicKey {
    /// Takes the bytes of a key in the form of [`SignatureAlgorithm::public_key_bytes`].
    ///
    /// `None` when the length does not fit or a P-256 point is not in uncompressed form. Whether the point
    /// lies on the curve is found out by the verifier that uses it.
    #[must_use]
    pub fn new(algorithm: SignatureAlgorithm, key: &[u8]) -> Option<Self> {
        let form = match algorithm {
            SignatureAlgorithm::EcdsaP256Sha256 => key.first() == Some(&0x04),
            SignatureAlgorithm::Ed25519 => true,
            _ => false,
        };
        if !form || key.len() != algorithm.public_key_bytes() {
            return None;
        }
        let mut bytes = [0; MAX_PUBLIC_KEY_BYTES];
        bytes.get_mut(..key.len())?.copy_from_slice(key);
        Some(Self { algorithm, bytes })
    }

    /// Asks a signer for its public key.
    ///
    /// # Errors
    ///
    /// What the signer says, or [`KeyError::Unsupported`] for a key in an unknown form.
    pub fn of(signer: &(impl Signer + ?Sized)) -> Result<Self, KeyError> {
        let mut buffer = [0; MAX_PUBLIC_KEY_BYTES];
        let bytes = signer.public_key(&mut buffer)?;
        Self::new(signer.algorithm(), bytes).ok_or(KeyError::Unsupported)
    }

    /// Takes the key out of a DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7); `None` for any other key.
    #[must_use]
    pub fn from_spki(der: &[u8]) -> Option<Self> {
        if let Some(point) = der.strip_prefix(&P256_HEAD) {
            Self::new(SignatureAlgorithm::EcdsaP256Sha256, point)
        } else {
            Self::new(
                SignatureAlgorithm::Ed25519,
                der.strip_prefix(&ED25519_HEAD)?,
            )
        }
    }

    /// What it verifies.
    #[must_use]
    pub const fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// The key in the form of [`SignatureAlgorithm::public_key_bytes`].
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes
            .get(..self.algorithm.public_key_bytes())
            .unwrap_or(&[])
    }

    /// Copies the key as [`Signer::public_key`] wants it.
    #[cfg(any(feature = "pkcs11", feature = "tpm"))]
    pub(crate) fn write_to<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], KeyError> {
        let needed = self.as_bytes().len();
        let out = out.get_mut(..needed).ok_or(KeyError::Buffer { needed })?;
        out.copy_from_slice(self.as_bytes());
        Ok(out)
    }

    /// Its DER SubjectPublicKeyInfo in two parts that follow each other.
    #[must_use]
    pub fn spki_parts(&self) -> [&[u8]; 2] {
        let head: &[u8] = match self.algorithm {
            SignatureAlgorithm::EcdsaP256Sha256 => &P256_HEAD,
            _ => &ED25519_HEAD,
        };
        [head, self.as_bytes()]
    }

    /// Writes its DER SubjectPublicKeyInfo, at most [`MAX_SPKI_BYTES`].
    ///
    /// # Errors
    ///
    /// [`KeyError::Buffer`] when `out` is too small.
    pub fn write_spki<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], KeyError> {
        let [head, tail] = self.spki_parts();
        let needed = head.len() + tail.len();
        let out = out.get_mut(..needed).ok_or(KeyError::Buffer { needed })?;
        for (to, from) in out.iter_mut().zip(head.iter().chain(tail)) {
            *to = *from;
        }
        Ok(out)
    }

    /// The SHA-256 of its SubjectPublicKeyInfo; `digest` must have absorbed nothing.
    pub fn hash(&self, digest: &mut (impl Digest + ?Sized)) -> KeyHash {
        for part in self.spki_parts() {
            digest.update(part);
        }
        KeyHash::new(digest.finish())
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for PublicKey {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "PublicKey({} {=[u8]:02x})",
            self.algorithm,
            self.as_bytes()
        );
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?} ", self.algorithm)?;
        // The first bytes tell keys apart in a log; a P-256 point always begins with 04.
        for byte in self.as_bytes().iter().skip(1).take(6) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("…)")
    }
}

/// The SHA-256 of a DER SubjectPublicKeyInfo: names a key wherever it is certified.
///
/// ```
/// use iot_identity::key::KeyHash;
/// assert!(KeyHash::new([0xab; 32]).to_string().starts_with("abab"));
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KeyHash(Sha256Digest);

impl KeyHash {
    /// Wraps a digest.
    #[must_use]
    pub const fn new(digest: Sha256Digest) -> Self {
        Self(digest)
    }

    /// The digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &Sha256Digest {
        &self.0
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for KeyHash {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "KeyHash({=[u8]:02x})", self.0);
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_compressed_point_is_no_key_here() {
        let mut point = [9; 65];
        point[0] = 2;
        assert!(PublicKey::new(SignatureAlgorithm::EcdsaP256Sha256, &point).is_none());
        assert!(PublicKey::new(SignatureAlgorithm::EcdsaP256Sha256, &point[..33]).is_none());
        point[0] = 4;
        assert!(PublicKey::new(SignatureAlgorithm::EcdsaP256Sha256, &point).is_some());
    }

    proptest! {
        #[test]
        fn a_key_survives_its_spki(bytes: [u8; 32], more: [u8; 32], ed25519: bool) {
            let key = if ed25519 {
                PublicKey::new(SignatureAlgorithm::Ed25519, &bytes).unwrap()
            } else {
                let point = [&[4][..], &bytes, &more].concat();
                PublicKey::new(SignatureAlgorithm::EcdsaP256Sha256, &point).unwrap()
            };
            let mut buffer = [0; MAX_SPKI_BYTES];
            prop_assert_eq!(PublicKey::from_spki(key.write_spki(&mut buffer).unwrap()), Some(key));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = PublicKey::from_spki(&bytes);
        }
    }
}
