//! Two providers, one behaviour.
#![cfg(all(feature = "ring", feature = "rustcrypto"))]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use iot_core::crypto::{Digest, Mac, Signature, SignatureAlgorithm, Signer, Verifier};
use iot_identity::key::PublicKey;
use iot_identity::{ring, rustcrypto};
use proptest::prelude::*;

const P256: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;

fn signers() -> [Box<dyn Signer>; 2] {
    let mut entropy = ring::SystemEntropy::new();
    [
        Box::new(ring::SoftwareKey::generate(P256).unwrap()),
        Box::new(rustcrypto::P256Key::generate(&mut entropy).unwrap()),
    ]
}

fn verifiers(key: PublicKey) -> [Box<dyn Verifier>; 2] {
    let other: Box<dyn Verifier> = match key.algorithm() {
        P256 => Box::new(rustcrypto::P256Verifier::new(&key).unwrap()),
        _ => Box::new(rustcrypto::Ed25519Verifier::new(&key).unwrap()),
    };
    [Box::new(ring::SoftwareVerifier::new(key)), other]
}

fn check(signer: &dyn Signer, message: &[u8], cut: usize, flip: usize) {
    let (head, tail) = message.split_at(cut % (message.len() + 1));
    let mut signature = Signature::empty();
    signer.sign(&[head, tail], &mut signature).unwrap();
    for verifier in verifiers(PublicKey::of(signer).unwrap()) {
        let good = signature.as_bytes();
        assert!(verifier.verify(&[message], good).is_ok());
        assert!(verifier.verify(&[head, &[], tail], good).is_ok());

        let mut bad = good.to_vec();
        bad[flip % 64] ^= 1 << (flip % 8);
        assert!(verifier.verify(&[message], &bad).is_err());
        assert!(verifier.verify(&[message, b"x"], good).is_err());
        assert!(verifier.verify(&[message], &good[..63]).is_err());
        assert!(verifier.verify(&[message], &[good, b"x"].concat()).is_err());
        assert!(verifier.verify(&[message], &[0; 64]).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn each_accepts_the_others_signatures_and_both_refuse_changed_ones(
        message in proptest::collection::vec(any::<u8>(), 0..200), cut: usize, flip: usize,
    ) {
        for signer in signers() {
            check(&*signer, &message, cut, flip);
        }
        let ed25519 = ring::SoftwareKey::generate(SignatureAlgorithm::Ed25519).unwrap();
        check(&ed25519, &message, cut, flip);
    }

    #[test]
    fn both_hash_and_authenticate_alike(
        message in proptest::collection::vec(any::<u8>(), 0..200),
        key in proptest::collection::vec(any::<u8>(), 0..100),
        cut: usize,
    ) {
        let (head, tail) = message.split_at(cut % (message.len() + 1));
        let mut hashes: [Box<dyn Digest>; 2] =
            [Box::new(ring::Sha256::new()), Box::new(rustcrypto::Sha256::new())];
        let digests = hashes.each_mut().map(|hash| {
            hash.update(head);
            hash.update(tail);
            let digest = hash.finish();
            // A finished hash begins anew.
            hash.update(&message);
            assert_eq!(hash.finish(), digest);
            digest
        });
        prop_assert_eq!(digests[0], digests[1]);

        let macs: [Box<dyn Mac>; 2] =
            [Box::new(ring::HmacSha256::new(&key)), Box::new(rustcrypto::HmacSha256::new(&key).unwrap())];
        let tags = macs.each_ref().map(|mac| {
            let mut tag = [0; 32];
            mac.authenticate(&[head, tail], &mut tag).unwrap();
            tag
        });
        prop_assert_eq!(tags[0], tags[1]);
        for mac in &macs {
            prop_assert!(mac.verify(&[&message], &tags[0]).is_ok());
            let mut bad = tags[0];
            bad[cut % 32] ^= 1;
            prop_assert!(mac.verify(&[&message], &bad).is_err());
            prop_assert!(mac.verify(&[&message], &tags[0][..31]).is_err());
        }
    }
}
