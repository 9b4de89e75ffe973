use iot_core::cose::Tagged;
use iot_core::crypto::SignatureAlgorithm;
use iot_core::sim::{SimEntropy, ToyKey};
use iot_core::time::TimeBounds;
use iot_identity::ring::Sha256;
use iot_ota::encrypt::{Audience, Encryptor};
use iot_ota::manifest::{
    Author, CommandList, Element, Image, KeyEntry, KeySet, Limits, Manifest, PayloadCipher, Role,
    Roles, SignedManifest, SigningKey, Text, sign_key_set,
};
use iot_ota::process::{Capabilities, Component, Identity, Procedure, Process, Step};
use iot_ota::report::{Reporter, capability_report};
use minicbor::Decoder;

use super::schema::{Schema, schema};

pub(crate) const MANIFEST: Schema = schema!("iot-ota/src/manifest/manifest.cddl");
pub(crate) const ENCRYPTION: Schema = schema!("iot-ota/src/encrypt/encryption.cddl");
pub(crate) const KEY_SET: Schema = schema!("iot-ota/src/manifest/keyset.cddl");
pub(crate) const REPORT: Schema = schema!("iot-ota/src/report/report.cddl");

/// The empty map where it does not belong.
const MISFIT: u8 = 0xa0;

/// A map of that rule; with another value under any of its keys, or one key more, it is none.
fn holds_map(schema: &Schema, rule: &str, bytes: &[u8]) {
    schema
        .accepts(rule, bytes)
        .unwrap_or_else(|error| panic!("{rule}: {error}"));
    let mut decoder = Decoder::new(bytes);
    let entries = decoder.map().unwrap().unwrap();
    let mut spoiled = 0;
    for _ in 0..entries {
        decoder.skip().unwrap();
        let start = decoder.position();
        decoder.skip().unwrap();
        let fault = [&bytes[..start], &[MISFIT], &bytes[decoder.position()..]].concat();
        assert!(
            schema.accepts(rule, &fault).is_err(),
            "{rule} accepts a misfit at {start}"
        );
        spoiled += 1;
    }
    let mut longer = [bytes, &[0x18, 99, 0]].concat();
    longer[0] += 1;
    assert!(
        schema.accepts(rule, &longer).is_err(),
        "{rule} accepts the key 99"
    );
    assert!(spoiled > 1, "{rule} has nothing to spoil");
}

fn author() -> Author {
    Author::new(7, &[&[b"firmware"]])
        .depending_on(1, &[b"store"])
        .compatibility_check(0, [1; 16], [2; 16], Some(&Image::new([3; 32], 9)))
        .integrated(0, "#image", b"123456789")
        .trusted_invocation(0)
        .reference_uri("https://example.com")
        .component_id(&[b"self"])
        .version(&[1, 0])
        .security_counter(2)
        .uninstall(CommandList::new().choose(0).command(33, 2))
        .text(&Text::new("en").description("what"))
        .severing(Element::Text)
}

fn envelope() -> Vec<u8> {
    let mut envelope = author().build(&mut Sha256::new());
    envelope.sign(&ToyKey::new(1), Some(b"one")).unwrap();
    envelope.encode()
}

fn verify(bytes: &[u8]) -> Manifest<'_> {
    let signed = SignedManifest::decode(bytes, Tagged::Required, Limits::default()).unwrap();
    signed
        .verify(&SigningKey::new(ToyKey::new(1)), &mut Sha256::new(), 0)
        .unwrap()
}

/// The byte string under a key of a map.
fn content(map: &[u8], wanted: i64) -> Vec<u8> {
    let mut decoder = Decoder::new(map);
    for _ in 0..decoder.map().unwrap().unwrap() {
        if decoder.i64().unwrap() == wanted {
            return decoder.bytes().unwrap().to_vec();
        }
        decoder.skip().unwrap();
    }
    panic!("there is no key {wanted}");
}

#[test]
fn everything_in_an_envelope_is_as_described() {
    let envelope = envelope();
    // The validator does not know tags: 107 is looked at here.
    assert_eq!(envelope[..2], [0xd8, 0x6b]);
    let map = &envelope[2..];
    holds_map(&MANIFEST, "suit-envelope", map);
    let (authentication, manifest) = (content(map, 2), content(map, 3));
    MANIFEST
        .accepts("suit-authentication", &authentication)
        .unwrap();
    assert!(
        MANIFEST.accepts("suit-authentication", &[0x80]).is_err(),
        "without a digest"
    );
    holds_map(&MANIFEST, "suit-manifest", &manifest);
    holds_map(&MANIFEST, "suit-common", &content(&manifest, 3));
}

