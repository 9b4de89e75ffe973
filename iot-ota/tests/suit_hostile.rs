//! Manifests that nobody sane would sign, from the envelope to the last step: no panic, bounded steps, bounded stack,
//! and whatever a device then reports can be replayed.
//!
//! `IOT_HOSTILE` says how many inputs each test makes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails loudly, on a host"
)]

#[path = "support/forge.rs"]
mod forge;
#[path = "support/generate.rs"]
mod generate;
#[path = "support/keys.rs"]
mod keys;
#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/vectors.rs"]
mod vectors;

use std::thread;

use generate::Random;
use iot_core::cose::Tagged;
use iot_core::crypto::{
    BadSignature, Digest, Mac, Sha256Digest, SignatureAlgorithm, Tag, Verifier,
};
use iot_ota::manifest::{Limits, Manifest, ManifestKeys, SignedManifest};
use iot_ota::process::{
    Capabilities, Component, Identity, Position, Procedure, Process, ProcessError, Step,
};
use iot_ota::report::{Report, Reporter};
use scripted::Scripted;

/// Everything runs on a stack of so many bytes, in a debug build too; one byte too few ends the whole program.
const STACK_BYTES: usize = 256 * 1024;
const COMPONENTS: &[Component<'static>] = &[
    Component::new(&[b"a"]),
    Component::new(&[b"b"]),
    Component::new(&[b"c"]),
    Component::new(&[b"d"]).for_roles(1),
];
const PROCEDURES: [Procedure; 5] = [
    Procedure::Update,
    Procedure::Stage,
    Procedure::Install,
    Procedure::Invoke,
    Procedure::Uninstall,
];

/// Believes every proof, and finds one digest for everything: as if the signer had gone mad.
struct Believer(u8);

impl Verifier for Believer {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EcdsaP256Sha256
    }
    fn verify(&self, _: &[&[u8]], _: &[u8]) -> Result<(), BadSignature> {
        Ok(())
    }
}

impl Mac for Believer {
    fn authenticate(&self, _: &[&[u8]], _: &mut Tag) -> Result<(), iot_core::crypto::KeyError> {
        Ok(())
    }
    fn verify(&self, _: &[&[u8]], _: &[u8]) -> Result<(), BadSignature> {
        Ok(())
    }
}

impl ManifestKeys for Believer {
    fn verifier(&self, _: &iot_core::cose::Header<'_>) -> Option<&dyn Verifier> {
        Some(self)
    }
    fn mac(&self, _: &iot_core::cose::Header<'_>) -> Option<&dyn Mac> {
        Some(self)
    }
}

impl Digest for Believer {
    fn update(&mut self, _: &[u8]) {}
    fn finish(&mut self) -> Sha256Digest {
        [self.0; 32]
    }
}

/// An envelope around these bytes, which the believer in that digest takes for signed.
fn believed(manifest: &[u8], digest: u8) -> Vec<u8> {
    let digest = [&[0x82, 0x2f, 0x58, 32][..], &[digest; 32]].concat();
    let proof = [0xd2, 0x84, 0x43, 0xa1, 0x01, 0x28, 0xa0, 0xf6, 0x40];
    let wrapper = forge::array(&[forge::wrapped(&digest), forge::wrapped(&proof)]);
    let map = forge::map(&[(2, forge::wrapped(&wrapper)), (3, forge::wrapped(manifest))]);
    [&[0xd8, 107][..], &map].concat()
}

/// What the manifest of an envelope holds.
fn content(envelope: &[u8]) -> &[u8] {
    let mut decoder = minicbor::Decoder::new(envelope);
    if envelope[0] >> 5 == 6 {
        decoder.tag().unwrap();
    }
    for _ in 0..decoder.map().unwrap().unwrap() {
        let key = decoder.i64().unwrap();
        let content = decoder.bytes().unwrap();
        if key == 3 {
            return content;
        }
    }
    panic!("no manifest");
}

/// A device that follows as deep as any can.
const fn device<'d>(identity: Identity<'d>, own: &'d [Component<'d>]) -> Capabilities<'d> {
    Capabilities::new(identity, own)
        .with_nesting(8)
        .with_dependencies(3)
}

