//! Manifests that were signed, whatever they hold.

use iot_ota::manifest::{Author, Element, EncryptionInfo};

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
