//! What the author's side writes: the draft's own examples from their parameters, and every envelope once more.
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
#[path = "support/vectors.rs"]
mod vectors;

use iot_core::cose::Tagged;
use iot_core::sim::ToyKey;
use iot_ota::manifest::{
    Author, CommandList, Element, Envelope, Image, Limits, ParameterList, Role, Roles,
    SharedSecret, SignedManifest, SigningKey, SlotImage, Text, VerifyError,
};
use keys::{Hmac256, P256Key, Sha256};

const fn uuid(hex: u128) -> [u8; 16] {
    hex.to_be_bytes()
}
const VENDOR: [u8; 16] = uuid(0xfa6b_4a53_d5ad_5fdf_be9d_e663_e4d4_1ffe);
const CLASS: [u8; 16] = uuid(0x1492_af14_2569_5e48_bf42_9b2d_51f2_ab45);

fn digest(hex: &str) -> [u8; 32] {
    let bytes: Vec<u8> = (0..32)
        .map(|n| u8::from_str_radix(&hex[2 * n..][..2], 16).unwrap())
        .collect();
    bytes.try_into().unwrap()
}

fn first() -> Image {
    let hex = "00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210";
    Image::new(digest(hex), 34_768)
}

fn second() -> Image {
    let hex = "0123456789abcdeffedcba987654321000112233445566778899aabbccddeeff";
    Image::new(digest(hex), 76_834)
}

/// The draft's example of that number, written by its templates (the parameters of its `exampleN.json`).
fn example(number: u8) -> Author {
    let one: &[&[&[u8]]] = &[&[&[0]]];
    let check = |author: Author, image| author.compatibility_check(0, VENDOR, CLASS, image);
    match number {
        0 => check(Author::new(0, one), Some(&first())).trusted_invocation(0),
        1 => check(Author::new(1, one), Some(&first()))
            .matched(0)
            .fetch_and_install(0, "http://example.com/file.bin"),
        2 => {
            let text = Text::new("en-US")
                .description(DESCRIPTION)
                .component(&[&[0]], 3, "arm.com")
                .component(&[&[0]], 5, "This component is a demonstration. The digest is a sample pattern, not a real one.");
            check(Author::new(2, one), Some(&first()))
                .reference_uri("https://git.io/JJYoj")
                .trusted_invocation(0)
                .fetch_and_install(0, "http://example.com/very/long/path/to/file/file.bin")
                .text(&text)
                .severing(Element::Install)
                .severing(Element::Text)
        }
        3 => Author::new(3, one).either_slot(
            0,
            VENDOR,
            CLASS,
            &[
                SlotImage::new(0, first(), "http://example.com/file1.bin"),
                SlotImage::new(1, second(), "http://example.com/file2.bin"),
            ],
        ),
        4 => check(Author::new(4, &[&[&[0]], &[&[2]], &[&[1]]]), Some(&first()))
            .matched(0)
            .loaded_from(2, &second(), 0)
            .download(
                1,
                &Image::of_any_size(first().digest),
                "http://example.com/file.bin",
            )
            .install_from(0, 1),
        5 => check(Author::new(5, &[&[&[0]], &[&[1]]]), Some(&first()))
            .describe(1, &second())
            .trusted_invocation(0)
            .matched(1)
            .fetch_and_install(0, "http://example.com/file1.bin")
            .fetch_and_install(1, "http://example.com/file2.bin"),
        other => panic!("there is no example {other}"),
    }
}

const DESCRIPTION: &str = "## Example 2: Simultaneous Download, Installation, Secure Boot, Severed Fields

    This example covers the following templates:
    
    * Compatibility Check ({{template-compatibility-check}})
    * Secure Boot ({{template-secure-boot}})
    * Firmware Download ({{firmware-download-template}})
    
    This example also demonstrates severable elements ({{ovr-severable}}), and text ({{manifest-digest-text}}).";

#[test]
#[ignore = "needs IOT_VECTORS"]
fn the_drafts_examples_are_rebuilt_from_their_parameters_bit_for_bit() {
    for (number, name) in (0..).zip(["0", "1", "2B", "3", "4", "5"]) {
        let bytes = vectors::libcsuit(name);
        let signed = SignedManifest::decode(&bytes, Tagged::Required, Limits::default()).unwrap();
        let theirs = Envelope::open(&signed, &mut Sha256::default()).unwrap();
        let ours = example(number).build(&mut Sha256::default());
        assert_eq!(ours.manifest(), theirs.manifest(), "example {number}");
        assert_eq!(ours.digest(), theirs.digest(), "example {number}");
    }
    // With a signature of anybody the severed parts verify too; without them it is example 2A.
    let mut envelope = example(2).build(&mut Sha256::default());
    let unsigned = envelope.clone();
    envelope.sign(&ToyKey::new(1), None).unwrap();
    let bytes = envelope.encode();
    let theirs = vectors::libcsuit("2B");
    assert_eq!(
        bytes[bytes.len() - 500..],
        theirs[theirs.len() - 500..],
        "install and text"
    );
    let mut short = unsigned;
    assert!(short.sever(Element::Install) && short.sever(Element::Text));
    assert!(!short.sever(Element::Text));
    let reference = vectors::libcsuit("2A");
    let reference =
        SignedManifest::decode(&reference, Tagged::Required, Limits::default()).unwrap();
    assert_eq!(
        short.manifest(),
        Envelope::open(&reference, &mut Sha256::default())
            .unwrap()
            .manifest()
    );
}

