//! What a registrar grants, and to whom.
#![cfg(feature = "cert")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

use core::time::Duration;

use iot_core::crypto::Digest;
use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
use iot_core::time::TimeBounds;
use iot_core::{DeviceId, Principal, Role, TenantId, Timestamp};
use iot_identity::cert::{
    AdmitError, Authority, Trust, TrustAnchors, UnverifiedCertificate, Validity, csr,
};
use iot_identity::enrol::{Enrolled, Enrolment, Refusal, Registrar, Terms};
use iot_identity::key::PublicKey;
use iot_identity::revocation::{CertificateId, Denied, Revocations};
use iot_identity::ring::{Sha256, SoftwareKey, SystemEntropy};

const DAY: Duration = Duration::from_secs(86_400);
const START: Timestamp = Timestamp::from_secs(1_800_000_000);

fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn device() -> DeviceId {
    DeviceId::new("boiler-7").unwrap()
}

fn newcomer() -> Principal {
    Principal::new(tenant(), device(), Role::Newcomer)
}

fn authority() -> Authority<SoftwareKey> {
    let key = SoftwareKey::generate(EcdsaP256Sha256).unwrap();
    let validity = Validity::lasting(START, 3_650 * DAY);
    Authority::root(key, "Acme", validity, &mut SystemEntropy::new()).unwrap()
}

fn registrar(revocations: Revocations) -> Registrar<SoftwareKey> {
    Registrar::new(authority(), tenant(), Terms::default().keys(4), revocations)
}

fn request(device: &DeviceId, key: &SoftwareKey) -> Vec<u8> {
    let mut buffer = [0; csr::MAX_CSR_BYTES];
    csr::write(device, key, &mut buffer).unwrap().to_vec()
}

fn new_key() -> SoftwareKey {
    SoftwareKey::generate(EcdsaP256Sha256).unwrap()
}

#[test]
fn only_the_device_itself_gets_its_certificate() {
    let mut registrar = registrar(Revocations::default());
    let (wall, mut entropy) = (TimeBounds::exact(START), SystemEntropy::new());
    let key = new_key();
    let own = request(&device(), &key);
    let mut ask = |who: &Principal, csr: &[u8]| registrar.enrol(who, csr, wall, &mut entropy);

    let other = DeviceId::new("boiler-8").unwrap();
    let neighbour = Principal::new(tenant(), other, Role::Newcomer);
    assert_eq!(ask(&neighbour, &own), Err(Refusal::OtherDevice));
    let foreign = Principal::new(TenantId::new("rival").unwrap(), device(), Role::Newcomer);
    assert_eq!(ask(&foreign, &own), Err(Refusal::NotAllowed));
    let service = Principal::new(tenant(), device(), Role::Service);
    assert_eq!(ask(&service, &own), Err(Refusal::NotAllowed));
    assert!(matches!(ask(&newcomer(), &own), Ok(Enrolled::Issued(_))));
}

#[test]
fn a_request_whose_bytes_were_changed_is_refused() {
    let mut registrar = registrar(Revocations::default());
    let (wall, mut entropy) = (TimeBounds::exact(START), SystemEntropy::new());
    let good = request(&device(), &new_key());
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x01;
        let answer = registrar.enrol(&newcomer(), &bad, wall, &mut entropy);
        assert!(answer.is_err(), "byte {at} was changed and accepted");
    }
    assert_eq!(registrar.devices(), 0);
    assert!(
        registrar
            .enrol(&newcomer(), &good, wall, &mut entropy)
            .is_ok()
    );
}

