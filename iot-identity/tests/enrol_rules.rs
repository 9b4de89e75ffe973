//! Rules of a registrar that an attacker would go around.
#![cfg(feature = "cert")]
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use core::time::Duration;

use iot_core::crypto::Digest;
use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
use iot_core::time::TimeBounds;
use iot_core::{DeviceId, Principal, Role, TenantId, Timestamp};
use iot_identity::cert::{Authority, UnverifiedCertificate, Validity, csr};
use iot_identity::enrol::{Enrolled, Enrolment, Refusal, Registrar, Terms};
use iot_identity::revocation::{CertificateId, Denied, Revocations};
use iot_identity::ring::{Sha256, SoftwareKey, SystemEntropy};

const DAY: Duration = Duration::from_secs(86_400);
const START: Timestamp = Timestamp::from_secs(1_800_000_000);

fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn device(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

fn new_key() -> SoftwareKey {
    SoftwareKey::generate(EcdsaP256Sha256).unwrap()
}

fn authority() -> Authority<SoftwareKey> {
    let validity = Validity::lasting(START, 3_650 * DAY);
    Authority::root(new_key(), "Acme", validity, &mut SystemEntropy::new()).unwrap()
}

fn registrar(revocations: &Revocations) -> Registrar<SoftwareKey> {
    Registrar::new(authority(), tenant(), Terms::default(), revocations.clone())
}

fn ask_at(
    registrar: &mut Registrar<SoftwareKey>,
    name: &str,
    key: &SoftwareKey,
    wall: TimeBounds,
) -> Result<Enrolled, Refusal> {
    let device = device(name);
    let mut buffer = [0; csr::MAX_CSR_BYTES];
    let csr = csr::write(&device, key, &mut buffer).unwrap();
    let who = Principal::new(tenant(), device, Role::Newcomer);
    registrar.enrol(&who, csr, wall, &mut SystemEntropy::new())
}

fn ask(
    registrar: &mut Registrar<SoftwareKey>,
    name: &str,
    key: &SoftwareKey,
    days: u32,
) -> Result<Enrolled, Refusal> {
    ask_at(
        registrar,
        name,
        key,
        TimeBounds::exact(START.after(days * DAY)),
    )
}

/// Names a certificate for the deny-list.
fn named(certificate: &[u8]) -> Denied {
    let view = UnverifiedCertificate::parse(certificate).unwrap();
    let mut hash = Sha256::new();
    hash.update(view.issuer());
    Denied::Certificate(CertificateId::new(hash.finish(), view.serial()).unwrap())
}

/// What the registrar would know after a restart.
fn restarted(
    registrar: Registrar<SoftwareKey>,
    revocations: &Revocations,
) -> Registrar<SoftwareKey> {
    let mut stored: Vec<_> = registrar.enrolments().map(Enrolment::encode).collect();
    // A store may give its records back in any order.
    stored.reverse();
    let authority = registrar.into_authority();
    let mut again = Registrar::new(authority, tenant(), Terms::default(), revocations.clone());
    for record in stored {
        again.restore(Enrolment::decode(&record).unwrap());
    }
    again
}

#[test]
fn the_key_of_a_denied_certificate_enrols_under_no_other_name() {
    for by_device in [false, true] {
        let revocations = Revocations::default();
        let mut registrar = registrar(&revocations);
        let key = new_key();
        let first = ask(&mut registrar, "boiler-7", &key, 0).unwrap();
        let denied = if by_device {
            Denied::Device(tenant(), device("boiler-7"))
        } else {
            named(first.certificate())
        };
        revocations.deny(denied);
        let refused = Err(Refusal::Revoked);
        assert_eq!(ask(&mut registrar, "boiler-8", &key, 0), refused);
        // Nor after its own device was readmitted with another key, and after a restart.
        registrar.readmit(&device("boiler-7"));
        assert_eq!(ask(&mut registrar, "boiler-8", &key, 0), refused);
        let mut registrar = restarted(registrar, &revocations);
        assert_eq!(ask(&mut registrar, "boiler-8", &key, 0), refused);
        assert!(ask(&mut registrar, "boiler-8", &new_key(), 0).is_ok());
    }
}

#[test]
fn a_certificate_that_was_replaced_under_its_own_key_can_still_be_denied() {
    for restart in [false, true] {
        let revocations = Revocations::default();
        let mut registrar = registrar(&revocations);
        let key = new_key();
        let first = ask(&mut registrar, "boiler-7", &key, 0).unwrap();
        let second = ask(&mut registrar, "boiler-7", &key, 21).unwrap();
        assert!(matches!(second, Enrolled::Issued(_)));
        // The newest is what a retry gets.
        let again = ask(&mut registrar, "boiler-7", &key, 21).unwrap();
        assert_eq!(
            again,
            Enrolled::Known(match second {
                Enrolled::Issued(enrolment) | Enrolled::Known(enrolment) => enrolment,
                _ => unreachable!(),
            })
        );
        if restart {
            registrar = restarted(registrar, &revocations);
            let known = ask(&mut registrar, "boiler-7", &key, 21).unwrap();
            assert_eq!(known.certificate(), again.certificate());
        }
        // The first is valid for nine more days, and somebody has stolen its key.
        revocations.deny(named(first.certificate()));
        for key in [&key, &new_key()] {
            let refused = ask(&mut registrar, "boiler-7", key, 22);
            assert_eq!(refused, Err(Refusal::Revoked), "restart {restart}");
        }
    }
}

#[test]
fn renewing_one_key_again_and_again_fills_no_book() {
    let mut registrar = registrar(&Revocations::default());
    let key = new_key();
    for turn in 0..40 {
        assert!(ask(&mut registrar, "boiler-7", &key, turn * 21).is_ok());
        assert!(registrar.enrolments().count() <= 3, "turn {turn}");
    }
}

#[test]
fn a_registrar_without_a_clock_issues_nothing() {
    let mut registrar = registrar(&Revocations::default());
    let (key, later) = (new_key(), START.after(5 * DAY));
    for wall in [
        TimeBounds::UNKNOWN,
        TimeBounds::at_least(START),
        TimeBounds::between(START, later).unwrap(),
    ] {
        let refused = ask_at(&mut registrar, "boiler-7", &key, wall);
        assert_eq!(refused, Err(Refusal::Later), "{wall:?}");
    }
    // A few seconds are no matter.
    let close = TimeBounds::between(START, START.after(Duration::from_secs(60))).unwrap();
    assert!(ask_at(&mut registrar, "boiler-7", &key, close).is_ok());
    // What was issued is given out whatever the clock says.
    let known = ask_at(&mut registrar, "boiler-7", &key, TimeBounds::UNKNOWN);
    assert!(matches!(known, Ok(Enrolled::Known(_))));
}

#[test]
fn no_certificate_outlives_the_authority_below_the_anchor() {
    let mut entropy = SystemEntropy::new();
    let root = authority();
    let validity = Validity::lasting(START, 40 * DAY);
    let below = root
        .subordinate(new_key(), "Acme devices", validity, &mut entropy)
        .unwrap();
    let chain = vec![below.certificate().clone()];
    let end = START.after(40 * DAY);
    let mut registrar =
        Registrar::new(below, tenant(), Terms::default(), Revocations::default()).with_chain(chain);
    let not_after = |enrolled: &Enrolled| {
        UnverifiedCertificate::parse(enrolled.certificate())
            .unwrap()
            .not_after()
    };
    let early = ask(&mut registrar, "boiler-7", &new_key(), 0).unwrap();
    assert_eq!(not_after(&early), START.after(30 * DAY));
    let key = new_key();
    let late = ask(&mut registrar, "boiler-7", &key, 20).unwrap();
    assert_eq!(not_after(&late), end);
    // And a retry is still a retry, though little is left.
    let again = ask(&mut registrar, "boiler-7", &key, 31).unwrap();
    assert!(matches!(again, Enrolled::Known(_)));
    let refused = ask(&mut registrar, "boiler-7", &new_key(), 41);
    assert_eq!(refused, Err(Refusal::Later));
}
