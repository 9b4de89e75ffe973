//! Manifests that were signed, whatever they hold.

use iot_core::time::TimeBounds;
use iot_ota::manifest::{Author, Device, Element, EncryptionInfo, Situation};

use crate::{Believer, authors, envelope_of, verify};

/// Everything in it can be read, and what its author can read is written again as it was.
pub fn run(data: &[u8]) {
    let _ = EncryptionInfo::decode(data).map(|info| info.recipients().count());
    let Some(envelope) = envelope_of(data) else {
        return;
    };
    let Some(manifest) = verify(&envelope) else {
        return;
    };
    let _ = manifest
        .components()
        .map(|id| id.segments().count())
        .sum::<usize>();
    let _ = (
        manifest.dependencies().count(),
        manifest.reference_uri(),
        manifest.text(),
    );
    let device = Device::new([1; 16], [2; 16], &[b"a"]).with_patches(&[b"b"]);
    let situation = Situation::new(TimeBounds::UNKNOWN).running([3; 32], 700);
    if let Ok(plan) = manifest.plan_in(&device, &situation) {
        let is_image = plan.encryption.is_none() && !plan.patch;
        assert!(
            !is_image || plan.content_bytes == plan.release.size,
            "bytes beyond the image"
        );
        let other = Device::new([1; 16], [!2; 16], &[b"a"]).with_patches(&[b"b"]);
        assert!(
            manifest.plan_in(&other, &situation).is_err(),
            "a plan for whatever device"
        );
    }
    for element in Element::ALL {
        let _ = manifest
            .section(element)
            .map(|section| section.commands().map(Iterator::count));
    }
    if let Some(author) = Author::of(&manifest) {
        assert_eq!(
            author.build(&mut Believer).manifest(),
            data,
            "another spelling"
        );
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let built = authors()
        .into_iter()
        .map(|author| author.build(&mut Believer));
    built.map(|envelope| envelope.manifest().to_vec()).collect()
}

#[test]
fn the_seeds_keep_the_claims() {
    for seed in seeds() {
        run(&seed);
        assert!(verify(&envelope_of(&seed).unwrap()).is_some());
    }
}

#[test]
fn a_seed_makes_a_plan() {
    let device = Device::new([1; 16], [2; 16], &[b"a"]).with_patches(&[b"b"]);
    let situation = Situation::new(TimeBounds::UNKNOWN).running([3; 32], 700);
    let plans = |seed: &Vec<u8>| {
        let envelope = envelope_of(seed).unwrap();
        let manifest = verify(&envelope).unwrap();
        manifest.plan_in(&device, &situation).is_ok()
    };
    assert!(seeds().iter().any(plans));
}
