//! Applies patches in pieces.

use core::convert::Infallible;

use iot_ota::delta::{Declared, DecodeError, Decoder, PatchError};

pub(crate) fn declared(old: &[u8], patch: &[u8], new: usize) -> Declared {
    let size = |bytes: usize| u32::try_from(bytes).unwrap();
    Declared::new(size(old.len()), size(new), size(patch.len())).in_memory(u32::MAX)
}

/// The new image; asserts that nothing is read outside of the old one, and no more given than declared.
pub(crate) fn applied<const WINDOW: usize>(
    old: &[u8],
    patch: &[u8],
    new: usize,
    piece: usize,
) -> Result<Vec<u8>, PatchError> {
    let mut decoder = Decoder::<WINDOW>::new(declared(old, patch, new));
    let (mut image, mut room) = (Vec::new(), [0; 50]);
    let mut pieces = patch.chunks(piece);
    let mut rest: &[u8] = &[];
    loop {
        let given = match decoder.decode(&mut rest, &mut room, |at, out| read(old, at, out)) {
            Ok(given) => given,
            Err(DecodeError::Patch(error)) => {
                // It says so for ever.
                let again = decoder.decode(&mut rest, &mut room, |at, out| read(old, at, out));
                assert_eq!(again, Err(DecodeError::Patch(error)));
                assert_eq!(decoder.finish(), Err(error));
                return Err(error);
            }
            Err(error) => panic!("{error:?}"),
        };
        image.extend_from_slice(&room[..given]);
        assert!(image.len() <= new);
        assert_eq!(decoder.written() as usize, image.len());
        if given == room.len() || !rest.is_empty() {
            continue;
        }
        match pieces.next() {
            Some(next) => rest = next,
            None => break,
        }
    }
    decoder.finish().map(|()| image)
}

/// The new image, by decoders of which each is restored from what its predecessor saved.
pub(crate) fn applied_with_interruptions<const WINDOW: usize>(
    old: &[u8],
    patch: &[u8],
    new: usize,
    piece: usize,
) -> Vec<u8> {
    let declared = declared(old, patch, new);
    let mut saved = vec![0; Decoder::<WINDOW>::SAVED_BYTES];
    let mut len = Decoder::<WINDOW>::new(declared).save(&mut saved).unwrap();
    let mut image = Vec::new();
    loop {
        let mut decoder = Decoder::<WINDOW>::restore(declared, &saved[..len]).expect("as saved");
        assert_eq!(decoder.written() as usize, image.len());
        let from = decoder.consumed() as usize;
        let mut next = &patch[from..(from + piece).min(patch.len())];
        // Room for less than a piece gives, so that it also stops in the middle of one.
        let mut room = vec![0; piece];
        let given = decoder
            .decode(&mut next, &mut room, |at, out| read(old, at, out))
            .unwrap();
        image.extend_from_slice(&room[..given]);
        len = decoder.save(&mut saved).unwrap();
        if decoder.is_complete() && from == patch.len() {
            decoder.finish().unwrap();
            return image;
        }
    }
}

fn read(old: &[u8], at: u32, out: &mut [u8]) -> Result<(), Infallible> {
    let at = usize::try_from(at).unwrap();
    out.copy_from_slice(&old[at..at + out.len()]);
    Ok(())
}
