//! Patches that somebody made to do harm: each is refused for its own reason, and nothing bad happens before.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly, and its numbers are small"
)]

use iot_ota::delta::{Declared, DecodeError, Decoder, DeltaAuthor, PatchError};

#[path = "support/pieces.rs"]
#[allow(dead_code, reason = "each test file uses a part")]
mod pieces;

use pieces::applied;

const OLD: &[u8] = b"0123456789";
const NEW: usize = 8;

/// A number of the format.
fn number(value: i64) -> Vec<u8> {
    let mut rest = value.unsigned_abs();
    let sign = if value < 0 { 0x40 } else { 0 };
    let mut bytes = vec![(rest & 0x3f) as u8 | sign];
    rest >>= 6;
    while rest > 0 {
        *bytes.last_mut().unwrap() |= 0x80;
        bytes.push((rest & 0x7f) as u8);
        rest >>= 7;
    }
    bytes
}

enum Part {
    Number(i64),
    Bytes(&'static [u8]),
}
use Part::{Bytes, Number};

/// An uncompressed patch of these parts behind its head byte.
fn patch(head: u8, parts: &[Part]) -> Vec<u8> {
    let mut patch = vec![head];
    for part in parts {
        match part {
            Number(value) => patch.extend(number(*value)),
            Bytes(bytes) => patch.extend_from_slice(bytes),
        }
    }
    patch
}

/// The same answer, whatever the size of the pieces.
fn verdict(patch: &[u8]) -> Result<Vec<u8>, PatchError> {
    let verdicts =
        [1, 2, 7, patch.len().max(1)].map(|piece| applied::<256>(OLD, patch, NEW, piece));
    assert!(verdicts.iter().all(|verdict| *verdict == verdicts[0]));
    let [first, ..] = verdicts;
    first
}

fn refused(head: u8, parts: &[Part]) -> PatchError {
    verdict(&patch(head, parts)).unwrap_err()
}

/// A sequential patch with these parts behind the declared size and "no data format".
fn body(parts: &[Part]) -> PatchError {
    let mut whole = patch(0, &[Number(8), Number(0)]);
    whole.extend(&patch(0, parts)[1..]);
    verdict(&whole).unwrap_err()
}

const ZEROES: Part = Bytes(&[0; 8]);

#[test]
fn the_patch_that_the_others_are_made_from_is_a_good_one() {
    let good = patch(
        0,
        &[
            Number(8),
            Number(0),
            Number(5),
            Bytes(&[0; 5]),
            Number(3),
            Bytes(b"new"),
            Number(0),
        ],
    );
    assert_eq!(verdict(&good), Ok(b"01234new".to_vec()));
}

#[test]
fn lengths_are_held_against_what_is_left_of_the_new_image() {
    assert_eq!(body(&[Number(9), ZEROES]), PatchError::TooLong);
    assert_eq!(
        body(&[Number(5), Bytes(&[0; 5]), Number(4)]),
        PatchError::TooLong
    );
    assert_eq!(
        body(&[Number(i64::from(u32::MAX)), ZEROES]),
        PatchError::TooLong
    );
    assert_eq!(
        body(&[Number(0), Number(i64::from(u32::MAX))]),
        PatchError::TooLong
    );
    // A second run, whose length would wrap around.
    assert_eq!(
        body(&[
            Number(4),
            Bytes(&[0; 4]),
            Number(0),
            Number(0),
            Number(i64::from(u32::MAX) - 3)
        ]),
        PatchError::TooLong
    );
}

#[test]
fn numbers_that_are_negative_too_large_or_endless_are_refused() {
    assert_eq!(body(&[Number(-1)]), PatchError::Number);
    assert_eq!(body(&[Number(0), Number(-8)]), PatchError::Number);
    assert_eq!(body(&[Number(1 << 32)]), PatchError::Number);
    assert_eq!(body(&[Bytes(&[0x80; 40])]), PatchError::Number);
    assert_eq!(refused(0, &[Bytes(&[0xff; 40])]), PatchError::Number);
}

#[test]
fn nothing_outside_of_the_old_image_is_read() {
    let moved = |by: i64| {
        body(&[
            Number(4),
            Bytes(&[0; 4]),
            Number(0),
            Number(by),
            Number(4),
            Bytes(&[0; 4]),
        ])
    };
    assert_eq!(moved(-5), PatchError::Old);
    assert_eq!(moved(7), PatchError::Old);
    assert_eq!(moved(3), PatchError::Old);
    assert_eq!(moved(i64::from(u32::MAX)), PatchError::Old);
    assert_eq!(moved(-i64::from(u32::MAX)), PatchError::Old);
    // The farthest that there is.
    let good = patch(
        0,
        &[
            Number(8),
            Number(0),
            Number(4),
            Bytes(&[0; 4]),
            Number(0),
            Number(2),
            Number(4),
            Bytes(&[0; 4]),
            Number(0),
            Number(0),
        ],
    );
    assert_eq!(verdict(&good), Ok(b"01236789".to_vec()));
}

#[test]
fn other_sizes_than_the_declared_ones_are_refused() {
    for size in [0, 7, 9, i64::from(u32::MAX)] {
        assert_eq!(refused(0, &[Number(size)]), PatchError::Sizes);
    }
    let in_place = |old: i64, new: i64| {
        let sizes = [Number(32), Number(8), Number(16), Number(old), Number(new)];
        refused(0x10, &sizes)
    };
    assert_eq!(in_place(11, 8), PatchError::Sizes);
    assert_eq!(in_place(10, 9), PatchError::Sizes);
    assert_eq!(in_place(10, 8), PatchError::Incomplete);
}

#[test]
fn impossible_layouts_are_refused() {
    let layout = |memory: i64, segment: i64, shift: i64| {
        let sizes = [
            Number(memory),
            Number(segment),
            Number(shift),
            Number(10),
            Number(8),
        ];
        refused(0x10, &sizes)
    };
    for (memory, segment, shift) in [
        (32, 0, 16),
        (32, 8, 0),
        (32, 8, 12),
        (32, 8, 32),
        (33, 8, 16),
        (0, 8, 16),
        (4, 4, 4),
        (i64::from(u32::MAX), 8, 16),
    ] {
        assert_eq!(
            layout(memory, segment, shift),
            PatchError::Layout,
            "{memory} {segment} {shift}"
        );
    }
    assert_eq!(layout(32, 8, 16), PatchError::Incomplete);
}

#[test]
fn an_in_place_patch_reads_nothing_that_is_overwritten_by_then() {
    // Two segments of four bytes, shifted by one: the second one may read from 4 on, and no further than 8.
    let second = |moves: i64, reads: i64| {
        patch(
            0x10,
            &[
                Number(12),
                Number(4),
                Number(4),
                Number(10),
                Number(8),
                Number(0),
                Number(4),
                Bytes(&[0; 4]),
                Number(0),
                Number(0),
                Number(0),
                Number(0),
                Number(0),
                Number(moves),
                Number(reads),
                Bytes(&[0; 4]),
                Number(0),
                Number(0),
            ],
        )
    };
    assert_eq!(verdict(&second(0, 4)), Ok(b"01234567".to_vec()));
    assert_eq!(verdict(&second(-1, 4)), Err(PatchError::Old));
    assert_eq!(verdict(&second(1, 4)), Err(PatchError::Old));
    // Within the old image, but it did not fit behind the shift.
    assert_eq!(verdict(&second(5, 4)), Err(PatchError::Old));
}

#[test]
fn whatever_needs_more_than_this_decoder_has_is_refused() {
    for found in [2, 3, 7] {
        assert_eq!(refused(found << 4, &[]), PatchError::Type { found });
    }
    assert_eq!(refused(0x84, &[]), PatchError::Type { found: 8 });
    for found in [1, 3, 5, 6, 15] {
        assert_eq!(refused(found, &[]), PatchError::Compression { found });
    }
    assert_eq!(
        refused(0, &[Number(8), Number(1), Number(0)]),
        PatchError::DataFormat
    );
    for (widths, bits) in [(&[0x50], 9), (&[0xb4], 15)] {
        let window = PatchError::Window { bits, bytes: 256 };
        assert_eq!(refused(4, &[Number(8), Bytes(widths)]), window);
    }
    // A copy as long as the window.
    assert_eq!(
        refused(4, &[Number(8), Bytes(&[0x45])]),
        PatchError::Compressed
    );
    // Neither scattered nor repeated.
    assert_eq!(
        refused(2, &[Number(8), Bytes(&[2, 1, 0])]),
        PatchError::Compressed
    );
}

#[test]
fn a_patch_ends_where_it_was_declared_to_end() {
    let good = DeltaAuthor::new(OLD, b"01234new").sequential().unwrap();
    assert_eq!(verdict(&good), Ok(b"01234new".to_vec()));
    for cut in 0..good.len() {
        assert_eq!(verdict(&good[..cut]), Err(PatchError::Incomplete), "{cut}");
    }
    let longer = [&good[..], &[0]].concat();
    assert_eq!(verdict(&longer), Err(PatchError::Trailing));
}

#[test]
fn what_fills_the_last_byte_up_is_zeroes() {
    // Twelve bytes, none of them copied: 108 bits.
    let body = [0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let bits: u128 = body.iter().fold(0, |bits, byte| bits << 9 | 0x100 | byte);
    let packed = |padding: u128| {
        let mut whole = patch(4, &[Number(8), Bytes(&[0x44])]);
        whole.extend(&(bits << 20 | padding << 16).to_be_bytes()[..14]);
        verdict(&whole)
    };
    assert_eq!(packed(0), Ok(OLD[..8].to_vec()));
    for padding in 1..16 {
        assert_eq!(packed(padding), Err(PatchError::Trailing), "{padding}");
    }
}

#[test]
fn runs_of_nothing_come_to_an_end() {
    let mut endless = patch(4, &[Number(8)]);
    // Zeroes for ever, as far as 4,000 bytes of copies reach.
    endless.push(0x44);
    endless.extend([0; 4_000]);
    assert_eq!(verdict(&endless), Err(PatchError::Idle));
    // A zero, repeated two thousand million times by nine bytes.
    let mut endless = patch(2, &[Number(8)]);
    endless.extend([1, 0x80, 0x80, 0x80, 0x80, 0x08, 0]);
    assert_eq!(verdict(&endless), Err(PatchError::Idle));
    // What tools begin a patch with, whose first bytes were elsewhere in the old image: a round that only moves.
    let parts = [0, 0, 0, 2, 8, 0, 0];
    let mut moved = patch(0, &[Number(8)]);
    for (at, value) in parts.into_iter().enumerate() {
        if at == 5 {
            moved.extend([0; 8]);
        }
        moved.extend(number(value));
    }
    assert_eq!(verdict(&moved), Ok(b"23456789".to_vec()));
}

#[test]
fn after_a_read_error_a_patch_is_not_called_whole_and_goes_on_from_what_was_saved() {
    // Two pieces of the old image: the second one is not read at first.
    let old = [5; 128];
    let good = DeltaAuthor::new(&old, &old).sequential().unwrap();
    let mut decoder = Decoder::<256>::new(Declared::new(128, 128, good.len() as u32));
    let mut saved = [0; Decoder::<256>::SAVED_BYTES];
    let len = decoder.save(&mut saved).unwrap();
    let (mut out, mut rest, mut reads) = ([0; 128], &good[..], 0);
    let disturbed = decoder.decode(&mut rest, &mut out, |_, out: &mut [u8]| {
        reads += 1;
        out.fill(5);
        if reads == 2 { Err("disturbed") } else { Ok(()) }
    });
    assert_eq!(disturbed, Err(DecodeError::Old("disturbed")));
    let mut read = |_: u32, out: &mut [u8]| {
        out.fill(5);
        Ok::<(), &str>(())
    };
    let later = decoder.decode(&mut rest, &mut out, &mut read);
    assert_eq!(later, Err(PatchError::Unread.into()));
    assert_eq!(decoder.finish(), Err(PatchError::Unread));
    let mut decoder = Decoder::<256>::restore(decoder.declared(), &saved[..len]).unwrap();
    let given = decoder.decode(&mut &good[..], &mut out, read);
    assert_eq!((given, decoder.finish()), (Ok(128), Ok(())));
    assert_eq!(out, old);
}