#[test]
fn a_key_set_is_as_described() {
    let key = KeyEntry::new(b"new", SignatureAlgorithm::EcdsaP256Sha256, &[4; 65]);
    let now = iot_core::Timestamp::from_secs(2_000_000_000);
    let roles = [Role::new(1, 1), Role::new(1, 1).until(now).with_downgrade()];
    let root = ToyKey::new(1);
    let signed = sign_key_set(3, &[key], &roles, &[(&root, Some(b"root"))]).unwrap();
    KEY_SET.accepts("signed-key-set", &signed).unwrap();
    let mut decoder = Decoder::new(&signed);
    decoder.array().unwrap();
    KEY_SET.holds("key-set", decoder.bytes().unwrap());
    let (keys, all) = ([(&b"root"[..], root)], [Role::new(1, 1)]);
    let set = KeySet::verify(&signed, &Roles::new(&keys, &all, TimeBounds::UNKNOWN), 0, 2).unwrap();
    assert!(set.roles().map(Option::unwrap).eq(roles));
}

#[test]
fn a_report_and_what_a_device_takes_are_as_described() {
    let own = [Component::new(&[b"firmware"]), Component::new(&[b"store"])];
    let device = Capabilities::new(Identity::new([1; 16], [2; 16]), &own);
    let envelope = envelope();
    let manifest = verify(&envelope);
    for (works, bytes) in [(true, 400), (false, 400), (true, 40)] {
        let (mut room, mut out) = ([0; 400], [0; 600]);
        let mut reporter = Reporter::new(&mut room[..bytes]);
        let process = Process::<32>::new(manifest, Procedure::Update, &device);
        let mut process = process.unwrap().recording();
        let result = loop {
            match process.step() {
                Ok(Step::Finished) => break Ok(()),
                Ok(Step::Record(record)) => {
                    reporter.push(&record);
                    process.done(true);
                }
                Ok(_) => process.done(works),
                Err(error) => break Err(error),
            }
        };
        assert!(reporter.records() > 1 && result.is_ok() == works);
        assert_eq!(reporter.lost() > 0, bytes < 400);
        let report = reporter
            .finish(
                &manifest,
                Procedure::Update,
                Some(b"nonce"),
                result,
                &mut out,
            )
            .unwrap();
        holds_map(&REPORT, "suit-report", report);
    }
    let mut out = [0; 300];
    let capabilities =
        capability_report(&device, &Limits::default(), 32, &[-16, -9], &mut out).unwrap();
    holds_map(&REPORT, "suit-capability-report", capabilities);
}

#[test]
fn an_encryption_info_is_as_described() {
    // The generator of the curve is as good as any point of it.
    let point = p256_generator();
    let audience = [
        Audience::shared(b"fleet", &[7; 16]),
        Audience::agreed(b"one", &point).unwrap(),
    ];
    for (cipher, covered) in [
        (PayloadCipher::A128Gcm, true),
        (PayloadCipher::ChaCha20Poly1305, true),
        (PayloadCipher::A128Ctr, false),
    ] {
        let encryptor = Encryptor::new(cipher, &audience, &mut SimEntropy::new(1)).unwrap();
        // The validator does not know tags: 96 is looked at here.
        assert_eq!(encryptor.info()[..2], [0xd8, 96]);
        let info = &encryptor.info()[2..];
        ENCRYPTION.holds("encryption-info", info);
        let mut decoder = Decoder::new(info);
        assert_eq!(decoder.array().unwrap(), Some(4));
        let protected = decoder.bytes().unwrap();
        assert_eq!(protected.is_empty(), !covered);
        if covered {
            ENCRYPTION.accepts("protected-header", protected).unwrap();
        }
        decoder.skip().unwrap();
        decoder.skip().unwrap();
        assert_eq!(decoder.array().unwrap(), Some(2));
        let start = decoder.position();
        decoder.skip().unwrap();
        ENCRYPTION.holds("recipient", &info[start..decoder.position()]);
        ENCRYPTION.holds("recipient", &info[decoder.position()..]);
        decoder.array().unwrap();
        ENCRYPTION
            .accepts("agreed-header", decoder.bytes().unwrap())
            .unwrap();
    }
}

/// The base point of P-256 (SP 800-186 §3.2.1.3), uncompressed.
fn p256_generator() -> [u8; 65] {
    let parts: [u128; 4] = [
        0x6b17_d1f2_e12c_4247_f8bc_e6e5_63a4_40f2,
        0x7703_7d81_2deb_33a0_f4a1_3945_d898_c296,
        0x4fe3_42e2_fe1a_7f9b_8ee7_eb4a_7c0f_9e16,
        0x2bce_3357_6b31_5ece_cbb6_4068_37bf_51f5,
    ];
    let mut point = [4; 65];
    for (to, part) in point[1..].chunks_mut(16).zip(parts) {
        to.copy_from_slice(&part.to_be_bytes());
    }
    point
}
