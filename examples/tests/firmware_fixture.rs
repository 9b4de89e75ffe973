//! The files in `firmware/fixture` are what today's code makes of them.
//!
//! `IOT_WRITE_FIXTURES=1 cargo test -p iot-examples --test firmware_fixture` writes them anew.

#![allow(
    clippy::cast_possible_truncation,
    reason = "the fixture's image is made of low bytes"
)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what the tests share may fail them"
)]

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

#[path = "../firmware/src/replay.rs"]
#[allow(unreachable_pub, reason = "shared with the firmware")]
mod replay;

extern crate alloc;

use alloc::sync::Arc;
use core::time::Duration;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use embedded_io::ErrorKind;
use iot_core::command::Request;
use iot_core::cose::Tagged;
use iot_core::crypto::{Digest, Signature, Signer};
use iot_core::sim::SimEntropy;
use iot_core::time::TimeBounds;
use iot_core::{
    CommandId, DeviceId, Engine, Event, Instant, IssuerId, Now, Role, Step, TenantId, Timestamp,
};
use iot_identity::cert::path::{Anchor, PathPolicy, Purpose};
use iot_identity::cert::{self, Authority, Trust, TrustAnchors, Validity, csr};
use iot_identity::embedded_tls::{Client, connect};
use iot_identity::key::{KeyHash, PublicKey};
use iot_identity::revocation::{CompactList, CompactWriter, Denied, Revocations};
use iot_identity::rustcrypto::{P256Key, P256Verifier, Sha256};
use iot_identity::tls::{Clock, Credential, ServerBuilder};
use iot_ota::manifest::{
    Author, CommandList, Element, Limits, ParameterList, SignedManifest, SigningKey, Template,
};
use iot_ota::process::{Capabilities, Component, Identity, Procedure, Process, ProcessError};
use iot_twin::TwinService;
use rustls::pki_types::CertificateDer;
use rustls::{ServerConfig, ServerConnection};

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
    release_of("manifest.suit", fixture::IMAGE_BYTES, fixture::MANIFEST);
    release_of(
        "small.suit",
        fixture::SMALL_IMAGE_BYTES,
        fixture::SMALL_MANIFEST,
    );
}

/// Checks the manifest of an image of so many bytes.
fn release_of(name: &str, image_bytes: u32, checked_in: &[u8]) {
    let mut digest = Sha256::new();
    for offset in 0..image_bytes {
        digest.update(&[fixture::image_byte(offset)]);
    }
    let template = Template::new(
        fixture::SEQUENCE,
        fixture::DEVICE,
        digest.finish(),
        image_bytes,
        fixture::URI,
    );
    let envelope = template.sign(&release_key(), None, &mut digest).unwrap();
    check(name, &envelope, checked_in);

    let verifier = P256Verifier::new(&PublicKey::of(&release_key()).unwrap()).unwrap();
    let received = SignedManifest::decode(&envelope, Tagged::Required, Limits::default()).unwrap();
    let manifest = received
        .verify(&SigningKey::new(verifier), &mut digest, fixture::SEQUENCE)
        .unwrap();
    assert_eq!(
        manifest.plan(&fixture::DEVICE).unwrap().release.size,
        image_bytes
    );
}

#[test]
fn the_deep_manifest_is_as_deep_as_a_device_follows_and_no_deeper() {
    let image = ParameterList::new()
        .vendor(fixture::VENDOR)
        .class(fixture::CLASS)
        .digest(&[3; 32])
        .size(fixture::IMAGE_BYTES.into())
        .uri(fixture::URI);
    let innermost = CommandList::new()
        .set(image)
        .vendor()
        .class()
        .fetch()
        .image_match();
    let within = CommandList::new().run(&innermost);
    let either = CommandList::new().try_each(&[within, CommandList::new()]);
    let commands = CommandList::new().run(&CommandList::new().run(&either));
    let author = Author::new(fixture::SEQUENCE, &[fixture::COMPONENT]);
    let author = author.section(Element::Install, commands);
    let mut envelope = author.build(&mut Sha256::new());
    envelope.sign(&release_key(), None).unwrap();
    let envelope = envelope.encode();
    check("deep.suit", &envelope, fixture::DEEP_MANIFEST);

    let verifier = P256Verifier::new(&PublicKey::of(&release_key()).unwrap()).unwrap();
    let received = SignedManifest::decode(&envelope, Tagged::Required, Limits::default()).unwrap();
    let keys = SigningKey::new(verifier);
    let manifest = received.verify(&keys, &mut Sha256::new(), 0).unwrap();
    let own = [Component::new(fixture::COMPONENT)];
    let device = Capabilities::new(Identity::new(fixture::VENDOR, fixture::CLASS), &own);
    let begin = |device| Process::<8>::new(manifest, Procedure::Update, device).map(|_| ());
    assert_eq!(begin(&device), Ok(()));
    let shallow = device.with_nesting(device.nesting - 1);
    assert_eq!(begin(&shallow), Err(ProcessError::Nesting));
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

/// The authorities of the chain and its server, the key first.
fn chain() -> (
    P256Key,
    Authority<P256Key>,
    Authority<P256Key>,
    CertificateDer<'static>,
) {
    let mut entropy = SimEntropy::new(2);
    let [top, middle, own] = [(); 3].map(|()| P256Key::generate(&mut entropy).unwrap());
    let root = Authority::root(top, "Acme", day(), &mut entropy).unwrap();
    let middle = root
        .subordinate(middle, "Acme services", day(), &mut entropy)
        .unwrap();
    let public = PublicKey::of(&own).unwrap();
    let leaf = middle
        .server(&[fixture::SERVER], &public, day(), &mut entropy)
        .unwrap();
    (own, root, middle, leaf)
}

fn day() -> Validity {
    let from = Timestamp::from_secs(fixture::CHAIN_FROM);
    Validity::lasting(
        from,
        Duration::from_secs(fixture::CHAIN_TO - fixture::CHAIN_FROM),
    )
}

fn from() -> TimeBounds {
    TimeBounds::exact(Timestamp::from_secs(fixture::CHAIN_FROM))
}

fn policy() -> PathPolicy<'static> {
    PathPolicy::new(from(), Purpose::Server(fixture::SERVER.try_into().unwrap()))
}

