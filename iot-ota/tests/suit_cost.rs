//! What a manifest costs a device: no allocation, and no more than its process has room for.
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

use iot_core::cose::Tagged;
use iot_core::sim::ToyKey;
use iot_ota::manifest::{Author, Image, Limits, SignedManifest, SigningKey, SlotImage};
use iot_ota::process::{
    Capabilities, Component, Identity, Position, Procedure, Process, ProcessError, Step,
};
use iot_ota::report::Reporter;
use keys::Sha256;

const DEVICE: Capabilities<'static> = Capabilities::new(
    Identity::new([1; 16], [2; 16]),
    &[Component::new(&[b"firmware"])],
);

/// Everything that a device does with an envelope; how many bytes its report has.
fn update(envelope: &[u8], keys: &SigningKey<ToyKey>) -> Option<usize> {
    let signed = SignedManifest::decode(envelope, Tagged::Required, Limits::default()).ok()?;
    let manifest = signed.verify(keys, &mut Sha256::default(), 0).ok()?;
    let mut process = Process::<24>::new(manifest, Procedure::Update, &DEVICE).ok()?;
    process.record_commands();
    let mut room = [0; 600];
    let mut reporter = Reporter::new(&mut room);
    let result = loop {
        match process.step() {
            Err(error) => break Err(error),
            Ok(Step::Finished) => break Ok(()),
            Ok(Step::Record(record)) => reporter.push(&record),
            // Each step is stored, and gone on from.
            Ok(_) => {
                let mut stored = [0; Position::MAX_BYTES];
                let used = process.position()?.encode(&mut stored)?;
                let position = Position::decode(&stored[..used]).ok()?;
                assert_eq!(Some(position), process.position());
            }
        }
        process.done(true);
    };
    let mut out = [0; 700];
    let report = reporter
        .finish(&manifest, Procedure::Update, None, result, &mut out)
        .ok()?;
    result.is_ok().then_some(report.len())
}

fn envelope() -> Vec<u8> {
    let images = [
        SlotImage::new(0, Image::new([3; 32], 100), "iot:a"),
        SlotImage::new(1, Image::new([4; 32], 200), "iot:b"),
    ];
    let author = Author::new(7, &[&[b"firmware"]]).either_slot(0, [1; 16], [2; 16], &images);
    let mut envelope = author.build(&mut Sha256::default());
    envelope.sign(&ToyKey::new(1), None).unwrap();
    envelope.encode()
}

#[test]
fn an_update_is_verified_followed_and_reported_without_an_allocation() {
    let (envelope, keys) = (envelope(), SigningKey::new(ToyKey::new(1)));
    let mut reported = None;
    let cost = allocation_counter::measure(|| reported = update(&envelope, &keys));
    assert!(reported.is_some_and(|bytes| bytes > 100), "{reported:?}");
    assert_eq!(cost.count_total, 0);
    // A refusal costs nothing either.
    let strangers = SigningKey::new(ToyKey::new(2));
    let cost = allocation_counter::measure(|| reported = update(&envelope, &strangers));
    assert_eq!((reported, cost.count_total), (None, 0));
    // And the counter counts.
    assert!(allocation_counter::measure(|| drop(Box::new(1))).count_total > 0);
}

#[test]
fn a_process_takes_as_many_parameters_as_it_has_room_for_and_no_more() {
    let (envelope, keys) = (envelope(), SigningKey::new(ToyKey::new(1)));
    let signed = SignedManifest::decode(&envelope, Tagged::Required, Limits::default()).unwrap();
    let manifest = signed.verify(&keys, &mut Sha256::default(), 0).unwrap();
    fn run<const ROOM: usize>(
        manifest: iot_ota::manifest::Manifest<'_>,
    ) -> Result<(), ProcessError> {
        let mut process = Process::<ROOM>::new(manifest, Procedure::Update, &DEVICE)?;
        while process.step()? != Step::Finished {
            process.done(true);
        }
        Ok(())
    }
    // Vendor, class, slot, digest, size and address.
    assert_eq!(run::<6>(manifest), Ok(()));
    let capacity = 5;
    let full = run::<5>(manifest);
    assert_eq!(full, Err(ProcessError::Parameters { capacity }));
}
