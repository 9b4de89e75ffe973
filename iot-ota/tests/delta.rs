//! Patches: other people's, and our own on real firmware.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly, and its numbers are small"
)]

use core::convert::Infallible;

use iot_ota::delta::{DecodeError, Decoder, DeltaAuthor, PatchError};
use proptest::prelude::*;

#[path = "support/files.rs"]
mod files;
#[path = "support/pieces.rs"]
mod pieces;

use files::file;
use pieces::{applied, applied_with_interruptions, declared};

const PYBV11: [&str; 2] = [
    "delta/pybv11/1f5d945af/firmware1.bin",
    "delta/pybv11/1f5d945af-dirty/firmware1.bin",
];
/// What the tool makes of the pair with the same widths, in bytes.
const PEER_BYTES: usize = 13_373;

#[test]
#[ignore = "needs IOT_VECTORS"]
fn patches_of_the_other_tool_make_the_image_they_are_for() {
    let (old, new) = (file("delta/foo/old"), file("delta/foo/new"));
    for name in ["none", "crle", "heatshrink"] {
        let patch = file(&format!("delta/foo/{name}.patch"));
        assert_eq!(applied::<256>(&old, &patch, new.len(), 7), Ok(new.clone()));
        assert_eq!(
            applied_with_interruptions::<256>(&old, &patch, new.len(), 1),
            new
        );
    }
    let patch = file("delta/foo/heatshrink-10-5.patch");
    assert_eq!(
        applied::<1024>(&old, &patch, new.len(), 100),
        Ok(new.clone())
    );
    assert_eq!(
        applied::<256>(&old, &patch, new.len(), 100),
        Err(PatchError::Window {
            bits: 10,
            bytes: 256
        })
    );
    // In place, decoded to another place.
    let patch = file("delta/foo/in-place-3000-500-crle.patch");
    assert_eq!(applied::<256>(&old, &patch, new.len(), 33), Ok(new.clone()));
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn hostile_patches_of_the_other_tool_are_refused() {
    let (old, new) = (file("delta/foo/old"), file("delta/foo/new"));
    let refused = |name: &str| {
        let patch = file(&format!("delta/foo/{name}.patch"));
        applied::<256>(&old, &patch, new.len(), 64).unwrap_err()
    };
    assert_eq!(refused("bad-patch-type"), PatchError::Type { found: 15 });
    for (name, found) in [
        ("bad-compression", 15),
        ("short", 1),
        ("short-to-size", 1),
        ("diff-data-too-long", 1),
        ("extra-data-too-long", 1),
        ("in-place-3000-500", 1),
    ] {
        assert_eq!(refused(name), PatchError::Compression { found }, "{name}");
    }
    assert_eq!(refused("empty"), PatchError::Incomplete);
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn the_pair_of_real_firmware_is_patched_both_ways_in_fewer_bytes_than_the_peer_needs() {
    let pair = PYBV11.map(file);
    for (old, new) in [(0, 1), (1, 0)] {
        let (old, new) = (&pair[old], &pair[new]);
        let patch = DeltaAuthor::new(old, new).sequential().unwrap();
        println!(
            "delta pybv11 {} -> {} patch={} peer={PEER_BYTES} ratio={:.3} decoder={}",
            old.len(),
            new.len(),
            patch.len(),
            patch.len() as f64 / PEER_BYTES as f64,
            size_of::<Decoder<256>>(),
        );
        assert!(patch.len() * 100 <= PEER_BYTES * 105);
        assert!(&applied::<256>(old, &patch, new.len(), 1_000).unwrap() == new);
        assert!(&applied_with_interruptions::<256>(old, &patch, new.len(), 97) == new);
    }
    // The window is counted, and all else that a device has to have.
    assert!(size_of::<Decoder<256>>() <= 2_048 + 256);
}

/// An image and one like it: pieces of the first, moved and changed, and new ones.
fn images() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let piece = (
        any::<prop::sample::Index>(),
        0_usize..200,
        any::<bool>(),
        any::<u8>(),
    );
    (
        proptest::collection::vec(0_u8..6, 1..700),
        proptest::collection::vec(piece, 0..8),
    )
        .prop_map(|(old, pieces)| {
            let mut new = Vec::new();
            for (from, len, kept, change) in pieces {
                let from = from.index(old.len());
                let piece = &old[from..(from + len).min(old.len())];
                match kept {
                    true => new.extend_from_slice(piece),
                    false => new.extend(piece.iter().map(|byte| byte.wrapping_mul(change))),
                }
                if let Some(last) = new.last_mut() {
                    *last = change;
                }
            }
            (old, new)
        })
}

proptest! {
    #[test]
    fn a_patch_makes_its_image_in_pieces_of_any_size_and_with_any_interruption(
        (old, new) in images(),
        piece in 1_usize..70,
        widths in (4_u8..9).prop_flat_map(|window| (Just(window), 3..window)),
    ) {
        let author = DeltaAuthor::new(&old, &new).widths(widths.0, widths.1);
        let patch = author.sequential().unwrap();
        prop_assert_eq!(&applied::<256>(&old, &patch, new.len(), piece).unwrap(), &new);
        prop_assert_eq!(&applied_with_interruptions::<256>(&old, &patch, new.len(), piece), &new);
    }

    #[test]
    fn an_in_place_patch_makes_its_image_too((old, new) in images(), piece in 1_usize..70) {
        let memory = (u32::try_from(old.len().max(new.len())).unwrap().div_ceil(64) + 2) * 64;
        let patch = DeltaAuthor::new(&old, &new).in_place(memory, 64).unwrap();
        prop_assert_eq!(&applied::<256>(&old, &patch, new.len(), piece).unwrap(), &new);
        prop_assert_eq!(&applied_with_interruptions::<256>(&old, &patch, new.len(), piece), &new);
    }

    #[test]
    fn a_patch_that_was_changed_gives_no_more_than_declared_and_reads_nothing_else(
        (old, new) in images(),
        in_place: bool,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let memory = (u32::try_from(old.len().max(new.len())).unwrap().div_ceil(64) + 2) * 64;
        let author = DeltaAuthor::new(&old, &new);
        let mut patch = match in_place {
            true => author.in_place(memory, 64).unwrap(),
            false => author.sequential().unwrap(),
        };
        for (at, byte) in changes {
            let at = at.index(patch.len());
            patch[at] = byte;
        }
        // It asserts what it reads and writes.
        let _ = applied::<256>(&old, &patch, new.len(), 13);
    }

    #[test]
    fn what_was_saved_and_then_changed_is_refused_or_harmless(
        (old, new) in images(),
        stop: prop::sample::Index,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..3),
    ) {
        let patch = DeltaAuthor::new(&old, &new).sequential().unwrap();
        let declared = declared(&old, &patch, new.len());
        let mut decoder = Decoder::<256>::new(declared);
        let mut room = vec![0; new.len()];
        let mut piece = &patch[..stop.index(patch.len())];
        decoder.decode(&mut piece, &mut room, |at, out| read(&old, at, out)).unwrap();
        let mut saved = [0; Decoder::<256>::SAVED_BYTES];
        let len = decoder.save(&mut saved).unwrap();
        for (at, byte) in changes {
            saved[at.index(len)] = byte;
        }
        let Some(mut decoder) = Decoder::<256>::restore(declared, &saved[..len]) else {
            return Ok(());
        };
        let rest = &patch[usize::try_from(decoder.consumed()).unwrap()..];
        let mut room = vec![0; new.len() + 1];
        let given = decoder.decode(&mut &rest[..], &mut room, |at, out| read(&old, at, out));
        prop_assert!(given.is_err() || decoder.written() as usize <= new.len());
    }
}

fn read(old: &[u8], at: u32, out: &mut [u8]) -> Result<(), Infallible> {
    let at = usize::try_from(at).unwrap();
    out.copy_from_slice(&old[at..at + out.len()]);
    Ok(())
}

#[test]
fn an_old_image_that_cannot_be_read_is_no_fault_of_the_patch() {
    let (old, new) = ([5; 300], [5; 300]);
    let patch = DeltaAuthor::new(&old, &new).sequential().unwrap();
    let mut decoder = Decoder::<256>::new(declared(&old, &patch, 300));
    let (mut piece, mut out) = (&patch[..], [0; 300]);
    let failed = decoder.decode(&mut piece, &mut out, |_, _| Err("worn"));
    assert_eq!(failed, Err(DecodeError::Old("worn")));
    let given = decoder.decode(&mut piece, &mut out, |at, out| read(&old, at, out));
    assert_eq!(given, Ok(300));
    assert_eq!((decoder.finish(), out), (Ok(()), new));
}
