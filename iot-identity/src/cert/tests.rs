//! Certificates that an authority of this crate would not issue.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
use iot_core::time::TimeBounds;
use iot_core::{DeviceId, Role, TenantId, Timestamp};
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;

use super::profile::{CLIENT_AUTH, Kind, SERVER_AUTH};
use super::{AdmitError, Authority, TrustAnchors, Validity, names};
use crate::key::PublicKey;
use crate::ring::{SoftwareKey, SystemEntropy};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn key() -> SoftwareKey {
    SoftwareKey::generate(EcdsaP256Sha256).unwrap()
}

fn device(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

/// What a front says to a certificate of these contents under an anchor of this role.
fn verdict(
    role: Role,
    subject: Name,
    uses: Vec<ObjectIdentifier>,
    names: Vec<GeneralName>,
) -> Result<DeviceId, AdmitError> {
    let validity = Validity::lasting(NOW, Duration::from_secs(86_400));
    let mut entropy = SystemEntropy::new();
    let authority = Authority::root(key(), "Acme", validity, &mut entropy).unwrap();
    let public = PublicKey::of(&key()).unwrap();
    let kind = Kind::Peer { uses, names };
    let leaf = authority.issue(subject, kind, &public, validity, &mut entropy);
    let mut anchors = TrustAnchors::new();
    let tenant = TenantId::new("acme").unwrap();
    anchors.add(authority.certificate(), tenant, role).unwrap();
    let peer = anchors.verify(&[leaf.unwrap()], TimeBounds::exact(NOW));
    peer.map(|peer| peer.principal().device)
}

#[test]
fn a_device_needs_the_purpose_of_a_client_and_exactly_one_name() {
    let subject = || names::common_name("a").unwrap();
    let uri = |name| names::uri(Role::Device, &device(name)).unwrap();
    let ask = |uses, names| verdict(Role::Device, subject(), uses, names);
    let refused = Err(AdmitError::Profile);
    assert_eq!(ask(vec![CLIENT_AUTH], vec![uri("a")]), Ok(device("a")));
    assert_eq!(
        ask(vec![CLIENT_AUTH, SERVER_AUTH], vec![uri("a")]),
        Ok(device("a"))
    );
    assert_eq!(ask(vec![], vec![uri("a")]), refused);
    assert_eq!(ask(vec![SERVER_AUTH], vec![uri("a")]), refused);
    assert_eq!(ask(vec![CLIENT_AUTH], vec![uri("a"), uri("b")]), refused);
    let service = names::uri(Role::Service, &device("a")).unwrap();
    assert_eq!(ask(vec![CLIENT_AUTH], vec![service, uri("a")]), refused);
}

#[test]
fn a_factory_identity_names_the_same_hardware_twice() {
    let kind = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1");
    let module = |name| names::hardware(kind, &device(name)).unwrap();
    let ask = |subject, name| verdict(Role::Newcomer, subject, vec![], vec![module(name)]);
    let serial = |name| names::serial_number(&device(name)).unwrap();
    let refused = Err(AdmitError::Profile);
    assert_eq!(ask(serial("a"), "a"), Ok(device("a")));
    assert_eq!(ask(serial("a"), "b"), refused);
    assert_eq!(ask(names::common_name("a").unwrap(), "a"), refused);
}
