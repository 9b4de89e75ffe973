//! Checking signatures.

use iot_core::crypto::{BadSignature, SignatureAlgorithm, Verifier};
use p256::ecdsa::signature::MultipartVerifier as _;
#[cfg(any(feature = "pkcs11", feature = "tpm"))]
use p256::ecdsa::signature::hazmat::PrehashVerifier;

use crate::key::PublicKey;

/// Checks P-256 signatures.
#[derive(Clone, Debug)]
pub struct P256Verifier(p256::ecdsa::VerifyingKey);

impl P256Verifier {
    /// Takes a public key; `None` for another algorithm or a point that is not on the curve.
    #[must_use]
    pub fn new(key: &PublicKey) -> Option<Self> {
        let p256 = key.algorithm() == SignatureAlgorithm::EcdsaP256Sha256;
        let point = p256.then_some(key.as_bytes())?;
        p256::ecdsa::VerifyingKey::from_sec1_bytes(point)
            .ok()
            .map(Self)
    }
}

#[cfg(any(feature = "pkcs11", feature = "tpm"))]
impl P256Verifier {
    /// Checks a signature over a SHA-256 digest.
    pub(crate) fn verify_digest(
        &self,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        let signature =
            p256::ecdsa::Signature::from_slice(signature).map_err(|_| BadSignature::new())?;
        PrehashVerifier::verify_prehash(&self.0, digest, &signature)
            .map_err(|_| BadSignature::new())
    }
}

impl Verifier for P256Verifier {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EcdsaP256Sha256
    }

    fn verify(&self, message: &[&[u8]], signature: &[u8]) -> Result<(), BadSignature> {
        let signature =
            p256::ecdsa::Signature::from_slice(signature).map_err(|_| BadSignature::new())?;
        self.0
            .multipart_verify(message, &signature)
            .map_err(|_| BadSignature::new())
    }
}

/// Checks Ed25519 signatures.
#[derive(Clone, Debug)]
pub struct Ed25519Verifier(ed25519_dalek::VerifyingKey);

impl Ed25519Verifier {
    /// Takes a public key; `None` for another algorithm, a point off the curve or of small order.
    #[must_use]
    pub fn new(key: &PublicKey) -> Option<Self> {
        let ed25519 = key.algorithm() == SignatureAlgorithm::Ed25519;
        let bytes = ed25519.then_some(key.as_bytes())?.try_into().ok()?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).ok()?;
        (!key.is_weak()).then_some(Self(key))
    }
}

impl Verifier for Ed25519Verifier {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::Ed25519
    }

    fn verify(&self, message: &[&[u8]], signature: &[u8]) -> Result<(), BadSignature> {
        let signature =
            ed25519_dalek::Signature::from_slice(signature).map_err(|_| BadSignature::new())?;
        self.0
            .multipart_verify(message, &signature)
            .map_err(|_| BadSignature::new())
    }
}
