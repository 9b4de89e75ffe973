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

#[path = "../firmware/src/denied.rs"]
#[allow(
    unreachable_pub,
    clippy::indexing_slicing,
    reason = "shared with the firmware"
)]
mod denied;
#[path = "../firmware/denylist.rs"]
#[allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "shared with the firmware's build script"
)]
mod denylist;

use std::fs;
use std::path::Path;

use iot_core::command::Request;
use iot_core::cose::Tagged;
use iot_core::crypto::{Digest, Signature, Signer};
use iot_core::sim::SimEntropy;
use iot_core::time::TimeBounds;
use iot_core::{CommandId, Engine, Event, Instant, IssuerId, Now, Step};
use iot_identity::key::{KeyHash, PublicKey};
use iot_identity::revocation::{CompactList, CompactWriter, Denied};
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
fn the_deny_list_is_what_its_writer_writes() {
    let mut writer = CompactWriter::new(denied::VERSION.into());
    for number in 0..denied::ENTRIES {
        let key = KeyHash::new(denied::key_hash(number));
        writer.deny(&Denied::Key(key), &mut Sha256::new());
    }
    let made = writer.sign(&release_key()).unwrap();
    let signature = &made[made.len() - 64..];
    let checked_in = include_bytes!("../firmware/fixture/deny-list-signature.bin");
    check("deny-list-signature.bin", signature, checked_in);
    assert!(denylist::message(signature) == made);
    let verifier = P256Verifier::new(&PublicKey::of(&release_key()).unwrap()).unwrap();
    let list = CompactList::verify(&made, &verifier, None, &mut Sha256::new()).unwrap();
    assert_eq!(list.len(), 20_000);
    let denies = |number| list.denies_key(&KeyHash::new(denied::key_hash(number)));
    assert!((0..denied::ENTRIES).all(denies));
    assert!(!(denied::ENTRIES..2 * denied::ENTRIES).any(denies));
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
