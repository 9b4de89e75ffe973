//! A key that is shared between threads is one key, whatever becomes of its slot.
#![cfg(feature = "ring")]
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

extern crate alloc;

use alloc::sync::Arc;

use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
use iot_core::crypto::{KeyError, KeyPolicy, KeyStore, Signature, Signer, SlotId};
use iot_identity::key::{PublicKey, SharedKey};
use iot_identity::ring::SoftwareKeys;

#[test]
fn a_shared_key_is_disarmed_by_its_destruction_and_not_armed_again_by_another_key() {
    let (keys, slot) = (Arc::new(SoftwareKeys::new()), SlotId::new(1));
    keys.generate(slot, EcdsaP256Sha256, KeyPolicy::Sign)
        .unwrap();
    let shared = SharedKey::new(Arc::clone(&keys), slot).unwrap();
    let (first, mut out) = (PublicKey::of(&shared).unwrap(), Signature::empty());
    shared.sign(&[b"x"], &mut out).unwrap();
    for refilled in [false, true] {
        keys.destroy(slot).unwrap();
        if refilled {
            keys.generate(slot, EcdsaP256Sha256, KeyPolicy::Sign)
                .unwrap();
            let second = SharedKey::new(Arc::clone(&keys), slot).unwrap();
            assert_ne!(PublicKey::of(&second), Ok(first));
        }
        for _ in 0..2 {
            assert_eq!(shared.sign(&[b"x"], &mut out), Err(KeyError::Absent));
            assert_eq!(PublicKey::of(&shared), Err(KeyError::Absent));
        }
    }
}
