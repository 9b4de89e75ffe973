//! What a registrar keeps of each certificate.

use core::time::Duration;

use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
use iot_core::time::TimeBounds;
use iot_core::{DeviceId, Principal, Role, TenantId, Timestamp};
use iot_identity::cert::{Authority, Validity, csr};
use iot_identity::enrol::{Enrolment, Registrar, Request, Terms};
use iot_identity::revocation::Revocations;
use iot_identity::ring::{Sha256, SoftwareKey, SystemEntropy};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// A record has one encoding, and its key is that of its certificate.
pub fn run(data: &[u8]) {
    let Ok(record) = Enrolment::decode(data) else {
        return;
    };
    assert_eq!(record.encode(), data);
    let view = iot_identity::cert::UnverifiedCertificate::parse(record.certificate());
    let key = view.and_then(|view| view.public_key()).expect("a key");
    assert_eq!(*record.key(), key.hash(&mut Sha256::new()));
}

/// What a registrar keeps of a device that has enrolled.
pub fn seeds() -> Vec<Vec<u8>> {
    let key = || SoftwareKey::generate(EcdsaP256Sha256).expect("randomness");
    let mut entropy = SystemEntropy::new();
    let validity = Validity::lasting(NOW, Duration::from_secs(86_400_000));
    let authority = Authority::root(key(), "Acme", validity, &mut entropy).expect("a root");
    let tenant = TenantId::new("acme").expect("a name");
    let device = DeviceId::new("boiler-7").expect("a name");
    let mut registrar = Registrar::new(authority, tenant, Terms::default(), Revocations::default());
    let mut buffer = [0; csr::MAX_CSR_BYTES];
    let own = key();
    let request = csr::write(&device, &own, &mut buffer).expect("a request");
    let mut message = [0; 2_048];
    let message = Request::new(1, request)
        .encode(&mut message)
        .expect("it fits");
    let newcomer = Principal::new(tenant, device, Role::Newcomer);
    let wall = TimeBounds::exact(NOW);
    let _ = registrar.answer(&newcomer, message, wall, &mut entropy);
    let seeds: Vec<_> = registrar.enrolments().map(Enrolment::encode).collect();
    seeds
}

#[test]
fn the_seed_is_a_record_and_keeps_the_claims() {
    let seeds = seeds();
    assert_eq!(seeds.len(), 1);
    assert!(Enrolment::decode(&seeds[0]).is_ok());
    run(&seeds[0]);
}
