//! The signed envelopes of libcsuit and of draft-ietf-suit-manifest-37, read through `IOT_VECTORS`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails loudly, on a host"
)]

#[path = "support/keys.rs"]
mod keys;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use iot_core::cose::Tagged;
use iot_ota::manifest::{
    Device, Element, Limits, Manifest, ManifestKeys, SharedSecret, SignedManifest, SigningKey,
    Template, VerifyError,
};
use keys::{Hmac256, P256Key, P256Public, Sha256};

fn folder() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors");
    let root = std::env::var_os("IOT_VECTORS").map_or_else(|| default.into(), PathBuf::from);
    root.join("suit")
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}: set IOT_VECTORS", path.display()))
}

struct Case {
    name: String,
    bytes: Vec<u8>,
    tagged: Tagged,
    keys: Box<dyn ManifestKeys>,
}

impl Case {
    fn verify(&self, bytes: &[u8]) -> Result<u64, String> {
        let limits = Limits::default();
        let signed = SignedManifest::decode(bytes, self.tagged, limits);
        let signed = signed.map_err(|error| error.to_string())?;
        let verified = signed.verify(&*self.keys, &mut Sha256::default(), 0);
        verified
            .map(|manifest| manifest.sequence())
            .map_err(|error| error.to_string())
    }
}