#[test]
fn the_chain_is_what_an_authority_issues_and_is_good_for_its_server() {
    let (_, root, middle, leaf) = chain();
    check("root.der", root.certificate(), fixture::ROOT);
    check("middle.der", middle.certificate(), fixture::MIDDLE);
    check("server.der", &leaf, fixture::SERVER_LEAF);
    let anchors = [Anchor::of(root.certificate()).unwrap()];
    let path = policy().verify(&leaf, &[middle.certificate()], &anchors);
    assert_eq!(path.unwrap().certificates().len(), 2);
}

/// The device's certificate, and the front that admits the device.
fn front() -> (CertificateDer<'static>, Arc<ServerConfig>) {
    let mut entropy = SimEntropy::new(3);
    let key = P256Key::generate(&mut entropy).unwrap();
    let devices = Authority::root(key, "Acme devices", day(), &mut entropy).unwrap();
    let own = P256Key::generate(&mut fixture::Seed).unwrap();
    let public = PublicKey::of(&own).unwrap();
    let name = DeviceId::new(fixture::NAME).unwrap();
    let device = devices.ldevid(&name, &public, day(), &mut entropy).unwrap();
    let mut anchors = TrustAnchors::new();
    let tenant = TenantId::new("acme").unwrap();
    anchors
        .add(devices.certificate(), tenant, Role::Device)
        .unwrap();
    let (own, _, middle, leaf) = chain();
    let credential = Credential::new(own, vec![leaf, middle.certificate().clone()]).unwrap();
    let front = ServerBuilder::new(credential, Trust::new(anchors, Revocations::default()))
        .clock(Clock::new(from))
        .build();
    (device, front.unwrap())
}

/// A link to a front in the same memory, which greets whom it admits; it keeps what the front sent.
struct Recorded {
    front: ServerConnection,
    sent: Vec<u8>,
    read: usize,
    taken: Vec<u8>,
}

impl embedded_io::ErrorType for Recorded {
    type Error = ErrorKind;
}

impl embedded_io::Write for &mut Recorded {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let mut rest = bytes;
        while !rest.is_empty() {
            self.front.read_tls(&mut rest).unwrap();
            self.front.process_new_packets().unwrap();
        }
        self.taken.extend(bytes);
        if !self.front.is_handshaking() {
            self.front.writer().write_all(fixture::GREETING).unwrap();
        }
        while self.front.wants_write() {
            self.front.write_tls(&mut self.sent).unwrap();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl embedded_io::Read for &mut Recorded {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, ErrorKind> {
        let len = std::io::Read::read(&mut &self.sent[self.read..], out).unwrap();
        self.read += len;
        Ok(len)
    }
}

/// What the device is greeted with over this link.
fn greeting(link: impl embedded_io::Read + embedded_io::Write, device: &[u8]) -> Vec<u8> {
    let key = P256Key::generate(&mut fixture::Seed).unwrap();
    let (policy, anchors) = (policy(), [Anchor::of(fixture::ROOT).unwrap()]);
    let client = Client::<_, _, 1>::new(&key, device, &policy, &anchors, &mut fixture::Seed);
    let (mut read, mut write) = ([0; 2_048], [0; 1_024]);
    let mut tls = connect(link, &mut read, &mut write, client.unwrap()).unwrap();
    let mut greeting = [0; 16];
    let len = tls.read(&mut greeting).unwrap();
    greeting[..len].to_vec()
}

#[test]
fn the_handshake_is_good_for_the_device_again_and_again() {
    let (device, front) = front();
    check("device.der", &device, fixture::DEVICE_LEAF);
    let mut link = Recorded {
        front: ServerConnection::new(front).unwrap(),
        sent: vec![],
        read: 0,
        taken: vec![],
    };
    assert_eq!(greeting(&mut link, &device), fixture::GREETING);
    // A server's part is never the same twice, so that of the files is judged by what it is good for.
    let (mut server, mut client) = (fixture::FROM_SERVER, fixture::FROM_DEVICE);
    if std::env::var_os("IOT_WRITE_FIXTURES").is_some() {
        (server, client) = (&link.sent, &link.taken);
        check("from-server.bin", server, &[]);
        check("from-device.bin", client, &[]);
    }
    let again = replay::Replay { server, client };
    assert_eq!(greeting(again, &device), fixture::GREETING);
}