/// Each file of libcsuit by its name, and each signed one of the draft.
fn all_envelopes() -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for sub in ["libcsuit", "draft37"] {
        for entry in std::fs::read_dir(vectors::folder().join(sub)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let signed =
                sub == "libcsuit" || name.contains("-with-cose-") || name.contains(".333.");
            if name.ends_with(".suit") && signed {
                found.push((name, vectors::read(&path)));
            }
        }
    }
    assert_eq!(found.len(), 29);
    found
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn every_envelope_taken_apart_and_built_again_is_the_same_byte_for_byte() {
    for (name, bytes) in all_envelopes() {
        let short = name
            .trim_start_matches("suit_manifest_exp")
            .trim_end_matches(".suit");
        let tagged = vectors::tagged(short);
        let signed = SignedManifest::decode(&bytes, tagged, Limits::default()).unwrap();
        let envelope = Envelope::open(&signed, &mut Sha256::default()).unwrap();
        let again = if tagged == Tagged::Required {
            envelope.encode()
        } else {
            envelope.encode_untagged()
        };
        assert_eq!(again, bytes, "{name}");

        let keys = vectors::keys_of(short);
        let manifest = signed.verify(&*keys, &mut Sha256::default(), 0).unwrap();
        let author = Author::of(&manifest).unwrap();
        let rebuilt = author.build(&mut Sha256::default());
        assert_eq!(rebuilt.manifest(), envelope.manifest(), "{name}");
    }
}

#[test]
fn a_signature_is_added_to_a_finished_envelope_and_the_manifest_stays() {
    let (one, two) = (ToyKey::new(1), ToyKey::new(2));
    let mut envelope = example(5).build(&mut Sha256::default());
    envelope.sign(&one, Some(b"one")).unwrap();
    let bytes = envelope.encode();
    let keys = [(&b"one"[..], one), (b"two", two)];
    let roles = [Role::new(2, 0b11)];
    let policy = Roles::new(&keys, &roles, iot_core::time::TimeBounds::UNKNOWN);
    let verify = |bytes: &[u8]| {
        let signed = SignedManifest::decode(bytes, Tagged::Required, Limits::default()).unwrap();
        signed
            .verify(&policy, &mut Sha256::default(), 0)
            .map(|manifest| *manifest.digest())
    };
    assert_eq!(verify(&bytes), Err(VerifyError::Unauthenticated));
    let signed = SignedManifest::decode(&bytes, Tagged::Required, Limits::default()).unwrap();
    let mut again = Envelope::open(&signed, &mut Sha256::default()).unwrap();
    again.sign(&two, Some(b"two")).unwrap();
    assert_eq!(
        (again.proofs(), verify(&again.encode())),
        (2, Ok(*envelope.digest()))
    );
    // Both in one message are as good.
    let mut together = example(5).build(&mut Sha256::default());
    together
        .sign_together(&[(&one, Some(b"one")), (&two, Some(b"two"))])
        .unwrap();
    assert_eq!(verify(&together.encode()), Ok(*envelope.digest()));
}

#[test]
fn an_envelope_is_opened_for_a_signature_only_with_its_manifests_own_digest() {
    let build = |component: &[u8]| {
        let author = Author::new(1, &[&[component]]).matched(0);
        author.build(&mut Sha256::default())
    };
    let (shown, meant) = (build(b"a"), build(b"b"));
    let decode = |bytes: &[u8]| {
        let signed = SignedManifest::decode(bytes, Tagged::Required, Limits::default()).unwrap();
        Envelope::open(&signed, &mut Sha256::default())
    };
    assert_eq!(decode(&shown.encode()), Some(shown.clone()));
    // Whoever signed for the manifest that is shown would sign for the other one.
    let mut trap = shown.encode();
    let at = trap.windows(32).position(|window| window == shown.digest());
    let at = at.unwrap();
    trap[at..at + 32].copy_from_slice(meant.digest());
    assert_eq!(decode(&trap), None);
}

