//! Checking a signature with the one algorithm that both sides name.

use rustls_pki_types::SignatureVerificationAlgorithm;

use super::certificate::{Key, Signed};
use crate::key::PublicKey;
use crate::ring::is_weak;

/// The algorithms a chain may be signed with.
pub type Algorithms = &'static [&'static dyn SignatureVerificationAlgorithm];

/// What this SDK issues: P-256 with SHA-256, and Ed25519.
pub static OWN_ALGORITHMS: Algorithms = &[webpki::ring::ECDSA_P256_SHA256, webpki::ring::ED25519];

/// P-256, P-384, Ed25519 and RSA from 2048 bits on, for authorities of others.
pub static COMMON_ALGORITHMS: Algorithms = &[
    webpki::ring::ECDSA_P256_SHA256,
    webpki::ring::ECDSA_P256_SHA384,
    webpki::ring::ECDSA_P384_SHA256,
    webpki::ring::ECDSA_P384_SHA384,
    webpki::ring::ED25519,
    webpki::ring::RSA_PKCS1_2048_8192_SHA256,
    webpki::ring::RSA_PKCS1_2048_8192_SHA384,
    webpki::ring::RSA_PKCS1_2048_8192_SHA512,
];

pub(in crate::cert) fn verifies(
    algorithms: Algorithms,
    key: &Key<'_>,
    signed: &Signed<'_>,
) -> bool {
    is_strong(key)
        && algorithms.iter().any(|algorithm| {
            *algorithm.signature_alg_id() == *signed.algorithm
                && *algorithm.public_key_alg_id() == *key.algorithm
                && algorithm
                    .verify_signature(key.bits, signed.message, signed.signature)
                    .is_ok()
        })
}

/// Whether any of the algorithms is for such a key.
pub(in crate::cert) fn knows(algorithms: Algorithms, key: &Key<'_>) -> bool {
    is_strong(key)
        && algorithms
            .iter()
            .any(|algorithm| *algorithm.public_key_alg_id() == *key.algorithm)
}

/// Not a key that verifies what anybody signs; the algorithms themselves do not look.
fn is_strong(key: &Key<'_>) -> bool {
    PublicKey::from_spki(key.whole).is_none_or(|key| !is_weak(&key))
}

/// Whether any of the algorithms is the one that was signed with.
pub(in crate::cert) fn signs(algorithms: Algorithms, signed: &Signed<'_>) -> bool {
    algorithms
        .iter()
        .any(|algorithm| *algorithm.signature_alg_id() == *signed.algorithm)
}
