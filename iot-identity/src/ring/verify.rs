//! Checking signatures.

use alloc::borrow::Cow;

use ::ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm,
};
use iot_core::crypto::{BadSignature, SignatureAlgorithm, Verifier};

use crate::key::{PublicKey, is_weak};

/// Checks P-256 and Ed25519 signatures with a public key.
///
/// ```
/// use iot_core::crypto::{KeyPolicy, KeyStore, Signature, SignatureAlgorithm, Signer, SlotId, Verifier};
/// use iot_identity::{key::PublicKey, ring::{SoftwareKeys, SoftwareVerifier}};
/// let keys = SoftwareKeys::new();
/// keys.generate(SlotId::new(0), SignatureAlgorithm::Ed25519, KeyPolicy::Sign)?;
/// let signer = keys.signer(SlotId::new(0))?;
/// let mut signature = Signature::empty();
/// signer.sign(&[b"hello"], &mut signature)?;
/// let verifier = SoftwareVerifier::new(PublicKey::of(&signer)?);
/// assert!(verifier.verify(&[b"hello"], signature.as_bytes()).is_ok());
/// assert!(verifier.verify(&[b"hullo"], signature.as_bytes()).is_err());
/// # Ok::<(), iot_core::crypto::KeyError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SoftwareVerifier {
    key: PublicKey,
}

impl SoftwareVerifier {
    /// Takes the public key; one that is not on its curve, or of small order, verifies nothing.
    #[must_use]
    pub const fn new(key: PublicKey) -> Self {
        Self { key }
    }
}

impl Verifier for SoftwareVerifier {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }

    fn verify(&self, message: &[&[u8]], signature: &[u8]) -> Result<(), BadSignature> {
        let algorithm: &dyn VerificationAlgorithm = match self.key.algorithm() {
            SignatureAlgorithm::EcdsaP256Sha256 => &ECDSA_P256_SHA256_FIXED,
            SignatureAlgorithm::Ed25519 => &ED25519,
            _ => return Err(BadSignature::new()),
        };
        if is_weak(&self.key) {
            return Err(BadSignature::new());
        }
        UnparsedPublicKey::new(algorithm, self.key.as_bytes())
            .verify(&join(message), signature)
            .map_err(|_| BadSignature::new())
    }
}

/// The message in one piece, as ring wants it; copied only when it is not.
pub(super) fn join<'a>(message: &[&'a [u8]]) -> Cow<'a, [u8]> {
    match message {
        [whole] => Cow::Borrowed(whole),
        parts => Cow::Owned(parts.concat()),
    }
}
