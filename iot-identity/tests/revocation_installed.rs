//! A compact list in force: what is asked of everybody who connects, and what cuts who is connected.
#![cfg(feature = "cert")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

extern crate alloc;

use alloc::sync::Arc;
use core::time::Duration;
use std::sync::Mutex;
use std::thread;

use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
use iot_core::time::TimeBounds;
use iot_core::{DeviceId, Role, TenantId, Timestamp};
use iot_identity::cert::{AdmitError, Authority, Trust, TrustAnchors, Validity};
use iot_identity::key::PublicKey;
use iot_identity::revocation::{
    CompactError, CompactWriter, Denied, DenyList, Edition, News, Revocations, RollBack,
};
use iot_identity::ring::{Sha256, SoftwareKey, SoftwareVerifier, SystemEntropy};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const WALL: TimeBounds = TimeBounds::exact(NOW);

struct Issuer(SoftwareKey);

impl Issuer {
    fn new() -> Self {
        Self(SoftwareKey::generate(EcdsaP256Sha256).unwrap())
    }

    fn list(&self, version: u64, entries: &[Denied]) -> Vec<u8> {
        let mut writer = CompactWriter::new(version);
        for entry in entries {
            writer.deny(entry, &mut Sha256::new());
        }
        writer.sign(&self.0).unwrap()
    }

    fn install(&self, into: &Revocations, bytes: &[u8]) -> Result<Edition, CompactError> {
        let verifier = SoftwareVerifier::new(PublicKey::of(&self.0).unwrap());
        into.install::<Sha256>(bytes, &verifier)
    }
}

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn name(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

fn device(device: &str) -> Denied {
    Denied::Device(acme(), name(device))
}

#[test]
fn an_installed_list_refuses_by_device_key_and_certificate_all_along_the_chain() {
    let mut entropy = SystemEntropy::new();
    let month = Validity::lasting(NOW, Duration::from_secs(30 * 86_400));
    let key = || SoftwareKey::generate(EcdsaP256Sha256).unwrap();
    let top = Authority::root(key(), "Top", month, &mut entropy).unwrap();
    let middle = top.subordinate(key(), "Middle", month, &mut entropy);
    let middle = middle.unwrap();
    let mut anchors = TrustAnchors::new();
    anchors
        .add(top.certificate(), acme(), Role::Device)
        .unwrap();
    let public = PublicKey::of(&key()).unwrap();
    let leaf = middle.ldevid(&name("boiler-7"), &public, month, &mut entropy);
    let chain = [leaf.unwrap(), middle.certificate().clone()];
    let links = anchors.verify(&chain, WALL).unwrap().links().to_vec();
    assert_eq!(links.len(), 2);
    let mut ways = vec![device("boiler-7")];
    for (certificate, key) in links {
        ways.extend([Denied::Certificate(certificate), Denied::Key(key)]);
    }
    let issuer = Issuer::new();
    for way in ways {
        let trust = Trust::new(anchors.clone(), Revocations::default());
        let install = |version, entries: &[Denied]| {
            let list = issuer.list(version, entries);
            issuer.install(trust.revocations(), &list).unwrap()
        };
        install(1, &[device("boiler-8")]);
        assert!(trust.principal(&chain, WALL).is_ok());
        install(2, &[device("boiler-8"), way]);
        let judged = trust.principal(&chain, WALL);
        assert_eq!(judged, Err(AdmitError::Revoked), "{way:?}");
        // The next list takes its place as a whole.
        install(3, &[]);
        assert!(trust.principal(&chain, WALL).is_ok());
    }
}

#[test]
fn subscribers_hear_of_a_list_once_and_after_it_holds() {
    let revocations = Revocations::default();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (inner, list) = (revocations.clone(), Arc::clone(&heard));
    let _subscription = revocations.subscribe(move |news| {
        let News::List(edition) = news else {
            panic!("{news:?}");
        };
        let holds = inner.is_denied(&acme(), &name("a"), &[]);
        list.lock().unwrap().push((*edition, holds));
    });
    let issuer = Issuer::new();
    let bytes = issuer.list(4, &[device("a")]);
    let edition = issuer.install(&revocations, &bytes).unwrap();
    assert_eq!(issuer.install(&revocations, &bytes), Ok(edition));
    assert_eq!(revocations.compact(), Some(edition));
    assert_eq!(*heard.lock().unwrap(), [(edition, true)]);
    // What it says already is no news when it is denied here, too.
    assert!(revocations.deny(device("a")));
    assert_eq!(heard.lock().unwrap().len(), 1);
}

#[test]
fn what_is_refused_leaves_the_list_in_force_and_tells_nobody() {
    let (issuer, stranger) = (Issuer::new(), Issuer::new());
    let revocations = Revocations::default();
    let in_force = issuer.list(5, &[device("a")]);
    let edition = issuer.install(&revocations, &in_force).unwrap();
    let _subscription = revocations.subscribe(|news| panic!("{news:?}"));
    for (by, version, error) in [
        (&issuer, 4, None),
        (&issuer, 5, None),
        (&stranger, 6, Some(CompactError::Signature)),
    ] {
        let refused = issuer.install(&revocations, &by.list(version, &[]));
        match (refused.unwrap_err(), error) {
            (
                CompactError::RollBack(RollBack {
                    current, offered, ..
                }),
                None,
            ) => {
                assert_eq!((current, offered), (5, version));
            }
            (found, expected) => assert_eq!(Some(found), expected),
        }
        assert_eq!(revocations.compact(), Some(edition));
        assert!(revocations.is_denied(&acme(), &name("a"), &[]));
    }
    assert!(issuer.install(&revocations, &in_force[1..]).is_err());
}

#[test]
fn the_three_lists_do_not_undo_each_other() {
    let issuer = Issuer::new();
    let revocations = Revocations::default();
    let denied = || ["a", "b", "c"].map(|one| revocations.is_denied(&acme(), &name(one), &[]));
    let list = issuer.list(1, &[device("a")]);
    issuer.install(&revocations, &list).unwrap();
    revocations.deny(device("b"));
    let mut issued = DenyList::new(9);
    issued.insert(device("c"));
    revocations.replace(issued).unwrap();
    assert_eq!(denied(), [true, true, true]);
    issuer.install(&revocations, &issuer.list(2, &[])).unwrap();
    assert_eq!(denied(), [false, true, true]);
    revocations.replace(DenyList::new(10)).unwrap();
    assert_eq!(denied(), [false, true, false]);
    assert!(revocations.withdraw(&device("b")));
    assert_eq!(denied(), [false, false, false]);
}

/// Many install at once, in any order: the newest is in force at the end, and no look-up sees half a list.
#[test]
fn of_lists_that_are_installed_at_once_the_newest_stays() {
    let issuer = Issuer::new();
    let lists: Vec<_> = (1..=8)
        .map(|version| issuer.list(version, &[device("always"), device(&format!("v{version}"))]))
        .collect();
    for round in 0..8 {
        let revocations = Revocations::default();
        issuer.install(&revocations, &lists[0]).unwrap();
        thread::scope(|scope| {
            for at in 0..8 {
                let (revocations, list) = (revocations.clone(), &lists[(at + round) % 8]);
                let issuer = &issuer;
                scope.spawn(move || {
                    let _ = issuer.install(&revocations, list);
                    assert!(revocations.is_denied(&acme(), &name("always"), &[]));
                });
            }
        });
        assert_eq!(revocations.compact().unwrap().version, 8);
        assert!(revocations.is_denied(&acme(), &name("v8"), &[]));
        assert!(!revocations.is_denied(&acme(), &name("v7"), &[]));
    }
}