/// What came of some inputs.
#[derive(Debug, Default)]
struct Tally {
    inputs: u64,
    verified: u64,
    begun: u64,
    finished: u64,
    failed: u64,
    replayed: u64,
    resumed: u64,
    not_resumed: u64,
    most_steps: u32,
}

impl Tally {
    /// From the envelope to the last step of each procedure. `other` is another manifest with another digest.
    fn take(
        &mut self,
        device: &Capabilities<'_>,
        (envelope, other): (&[u8], &[u8]),
        tagged: Tagged,
        random: &mut Random,
        is_told: bool,
    ) {
        self.inputs += 1;
        let Ok(signed) = SignedManifest::decode(envelope, tagged, Limits::default()) else {
            return;
        };
        let Ok(manifest) = signed.verify(&Believer(0), &mut Believer(0), 0) else {
            return;
        };
        self.verified += 1;
        let other = SignedManifest::decode(other, Tagged::Required, Limits::default())
            .ok()
            .and_then(|other| other.verify(&Believer(1), &mut Believer(1), 0).ok());
        // Some devices follow less than what there is.
        let device = &device.with_steps(random.of(&[300, 300, 300, 6]));
        for procedure in PROCEDURES {
            self.follow(device, manifest, procedure, random, is_told);
            self.cut(device, manifest, other, procedure, random);
        }
    }

    /// Whatever has become of its dependencies since, a process that was cut asks for the same step or ends.
    fn cut(
        &mut self,
        device: &Capabilities<'_>,
        manifest: Manifest<'_>,
        other: Option<Manifest<'_>>,
        procedure: Procedure,
        random: &mut Random,
    ) {
        let Ok(mut process) = Process::<24>::new(manifest, procedure, device) else {
            return;
        };
        let stored = [None, Some(manifest), Some(manifest), other];
        let (before, after) = (random.of(&stored), random.of(&stored));
        for _ in 0..random.below(20) {
            match process.step() {
                Err(_) | Ok(Step::Finished) => break,
                Ok(Step::Dependency { .. }) => process.dependency(before),
                Ok(_) => process.done(!random.one_in(4)),
            }
        }
        let (next, Some(position)) = (process.step(), process.position()) else {
            return;
        };
        let mut room = [0; Position::MAX_BYTES];
        let used = position.encode(&mut room).unwrap();
        let position = Position::decode(&room[..used]).unwrap();
        let mut process = Process::<24>::resume(manifest, &position, device).unwrap();
        while let Ok(Step::Dependency { .. }) = process.step()
            && process.step() != next
        {
            process.dependency(after);
        }
        match process.step() {
            Err(_) => self.not_resumed += 1,
            step => {
                assert_eq!(step, next, "before {before:?}, after {after:?}");
                self.resumed += 1;
            }
        }
    }

    /// The report of a device that was asked to record everything replays.
    fn follow(
        &mut self,
        device: &Capabilities<'_>,
        manifest: Manifest<'_>,
        procedure: Procedure,
        random: &mut Random,
        is_told: bool,
    ) {
        let Ok(process) = Process::<24>::new(manifest, procedure, device) else {
            return;
        };
        self.begun += 1;
        let (mut process, mut steps) = (process.recording(), 0_u32);
        let mut room = [0; 16_384];
        let mut reporter = Reporter::new(&mut room);
        // Mostly yes: otherwise nothing comes far.
        let (obliging, below) = (random.one_in(2), random.one_in(2));
        let result = loop {
            let step = process.step();
            assert_eq!(process.step(), step, "a step is the same until it is done");
            steps += 1;
            match step {
                Err(error) => break Err(error),
                Ok(Step::Finished) => break Ok(()),
                Ok(Step::Record(record)) => {
                    reporter.push(&record);
                    process.done(false);
                }
                Ok(Step::Dependency { .. }) => process.dependency(below.then_some(manifest)),
                Ok(_) => process.done(obliging || !random.one_in(4)),
            }
            // Each command is asked about and recorded at most once for each time that it is counted.
            assert!(steps <= 2 * u32::from(device.steps) + 1, "it does not end");
        };
        assert_eq!(process.step().is_ok(), result.is_ok(), "an end is an end");
        self.most_steps = self.most_steps.max(steps);
        match result {
            Ok(()) => self.finished += 1,
            Err(_) => self.failed += 1,
        }
        assert_eq!(reporter.lost(), 0);
        let mut out = [0; 17_000];
        let report = reporter
            .finish(&manifest, procedure, None, result, &mut out)
            .unwrap();
        let report = Report::decode(report).unwrap();
        let replayed = report.replay(manifest, procedure, None, device, |_| {
            below.then_some(manifest)
        });
        // A replay has more room for parameters than this device.
        let has_room = !matches!(result, Err(ProcessError::Parameters { .. }));
        assert!(!(is_told && has_room) || replayed.is_ok(), "{replayed:?}");
        self.replayed += u64::from(replayed.is_ok());
    }
}

