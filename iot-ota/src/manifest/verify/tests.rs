use alloc::vec::Vec;

use iot_core::codec;
use iot_core::cose::{Content, Tagged, sign1};
use iot_core::sim::ToyKey;
use minicbor::Encoder;
use minicbor::data::Tag;
use proptest::prelude::*;

use super::super::envelope::{Element, EnvelopeError, Limits, SignedManifest};
use super::super::keys::{KeyList, SigningKey};
use super::super::plan::{Device, PlanError};
use super::*;
use crate::process::ProcessError;
use crate::testing::{Sha256, sha256};

const KEY: ToyKey = ToyKey::new(1);
const DEVICE: Device<'static> = Device::new([1; 16], [2; 16], &[b"firmware"]);

type Written = Result<(), minicbor::encode::Error<core::convert::Infallible>>;

fn cbor(write: impl FnOnce(&mut Encoder<&mut Vec<u8>>) -> Written) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut Encoder::new(&mut bytes)).unwrap();
    bytes
}

fn wrapped(bytes: &[u8]) -> Vec<u8> {
    cbor(|w| w.bytes(bytes)?.ok())
}

fn suit_digest(bytes: &[u8]) -> Vec<u8> {
    let digest = sha256(bytes);
    cbor(|w| w.array(2)?.i8(-16)?.bytes(&digest)?.ok())
}

/// A COSE block over the digest of `manifest`.
fn block(manifest: &[u8], key: ToyKey, key_id: Option<&[u8]>) -> Vec<u8> {
    let mut room = [0; 300];
    let signed = suit_digest(&wrapped(manifest));
    sign1(&mut room, &key, key_id, Content::Detached(&signed), &[])
        .unwrap()
        .to_vec()
}

fn envelope_of(manifest: &[u8], blocks: &[Vec<u8>], beside: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let wrapper = cbor(|w| {
        w.array(blocks.len() as u64 + 1)?;
        w.bytes(&suit_digest(&wrapped(manifest)))?;
        for block in blocks {
            w.bytes(block)?;
        }
        Ok(())
    });
    cbor(|w| {
        w.tag(Tag::new(107))?.map(2 + beside.len() as u64)?;
        w.u8(2)?.bytes(&wrapper)?;
        w.u8(3)?.bytes(manifest)?;
        for (key, content) in beside {
            w.u8(*key)?.bytes(content)?;
        }
        Ok(())
    })
}

fn signed(manifest: &[u8]) -> Vec<u8> {
    envelope_of(manifest, &[block(manifest, KEY, None)], &[])
}

fn decode(envelope: &[u8]) -> Result<SignedManifest<'_>, EnvelopeError> {
    SignedManifest::decode(envelope, Tagged::Required, Limits::default())
}

fn verify(envelope: &[u8]) -> Result<Manifest<'_>, VerifyError> {
    decode(envelope)
        .unwrap()
        .verify(&SigningKey::new(KEY), &mut Sha256::default(), 5)
}

/// Commands with their arguments as CBOR.
fn sequence(commands: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = cbor(|w| w.array(2 * commands.len() as u64)?.ok());
    for (code, argument) in commands {
        bytes.extend(cbor(|w| w.u8(*code)?.ok()));
        bytes.extend(argument);
    }
    bytes
}

fn number(value: u64) -> Vec<u8> {
    cbor(|w| w.u64(value)?.ok())
}

fn parameters(entries: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = cbor(|w| w.map(entries.len() as u64)?.ok());
    for (code, value) in entries {
        bytes.extend(cbor(|w| w.u8(*code)?.ok()));
        bytes.extend(value);
    }
    bytes
}

fn image() -> Vec<(u8, Vec<u8>)> {
    let digest = cbor(|w| w.bytes(&suit_digest(b"image"))?.ok());
    [
        (1, wrapped(&[1; 16])),
        (2, wrapped(&[2; 16])),
        (3, digest),
        (14, number(5)),
    ]
    .to_vec()
}

/// A manifest in its parts, so that each test spoils one.
struct Parts {
    version: u64,
    sequence: u64,
    components: u64,
    shared: Vec<u8>,
    install: Vec<u8>,
    validate: Vec<u8>,
    more: Vec<(u8, Vec<u8>)>,
}

impl Parts {
    fn good() -> Self {
        let shared = [(20, parameters(&image())), (1, number(15)), (2, number(15))];
        let uri = cbor(|w| w.str("iot:x")?.ok());
        let install = [
            (20, parameters(&[(21, uri)])),
            (21, number(2)),
            (3, number(15)),
        ];
        Self {
            version: 1,
            sequence: 6,
            components: 1,
            shared: sequence(&shared),
            install: wrapped(&sequence(&install)),
            validate: sequence(&[(3, number(15))]),
            more: Vec::new(),
        }
    }