/// Every file that is signed, with the key its README names.
fn signed_envelopes() -> Vec<Case> {
    let public = read(&folder().join("libcsuit/keys/trust_anchor_secp256r1_pub.der"));
    let point = public.last_chunk::<65>().unwrap().to_vec();
    let mut cases = Vec::new();
    for sub in ["libcsuit", "draft37"] {
        let entries = fs::read_dir(folder().join(sub))
            .unwrap_or_else(|error| panic!("{}: {error}: set IOT_VECTORS", folder().display()));
        for path in entries.map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            // The draft's folder holds each example without its signature as well.
            let unsigned = sub == "draft37" && !has_signature(&name);
            if !name.ends_with(".suit") || unsigned {
                continue;
            }
            let is_one_of = |list: &[&str]| {
                list.iter()
                    .any(|x| name == format!("suit_manifest_exp{x}.suit"))
            };
            let keys: Box<dyn ManifestKeys> = if is_one_of(&["AF", "AFS", "AW"]) {
                Box::new(SharedSecret::new(Hmac256::new(&[0x61; 32])))
            } else {
                Box::new(SigningKey::new(P256Public(point.clone())))
            };
            let tagged = if is_one_of(&["D", "I", "U"]) {
                Tagged::Absent
            } else {
                Tagged::Required
            };
            cases.push(Case {
                bytes: read(&path),
                name,
                tagged,
                keys,
            });
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

fn has_signature(name: &str) -> bool {
    name.contains("-with-cose-") || name == "example2.envelope.333.suit"
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn all_29_signed_envelopes_verify_with_the_key_that_is_named_for_them() {
    let cases = signed_envelopes();
    assert_eq!(
        cases.len(),
        29,
        "the folder holds other files than expected"
    );
    for case in cases {
        let verified = case.verify(&case.bytes);
        assert!(verified.is_ok(), "{}: {verified:?}", case.name);
    }
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn no_envelope_verifies_with_another_key() {
    for case in signed_envelopes() {
        let strangers: [Box<dyn ManifestKeys>; 2] = [
            Box::new(SigningKey::new(P256Key::generate().public())),
            Box::new(SharedSecret::new(Hmac256::new(&[0x62; 32]))),
        ];
        for keys in strangers {
            let case = Case {
                keys,
                name: case.name.clone(),
                bytes: case.bytes.clone(),
                ..case
            };
            assert_eq!(
                case.verify(&case.bytes),
                Err(VerifyError::Unauthenticated.to_string()),
                "{}",
                case.name
            );
        }
    }
}

/// Where the content of the byte strings under keys 2 and 3 lies, and within the former the digest and the
/// signature: found without the crate's own decoder.
fn parts(envelope: &[u8]) -> [Range<usize>; 3] {
    let mut decoder = minicbor::Decoder::new(envelope);
    if envelope[0] >> 5 == 6 {
        decoder.tag().unwrap();
    }
    let (mut authentication, mut manifest) = (0..0, 0..0);
    for _ in 0..decoder.map().unwrap().unwrap() {
        let named = decoder.datatype().unwrap() == minicbor::data::Type::String;
        let key = if named {
            decoder.skip().unwrap();
            None
        } else {
            decoder.i64().ok()
        };
        let start = decoder.position();
        let len = decoder.bytes().unwrap().len();
        let end = decoder.position();
        match key {
            Some(2) => authentication = end - len..end,
            // With its head, since that is hashed too.
            Some(3) => manifest = start..end,
            _ => {}
        }
    }
    let mut wrapper = minicbor::Decoder::new(&envelope[authentication.clone()]);
    wrapper.array().unwrap();
    let len = wrapper.bytes().unwrap().len();
    let digest_end = authentication.start + wrapper.position();
    let cose_start = {
        let len = wrapper.bytes().unwrap().len();
        authentication.start + wrapper.position() - len
    };
    let mut cose = minicbor::Decoder::new(&envelope[cose_start..]);
    cose.tag().unwrap();
    cose.array().unwrap();
    for _ in 0..3 {
        cose.skip().unwrap();
    }
    let proof = cose.bytes().unwrap().len();
    let proof_end = cose_start + cose.position();
    [
        manifest,
        digest_end - len..digest_end,
        proof_end - proof..proof_end,
    ]
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn every_single_changed_byte_of_manifest_digest_and_signature_is_refused() {
    let mut changed = 0;
    for case in signed_envelopes() {
        let parts = parts(&case.bytes);
        assert!(
            parts.iter().all(|part| part.len() >= 32),
            "{}: {parts:?}",
            case.name
        );
        for at in parts.into_iter().flatten() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = case.bytes.clone();
                bytes[at] ^= flip;
                assert!(
                    case.verify(&bytes).is_err(),
                    "{}: byte {at} ^ {flip:#x}",
                    case.name
                );
                changed += 1;
            }
        }
    }
    assert!(changed > 20_000, "only {changed} changes were tried");
}

/// Everything that a device can learn of a manifest, except what its signature does not cover.
fn told(manifest: &Manifest<'_>) -> String {
    let sections = Element::ALL.map(|element| {
        let section = manifest.section(element);
        (
            section.map(|section| section.as_bytes()),
            manifest.is_severed(element),
        )
    });
    let own = [
        manifest.shared(),
        manifest.validate(),
        manifest.load(),
        manifest.invoke(),
        manifest.uninstall(),
    ];
    let own = own.map(|section| section.map(|section| section.as_bytes()));
    let components: Vec<_> = manifest.components().collect();
    let dependencies: Vec<_> = manifest.dependencies().collect();
    let texts = (
        manifest.text(),
        manifest.coswid(),
        manifest.reference_uri(),
        manifest.set_version(),
        manifest.component_id(),
    );
    let numbers = (manifest.sequence(), manifest.security_counter());
    let digest = manifest.digest();
    format!("{digest:?} {numbers:?} {sections:?} {own:?} {components:?} {dependencies:?} {texts:?}")
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn any_other_changed_bit_is_refused_or_lies_in_what_is_not_signed() {
    let (mut refused, mut payloads) = (0, 0);
    for case in signed_envelopes() {
        let open = |bytes: &[u8]| {
            let signed = SignedManifest::decode(bytes, case.tagged, Limits::default()).ok()?;
            let manifest = signed.verify(&*case.keys, &mut Sha256::default(), 0).ok()?;
            let integrated: Vec<_> = manifest.integrated_payloads().collect();
            Some((told(&manifest), format!("{integrated:?}")))
        };
        let (told, integrated) = open(&case.bytes[..]).unwrap();
        let parts = parts(&case.bytes);
        for at in 0..case.bytes.len() {
            if parts.iter().any(|part| part.contains(&at)) {
                continue;
            }
            for bit in 0..8 {
                let mut bytes = case.bytes.clone();
                bytes[at] ^= 1 << bit;
                let Some((now, beside)) = open(&bytes[..]) else {
                    refused += 1;
                    continue;
                };
                let name = &case.name;
                assert_eq!(
                    now, told,
                    "{name}: byte {at} bit {bit} changed what was signed"
                );
                // No file here has a key id, so nothing else is left.
                assert_ne!(beside, integrated, "{name}: byte {at} bit {bit}");
                payloads += 1;
            }
        }
    }
    println!("other bits: {refused} refused, {payloads} of integrated payloads");
    assert!(refused > 15_000 && payloads > 3_000);
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn a_severed_part_that_was_changed_is_refused_and_one_that_is_missing_is_not() {
    let case = signed_envelopes()
        .into_iter()
        .find(|case| case.name == "suit_manifest_exp2B.suit")
        .unwrap();
    let uri = b"http://example.com/very/long";
    let at = case
        .bytes
        .windows(uri.len())
        .position(|window| window == uri)
        .unwrap();
    let mut bytes = case.bytes.clone();
    bytes[at] ^= 1;
    let error = case.verify(&bytes).unwrap_err();
    assert!(error.contains("severed part Install"), "{error}");
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn an_author_writes_the_manifest_of_the_drafts_example_1() {
    let input = read(&folder().join("draft37/example1.envelope.196.suit"));
    let expected = &input[manifest_of(&input)];
    let uuid = |text: &str| {
        u128::from_str_radix(&text.replace('-', ""), 16)
            .unwrap()
            .to_be_bytes()
    };
    let device = Device::new(
        uuid("fa6b4a53-d5ad-5fdf-be9d-e663e4d41ffe"),
        uuid("1492af14-2569-5e48-bf42-9b2d51f2ab45"),
        &[&[0x00]],
    );
    let digest = "00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210";
    let digest: Vec<u8> = (0..32)
        .map(|n| u8::from_str_radix(&digest[2 * n..][..2], 16).unwrap())
        .collect();
    let mut template = Template::new(
        1,
        device,
        digest.try_into().unwrap(),
        34_768,
        "http://example.com/file.bin",
    );
    template.invoke = false;
    assert_eq!(
        template.author().build(&mut Sha256::default()).manifest(),
        expected
    );

    // And the device of that example follows it.
    let signed =
        read(&folder().join("draft37/example1.envelope-with-cose-authentication-object.272.suit"));
    let case = signed_envelopes().pop().unwrap();
    let parsed = SignedManifest::decode(&signed, Tagged::Required, Limits::default()).unwrap();
    let manifest: Manifest<'_> = parsed
        .verify(&*case.keys, &mut Sha256::default(), 1)
        .unwrap();
    let plan = manifest.plan(&device).unwrap();
    assert_eq!(
        (plan.release.size, plan.uri),
        (34_768, "http://example.com/file.bin")
    );
}

fn manifest_of(envelope: &[u8]) -> Range<usize> {
    let mut decoder = minicbor::Decoder::new(envelope);
    decoder.tag().unwrap();
    for _ in 0..decoder.map().unwrap().unwrap() {
        let key = decoder.u8().unwrap();
        let len = decoder.bytes().unwrap().len();
        if key == 3 {
            return decoder.position() - len..decoder.position();
        }
    }
    panic!("no manifest");
}