#[test]
fn real_keys_and_shared_secrets_authenticate_what_is_built() {
    let key = P256Key::generate();
    let secret = Hmac256::new(&[7; 32]);
    let mut envelope = example(4).build(&mut Sha256::default());
    envelope.authenticate(&secret, None).unwrap();
    envelope.sign(&key, Some(b"key")).unwrap();
    let bytes = envelope.encode();
    let signed = SignedManifest::decode(&bytes, Tagged::Required, Limits::default()).unwrap();
    let public = SigningKey::new(key.public());
    assert!(signed.verify(&public, &mut Sha256::default(), 4).is_ok());
    assert!(
        signed
            .verify(&SharedSecret::new(secret), &mut Sha256::default(), 4)
            .is_ok()
    );
    let stranger = SigningKey::new(P256Key::generate().public());
    assert!(signed.verify(&stranger, &mut Sha256::default(), 4).is_err());
}

#[test]
fn every_part_an_author_can_write_is_read_as_it_was_written() {
    let text = Text::new("en")
        .description("what")
        .in_language("de")
        .description("was");
    let mut envelope = Author::new(9, &[&[b"a"], &[b"b"]])
        .depending_on(7, &[b"store"])
        .reference_uri("https://example.com")
        .component_id(&[b"self"])
        .version(&[1, 2, -1])
        .security_counter(3)
        .text(&text)
        .coswid(&[0xa0])
        .severing(Element::Text)
        .severing(Element::CoSwid)
        .section(
            Element::Install,
            CommandList::new()
                .choose_some(&[0, 1])
                .set(ParameterList::new().strict_order(true)),
        )
        .uninstall(CommandList::new().choose_all().command(33, 2))
        .integrated(0, "#image", b"payload")
        .build(&mut Sha256::default());
    envelope.sign(&ToyKey::new(1), None).unwrap();
    let bytes = envelope.encode();
    let signed = SignedManifest::decode(&bytes, Tagged::Required, Limits::default()).unwrap();
    let manifest = signed
        .verify(&SigningKey::new(ToyKey::new(1)), &mut Sha256::default(), 9)
        .unwrap();
    assert_eq!(manifest.reference_uri(), Some("https://example.com"));
    assert!(
        manifest
            .component_id()
            .is_some_and(|id| id == [&b"self"[..]][..])
    );
    assert_eq!(manifest.set_version(), Some(&[0x83, 1, 2, 0x20][..]));
    assert_eq!((manifest.sequence(), manifest.security_counter()), (9, 3));
    assert_eq!(manifest.text(), Some(&text.encode()[..]));
    assert_eq!(manifest.coswid(), Some(&[0xa0][..]));
    let dependencies: Vec<_> = manifest
        .dependencies()
        .map(|(index, id)| (index, id.segments().count()))
        .collect();
    assert_eq!(dependencies, [(7, 1)]);
    assert_eq!(manifest.integrated_payload("#image"), Some(&b"payload"[..]));
    let again = Author::of(&manifest).unwrap().build(&mut Sha256::default());
    assert_eq!(again.digest(), manifest.digest());
    // Severed, it is still the same manifest; what was cut off is said to be.
    let mut short = Envelope::open(&signed, &mut Sha256::default()).unwrap();
    short.sever(Element::Text);
    let bytes = short.encode();
    let signed = SignedManifest::decode(&bytes, Tagged::Required, Limits::default()).unwrap();
    let short = signed
        .verify(&SigningKey::new(ToyKey::new(1)), &mut Sha256::default(), 9)
        .unwrap();
    assert_eq!((short.text(), short.digest()), (None, manifest.digest()));
    assert!(short.is_severed(Element::Text) && !short.is_severed(Element::CoSwid));
}

#[test]
fn a_manifest_whose_sequences_are_none_is_not_taken_apart() {
    for (code, argument) in [
        (15, vec![2]),
        (32, vec![2]),
        (32, vec![0x41, 0x81]),
        (20, vec![2]),
        // Parameters out of order, within a sequence of its own.
        (32, vec![0x47, 0x82, 20, 0xa2, 14, 1, 5, 1]),
    ] {
        let install = CommandList::new().raw(code, argument.clone());
        let author = Author::new(1, &[&[b"a"]]).section(Element::Install, install);
        let mut envelope = author.build(&mut Sha256::default());
        envelope.sign(&ToyKey::new(1), None).unwrap();
        let bytes = envelope.encode();
        let signed = SignedManifest::decode(&bytes, Tagged::Required, Limits::default()).unwrap();
        let keys = SigningKey::new(ToyKey::new(1));
        let manifest = signed.verify(&keys, &mut Sha256::default(), 0).unwrap();
        assert!(Author::of(&manifest).is_none(), "{code} {argument:?}");
    }
}