    fn manifest(&self) -> Vec<u8> {
        let common = cbor(|w| {
            w.map(2)?.u8(2)?.array(self.components)?;
            for _ in 0..self.components {
                w.array(1)?.bytes(b"firmware")?;
            }
            w.u8(4)?.bytes(&self.shared)?;
            Ok(())
        });
        let mut entries = [
            (1, number(self.version)),
            (2, number(self.sequence)),
            (3, wrapped(&common)),
            (7, wrapped(&self.validate)),
            (20, self.install.clone()),
        ]
        .to_vec();
        entries.extend(self.more.clone());
        entries.sort();
        parameters(&entries)
    }

    fn plan(&self) -> Result<u32, PlanError> {
        let envelope = signed(&self.manifest());
        let plan = verify(&envelope).unwrap().plan(&DEVICE)?;
        assert_eq!((plan.uri, plan.release.digest), ("iot:x", sha256(b"image")));
        Ok(plan.release.size)
    }
}

#[test]
fn a_good_manifest_verifies_and_makes_a_plan() {
    assert_eq!(Parts::good().plan(), Ok(5));
}

#[test]
fn one_accepted_signature_among_others_is_enough_and_none_is_not() {
    let manifest = Parts::good().manifest();
    let good = block(&manifest, KEY, None);
    let other = block(&manifest, ToyKey::new(2), None);
    let several = cbor(|w| w.tag(Tag::new(98))?.array(0)?.ok());
    let result = |blocks: &[Vec<u8>]| {
        verify(&envelope_of(&manifest, blocks, &[])).map(|manifest| manifest.sequence())
    };
    assert_eq!(
        result(&[other.clone(), several.clone(), good.clone()]),
        Ok(6)
    );
    assert_eq!(
        result(core::slice::from_ref(&other)),
        Err(VerifyError::Unauthenticated)
    );
    assert_eq!(result(&[]), Err(VerifyError::Unauthenticated));
    assert_eq!(
        result(&[[0xff].to_vec()]),
        Err(VerifyError::Unauthenticated)
    );
    assert_eq!(result(&[several, other]), Err(VerifyError::Unauthenticated));
}

#[test]
fn nothing_of_an_unsigned_manifest_is_looked_at() {
    // Were it read, it would be refused as malformed.
    let envelope = envelope_of(
        &[0xff; 20],
        &[block(&[0xff; 20], ToyKey::new(2), None)],
        &[],
    );
    assert!(matches!(
        verify(&envelope),
        Err(VerifyError::Unauthenticated)
    ));
    assert!(matches!(
        verify(&signed(&[0xff; 20])),
        Err(VerifyError::Codec(_))
    ));
}

#[test]
fn a_key_of_a_list_is_accepted_under_its_own_id_only() {
    let manifest = Parts::good().manifest();
    let keys = [(&b"one"[..], KEY), (&b"two"[..], ToyKey::new(2))];
    let accepts = |key, id: Option<&[u8]>| {
        let envelope = envelope_of(&manifest, &[block(&manifest, key, id)], &[]);
        let signed = decode(&envelope).unwrap();
        signed
            .verify(&KeyList::new(&keys), &mut Sha256::default(), 0)
            .is_ok()
    };
    assert!(accepts(KEY, Some(b"one")) && accepts(ToyKey::new(2), Some(b"two")));
    assert!(!accepts(KEY, Some(b"two")) && !accepts(KEY, Some(b"three")) && !accepts(KEY, None));
}

#[test]
fn version_and_sequence_number_are_judged_before_the_rest() {
    let error = |parts: &Parts| verify(&signed(&parts.manifest())).err();
    let mut parts = Parts::good();
    parts.more.push((99, number(1)));
    assert_eq!(error(&parts), Some(VerifyError::Unknown { key: 99 }));
    parts.sequence = 4;
    assert_eq!(
        error(&parts),
        Some(VerifyError::TooOld {
            found: 4,
            current: 5
        })
    );
    parts.version = 2;
    assert_eq!(error(&parts), Some(VerifyError::Version { version: 2 }));
    let same = Parts {
        sequence: 5,
        ..Parts::good()
    };
    assert_eq!(error(&same), None, "the same one may be applied again");
}

