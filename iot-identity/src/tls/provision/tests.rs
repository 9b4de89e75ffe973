use core::time::Duration;

use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
use iot_core::node::block_on;
use iot_core::storage::memory::MemoryRecords;
use iot_core::{DeviceId, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::cert::{Authority, Validity};
use crate::key::PublicKey;
use crate::ring::{SoftwareKey, SystemEntropy};

const START: Timestamp = Timestamp::from_secs(1_800_000_000);

fn provision() -> Provision {
    let new_key = || SoftwareKey::generate(EcdsaP256Sha256).unwrap();
    let mut entropy = SystemEntropy::new();
    let years = Validity::lasting(START, Duration::from_secs(315_360_000));
    let factory = Authority::root(new_key(), "factory", years, &mut entropy).unwrap();
    let public = PublicKey::of(&new_key()).unwrap();
    let device = DeviceId::new("boiler-7").unwrap();
    let kind = "1.3.6.1.4.1.32473.1";
    let idevid = factory
        .idevid(&device, kind, &public, START, &mut entropy)
        .unwrap();
    Provision::new(
        alloc::vec![idevid],
        alloc::vec![factory.certificate().clone()],
    )
    .unwrap()
}

#[test]
fn a_provision_is_read_back_as_it_was_stored() {
    let (provision, key) = (provision(), RecordKey::new(7));
    assert_eq!(provision.device().as_str(), "boiler-7");
    let mut records = MemoryRecords::new();
    assert_eq!(block_on(Provision::read(&mut records, key)).unwrap(), None);
    block_on(provision.store(&mut records, key)).unwrap();
    let read = block_on(Provision::read(&mut records, key)).unwrap();
    assert_eq!(read, Some(Ok(provision)));
}

#[test]
fn what_names_no_device_is_no_provision() {
    let good = provision();
    let roots = good.servers().to_vec();
    let anything = Provision::new(roots.clone(), roots.clone());
    assert_eq!(anything, Err(ProvisionError::NoIdevid));
    for (idevid, servers) in [(0, 1), (1, 0), (5, 1), (1, 9)] {
        let many = |one: &[CertificateDer<'static>], count| alloc::vec![one[0].clone(); count];
        let made = Provision::new(many(good.idevid(), idevid), many(&roots, servers));
        assert_eq!(made, Err(ProvisionError::Number), "{idevid} {servers}");
    }
}

#[test]
fn another_format_and_a_changed_count_are_refused() {
    let bytes = provision().encode();
    for (at, value) in [(0, 0x82), (1, 2), (2, 0x80), (2, 0x85)] {
        let mut bad = bytes.clone();
        bad[at] = value;
        assert!(Provision::decode(&bad).is_err(), "{at}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let inside = [&[0x83, 1, 0x81][..], &bytes].concat();
        for bytes in [&bytes, &inside] {
            prop_assert!(Provision::decode(bytes).is_err());
        }
    }

    #[test]
    fn a_provision_with_one_byte_changed_is_refused_or_says_so(at: prop::sample::Index, by in 1u8..) {
        let good = provision();
        let mut bytes = good.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        prop_assert!(Provision::decode(&bytes).map_or(true, |other| other != good));
    }
}
