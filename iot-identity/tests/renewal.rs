//! A device's credentials, from its records and keys through a renewal and back.
#![cfg(feature = "tls")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

extern crate alloc;

#[path = "renewal/rig.rs"]
mod rig;

use alloc::sync::Arc;

use iot_core::crypto::{KeyError, KeyStore};
use iot_core::engine::{Engine, RecordKey};
use iot_core::node::block_on;
use iot_core::storage::memory::MemoryRecords;
use iot_core::{Instant, Role};
use iot_identity::enrol::Refusal;
use iot_identity::revocation::Denied;
use iot_identity::ring::SoftwareKeys;
use iot_identity::rotate::{Identity, Standing};
use iot_identity::tls::{Credentials, DeviceCredentials, Link, LoadError, Provision, Renewal};

use rig::{Keys, OWN, Rig, setup, tenant};

fn is_enrolled(renewal: &Renewal<Keys>) -> bool {
    renewal.standing() == Standing::Enrolled
}

/// Enrolled, and running.
fn enrolled(rig: &mut Rig) -> (DeviceCredentials<Keys>, Renewal<Keys>) {
    let (credentials, mut renewal) = rig.boots();
    assert_eq!(credentials.identity(), Identity::Factory);
    rig.lives(&credentials, &mut renewal, is_enrolled).unwrap();
    (credentials, renewal)
}

#[test]
fn one_configuration_shows_the_factory_identity_first_and_its_own_once_the_service_has_taken_it() {
    let mut rig = Rig::new();
    let (credentials, renewal) = enrolled(&mut rig);
    assert_eq!(rig.peer.unwrap().role, Role::Device);
    assert_eq!(rig.reconnects, 1);
    assert_eq!(renewal.identity(), Identity::Own(OWN[0]));
    assert_eq!(credentials.live().current().chain(), rig.chain);
    // The next start shows it at once.
    let (credentials, _) = rig.boots();
    assert_eq!(credentials.identity(), Identity::Own(OWN[0]));
    rig.connects(&credentials.client_tls());
    assert_eq!(rig.peer.unwrap().role, Role::Device);
}

#[test]
fn a_renewal_changes_what_is_shown_once_and_destroys_the_old_key_after_the_overlap() {
    let mut rig = Rig::new();
    let (credentials, mut renewal) = enrolled(&mut rig);
    let old = rig.chain.clone();
    renewal.renew();
    let first = renewal.identity();
    let renewed = |renewal: &Renewal<Keys>| is_enrolled(renewal) && renewal.identity() != first;
    rig.lives(&credentials, &mut renewal, renewed).unwrap();
    assert_eq!((rig.reconnects, rig.keys_held()), (2, 2));
    assert_ne!(rig.chain, old);
    rig.seconds += 86_400;
    while rig.keys_held() == 2 {
        rig.lives(&credentials, &mut renewal, |_| true).unwrap();
    }
    let Identity::Own(slot) = renewal.identity() else {
        panic!("it has no identity");
    };
    assert!(rig.keys.signer(slot).is_ok());
    assert_eq!(rig.reconnects, 2);
}

#[test]
fn a_link_that_stood_before_the_change_proves_nothing_of_the_new_certificate() {
    let mut rig = Rig::new();
    let (credentials, mut renewal) = enrolled(&mut rig);
    let first = renewal.identity();
    renewal.renew();
    let candidate = |renewal: &Renewal<Keys>| renewal.has_candidate();
    rig.lives(&credentials, &mut renewal, candidate).unwrap();
    let stands = Link::new(true, 2, 0);
    for _ in 0..5 {
        let _ = renewal.tend(rig.now(), &stands);
        while rig.steps(&mut renewal).unwrap() {}
        assert!(renewal.has_candidate() && renewal.identity() == first);
    }
    let _ = renewal.tend(rig.now(), &Link::new(true, 3, 0));
    while rig.steps(&mut renewal).unwrap() {}
    assert_ne!(renewal.identity(), first);
}

#[test]
fn a_candidate_that_the_service_does_not_take_gives_way_to_the_certificate_that_it_takes() {
    let mut rig = Rig::new();
    let (credentials, mut renewal) = enrolled(&mut rig);
    let old = rig.chain.clone();
    renewal.renew();
    let candidate = |renewal: &Renewal<Keys>| renewal.has_candidate();
    rig.lives(&credentials, &mut renewal, candidate).unwrap();
    let newest = rig.registrar.enrolments().last().unwrap();
    rig.revocations.deny(Denied::Key(*newest.key()));
    let given_up = |renewal: &Renewal<Keys>| !renewal.has_candidate();
    rig.lives(&credentials, &mut renewal, given_up).unwrap();
    let shown = |renewal: &Renewal<Keys>| renewal.shown() == Some(renewal.identity());
    rig.lives(&credentials, &mut renewal, shown).unwrap();
    rig.connects(&credentials.client_tls());
    assert_eq!(credentials.live().current().chain(), old);
    assert_eq!(rig.chain, old);
}