#[test]
fn a_severed_part_is_used_only_with_the_digest_that_was_signed() {
    let install = Parts::good().install;
    let content = minicbor::Decoder::new(&install).bytes().unwrap().to_vec();
    let severed = Parts {
        install: suit_digest(&install),
        ..Parts::good()
    };
    let manifest = severed.manifest();
    let with = |beside: &[(u8, Vec<u8>)]| {
        let envelope = envelope_of(&manifest, &[block(&manifest, KEY, None)], beside);
        verify(&envelope).map(|manifest| manifest.plan(&DEVICE).map(|plan| plan.release.size))
    };
    assert_eq!(with(&[(20, content.clone())]), Ok(Ok(5)));
    assert_eq!(
        with(&[]),
        Ok(Err(PlanError::Process(ProcessError::Severed { key: 20 })))
    );
    let wrong = Err(VerifyError::Severed {
        element: Element::Install,
    });
    assert_eq!(with(&[(20, content[1..].to_vec())]), wrong);
    // What the manifest does not name by digest must not travel beside it.
    let unsigned = Err(VerifyError::Severed {
        element: Element::PayloadFetch,
    });
    assert_eq!(
        with(&[(16, content.clone()), (20, content.clone())]),
        unsigned
    );
    let inline = Parts::good().manifest();
    let envelope = envelope_of(&inline, &[block(&inline, KEY, None)], &[(20, content)]);
    assert_eq!(verify(&envelope).err(), wrong.err());
}

#[test]
fn an_envelope_of_the_wrong_kind_is_refused() {
    let envelope = signed(&Parts::good().manifest());
    let untagged = |input| SignedManifest::decode(input, Tagged::Absent, Limits::default());
    assert_eq!(untagged(&envelope), Err(EnvelopeError::Tag));
    assert!(untagged(&envelope[2..]).is_ok());
    assert_eq!(decode(&envelope[2..]), Err(EnvelopeError::Tag));
    assert_eq!(decode(&[0xd8, 107, 0xa0]), Err(EnvelopeError::NotSigned));
    let delegated = [0xd8, 107, 0xa1, 0x01, 0x40];
    assert_eq!(decode(&delegated), Err(EnvelopeError::Unknown { key: 1 }));
    let limits = Limits {
        codec: codec::Limits::new(64, 8, 512),
        ..Limits::default()
    };
    assert!(matches!(
        SignedManifest::decode(&envelope, Tagged::Required, limits),
        Err(EnvelopeError::Codec(_))
    ));
}

#[test]
fn what_this_processor_cannot_do_is_refused_by_name() {
    for (code, name) in [
        (5, "condition-component-slot"),
        (18, "directive-write"),
        (22, "directive-copy"),
        (26, "condition-minimum-battery"),
        (28, "condition-version"),
        (31, "directive-swap"),
        (33, "directive-unlink"),
    ] {
        // What each of them asks about, or uses.
        let version = [0x82, 0x03, 0x81, 0x01];
        let set = parameters(&[
            (5, number(1)),
            (18, wrapped(b"x")),
            (22, number(0)),
            (26, number(1)),
            (28, wrapped(&version)),
        ]);
        let parts = Parts {
            validate: sequence(&[(3, number(15)), (20, set), (code, number(0))]),
            ..Parts::good()
        };
        let error = parts.plan().unwrap_err();
        assert!(
            matches!(error, PlanError::Unsupported { command } if command.get() == i32::from(code))
        );
        assert!(std::format!("{error}").starts_with(name), "{error}");
    }
    let unknown = Parts {
        validate: sequence(&[(99, number(0))]),
        ..Parts::good()
    };
    assert!(matches!(
        unknown.plan(),
        Err(PlanError::Unsupported { command }) if command.get() == 99
    ));
    for code in [25, 30] {
        let mut parts = Parts::good();
        let uri = cbor(|w| w.str("iot:x")?.ok());
        let value = if code == 25 {
            wrapped(b"x")
        } else {
            wrapped(&[0xa0])
        };
        let set = parameters(&[(21, uri), (code, value)]);
        parts.install = wrapped(&sequence(&[(20, set), (21, number(2))]));
        assert!(
            matches!(parts.plan(), Err(PlanError::UnsupportedParameter { code: found }) if found.get() == i32::from(code)),
            "{code} {:?}",
            parts.plan()
        );
    }
    let two = Parts {
        components: 2,
        ..Parts::good()
    };
    // Nothing of it says which of the two it is about.
    assert!(matches!(
        two.plan(),
        Err(PlanError::Process(ProcessError::Index { .. }))
    ));
}

