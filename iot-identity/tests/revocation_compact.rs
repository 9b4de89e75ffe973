//! A deny-list of a million entries: small, signed, never rolled back, and looked up where it lies.
#![cfg(feature = "ring")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a test may fail loudly"
)]

use iot_core::codec::encode_into;
use iot_core::cose::{Content, CoseError, Sign1, Tagged, sign1};
use iot_core::crypto::Digest;
use iot_core::crypto::SignatureAlgorithm::{EcdsaP256Sha256, Ed25519};
use iot_core::{DeviceId, TenantId};
use iot_identity::key::{KeyHash, PublicKey};
use iot_identity::revocation::{
    CertificateId, CompactError, CompactList, CompactWriter, Denied, Edition, MAX_LIST_BYTES,
    WriteError,
};
use iot_identity::ring::{Sha256, SoftwareKey, SoftwareVerifier};
use proptest::prelude::*;

const ENTRIES: u32 = 1_000_000;
const CONTEXT: &[u8] = b"iot-identity compact deny-list";

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

fn of_keys(version: u64, keys: impl Iterator<Item = u32>) -> CompactWriter {
    let mut writer = CompactWriter::new(version);
    keys.for_each(|number| writer.deny(&Denied::Key(hash(number)), &mut Sha256::new()));
    writer
}

fn verify<'a>(
    bytes: &'a [u8],
    issuer: &SoftwareVerifier,
    in_force: Option<&Edition>,
) -> Result<CompactList<'a>, CompactError> {
    CompactList::verify(bytes, issuer, in_force, &mut Sha256::new())
}

#[test]
fn a_million_entries_take_less_than_twelve_bytes_each_and_deny_nobody_else() {
    let (key, verifier) = issuer();
    let bytes = of_keys(7, 0..ENTRIES).sign(&key).unwrap();
    let each = bytes.len() as f64 / f64::from(ENTRIES);
    println!(
        "deny_list entries={ENTRIES} bytes={} each={each:.2}",
        bytes.len()
    );
    assert!(each <= 12.0);
    let list = verify(&bytes, &verifier, None).unwrap();
    assert_eq!((list.edition().version, list.len()), (7, 1_000_000));
    assert!((0..ENTRIES).all(|number| list.denies_key(&hash(number))));
    let others = (ENTRIES..2 * ENTRIES).filter(|&number| list.denies_key(&hash(number)));
    assert_eq!(others.count(), 0);
}

/// Lengths on both sides of where another layout is shorter.
#[test]
fn a_list_of_any_length_denies_its_entries_alone_and_no_list_takes_more_than_nine_bytes_each() {
    let (key, verifier) = issuer();
    for count in [0, 1, 2, 1_027, 1_028, 1_029, 261_100, 261_200] {
        let bytes = of_keys(7, 0..count).sign(&key).unwrap();
        assert!(bytes.len() <= 9 * count as usize + 128, "{count} entries");
        let list = verify(&bytes, &verifier, None).unwrap();
        assert_eq!(list.len(), count as usize);
        assert_eq!(list.is_empty(), count == 0);
        assert!((0..count).all(|number| list.denies_key(&hash(number))));
        let others = (count..count + 2_000).filter(|&number| list.denies_key(&hash(number)));
        assert_eq!(others.count(), 0, "{count} entries");
    }
}

