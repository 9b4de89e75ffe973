//! Keys for which anybody can sign.

use iot_core::crypto::SignatureAlgorithm;

use super::PublicKey;

/// The encodings of the points of small order, without the sign: a key among them verifies what nobody signed.
const SMALL_ORDER: [[u8; 32]; 7] = {
    const fn near_the_end(low: u8) -> [u8; 32] {
        let mut point = [0xff; 32];
        let [first, .., last] = &mut point;
        *first = low;
        *last = 0x7f;
        point
    }
    let mut one = [0; 32];
    let [first, ..] = &mut one;
    *first = 1;
    [
        [0; 32],
        one,
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef,
            0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88,
            0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10,
            0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77,
            0x92, 0xac, 0x03, 0x7a,
        ],
        near_the_end(0xec),
        near_the_end(0xed),
        near_the_end(0xee),
    ]
};

/// Whether it is an Ed25519 key of small order. ring does not look (RFC 8032 §8.9 leaves it open).
pub(crate) fn is_weak(key: &PublicKey) -> bool {
    let mut bytes = [0; 32];
    if key.algorithm() != SignatureAlgorithm::Ed25519 || key.as_bytes().len() != bytes.len() {
        return false;
    }
    bytes.copy_from_slice(key.as_bytes());
    let [.., last] = &mut bytes;
    *last &= 0x7f;
    SMALL_ORDER.contains(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_for_which_anybody_can_sign_verifies_nothing() {
        for point in SMALL_ORDER {
            for sign in [0, 0x80] {
                let mut bytes = point;
                bytes[31] |= sign;
                #[cfg(feature = "rustcrypto")]
                if let Ok(key) = ed25519_dalek::VerifyingKey::from_bytes(&bytes) {
                    assert!(key.is_weak());
                }
                let key = PublicKey::new(SignatureAlgorithm::Ed25519, &bytes).unwrap();
                assert!(is_weak(&key));
                #[cfg(feature = "ring")]
                verifies_nothing(key);
            }
        }
    }

    /// The neutral element and nothing: what such a key verifies of every message, or of some.
    #[cfg(feature = "ring")]
    fn verifies_nothing(key: PublicKey) {
        use iot_core::crypto::Verifier;
        let mut signature = [0; 64];
        signature[0] = 1;
        for message in 0..16u8 {
            let verdict = crate::ring::SoftwareVerifier::new(key).verify(&[&[message]], &signature);
            assert!(verdict.is_err());
        }
    }
}