#[test]
fn a_revoked_device_asks_no_more_until_it_is_told_to_and_comes_back_by_its_factory_identity() {
    let mut rig = Rig::new();
    let (credentials, mut renewal) = enrolled(&mut rig);
    let device = *credentials.device();
    rig.revocations.deny(Denied::Device(tenant(), device));
    rig.hang_up();
    renewal.input(rig.now(), &iot_core::Event::Disconnected);
    let refused = Standing::Refused(Refusal::Revoked);
    let barred = |renewal: &Renewal<Keys>| renewal.standing() == refused;
    rig.lives(&credentials, &mut renewal, barred).unwrap();
    renewal.renew();
    let _ = renewal.tend(rig.now(), &rig.link);
    assert_eq!(renewal.standing(), refused);
    assert!(!rig.steps(&mut renewal).unwrap());

    assert_eq!(rig.registrar.readmit(&device).len(), 1);
    rig.revocations.withdraw(&Denied::Device(tenant(), device));
    renewal.apply_again();
    let old = renewal.identity();
    let back = |renewal: &Renewal<Keys>| is_enrolled(renewal) && renewal.identity() != old;
    rig.lives(&credentials, &mut renewal, back).unwrap();
    assert_eq!(rig.peer.unwrap().role, Role::Device);
}

#[test]
fn power_that_fails_at_any_key_or_record_leaves_an_identity_that_the_service_takes() {
    // Once whole, to count what there is to cut.
    let life = |rig: &mut Rig| -> Result<(), ()> {
        let (credentials, mut renewal) = rig.boots();
        rig.lives(&credentials, &mut renewal, is_enrolled)?;
        let first = renewal.identity();
        renewal.renew();
        let renewed = |renewal: &Renewal<Keys>| is_enrolled(renewal) && renewal.identity() != first;
        rig.lives(&credentials, &mut renewal, renewed)
    };
    let mut whole = Rig::new();
    whole.power.set(1_000);
    life(&mut whole).unwrap();
    let operations = 1_000 - whole.power.left();
    assert!(operations >= 6, "{operations}");
    let issued = whole.registrar.enrolments().count();
    for cut in 1..=operations {
        let mut rig = Rig::new();
        rig.power.set(cut);
        assert!(life(&mut rig).is_err(), "nothing was cut at {cut}");
        rig.power.set(usize::MAX);
        let (credentials, mut renewal) = rig.boots();
        rig.connects(&credentials.client_tls());
        assert!(rig.peer.is_some(), "locked out at {cut}");
        rig.hang_up();
        rig.lives(&credentials, &mut renewal, is_enrolled).unwrap();
        rig.connects(&credentials.client_tls());
        assert_eq!(rig.peer.unwrap().role, Role::Device, "{cut}");
        let certificates = rig.registrar.enrolments().count();
        assert!(
            certificates <= issued,
            "{certificates} certificates after a cut at {cut}"
        );
    }
}

#[test]
fn a_renewal_that_nobody_tends_to_wakes_its_node() {
    let mut rig = Rig::new();
    let (credentials, mut renewal) = enrolled(&mut rig);
    let soon = |rig: &Rig, renewal: &Renewal<Keys>| {
        let in_a_second = rig.now().instant + core::time::Duration::from_secs(1);
        renewal
            .deadline()
            .is_some_and(|at: Instant| at < in_a_second)
    };
    let _ = renewal.tend(rig.now(), &rig.link);
    assert!(!soon(&rig, &renewal), "{:?}", renewal.deadline());
    renewal.renew();
    assert!(soon(&rig, &renewal));
    // A link that fails says so by no event: while an answer is awaited, it is looked at.
    let candidate = |renewal: &Renewal<Keys>| renewal.has_candidate();
    rig.lives(&credentials, &mut renewal, candidate).unwrap();
    assert!(soon(&rig, &renewal));
}

#[test]
fn what_cannot_be_used_is_said_when_it_is_loaded() {
    let mut rig = Rig::new();
    let load = |records: &mut MemoryRecords| {
        let keys = Arc::clone(&rig.keys);
        block_on(DeviceCredentials::load(records, keys, setup())).err()
    };
    assert_eq!(
        load(&mut MemoryRecords::new()),
        Some(LoadError::NotProvisioned)
    );
    assert_eq!(load(&mut rig.records.clone()), None);
    let elsewhere = setup().records(RecordKey::new(9));
    let keys = Arc::clone(&rig.keys);
    let loaded = block_on(DeviceCredentials::load(&mut rig.records, keys, elsewhere));
    assert_eq!(loaded.err(), Some(LoadError::NotProvisioned));
    let loaded = block_on(Credentials::load(&mut rig.records, SoftwareKeys::new()));
    assert_eq!(loaded.err(), Some(LoadError::Key(KeyError::Absent)));
    // Another device's records beside this one's keys.
    let mut other = Rig::new();
    let keys = Arc::clone(&rig.keys);
    let loaded = block_on(DeviceCredentials::load(&mut other.records, keys, setup()));
    assert!(matches!(loaded.err(), Some(LoadError::Factory(_))));
    let damaged = Provision::decode(b"anything");
    assert!(damaged.is_err());
}

#[test]
fn a_certificate_whose_key_is_gone_is_not_shown() {
    let mut rig = Rig::new();
    let (_, renewal) = enrolled(&mut rig);
    let Identity::Own(slot) = renewal.identity() else {
        panic!("it is not enrolled");
    };
    rig.keys.destroy(slot).unwrap();
    let (credentials, mut renewal) = rig.boots();
    assert_eq!(credentials.identity(), Identity::Factory);
    rig.lives(&credentials, &mut renewal, is_enrolled).unwrap();
    assert_eq!(rig.peer.unwrap().role, Role::Device);
}
