//! Signing and verifying.

use core::fmt;

/// The longest public key that a [`Signer`] has, in bytes.
pub const MAX_PUBLIC_KEY_BYTES: usize = 97;

const MAX_SIGNATURE_BYTES: usize = 96;

/// What a key signs with.
///
/// ```
/// use iot_core::crypto::SignatureAlgorithm;
/// assert_eq!(SignatureAlgorithm::EcdsaP256Sha256.signature_bytes(), 64);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SignatureAlgorithm {
    /// ECDSA on P-256 with SHA-256 (FIPS 186-5; COSE ESP256 −9 and ES256 −7).
    EcdsaP256Sha256,
    /// Ed25519 (RFC 8032; COSE Ed25519 −19 and EdDSA −8).
    Ed25519,
    /// ML-DSA-44 (FIPS 204; COSE −48): verified only.
    MlDsa44,
    /// HSS/LMS with SHA-256 and 32-byte hashes (RFC 8554, RFC 8778; COSE −46): verified only.
    HssLms,
}

impl SignatureAlgorithm {
    /// The length of a signature in bytes: in the fixed form `r ‖ s` (RFC 9053 §2.1), or as its standard has it; 0
    /// where it depends on the key (HSS/LMS).
    #[must_use]
    pub const fn signature_bytes(self) -> usize {
        match self {
            Self::EcdsaP256Sha256 | Self::Ed25519 => 64,
            Self::MlDsa44 => 2_420,
            Self::HssLms => 0,
        }
    }

    /// The length of a public key in bytes: an uncompressed SEC 1 point (`04 ‖ x ‖ y`), or as its standard has it.
    #[must_use]
    pub const fn public_key_bytes(self) -> usize {
        match self {
            Self::EcdsaP256Sha256 => 65,
            Self::Ed25519 => 32,
            Self::MlDsa44 => 1_312,
            Self::HssLms => 60,
        }
    }
}

/// A signature in fixed form: `r ‖ s` for ECDSA (never DER), 64 bytes for Ed25519.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Signature {
    bytes: [u8; MAX_SIGNATURE_BYTES],
    len: u8,
}

impl Signature {
    /// An empty signature for [`Signer::sign`] to fill.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            bytes: [0; MAX_SIGNATURE_BYTES],
            len: 0,
        }
    }

    /// Copies `bytes`; `None` when there are more than 96.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut signature = Self::empty();
        signature.set(bytes).then_some(signature)
    }

    /// Replaces the content; false, and nothing changed, when `bytes` has more than 96.
    #[must_use]
    pub fn set(&mut self, bytes: &[u8]) -> bool {
        match (self.bytes.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(to), Ok(len)) => {
                to.copy_from_slice(bytes);
                self.len = len;
                true
            }
            _ => false,
        }
    }

    /// The signature's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

impl Default for Signature {
    fn default() -> Self {
        Self::empty()
    }
}

impl AsRef<[u8]> for Signature {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Signature {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Signature({=u8} bytes)", self.len);
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({} bytes)", self.len)
    }
}

/// Why a key could not be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum KeyError {
    /// The slot holds no key.
    #[error("no key in this slot: generate one first")]
    Absent,
    /// The slot already holds a key.
    #[error("the slot holds a key: destroy it first")]
    Occupied,
    /// The store has no such slot, or no room.
    #[error("the store has no room for this slot")]
    Full,
    /// The store or key cannot do this.
    #[error("not supported by this key")]
    Unsupported,
    /// The key's policy forbids this use.
    #[error("forbidden by the key's policy")]
    Forbidden,
    /// The caller's buffer is too small.
    #[error("the buffer is too small: give {needed} bytes")]
    Buffer {
        /// How many bytes are needed.
        needed: usize,
    },
    /// The hardware or its connection failed; nothing is known about the operation.
    #[error("the key store failed")]
    Device,
}

/// A private key that signs and cannot be read.
///
/// It is synchronous and object safe, because TLS stacks and PKCS#11 or TPM libraries are. An engine on a
/// chip asks through [`Step::Sign`](crate::engine::Step::Sign) instead, so that its driver may wait.
pub trait Signer {
    /// What it signs with.
    fn algorithm(&self) -> SignatureAlgorithm;

    /// Writes the public key in the form of [`SignatureAlgorithm::public_key_bytes`].
    ///
    /// # Errors
    ///
    /// [`KeyError::Buffer`] when `out` is too small, otherwise what the store says.
    fn public_key<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], KeyError>;

    /// Signs the concatenation of `message`.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; `out` is then unspecified and must not be used.
    fn sign(&self, message: &[&[u8]], out: &mut Signature) -> Result<(), KeyError>;

    /// Signs a SHA-256 digest that the caller has computed (ECDSA only).
    ///
    /// # Errors
    ///
    /// [`KeyError::Unsupported`] unless the key can; `out` is then unspecified.
    fn sign_digest(&self, digest: &[u8; 32], out: &mut Signature) -> Result<(), KeyError> {
        let _ = (digest, out);
        Err(KeyError::Unsupported)
    }
}

impl<S: Signer + ?Sized> Signer for &S {
    fn algorithm(&self) -> SignatureAlgorithm {
        (**self).algorithm()
    }
    fn public_key<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], KeyError> {
        (**self).public_key(out)
    }
    fn sign(&self, message: &[&[u8]], out: &mut Signature) -> Result<(), KeyError> {
        (**self).sign(message, out)
    }
    fn sign_digest(&self, digest: &[u8; 32], out: &mut Signature) -> Result<(), KeyError> {
        (**self).sign_digest(digest, out)
    }
}

/// The signature does not belong to this message and key. It says nothing more, on purpose.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("the signature does not verify")]
#[non_exhaustive]
pub struct BadSignature;

impl BadSignature {
    /// The one value there is; for providers.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Default for BadSignature {
    fn default() -> Self {
        Self::new()
    }
}

/// A public key that checks signatures.
pub trait Verifier {
    /// What it checks.
    fn algorithm(&self) -> SignatureAlgorithm;

    /// Checks `signature` (fixed form) over the concatenation of `message`.
    ///
    /// # Errors
    ///
    /// [`BadSignature`] for any signature that is not this key's over exactly this message.
    fn verify(&self, message: &[&[u8]], signature: &[u8]) -> Result<(), BadSignature>;
}

impl<V: Verifier + ?Sized> Verifier for &V {
    fn algorithm(&self) -> SignatureAlgorithm {
        (**self).algorithm()
    }
    fn verify(&self, message: &[&[u8]], signature: &[u8]) -> Result<(), BadSignature> {
        (**self).verify(message, signature)
    }
}
