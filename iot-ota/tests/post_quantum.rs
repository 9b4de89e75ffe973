//! Manifests under signatures of HSS/LMS and ML-DSA, which other people's programs made.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails loudly, on a host"
)]

#[path = "support/forge.rs"]
mod forge;
#[path = "support/keys.rs"]
mod keys;

use forge::{array, cbor, envelope, int, map, text, wrapped};
use iot_core::crypto::{SignatureAlgorithm, Verifier};
use iot_core::time::TimeBounds;
use iot_ota::manifest::{Author, Image, ManifestKeys, Role, Roles, SigningKey, VerifyError};
use iot_ota::post_quantum::{HssVerifier, MlDsa44Verifier};
use keys::{Sha256, sha256};
use proptest::prelude::*;

const HSS_LMS: i64 = -46;
const ML_DSA_44: i64 = -48;

/// Every width of a leaf, two heights, one and two trees: signatures of `Sig_structure`s over [`manifest`], as
/// pyhsslms 2.0 made them; the public key is in front.
const HSS: [(&str, &[u8]); 4] = [
    (
        "one tree, width 1",
        include_bytes!("post_quantum/hss-h5-w1.bin"),
    ),
    (
        "one tree, width 2",
        include_bytes!("post_quantum/hss-h5-w2.bin"),
    ),
    (
        "one tree of height 10, width 4",
        include_bytes!("post_quantum/hss-h10-w4.bin"),
    ),
    (
        "two trees, width 8",
        include_bytes!("post_quantum/hss-l2-h5-w8.bin"),
    ),
];
/// The same with ML-DSA-44, as Python's cryptography 50 made it.
const ML_DSA: &[u8] = include_bytes!("post_quantum/ml-dsa-44.bin");

fn manifest() -> Vec<u8> {
    let author = Author::new(7, &[&[b"firmware"]])
        .compatibility_check(0, [1; 16], [2; 16], Some(&Image::new([3; 32], 4_096)))
        .fetch_and_install(0, "iot:firmware");
    author.build(&mut Sha256::default()).manifest().to_vec()
}

fn protected(algorithm: i64) -> Vec<u8> {
    map(&[(1, int(algorithm))])
}

/// What a signer of the manifest signs (RFC 9052 §4.4).
fn to_be_signed(algorithm: i64) -> Vec<u8> {
    let digest = array(&[int(-16), wrapped(&sha256(&wrapped(&manifest())))]);
    array(&[
        text("Signature1"),
        wrapped(&protected(algorithm)),
        wrapped(&[]),
        wrapped(&digest),
    ])
}

fn signed(algorithm: i64, signature: &[u8], key_id: &[u8]) -> Vec<u8> {
    let mut block = cbor(|w| w.tag(minicbor::data::Tag::new(18))?.ok());
    block.extend(array(&[
        wrapped(&protected(algorithm)),
        map(&[(4, wrapped(key_id))]),
        vec![0xf6],
        wrapped(signature),
    ]));
    envelope(&manifest(), &[block])
}

fn hss(file: &[u8]) -> (HssVerifier<Sha256>, &[u8]) {
    let (key, signature) = file.split_first_chunk().unwrap();
    (HssVerifier::new(key, Sha256::default()).unwrap(), signature)
}

fn ml_dsa() -> (MlDsa44Verifier, &'static [u8]) {
    let (key, signature) = ML_DSA.split_first_chunk().unwrap();
    (MlDsa44Verifier::new(key), signature)
}

fn verdict(envelope: &[u8], keys: &dyn ManifestKeys) -> Result<u64, VerifyError> {
    forge::verify(envelope, keys, 7).map(|manifest| manifest.sequence())
}

#[test]
fn a_number_of_levels_that_nobody_has_is_refused() {
    let (hss, signature) = hss(HSS[0].1);
    for levels in [0, 7, 8, u32::MAX - 1, u32::MAX] {
        let mut forged = signature.to_vec();
        forged.splice(..4, levels.to_be_bytes());
        assert!(hss.verify(&[b"message"], &forged).is_err(), "{levels}");
        assert!(hss.verify(&[b"message"], &forged[..4]).is_err(), "{levels}");
    }
}

