//! The signatures of certificates and of TLS, for [`cert::path`](crate::cert::path).

use iot_core::crypto::{SignatureAlgorithm, Verifier};
use rustls_pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};

use super::{Ed25519Verifier, P256Verifier};
use crate::cert::path::Algorithms;
use crate::der::ecdsa;
use crate::key::PublicKey;

/// ECDSA on P-256 with SHA-256, keys as uncompressed points, signatures in DER (RFC 5480 §2.2, RFC 5758 §3.2).
pub static ECDSA_P256_SHA256: &dyn SignatureVerificationAlgorithm = &EcdsaP256Sha256;

/// Ed25519 (RFC 8410), without the keys of small order for which anybody can sign.
pub static ED25519: &dyn SignatureVerificationAlgorithm = &Ed25519;

/// What this SDK issues: P-256 with SHA-256, and Ed25519.
///
/// A chip whose chains have P-256 alone saves the flash of the other: `&[rustcrypto::ECDSA_P256_SHA256]`.
pub static ALGORITHMS: Algorithms = &[&EcdsaP256Sha256, &Ed25519];

#[derive(Debug)]
struct EcdsaP256Sha256;

#[derive(Debug)]
struct Ed25519;

impl SignatureVerificationAlgorithm for EcdsaP256Sha256 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key = PublicKey::new(SignatureAlgorithm::EcdsaP256Sha256, public_key);
        let verifier = key.and_then(|key| P256Verifier::new(&key));
        let fixed = ecdsa(signature).ok_or(InvalidSignature)?;
        verifier
            .ok_or(InvalidSignature)?
            .verify(&[message], &fixed)
            .map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }
}

impl SignatureVerificationAlgorithm for Ed25519 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key = PublicKey::new(SignatureAlgorithm::Ed25519, public_key);
        key.and_then(|key| Ed25519Verifier::new(&key))
            .ok_or(InvalidSignature)?
            .verify(&[message], signature)
            .map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ED25519
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ED25519
    }
}
