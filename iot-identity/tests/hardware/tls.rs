//! A TLS handshake with a key that never leaves its hardware.

use core::time::Duration;
use std::sync::Arc;

use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
use iot_core::crypto::{KeyPolicy, KeyStore, SlotId};
use iot_core::{DeviceId, Now, Role, TenantId};
use iot_identity::cert::{Authority, Trust, TrustAnchors, Validity};
use iot_identity::key::{PublicKey, SharedKey};
use iot_identity::pkcs11::Pkcs11Keys;
use iot_identity::revocation::Revocations;
use iot_identity::ring::{SoftwareKey, SystemEntropy};
use iot_identity::tls::{ClientBuilder, Credential, ServerBuilder};
use iot_identity::tpm::Config;

use crate::carry::connect;
use crate::softhsm::{config, with_tokens};
use crate::swtpm::Swtpm;

/// Makes a key in `store`, certifies it, and has a server admit it.
fn admitted<K: KeyStore + Send + Sync + 'static>(store: K) {
    let mut entropy = SystemEntropy::new();
    let now = Now::system().wall.not_before();
    let day = Duration::from_secs(86_400);
    let validity = Validity::lasting(now, day).backdated(day);
    let software = || SoftwareKey::generate(EcdsaP256Sha256).unwrap();
    let services = Authority::root(software(), "services", validity, &mut entropy).unwrap();
    let devices = Authority::root(software(), "devices", validity, &mut entropy).unwrap();

    let slot = SlotId::new(0);
    store
        .generate(slot, EcdsaP256Sha256, KeyPolicy::Sign)
        .unwrap();
    let key = SharedKey::new(Arc::new(store), slot).unwrap();
    let device = DeviceId::new("boiler-7").unwrap();
    let public = PublicKey::of(&key).unwrap();
    let leaf = devices
        .ldevid(&device, &public, validity, &mut entropy)
        .unwrap();
    let credential = Credential::new(key, vec![leaf]).unwrap();

    let mut anchors = TrustAnchors::new();
    let tenant = TenantId::new("acme").unwrap();
    anchors
        .add(devices.certificate(), tenant, Role::Device)
        .unwrap();
    let trust = Trust::new(anchors, Revocations::default());
    let key = software();
    let public = PublicKey::of(&key).unwrap();
    let leaf = services
        .server(&["localhost"], &public, validity, &mut entropy)
        .unwrap();
    let server = Credential::new(key, vec![leaf]).unwrap();
    let server = ServerBuilder::new(server, trust).build().unwrap();
    let client = ClientBuilder::new([services.certificate()]).unwrap();
    let client = client.credential(&credential).build().unwrap();
    let (_, server) = connect(&client, &server).unwrap();
    assert!(!server.is_handshaking());
}

#[test]
#[ignore = "needs swtpm"]
fn a_device_whose_key_is_in_its_tpm_is_admitted() {
    let tpm = Swtpm::start();
    admitted(tpm.keys(Config::new()));
}

#[test]
#[ignore = "needs softhsm2"]
fn a_device_whose_key_is_in_a_token_is_admitted() {
    let name = "tls::a_device_whose_key_is_in_a_token_is_admitted";
    with_tokens(name, &["a"], || {
        admitted(Pkcs11Keys::open(config("a")).unwrap());
    });
}
