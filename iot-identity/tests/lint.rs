//! The linter of device identities, and what an authority issues by itself.
#![cfg(feature = "cert")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

extern crate alloc;

#[path = "support/forge.rs"]
#[allow(dead_code, reason = "other tests forge more")]
mod forge;

use alloc::collections::BTreeSet;

use forge::{COMMON_NAME, Draft, Key, PRINTABLE, UTF8, date, name, seq, tlv};
use iot_core::crypto::SignatureAlgorithm::{EcdsaP256Sha256, Ed25519};
use iot_core::entropy::{Entropy, EntropyError};
use iot_core::{DeviceId, Timestamp};
use iot_identity::cert::lint::{self, Finding};
use iot_identity::cert::path::Defect;
use iot_identity::cert::{Authority, UnverifiedCertificate, Validity};
use iot_identity::key::PublicKey;
use iot_identity::ring::{SoftwareKey, SystemEntropy};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const SERIAL_NUMBER: &[u8] = &[0x55, 4, 5];

fn hardware(serial: &[u8]) -> Vec<u8> {
    let module = seq(&[tlv(6, &[0x2a, 3]), tlv(4, serial)]);
    let kind = tlv(6, &[0x2b, 6, 1, 5, 5, 7, 8, 4]);
    tlv(0xa0, &[kind, tlv(0xa0, &module)].concat())
}

/// A draft without a finding, and one that must be found in it after each change.
fn idevid(key: &Key, by: &Key) -> Draft {
    let subject = name(&[(COMMON_NAME, UTF8, "a"), (SERIAL_NUMBER, PRINTABLE, "a")]);
    let mut draft = Draft::new(
        subject,
        key,
        &name(&[(COMMON_NAME, UTF8, "Factory")]),
        by,
        false,
    );
    draft.serial = tlv(2, &[1; 16]);
    draft.to = date("99991231235959");
    draft.put(17, false, &seq(&[hardware(b"a")]));
    draft
}

fn ldevid(key: &Key, by: &Key) -> Draft {
    let mut draft = idevid(key, by);
    draft.subject = name(&[(COMMON_NAME, UTF8, "a")]);
    draft.to = date("20300101000000");
    draft.put(17, false, &seq(&[tlv(0x86, b"urn:iot:device:a")]));
    draft.put(37, false, &seq(&[client()]));
    draft
}

fn client() -> Vec<u8> {
    tlv(6, &[0x2b, 6, 1, 5, 5, 7, 3, 2])
}

type Change = fn(&mut Draft);

#[test]
fn each_rule_that_is_broken_is_found_and_no_other() {
    let (key, by) = (Key::new(EcdsaP256Sha256), Key::new(Ed25519));
    let shared: &[(Change, Finding)] = &[
        (|draft| draft.serial = tlv(2, &[1; 7]), Finding::ShortSerial),
        (|draft| draft.take(14), Finding::SubjectKey),
        (|draft| draft.take(15), Finding::KeyUsage),
        (
            |draft| draft.put(15, false, &tlv(3, &[7, 0x80])),
            Finding::KeyUsage,
        ),
        (
            |draft| draft.put(15, true, &tlv(3, &[1, 0x82])),
            Finding::KeyUsage,
        ),
        (
            |draft| draft.take(35),
            Finding::Profile(Defect::KeyIdentifier),
        ),
        (
            |draft| draft.put(19, true, &seq(&[tlv(1, &[0xff])])),
            Finding::Profile(Defect::AuthorityAsLeaf),
        ),
        (
            |draft| draft.version = tlv(0xa0, &tlv(2, &[1])),
            Finding::Profile(Defect::Version),
        ),
        (
            |draft| draft.spki = seq(&[seq(&[tlv(6, &[0x2a, 3])]), tlv(3, &[0, 1])]),
            Finding::Key,
        ),
    ];
    let factory: &[(Change, Finding)] = &[
        (|draft| draft.to = date("20350101000000"), Finding::Ends),
        (
            |draft| draft.subject = name(&[(COMMON_NAME, UTF8, "a")]),
            Finding::SerialNumber,
        ),
        (
            |draft| draft.subject = name(&[(SERIAL_NUMBER, UTF8, "a")]),
            Finding::SerialNumber,
        ),
        (
            |draft| draft.subject = name(&[(SERIAL_NUMBER, PRINTABLE, "b")]),
            Finding::TwoSerialNumbers,
        ),
        (|draft| draft.take(17), Finding::HardwareModuleName),
        (
            |draft| draft.put(17, false, &seq(&[hardware(b"a"), hardware(b"a")])),
            Finding::HardwareModuleName,
        ),
        (
            |draft| draft.put(37, false, &seq(&[client()])),
            Finding::Purposes,
        ),
    ];
    let operational: &[(Change, Finding)] = &[
        (
            |draft| draft.to = date("99991231235959"),
            Finding::WithoutEnd,
        ),
        (|draft| draft.take(37), Finding::NotForClients),
        (|draft| draft.take(17), Finding::DeviceName),
        (
            |draft| draft.put(17, false, &seq(&[tlv(0x86, b"urn:iot:service:a")])),
            Finding::DeviceName,
        ),
        (
            |draft| {
                draft.subject = seq(&[]);
                draft.put(17, true, &seq(&[tlv(0x86, b"urn:iot:device:a")]));
            },
            Finding::Subject,
        ),
    ];
    let judge = |draft: Draft, of: fn(&[u8]) -> Vec<Finding>| of(&draft.sign(&by));
    assert_eq!(judge(idevid(&key, &by), lint::idevid), []);
    assert_eq!(judge(ldevid(&key, &by), lint::ldevid), []);
    for (change, finding) in shared.iter().chain(factory) {
        let mut draft = idevid(&key, &by);
        change(&mut draft);
        assert_eq!(judge(draft, lint::idevid), [*finding]);
    }
    for (change, finding) in shared.iter().chain(operational) {
        let mut draft = ldevid(&key, &by);
        change(&mut draft);
        assert_eq!(judge(draft, lint::ldevid), [*finding]);
    }
    assert_eq!(lint::idevid(b"x"), [Finding::Profile(Defect::Encoding)]);
}

/// A generator that says the same for ever.
struct Stuck;

impl Entropy for Stuck {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        out.fill(0);
        Ok(())
    }
}

#[test]
fn what_an_authority_issues_has_no_finding_and_a_number_of_its_own() {
    let mut entropy = SystemEntropy::new();
    let key = SoftwareKey::generate(EcdsaP256Sha256).unwrap();
    let root = Authority::root(key, "Acme", Validity::for_ever(NOW), &mut entropy).unwrap();
    let mut numbers = BTreeSet::new();
    for count in 0..100 {
        let device = DeviceId::new(&format!("d-{count}")).unwrap();
        let key = PublicKey::of(&SoftwareKey::generate(Ed25519).unwrap()).unwrap();
        let sources: [&mut dyn Entropy; 2] = [&mut entropy, &mut Stuck];
        for source in sources {
            let idevid = root
                .idevid(&device, "1.3.6.1.4.1.32473.1", &key, NOW, source)
                .unwrap();
            let validity = Validity::short_lived(NOW);
            let ldevid = root.ldevid(&device, &key, validity, source).unwrap();
            assert_eq!(lint::idevid(&idevid), []);
            assert_eq!(lint::ldevid(&ldevid), []);
            for certificate in [idevid, ldevid] {
                let view = UnverifiedCertificate::parse(&certificate).unwrap();
                assert_eq!(view.serial().len(), 16);
                assert!(
                    numbers.insert(view.serial().to_vec()),
                    "a number was used twice"
                );
            }
        }
    }
}