#[test]
fn devices_certificates_and_keys_are_told_apart() {
    let (key, verifier) = issuer();
    let [acme, rival] = ["acme", "rival"].map(|name| TenantId::new(name).unwrap());
    let device = |tenant, name| Denied::Device(tenant, DeviceId::new(name).unwrap());
    let certificate =
        |serial: &[u8]| Denied::Certificate(CertificateId::new([9; 32], serial).unwrap());
    let mut writer = of_keys(1, 1..2);
    for entry in [device(acme, "boiler-7"), certificate(&[1, 2])] {
        writer.deny(&entry, &mut Sha256::new());
    }
    let bytes = writer.sign(&key).unwrap();
    let list = verify(&bytes, &verifier, None).unwrap();
    let denies = |entry: &Denied| list.denies(entry, &mut Sha256::new());
    assert!(denies(&device(acme, "boiler-7")));
    assert!(denies(&certificate(&[1, 2])));
    assert!(denies(&Denied::Key(hash(1))));
    for other in [
        device(rival, "boiler-7"),
        device(acme, "boiler-8"),
        certificate(&[1, 3]),
        certificate(&[1]),
        Denied::Key(hash(2)),
    ] {
        assert!(!denies(&other), "{other:?}");
    }
}

#[test]
fn the_order_of_denials_and_doubles_make_no_other_list() {
    let (key, verifier) = issuer();
    let edition = |writer: CompactWriter| {
        let bytes = writer.sign(&key).unwrap();
        *verify(&bytes, &verifier, None).unwrap().edition()
    };
    let there = edition(of_keys(3, 0..2_000));
    assert_eq!(edition(of_keys(3, (0..2_000).rev().chain(5..9))), there);
    assert_ne!(edition(of_keys(3, 0..2_001)), there);
}

#[test]
fn an_older_list_and_another_one_of_the_same_version_are_refused() {
    let (key, verifier) = issuer();
    let [older, same, other] = [(4, 9), (5, 9), (5, 8)]
        .map(|(version, keys)| of_keys(version, 0..keys).sign(&key).unwrap());
    let in_force = *verify(&same, &verifier, None).unwrap().edition();
    let refused = |bytes: &[u8]| verify(bytes, &verifier, Some(&in_force)).err();
    assert_eq!(refused(&same), None);
    for (bytes, version) in [(older, 4), (other, 5)] {
        let Some(CompactError::RollBack(error)) = refused(&bytes) else {
            panic!("version {version} was taken");
        };
        assert_eq!((error.current, error.offered), (5, version));
    }
    // Where only the version was kept, a list must be newer.
    let counter = Edition::new(5, [0; 32]);
    assert!(verify(&same, &verifier, Some(&counter)).is_err());
    let newer = of_keys(6, 0..1).sign(&key).unwrap();
    assert!(verify(&newer, &verifier, Some(&counter)).is_ok());
}

#[test]
fn a_list_of_another_issuer_or_with_any_byte_changed_is_refused() {
    for algorithm in [EcdsaP256Sha256, Ed25519] {
        let key = SoftwareKey::generate(algorithm).unwrap();
        let verifier = SoftwareVerifier::new(PublicKey::of(&key).unwrap());
        let (_, stranger) = issuer();
        let bytes = of_keys(5, 0..3).sign(&key).unwrap();
        assert!(verify(&bytes, &verifier, None).is_ok());
        let error = verify(&bytes, &stranger, None).err();
        assert_eq!(error, Some(CompactError::Signature));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(verify(&changed, &verifier, None).is_err(), "byte {at}");
            assert!(verify(&bytes[..at], &verifier, None).is_err(), "{at} bytes");
        }
    }
}

#[test]
fn a_signature_over_the_same_payload_in_another_context_is_none() {
    let (key, verifier) = issuer();
    let bytes = of_keys(5, 0..3).sign(&key).unwrap();
    let message = Sign1::decode(&bytes, Tagged::Required).unwrap();
    let payload = message.verify(None, CONTEXT, &verifier).unwrap();
    let mut buffer = [0; 256];
    let again = |buffer: &mut [u8], context| {
        let content = Content::Attached(payload);
        let bytes = sign1(buffer, &key, Some(b"key-1"), content, context).unwrap();
        verify(bytes, &verifier, None).map(|list| list.len())
    };
    assert_eq!(again(&mut buffer, CONTEXT), Ok(3));
    assert_eq!(again(&mut buffer, &[]), Err(CompactError::Signature));
    let content = Content::Detached(payload);
    let detached = sign1(&mut buffer, &key, None, content, CONTEXT).unwrap();
    let error = CompactError::Message(CoseError::Payload);
    assert_eq!(verify(detached, &verifier, None).err(), Some(error));
}

