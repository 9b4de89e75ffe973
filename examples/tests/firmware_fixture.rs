//! The files in `firmware/fixture` are what today's code makes of them.
//!
//! `IOT_WRITE_FIXTURES=1 cargo test -p iot-examples --test firmware_fixture` writes them anew.

#![allow(
    clippy::cast_possible_truncation,
    reason = "the fixture's image is made of low bytes"
)]
#![allow(clippy::unwrap_used, reason = "what the tests share may fail them")]

#[path = "../firmware/src/fixture.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the firmware, which uses all of it"
)]
mod fixture;

use std::fs;
use std::path::Path;
use std::time::Duration;

use iot_core::command::Request;
use iot_core::cose::Tagged;
use iot_core::crypto::{Digest, Signature, Signer};
use iot_core::sim::SimEntropy;
use iot_core::time::TimeBounds;
use iot_core::{CommandId, DeviceId, Engine, Event, Instant, IssuerId, Now, Step, Timestamp};
use iot_identity::cert::path::{Anchor, PathPolicy, Purpose};
use iot_identity::cert::{self, Authority, Validity, csr};
use iot_identity::key::PublicKey;
use iot_identity::rustcrypto::{P256Key, P256Verifier, Sha256};
use iot_ota::manifest::{Limits, SignedManifest, SigningKey, Template};
use iot_twin::TwinService;

// RFC 6979 makes the signatures a function of key and message, so the files are the same on every machine.
fn release_key() -> P256Key {
    P256Key::generate(&mut SimEntropy::new(1)).unwrap()
}

fn check(name: &str, made: &[u8], checked_in: &[u8]) {
    if std::env::var_os("IOT_WRITE_FIXTURES").is_some() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("firmware/fixture");
        fs::write(folder.join(name), made).unwrap();
    } else {
        assert!(
            made == checked_in,
            "firmware/fixture/{name} is stale: write it anew"
        );
    }
}

#[test]
fn the_release_key_and_its_signature_are_current() {
    let key = PublicKey::of(&release_key()).unwrap();
    check("release-key.bin", key.as_bytes(), fixture::RELEASE_KEY);
    let mut signature = Signature::empty();
    release_key()
        .sign(&[fixture::SIGNED], &mut signature)
        .unwrap();
    check("signature.bin", signature.as_bytes(), fixture::SIGNATURE);
}

#[test]
fn the_manifest_is_what_the_author_writes() {
    let mut digest = Sha256::new();
    for offset in 0..fixture::IMAGE_BYTES {
        digest.update(&[fixture::image_byte(offset)]);
    }
    let template = Template::new(
        fixture::SEQUENCE,
        fixture::DEVICE,
        digest.finish(),
        fixture::IMAGE_BYTES,
        fixture::URI,
    );
    let envelope = template.sign(&release_key(), None, &mut digest).unwrap();
    check("manifest.suit", &envelope, fixture::MANIFEST);

    let verifier = P256Verifier::new(&PublicKey::of(&release_key()).unwrap()).unwrap();
    let received = SignedManifest::decode(&envelope, Tagged::Required, Limits::default()).unwrap();
    let manifest = received
        .verify(&SigningKey::new(verifier), &mut digest, fixture::SEQUENCE)
        .unwrap();
    assert_eq!(
        manifest.plan(&fixture::DEVICE).unwrap().release.size,
        fixture::IMAGE_BYTES
    );
}

#[test]
fn the_command_is_what_an_issuer_sends() {
    let command = minicbor::to_vec(fixture::Job::SetValve { open: true }).unwrap();
    let id = CommandId::new(IssuerId::new(fixture::ISSUER), 1, 1);
    let mut buffer = [0; 128];
    let len = Request::new(id, &command).encode(&mut buffer).unwrap();
    check("set-valve.cbor", &buffer[..len], fixture::SET_VALVE);
}

#[test]
fn the_desired_setpoint_is_what_a_twin_service_sends() {
    let mut service = TwinService::of::<fixture::Room>();
    service
        .desire::<fixture::Room>(|room| room.setpoint = fixture::SETPOINT)
        .unwrap();
    let now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
    service.input(now, &Event::Restored);
    service.input(now, &Event::Connected { resumed: false });
    let mut buffer = [0; 256];
    let Step::Send(message) = service.step(now, &mut buffer) else {
        panic!("a service that desires something sends it");
    };
    check("desired.cbor", message.payload, fixture::DESIRED);
}

#[test]
fn the_request_is_what_the_device_writes_and_its_key_signed_it() {
    let key = P256Key::generate(&mut fixture::Seed).unwrap();
    let device = DeviceId::new(fixture::NAME).unwrap();
    let mut buffer = [0; csr::MAX_CSR_BYTES];
    let der = csr::write(&device, &key, &mut buffer).unwrap();
    check("request.csr", der, fixture::REQUEST);
    assert_eq!(*cert::Request::parse(der).unwrap().device(), device);
}

#[test]
fn the_chain_is_what_an_authority_issues_and_is_good_for_its_server() {
    let mut entropy = SimEntropy::new(2);
    let [top, middle, own] = [(); 3].map(|()| P256Key::generate(&mut entropy).unwrap());
    let own = PublicKey::of(&own).unwrap();
    let from = Timestamp::from_secs(fixture::CHAIN_FROM);
    let span = Duration::from_secs(fixture::CHAIN_TO - fixture::CHAIN_FROM);
    let day = Validity::lasting(from, span);
    let root = Authority::root(top, "Acme", day, &mut entropy).unwrap();
    let middle = root
        .subordinate(middle, "Acme services", day, &mut entropy)
        .unwrap();
    let leaf = middle
        .server(&[fixture::SERVER], &own, day, &mut entropy)
        .unwrap();
    check("root.der", root.certificate(), fixture::ROOT);
    check("middle.der", middle.certificate(), fixture::MIDDLE);
    check("server.der", &leaf, fixture::SERVER_LEAF);

    let purpose = Purpose::Server(fixture::SERVER.try_into().unwrap());
    let policy = PathPolicy::new(TimeBounds::exact(from), purpose);
    let anchors = [Anchor::new(root.certificate()).unwrap()];
    let path = policy.verify(&leaf, &[middle.certificate()], &anchors);
    assert_eq!(path.unwrap().certificates().len(), 2);
}