#[test]
fn a_part_that_no_plan_follows_is_refused_by_its_key() {
    let component = cbor(|w| w.array(1)?.bytes(b"firmware")?.ok());
    let commands = wrapped(&sequence(&[(3, number(15))]));
    for (key, value) in [(5, component), (6, wrapped(b"1.0")), (24, commands)] {
        let mut parts = Parts::good();
        parts.more = [(key, value)].to_vec();
        let key = i32::from(key);
        assert_eq!(parts.plan(), Err(PlanError::UnsupportedPart { key }));
    }
}

#[test]
fn a_manifest_that_does_not_protect_the_device_makes_no_plan() {
    let set = (20, parameters(&image()));
    let plan = |shared: &[(u8, Vec<u8>)]| {
        Parts {
            shared: sequence(shared),
            ..Parts::good()
        }
        .plan()
    };
    let both = [set.clone(), (1, number(15)), (2, number(15))];
    assert_eq!(plan(&both), Ok(5));
    assert_eq!(plan(&both[..2]), Err(PlanError::Unchecked));
    assert_eq!(plan(&both[..1]), Err(PlanError::Unchecked));
    let mut foreign = image();
    foreign[1].1 = wrapped(&[9; 16]);
    let foreign = [(20, parameters(&foreign)), both[1].clone(), both[2].clone()];
    assert!(
        matches!(plan(&foreign), Err(PlanError::OtherDevice { condition }) if condition.get() == 2)
    );
    let mut short = image();
    short[0].1 = wrapped(&[1; 15]);
    assert!(matches!(
        plan(&[(20, parameters(&short))]),
        Err(PlanError::Process(ProcessError::Parameter { .. }))
    ));
    let unvalidated = Parts {
        validate: sequence(&[]),
        ..Parts::good()
    };
    assert_eq!(unvalidated.plan(), Err(PlanError::Unmatched));
    let unfetched = Parts {
        install: wrapped(&sequence(&[])),
        validate: sequence(&[]),
        ..Parts::good()
    };
    assert_eq!(unfetched.plan(), Err(PlanError::Fetch));
    let other = cbor(|w| w.bytes(&suit_digest(b"other"))?.ok());
    let swapped = sequence(&[(20, parameters(&[(3, other)])), (3, number(15))]);
    let swapped = Parts {
        validate: swapped,
        ..Parts::good()
    };
    assert_eq!(swapped.plan(), Err(PlanError::Unmatched));
    let mut huge = image();
    huge[3].1 = number(1 << 32);
    let huge = [(20, parameters(&huge)), both[1].clone(), both[2].clone()];
    assert_eq!(plan(&huge), Err(PlanError::TooLarge { size: 1 << 32 }));
}

#[test]
fn limits_on_components_and_commands_are_exact() {
    let parts = |components| Parts {
        components,
        ..Parts::good()
    };
    assert!(verify(&signed(&parts(16).manifest())).is_ok());
    assert_eq!(
        verify(&signed(&parts(17).manifest())).err(),
        Some(VerifyError::TooManyComponents { limit: 16 })
    );
    let matches = |n| Parts {
        validate: sequence(&alloc::vec![(3, number(15)); n]),
        ..Parts::good()
    };
    assert_eq!(matches(64).plan(), Ok(5));
    assert_eq!(
        matches(65).plan(),
        Err(PlanError::Process(ProcessError::Structure))
    );
}

/// Goes through everything there is to read.
fn read_all(manifest: &Manifest<'_>) {
    let _ = manifest.plan(&DEVICE);
    let _ = manifest
        .components()
        .map(|id| id.segments().count())
        .sum::<usize>();
    let sections = Element::ALL
        .into_iter()
        .map(|element| manifest.section(element));
    let own = [
        manifest.shared(),
        manifest.validate(),
        manifest.load(),
        manifest.invoke(),
        manifest.uninstall(),
    ];
    for sequence in sections.chain(own).flatten() {
        let _ = sequence.commands().map(|commands| commands.count());
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(input in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _ = decode(&input);
        let mut tagged = [0xd8, 107].to_vec();
        tagged.extend(&input);
        let _ = decode(&tagged);
    }

    /// As if a signer had gone mad: what is signed may still be anything.
    #[test]
    fn arbitrary_manifests_that_are_signed_never_panic(input in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(manifest) = verify(&signed(&input)) {
            read_all(&manifest);
        }
    }

    #[test]
    fn manifests_that_are_wrong_in_some_bytes_and_signed_never_panic(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
    ) {
        let mut manifest = Parts::good().manifest();
        for (at, byte) in edits {
            let at = at.index(manifest.len());
            manifest[at] = byte;
        }
        if let Ok(manifest) = verify(&signed(&manifest)) {
            read_all(&manifest);
        }
    }
}
