//! What the fuzz targets do, apart from the fuzzer, so that their seeds can be tested without it.
//!
//! One module per target, each with two functions: `run` takes an input and panics when a claim does not hold for
//! it; `seeds` makes a small corpus with the crate's own author. A target writes its seeds into the first folder of
//! its command line before it starts, so no corpus is committed.
//!
//! ```sh
//! cargo fuzz run -s none process         # from the folder iot-ota
//! ```

#![forbid(unsafe_code)]

pub mod delta;
pub mod envelope;
pub mod manifest;
pub mod process;
pub mod report;
pub mod slot;

use std::path::PathBuf;

use iot_core::cose::Tagged;
use iot_core::crypto::{BadSignature, Digest, Sha256Digest, SignatureAlgorithm, Verifier};
use iot_ota::manifest::{
    Author, CommandList, Element, Image, Limits, Manifest, Origin, ParameterList, PatchFrom,
    SignedManifest, SigningKey, SlotImage, Text,
};

/// The entry of one target: the module of that name, driven by libFuzzer.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        libfuzzer_sys::fuzz_target!(
            init: $crate::plant(&$crate::$name::seeds()),
            |data: &[u8]| $crate::$name::run(data)
        );
    };
}

/// Writes the seeds into the corpus that the command line names, if it names one.
pub fn plant(seeds: &[Vec<u8>]) {
    let folders = std::env::args_os().skip(1).map(PathBuf::from);
    if let Some(corpus) = folders.into_iter().find(|path| path.is_dir()) {
        for (number, seed) in seeds.iter().enumerate() {
            std::fs::write(corpus.join(format!("seed-{number}")), seed).expect("a writable corpus");
        }
    }
}

/// Believes every signature, and finds one digest for everything: as if the signer had gone mad.
pub(crate) struct Believer;

/// Finds another one, of that byte.
struct Finds(u8);

impl Digest for Finds {
    fn update(&mut self, _: &[u8]) {}
    fn finish(&mut self) -> Sha256Digest {
        [self.0; 32]
    }
}

impl Verifier for Believer {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EcdsaP256Sha256
    }
    fn verify(&self, _: &[&[u8]], _: &[u8]) -> Result<(), BadSignature> {
        Ok(())
    }
}

impl Digest for Believer {
    fn update(&mut self, _: &[u8]) {}
    fn finish(&mut self) -> Sha256Digest {
        [0; 32]
    }
}

fn bytes(content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).expect("a small input");
    let head = match len {
        0..=23 => vec![0x40 | len as u8],
        24..=255 => vec![0x58, len as u8],
        _ => [&[0x59][..], &len.to_be_bytes()].concat(),
    };
    [head, content.to_vec()].concat()
}

/// An envelope around these bytes, which the believer takes for signed; `None` when they are too many.
pub(crate) fn envelope_of(manifest: &[u8]) -> Option<Vec<u8>> {
    envelope_with(manifest, 0)
}

/// The same with a digest of that byte.
pub(crate) fn envelope_with(manifest: &[u8], digest: u8) -> Option<Vec<u8>> {
    if manifest.len() > 60_000 {
        return None;
    }
    let digest = [&[0x82, 0x2f, 0x58, 32][..], &[digest; 32]].concat();
    let proof = [0xd2, 0x84, 0x43, 0xa1, 0x01, 0x28, 0xa0, 0xf6, 0x40];
    let wrapper = [&[0x82][..], &bytes(&digest), &bytes(&proof)].concat();
    let map = [
        &[0xa2, 0x02][..],
        &bytes(&wrapper),
        &[0x03],
        &bytes(manifest),
    ];
    Some([&[0xd8, 107][..], &map.concat()].concat())
}

pub(crate) fn verify(envelope: &[u8]) -> Option<Manifest<'_>> {
    verify_with(envelope, 0)
}

/// The same for a digest of that byte.
pub(crate) fn verify_with(envelope: &[u8], digest: u8) -> Option<Manifest<'_>> {
    let signed = SignedManifest::decode(envelope, Tagged::Required, Limits::default()).ok()?;
    signed
        .verify(&SigningKey::new(Believer), &mut Finds(digest), 0)
        .ok()
}

/// Manifests of all kinds.
pub(crate) fn authors() -> Vec<Author> {
    let one: &[&[&[u8]]] = &[&[b"a"]];
    let three: &[&[&[u8]]] = &[&[b"a"], &[b"b"], &[b"c"]];
    let image = Image::new([0; 32], 9);
    let slots = [
        SlotImage::new(0, image, "iot:a"),
        SlotImage::new(1, image, "iot:b"),
    ];
    let old = Image::new([3; 32], 700);
    let patches = [PatchFrom::new(old, image, Origin::new("iot:p"))];
    let loops = CommandList::new()
        .choose_all()
        .set(ParameterList::new().content(b"x").strict_order(false))
        .run(&CommandList::new().write().command(6, 15))
        .choose_some(&[2, 0])
        .set(ParameterList::new().source(1))
        .copy()
        .command(31, 2);
    let management = CommandList::new()
        .set(
            ParameterList::new()
                .use_before(9)
                .minimum_battery(1)
                .priority(-1),
        )
        .command(4, 15)
        .command(26, 15)
        .command(27, 15);
    let brought = CommandList::new()
        .choose(1)
        .set(ParameterList::new().digest(&[0; 32]).uri("iot:d"))
        .try_each(&[
            CommandList::new().dependency_integrity(),
            CommandList::new().fetch(),
        ])
        .choose(0)
        .set(ParameterList::new().content(b"x"))
        .write()
        .choose(1)
        .process_dependency();
    vec![
        Author::new(1, one)
            .compatibility_check(0, [1; 16], [2; 16], Some(&image))
            .fetch_and_install(0, "iot:x")
            .trusted_invocation(0)
            .text(&Text::new("en").description("d")),
        Author::new(1, one).either_slot(0, [1; 16], [2; 16], &slots),
        Author::new(1, &three[..2])
            .compatibility_check(0, [1; 16], [2; 16], Some(&image))
            .patched_or_whole(0, 1, &image, &patches, &Origin::new("iot:x"))
            .matched(0),
        Author::new(1, three).section(Element::Install, loops),
        Author::new(1, one).section(Element::Install, management),
        Author::new(1, one)
            .depending_on(1, &[b"c"])
            .section(
                Element::Install,
                CommandList::new()
                    .choose(1)
                    .dependency_integrity()
                    .process_dependency(),
            )
            .uninstall(CommandList::new().choose(0).command(33, 2)),
        Author::new(1, one)
            .depending_on(1, &[b"c"])
            .section(Element::Install, brought)
            .uninstall(
                CommandList::new()
                    .choose(1)
                    .process_dependency()
                    .choose(0)
                    .command(33, 2),
            ),
    ]
}