#[test]
fn the_revoked_do_not_enrol_by_any_key() {
    let revocations = Revocations::default();
    let mut registrar = registrar(revocations.clone());
    let (wall, mut entropy) = (TimeBounds::exact(START), SystemEntropy::new());
    let key = new_key();
    let public = PublicKey::of(&key).unwrap();
    let hash = public.hash(&mut Sha256::new());
    let own = request(&device(), &key);
    assert!(
        registrar
            .enrol(&newcomer(), &own, wall, &mut entropy)
            .is_ok()
    );

    revocations.deny(Denied::Key(hash));
    for csr in [&own, &request(&device(), &new_key())] {
        let refused = registrar.enrol(&newcomer(), csr, wall, &mut entropy);
        assert_eq!(refused, Err(Refusal::Revoked));
    }
    // Somebody has looked at the device: it may come back, but never with that key.
    assert_eq!(registrar.readmit(&device()).len(), 1);
    let refused = registrar.enrol(&newcomer(), &own, wall, &mut entropy);
    assert_eq!(refused, Err(Refusal::Revoked));
    let fresh = request(&device(), &new_key());
    assert!(
        registrar
            .enrol(&newcomer(), &fresh, wall, &mut entropy)
            .is_ok()
    );

    revocations.deny(Denied::Device(tenant(), device()));
    let fresh = request(&device(), &new_key());
    let refused = registrar.enrol(&newcomer(), &fresh, wall, &mut entropy);
    assert_eq!(refused, Err(Refusal::Revoked));
}

/// Names a certificate for the deny-list.
fn named(certificate: &[u8]) -> Denied {
    let view = UnverifiedCertificate::parse(certificate).unwrap();
    let mut hash = Sha256::new();
    hash.update(view.issuer());
    Denied::Certificate(CertificateId::new(hash.finish(), view.serial()).unwrap())
}

#[test]
fn a_revoked_certificate_renews_by_no_path() {
    let revocations = Revocations::default();
    let mut registrar = registrar(revocations.clone());
    let mut entropy = SystemEntropy::new();
    let mut ask = |registrar: &mut Registrar<SoftwareKey>, role: Role, csr: &[u8], days: u32| {
        let wall = TimeBounds::exact(START.after(days * DAY));
        let who = Principal::new(tenant(), device(), role);
        registrar.enrol(&who, csr, wall, &mut entropy)
    };
    let keys: Vec<_> = (0..3).map(|_| request(&device(), &new_key())).collect();
    let first = ask(&mut registrar, Role::Newcomer, &keys[0], 0).unwrap();
    ask(&mut registrar, Role::Device, &keys[1], 0).unwrap();

    revocations.deny(named(first.certificate()));
    // With the certificate itself, its other one, after its end, and with the factory's; by any key; a year later too.
    for role in [Role::Device, Role::Newcomer] {
        for days in [0, 21, 40, 400] {
            for csr in &keys {
                let refused = ask(&mut registrar, role, csr, days);
                assert_eq!(refused, Err(Refusal::Revoked), "{role:?}, day {days}");
            }
        }
    }
    // A registrar that starts anew from what was stored says the same.
    let stored: Vec<_> = registrar.enrolments().map(Enrolment::encode).collect();
    let mut again = Registrar::new(authority(), tenant(), Terms::default(), revocations.clone());
    for record in &stored {
        again.restore(Enrolment::decode(record).unwrap());
    }
    let refused = ask(&mut again, Role::Newcomer, &keys[2], 0);
    assert_eq!(refused, Err(Refusal::Revoked));

    let closed = registrar.readmit(&device());
    assert_eq!(closed.len(), 1, "only what is denied is closed");
    assert!(registrar.readmit(&device()).is_empty());
    assert!(ask(&mut registrar, Role::Newcomer, &keys[2], 0).is_ok());
    // Closed is on record, and refuses its own key whatever the list says later.
    again.restore(Enrolment::decode(&closed[0].encode()).unwrap());
    assert!(ask(&mut again, Role::Newcomer, &keys[2], 0).is_ok());
    revocations.withdraw(&named(first.certificate()));
    let refused = ask(&mut again, Role::Newcomer, &keys[0], 0);
    assert_eq!(refused, Err(Refusal::Revoked));
}

