//! Patches from anybody, and what a decoder saved after somebody changed it.

use core::convert::Infallible;

use iot_ota::delta::{Declared, Decoder, DeltaAuthor};

const OLD: u32 = 300;
const NEW: u32 = 280;
const MEMORY: u32 = 4_096;

fn old() -> Vec<u8> {
    (0..OLD).map(|at| (at * at / 11) as u8).collect()
}

fn new() -> Vec<u8> {
    let old = old();
    let mut new = [&old[100..], &b"what is new"[..], &old[..100]].concat();
    new.truncate(NEW as usize);
    new[20] ^= 5;
    new
}

/// The first byte is the size of the pieces; of the rest, each prefix in front of a saved state is left to chance.
pub fn run(data: &[u8]) {
    let Some((&piece, data)) = data.split_first() else {
        return;
    };
    let piece = usize::from(piece).max(1);
    let declared = Declared::new(OLD, NEW, data.len() as u32).in_memory(MEMORY);
    let whole = apply(Decoder::new(declared), data, piece, false);
    // Whether it is interrupted changes nothing.
    assert_eq!(whole, apply(Decoder::new(declared), data, piece, true));
    // The same bytes as a state.
    if let Some(decoder) =
        Decoder::<256>::restore(Declared::new(OLD, NEW, 600).in_memory(MEMORY), data)
    {
        let mut saved = [0; Decoder::<256>::SAVED_BYTES];
        let len = decoder.save(&mut saved).expect("room");
        assert_eq!(&saved[..len], data);
        let _ = apply(decoder, &[0x55; 600], piece, false);
    }
}

/// What comes out; nothing is read or written outside of what was declared.
fn apply(
    mut decoder: Decoder<256>,
    patch: &[u8],
    piece: usize,
    interrupted: bool,
) -> Result<Vec<u8>, Vec<u8>> {
    let old = old();
    let declared = decoder.declared();
    let (begun, mut given) = (decoder.written(), Vec::new());
    let read = |at: u32, out: &mut [u8]| {
        let at = at as usize;
        out.copy_from_slice(&old[at..at + out.len()]);
        Ok::<(), Infallible>(())
    };
    let patch = patch.get(decoder.consumed() as usize..).unwrap_or(&[]);
    for mut next in patch.chunks(piece).chain([&[][..]]) {
        loop {
            let mut room = [0; 31];
            let Ok(bytes) = decoder.decode(&mut next, &mut room, read) else {
                return Err(given);
            };
            given.extend_from_slice(&room[..bytes]);
            assert!(
                decoder
                    .layout()
                    .is_none_or(|layout| layout.memory <= MEMORY)
            );
            assert!(
                given.len() as u32 + begun == decoder.written()
                    && decoder.written() <= declared.new
            );
            if interrupted {
                let mut saved = [0; Decoder::<256>::SAVED_BYTES];
                let len = decoder.save(&mut saved).expect("room");
                decoder = Decoder::restore(declared, &saved[..len]).expect("what was saved");
            }
            if next.is_empty() && bytes < room.len() {
                break;
            }
        }
    }
    match decoder.finish() {
        Ok(()) => Ok(given),
        Err(_) => Err(given),
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let (old, new) = (old(), new());
    let author = DeltaAuthor::new(&old, &new);
    let sequential = author.sequential().expect("a patch");
    let in_place = author.in_place(512, 64).expect("a patch");
    let small = author.widths(4, 3).sequential().expect("a patch");
    let mut decoder = Decoder::<256>::new(Declared::new(OLD, NEW, 600));
    let mut room = [0; 100];
    let read = |at: u32, out: &mut [u8]| {
        out.copy_from_slice(&old[at as usize..][..out.len()]);
        Ok::<(), Infallible>(())
    };
    let _ = decoder.decode(&mut &sequential[..], &mut room, read);
    let mut saved = [0; Decoder::<256>::SAVED_BYTES];
    let len = decoder.save(&mut saved).expect("room");
    [&sequential[..], &in_place, &small, &saved[..len]]
        .map(|bytes| [&[7], bytes].concat())
        .into()
}

#[test]
fn the_seeds_keep_the_claims() {
    let seeds = seeds();
    for seed in &seeds {
        run(seed);
    }
    let patch = &seeds[0][1..];
    let declared = Declared::new(OLD, NEW, patch.len() as u32);
    assert_eq!(apply(Decoder::new(declared), patch, 7, false), Ok(new()));
}
