use core::convert::Infallible;

use iot_core::crypto::{Digest, Sha256Digest};
use iot_ota::delta::{Declared, Decoder, DeltaAuthor, InPlace, Rehearsal};

use super::schema::{Schema, schema};

pub(crate) const SCHEMA: Schema = schema!("iot-ota/src/delta/delta.cddl");

struct Nothing;

impl Digest for Nothing {
    fn update(&mut self, _: &[u8]) {}
    fn finish(&mut self) -> Sha256Digest {
        [0; 32]
    }
}

fn read(old: &[u8], at: u32, out: &mut [u8]) -> Result<(), Infallible> {
    let at = usize::try_from(at).unwrap();
    out.copy_from_slice(&old[at..at + out.len()]);
    Ok(())
}

#[test]
fn what_a_decoder_saves_is_as_described() {
    let (old, new) = ([1; 200], [2; 180]);
    let author = DeltaAuthor::new(&old, &new).widths(5, 3);
    for patch in [
        author.sequential().unwrap(),
        author.in_place(256, 32).unwrap(),
    ] {
        let declared = Declared::new(200, 180, patch.len().try_into().unwrap()).in_memory(256);
        for end in [0, 1, 3, patch.len() / 2, patch.len()] {
            let mut decoder = Decoder::<32>::new(declared);
            let mut room = [0; 180];
            let mut piece = &patch[..end];
            decoder
                .decode(&mut piece, &mut room, |at, out| read(&old, at, out))
                .unwrap();
            let mut saved = [0; Decoder::<32>::SAVED_BYTES];
            let len = decoder.save(&mut saved).unwrap();
            SCHEMA.holds("decoder", &saved[..len]);
        }
    }
}

#[test]
fn what_an_in_place_patch_persists_is_as_described() {
    let (old, new) = ([1; 200], [2; 180]);
    let patch = DeltaAuthor::new(&old, &new).in_place(256, 32).unwrap();
    let declared = Declared::new(200, 180, patch.len().try_into().unwrap()).in_memory(256);
    let mut rehearsal = Rehearsal::<256, _>::new(declared, Nothing);
    rehearsal
        .push(&patch, |at, out| read(&old, at, out))
        .unwrap();
    let rehearsed = rehearsal.finish(&[0; 32]).unwrap();
    let machine = InPlace::<256, 32>::new(rehearsed).unwrap();
    let mut saved = [0; InPlace::<256, 32>::SAVED_BYTES];
    let len = machine.save(&mut saved).unwrap();
    SCHEMA.holds("in-place", &saved[..len]);
}