#[test]
fn what_a_registrar_keeps_is_bounded() {
    let revocations = Revocations::default();
    let terms = Terms::default().devices(2).keys(2);
    let mut registrar = Registrar::new(authority(), tenant(), terms, revocations.clone());
    let (wall, mut entropy) = (TimeBounds::exact(START), SystemEntropy::new());
    for name in ["boiler-1", "boiler-2", "boiler-3"] {
        let device = DeviceId::new(name).unwrap();
        let who = Principal::new(tenant(), device, Role::Newcomer);
        let csr = request(&device, &new_key());
        let enrolled = registrar.enrol(&who, &csr, wall, &mut entropy);
        assert_eq!(enrolled.is_ok(), name != "boiler-3", "{name}");
    }
    // Whoever is readmitted again and again meets an end too.
    let device = DeviceId::new("boiler-1").unwrap();
    let who = Principal::new(tenant(), device, Role::Newcomer);
    let mut kept = 1;
    for _ in 0..10 {
        for one in registrar.enrolments().filter(|one| *one.device() == device) {
            revocations.deny(Denied::Key(*one.key()));
        }
        registrar.readmit(&device);
        let csr = request(&device, &new_key());
        let enrolled = registrar.enrol(&who, &csr, wall, &mut entropy);
        kept += usize::from(enrolled.is_ok());
    }
    assert_eq!(kept, 4, "two keys, and as many that were closed");
}

#[test]
fn years_of_renewals_fill_no_book_and_are_never_refused() {
    let terms = Terms::default().keys(2).after_expiry(3_650 * DAY);
    let mut registrar = Registrar::new(authority(), tenant(), terms, Revocations::default());
    for month in 0..60 {
        let wall = TimeBounds::exact(START.after(month * 31 * DAY));
        let csr = request(&device(), &new_key());
        let enrolled = registrar.enrol(&newcomer(), &csr, wall, &mut SystemEntropy::new());
        assert!(matches!(enrolled, Ok(Enrolled::Issued(_))), "month {month}");
        assert!(registrar.enrolments().count() <= 4, "month {month}");
    }
}

#[test]
fn an_expired_certificate_comes_back_only_by_policy_and_only_as_a_newcomer() {
    let revocations = Revocations::default();
    let grace = Terms::default().after_expiry(365 * DAY);
    for terms in [grace, Terms::default()] {
        let authority = authority();
        let mut anchors = TrustAnchors::new();
        anchors
            .add(authority.certificate(), tenant(), Role::Device)
            .unwrap();
        let trust = Trust::new(anchors, revocations.clone());
        let mut registrar = Registrar::new(authority, tenant(), terms, revocations.clone());
        let at = |days: u32| TimeBounds::exact(START.after(days * DAY));
        let csr = request(&device(), &new_key());
        let enrolled = registrar.enrol(&newcomer(), &csr, at(0), &mut SystemEntropy::new());
        let chain = [enrolled.unwrap().certificate().clone()];
        let role = |days| {
            let who = registrar.returning(&trust, &chain, at(days));
            who.map(|who| who.role)
        };
        let allowed = terms == grace;
        assert_eq!(role(20), Ok(Role::Device));
        let late = if allowed {
            Ok(Role::Newcomer)
        } else {
            Err(AdmitError::Expired)
        };
        assert_eq!(role(200), late);
        assert_eq!(role(600), Err(AdmitError::Expired), "past the grace");
        revocations.deny(named(&chain[0]));
        assert_ne!(role(200), Ok(Role::Newcomer), "revoked in between");
        assert!(role(20).is_err());
    }
}

#[test]
fn the_same_key_is_renewed_only_in_the_last_third_and_keys_are_bounded() {
    let mut registrar = registrar(Revocations::default());
    let mut entropy = SystemEntropy::new();
    let own = request(&device(), &new_key());
    let mut ask = |csr: &[u8], days: u32| {
        let wall = TimeBounds::exact(START.after(days * DAY));
        registrar.enrol(&newcomer(), csr, wall, &mut entropy)
    };
    assert!(matches!(ask(&own, 0), Ok(Enrolled::Issued(_))));
    assert!(matches!(ask(&own, 19), Ok(Enrolled::Known(_))));
    assert!(matches!(ask(&own, 21), Ok(Enrolled::Issued(_))));
    for _ in 0..3 {
        assert!(ask(&request(&device(), &new_key()), 21).is_ok());
    }
    let fifth = request(&device(), &new_key());
    assert_eq!(ask(&fifth, 21), Err(Refusal::TooMany));
    assert!(ask(&fifth, 52).is_ok(), "the expired made no room");
}
