//! A deny-list of a million entries: small, signed, never rolled back, and looked up where it lies.
#![cfg(feature = "ring")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a test may fail loudly"
)]

use iot_core::crypto::Digest;
use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
use iot_core::{DeviceId, TenantId};
use iot_identity::key::{KeyHash, PublicKey};
use iot_identity::revocation::{CertificateId, CompactError, CompactList, CompactWriter, RollBack};
use iot_identity::ring::{Sha256, SoftwareKey, SoftwareVerifier};
use proptest::prelude::*;

const ENTRIES: u32 = 1_000_000;

fn hash(number: u32) -> KeyHash {
    let mut digest = Sha256::new();
    digest.update(&number.to_le_bytes());
    KeyHash::new(digest.finish())
}

fn issuer() -> (SoftwareKey, SoftwareVerifier) {
    let key = SoftwareKey::generate(EcdsaP256Sha256).unwrap();
    let public = PublicKey::of(&key).unwrap();
    (key, SoftwareVerifier::new(public))
}

#[test]
fn a_million_entries_take_less_than_twelve_bytes_each_and_deny_nobody_else() {
    let (key, verifier) = issuer();
    let mut writer = CompactWriter::new(7);
    (0..ENTRIES).for_each(|number| writer.deny_key(&hash(number)));
    let bytes = writer.sign(&key).unwrap();
    let each = bytes.len() as f64 / f64::from(ENTRIES);
    println!(
        "deny_list entries={ENTRIES} bytes={} each={each:.2}",
        bytes.len()
    );
    assert!(each <= 12.0);
    let list = CompactList::verify(&bytes, &verifier, 7).unwrap();
    assert_eq!((list.version(), list.len()), (7, 1_000_000));
    assert!((0..ENTRIES).all(|number| list.denies_key(&hash(number))));
    let others = (ENTRIES..2 * ENTRIES).filter(|&number| list.denies_key(&hash(number)));
    assert_eq!(others.count(), 0);
}

#[test]
fn devices_certificates_and_keys_are_told_apart() {
    let (key, verifier) = issuer();
    let device = |name: &str| DeviceId::new(name).unwrap();
    let (acme, rival) = (
        TenantId::new("acme").unwrap(),
        TenantId::new("rival").unwrap(),
    );
    let certificate = CertificateId::new([9; 32], &[1, 2]).unwrap();
    let mut writer = CompactWriter::new(1);
    writer.deny_device(&acme, &device("boiler-7"), &mut Sha256::new());
    writer.deny_certificate(&certificate, &mut Sha256::new());
    let bytes = writer.sign(&key).unwrap();
    let list = CompactList::verify(&bytes, &verifier, 0).unwrap();
    let denies = |tenant, name| list.denies_device(tenant, &device(name), &mut Sha256::new());
    assert!(denies(&acme, "boiler-7"));
    assert!(!denies(&rival, "boiler-7") && !denies(&acme, "boiler-8"));
    assert!(list.denies_certificate(&certificate, &mut Sha256::new()));
    let other = CertificateId::new([9; 32], &[1, 3]).unwrap();
    assert!(!list.denies_certificate(&other, &mut Sha256::new()));
    assert!(!list.denies_key(&hash(1)));
}

#[test]
fn an_older_list_and_one_that_somebody_else_signed_are_refused() {
    let (key, verifier) = issuer();
    let (_, stranger) = issuer();
    let mut bytes = CompactWriter::new(5).sign(&key).unwrap();
    let refused = |bytes: &[u8], in_force| CompactList::verify(bytes, &verifier, in_force).err();
    assert_eq!(refused(&bytes, 5), None);
    let Some(CompactError::RollBack(RollBack {
        current, offered, ..
    })) = refused(&bytes, 6)
    else {
        panic!("an older list was taken");
    };
    assert_eq!((current, offered), (6, 5));
    let error = CompactList::verify(&bytes, &stranger, 0).err();
    assert_eq!(error, Some(CompactError::Signature));
    // The version itself is signed.
    bytes[11] = 9;
    assert_eq!(refused(&bytes, 6), Some(CompactError::Signature));
    assert_eq!(refused(&bytes[1..], 0), Some(CompactError::Format));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let (_, verifier) = issuer();
        prop_assert!(CompactList::verify(&bytes, &verifier, 0).is_err());
    }
}