#[test]
fn manifests_under_signatures_of_others_are_accepted_and_any_changed_bit_is_not() {
    let refused = Err(VerifyError::Unauthenticated);
    for (name, file) in HSS {
        let (key, signature) = hss(file);
        let keys = SigningKey::new(key);
        assert_eq!(
            verdict(&signed(HSS_LMS, signature, b"k"), &keys),
            Ok(7),
            "{name}"
        );
        // Every part of a signature of thousands of bytes, and each byte of its heads.
        for at in (0..signature.len()).filter(|at| *at < 48 || at % 61 == 0) {
            let mut bad = signature.to_vec();
            bad[at] ^= 1 << (at % 8);
            assert_eq!(
                verdict(&signed(HSS_LMS, &bad, b"k"), &keys),
                refused,
                "{name}, byte {at}"
            );
        }
    }
    let (key, signature) = ml_dsa();
    let keys = SigningKey::new(key);
    assert_eq!(verdict(&signed(ML_DSA_44, signature, b"k"), &keys), Ok(7));
    for at in (0..signature.len()).step_by(97) {
        let mut bad = signature.to_vec();
        bad[at] ^= 1 << (at % 8);
        assert_eq!(
            verdict(&signed(ML_DSA_44, &bad, b"k"), &keys),
            refused,
            "byte {at}"
        );
    }
    // Another algorithm in the header: nothing that was signed, whatever the key.
    assert_eq!(verdict(&signed(HSS_LMS, signature, b"k"), &keys), refused);
}

#[test]
fn signatures_and_keys_of_any_length_are_refused_without_a_panic() {
    for (name, file) in HSS {
        let (key, signature) = hss(file);
        let message = to_be_signed(HSS_LMS);
        assert!(key.verify(&[&message], signature).is_ok(), "{name}");
        let all = signature.len();
        for len in (0..all).filter(|len| *len < 50 || len % 53 == 0 || len + 1 == all) {
            let short = key.verify(&[&message], &signature[..len]);
            assert!(short.is_err(), "{name}, {len} bytes");
        }
        // A key of another number of levels.
        let mut other: [u8; 60] = *file.first_chunk().unwrap();
        other[3] ^= 3;
        let other = HssVerifier::new(&other, Sha256::default()).unwrap();
        assert!(
            other.verify(&[&message], signature).is_err(),
            "{name}, levels"
        );
        let longer = [signature, &[0]].concat();
        assert!(
            key.verify(&[&message], &longer).is_err(),
            "{name}, one byte more"
        );
        assert!(
            key.verify(&[&message, &[0]], signature).is_err(),
            "{name}, another message"
        );
        let (front, back) = message.split_at(9);
        assert!(
            key.verify(&[front, back], signature).is_ok(),
            "{name}, in parts"
        );
    }
    let (key, signature) = ml_dsa();
    for len in 0..signature.len() {
        assert!(
            key.verify(&[b"x"], &signature[..len]).is_err(),
            "{len} bytes"
        );
    }
    // No levels, nine levels, an unknown tree, an unknown leaf.
    let good: [u8; 60] = *HSS[0].1.first_chunk().unwrap();
    for (at, value) in [(3, 0), (3, 9), (7, 4), (7, 10), (11, 0), (11, 5)] {
        let mut bad = good;
        bad[at] = value;
        assert!(
            HssVerifier::new(&bad, Sha256::default()).is_none(),
            "{at}: {value}"
        );
    }
}

proptest! {
    #[test]
    fn arbitrary_signatures_are_refused_without_a_panic(
        which in 0..HSS.len(),
        front in 0..80_usize,
        rest in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let (key, signature) = hss(HSS[which].1);
        let bytes = [&signature[..front], &rest].concat();
        prop_assert!(key.verify(&[b"message"], &bytes).is_err());
        prop_assert!(ml_dsa().0.verify(&[b"message"], &bytes).is_err());
    }
}

#[test]
fn two_people_agree_with_old_and_new_signatures_together() {
    let (key, signature) = ml_dsa();
    let (other, _) = hss(HSS[3].1);
    assert_eq!(other.algorithm(), SignatureAlgorithm::HssLms);
    let keys: [(&[u8], &dyn Verifier); 2] = [(b"new", &key), (b"hash", &other)];
    let both = [Role::new(2, 0b11)];
    let one = [Role::new(1, 0b01)];
    let message = signed(ML_DSA_44, signature, b"new");
    let policy = |roles| Roles::new(&keys, roles, TimeBounds::UNKNOWN);
    assert_eq!(verdict(&message, &policy(&one)), Ok(7));
    assert_eq!(
        verdict(&message, &policy(&both)),
        Err(VerifyError::Unauthenticated)
    );
    // The two of them on one manifest.
    let block = |algorithm, signature: &[u8], key_id: &[u8]| {
        let mut block = cbor(|w| w.tag(minicbor::data::Tag::new(18))?.ok());
        let unprotected = map(&[(4, wrapped(key_id))]);
        let parts = [
            wrapped(&protected(algorithm)),
            unprotected,
            vec![0xf6],
            wrapped(signature),
        ];
        block.extend(array(&parts));
        block
    };
    let blocks = [
        block(ML_DSA_44, signature, b"new"),
        block(HSS_LMS, hss(HSS[3].1).1, b"hash"),
    ];
    assert_eq!(
        verdict(&envelope(&manifest(), &blocks), &policy(&both)),
        Ok(7)
    );
}