/// How many inputs are wanted.
fn wanted(default: u64) -> u64 {
    std::env::var("IOT_HOSTILE").map_or(default, |count| count.parse().unwrap())
}

/// Runs on the small stack, and tells what came of it.
fn on_a_small_stack(name: &str, work: impl FnOnce() -> Tally + Send + 'static) -> Tally {
    let small = thread::Builder::new().stack_size(STACK_BYTES);
    let tally = small.spawn(work).unwrap().join().unwrap();
    println!("{name}: {tally:?} stack<={STACK_BYTES}");
    tally
}

#[test]
fn no_generated_manifest_makes_a_device_panic_or_run_for_ever() {
    let inputs = wanted(2_000);
    let tally = on_a_small_stack("generated", move || {
        let mut tally = Tally::default();
        let device = device(Identity::new([1; 16], [2; 16]), COMPONENTS);
        let mut other = Vec::new();
        for seed in 0..inputs {
            let mut random = Random::new(seed);
            let (mut manifest, mut is_told) = generate::manifest(&mut random);
            if random.one_in(3) {
                generate::damage(&mut manifest, &mut random);
                is_told = false;
            }
            let envelope = believed(&manifest, 0);
            let pair = (&envelope[..], &other[..]);
            tally.take(&device, pair, Tagged::Required, &mut random, is_told);
            other = believed(&manifest, 1);
        }
        tally
    });
    // What never comes past the door shows nothing of the rooms behind it.
    assert!(
        tally.verified > inputs / 4 && tally.begun > inputs / 8,
        "{tally:?}"
    );
    assert!(
        tally.finished > inputs / 40 && tally.failed > inputs / 40,
        "{tally:?}"
    );
    assert!(tally.most_steps > 20, "{tally:?}");
    assert!(
        tally.resumed > inputs / 2 && tally.not_resumed > inputs / 40,
        "{tally:?}"
    );
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn no_damaged_vector_makes_a_device_panic_or_run_for_ever() {
    const NAMES: [&str; 22] = [
        "0", "1", "2A", "2B", "3", "4", "5", "AF", "AFS", "AW", "D", "ED", "EW", "I", "S0", "S2",
        "S3", "U", "U0", "U1", "U2", "U3",
    ];
    let inputs = wanted(2_000);
    let whole: Vec<_> = NAMES.map(vectors::libcsuit).into();
    let tally = on_a_small_stack("vectors", move || {
        let mut tally = Tally::default();
        let device = device(Scripted::for_file("0").identity, scripted::COMPONENTS);
        for seed in 0..inputs {
            let mut random = Random::new(seed);
            let name = random.below(NAMES.len() as u64) as usize;
            let (mut bytes, mut tagged) = (whole[name].clone(), vectors::tagged(NAMES[name]));
            if random.one_in(3) {
                generate::damage(&mut bytes, &mut random);
            } else {
                let mut manifest = content(&bytes).to_vec();
                generate::damage(&mut manifest, &mut random);
                (bytes, tagged) = (believed(&manifest, 0), Tagged::Required);
            }
            tally.take(&device, (&bytes, &[]), tagged, &mut random, false);
        }
        tally
    });
    assert!(tally.verified > inputs / 20, "{tally:?}");
    assert!(
        tally.finished > inputs / 40 && tally.failed > inputs / 400,
        "{tally:?}"
    );
}
