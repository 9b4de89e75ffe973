//! Checking a signature with the one algorithm that both sides name.

use rustls_pki_types::SignatureVerificationAlgorithm;

use super::certificate::{Key, Signed};
use crate::key::{PublicKey, is_weak};

/// The algorithms a chain may be signed with.
pub type Algorithms = &'static [&'static dyn SignatureVerificationAlgorithm];

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