/// Signed by the issuer himself, whose writer is broken.
#[test]
fn a_signed_list_out_of_order_or_in_another_layout_is_refused() {
    let (key, verifier) = issuer();
    let judge = |index: u8, table: &[u8], entries: &[u8], more: &[u8]| {
        let mut payload = vec![0; 64 + table.len() + entries.len()];
        let payload = encode_into(&mut payload, |out| {
            out.array(5)?.u8(1)?.u64(7)?.u8(index)?;
            out.bytes(table)?.bytes(entries)?.ok()
        });
        let payload = [payload.unwrap(), more].concat();
        let mut buffer = vec![0; payload.len() + 128];
        let content = Content::Attached(&payload);
        let bytes = sign1(&mut buffer, &key, None, content, CONTEXT).unwrap();
        verify(bytes, &verifier, None).map(|list| list.len())
    };
    let entry = |first: u8| [first; 9];
    let two = |one, other| [entry(one), entry(other)].concat();
    assert_eq!(judge(0, &[], &two(1, 2), &[]), Ok(2));
    let format = Err(CompactError::Format);
    assert_eq!(judge(0, &[], &two(2, 1), &[]), format);
    assert_eq!(judge(0, &[], &two(1, 1), &[]), format);
    assert_eq!(judge(0, &[], &two(1, 2)[..17], &[]), format);
    assert_eq!(judge(0, &[0], &two(1, 2), &[]), format);
    assert_eq!(judge(0, &[], &two(1, 2), &[0]), format);
    assert_eq!(judge(3, &[], &two(1, 2), &[]), format);
    // The layout of a longer list, and otherwise right.
    let table = [[0_u8, 0, 0, 2]; 256].concat();
    assert_eq!(judge(1, &table, &two(1, 2)[1..17], &[]), format);

    // Five entries for each first byte, and a table that is wrong in one place.
    let mut entries = Vec::new();
    for bucket in (0..256_u16).rev() {
        for number in 0..5 {
            entries.extend([&[0; 6][..], &(bucket * 5 + number).to_be_bytes()].concat());
        }
    }
    let ends = (1..=256_u32).map(|bucket| bucket * 5);
    let table: Vec<u8> = ends.flat_map(u32::to_be_bytes).collect();
    assert_eq!(judge(1, &table, &entries, &[]), Ok(1_280));
    for (at, byte) in [(3, 6), (3, 4), (4 * 99 + 2, 0), (1_023, 1), (1_020, 1)] {
        let mut wrong = table.clone();
        assert_ne!(wrong[at], byte);
        wrong[at] = byte;
        assert_eq!(judge(1, &wrong, &entries, &[]), format, "byte {at}");
    }
}

#[test]
fn a_list_that_nobody_would_read_is_not_signed() {
    let (key, _) = issuer();
    let mut writer = CompactWriter::new(1);
    for number in 0..2_400_000_u32 {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&number.reverse_bits().to_be_bytes());
        writer.deny(&Denied::Key(KeyHash::new(hash)), &mut Sha256::new());
    }
    const { assert!(7 * 2_400_000 > MAX_LIST_BYTES) };
    assert_eq!(writer.sign(&key), Err(WriteError::TooLong));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let (key, verifier) = issuer();
        prop_assert!(verify(&bytes, &verifier, None).is_err());
        // The same under a signature: what is no list in its one form is none.
        let mut buffer = [0; 600];
        let signed = sign1(&mut buffer, &key, None, Content::Attached(&bytes), CONTEXT).unwrap();
        prop_assert_eq!(verify(signed, &verifier, None).err(), Some(CompactError::Format));
    }
}
