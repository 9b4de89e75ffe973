//! In-place patches on flash, with the power cut anywhere.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test may fail loudly, and its numbers are small"
)]

use iot_core::codec::{FlatReader, FlatWriter};
use iot_core::crypto::Digest;
use iot_core::sim::SimFlash;
use iot_core::sim::flash::{Mode, SimFlashError, Torn};
use iot_ota::delta::{Declared, Decoder, DeltaAuthor, InPlace, PatchError, Rehearsal};

#[path = "support/files.rs"]
mod files;
#[path = "support/keys.rs"]
mod keys;
#[path = "support/rig.rs"]
mod rig;

use keys::Sha256;
use rig::{Stopped, flash_with, read_any, rehearse, turn};

/// Numbers that only look random, from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// How often the power was cut, and what for.
#[derive(Debug, Default)]
struct Cuts {
    made: u64,
    erasures: u64,
    operations: u64,
}

struct Case<'a> {
    old: &'a [u8],
    new: &'a [u8],
    patch: &'a [u8],
    pages: u16,
    mode: Mode,
    piece: usize,
}

impl Case<'_> {
    /// Applies the patch with cuts about every `mean` operations of the flash, and compares the image.
    fn apply<const PAGE: usize, const W: usize>(
        &self,
        mean: u64,
        dice: &mut Dice,
        cuts: &mut Cuts,
    ) {
        let Self {
            old, new, patch, ..
        } = *self;
        let evidence = rehearse::<256, _>(old, new, patch, Sha256::default(), Sha256::default());
        let declared = Declared::new(old.len() as u32, new.len() as u32, patch.len() as u32)
            .in_memory(u32::from(self.pages) * PAGE as u32);
        let mut flash: SimFlash<W, PAGE> = flash_with(self.pages, self.mode, old);
        let mut machine = InPlace::<256, PAGE>::new(evidence).unwrap();
        let mut journal: Option<Vec<u8>> = None;
        let torn = [
            Torn::NotStarted,
            Torn::Complete,
            Torn::Prefix(3),
            Torn::Bits(1),
            Torn::Ecc,
            Torn::Attempted,
            Torn::Unstable,
            Torn::EraseFirstHalf,
            Torn::EraseAlternate,
            Torn::EraseGarbage(1),
            Torn::EraseEcc,
            Torn::EraseMarginal,
        ];
        'boots: loop {
            let kind = torn[dice.below(torn.len() as u64) as usize];
            flash.reboot();
            flash.cut_after(1 + dice.below(2 * mean) as u32, kind);
            loop {
                let kept = &mut journal;
                match turn(
                    &mut machine,
                    &mut flash,
                    0,
                    patch,
                    self.piece,
                    |_, bytes| {
                        *kept = Some(bytes.to_vec());
                        Ok(())
                    },
                ) {
                    Ok(false) => {}
                    Ok(true) => break 'boots,
                    Err(Stopped::Flash(SimFlashError::Cut)) => break,
                    Err(error) => panic!("{error:?} after {cuts:?}"),
                }
            }
            cuts.made += 1;
            cuts.operations += u64::from(flash.operations());
            machine = match &journal {
                None => InPlace::new(evidence).unwrap(),
                Some(saved) => InPlace::resume(declared, saved).expect("what was saved"),
            };
        }
        cuts.erasures += flash.counters().erases;
        assert_eq!(flash.violation(), None);
        flash.reboot();
        let mut found = vec![0; new.len()];
        read_any(&mut flash, 0, &mut found).unwrap();
        assert!(found == new, "the image is another one after {cuts:?}");
    }
}

fn cut_budget() -> u64 {
    std::env::var("IOT_DELTA_CUTS").map_or(300, |cuts| cuts.parse().unwrap())
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn real_firmware_is_patched_over_itself_whenever_the_power_fails() {
    let [old, new] = [
        "delta/pybv11/1f5d945af/firmware1.bin",
        "delta/pybv11/1f5d945af-dirty/firmware1.bin",
    ]
    .map(files::file);
    // Three pages of 2 KiB are free.
    let pages = 160_u16;
    let memory = u32::from(pages) * 2_048;
    let patch = DeltaAuthor::new(&old, &new)
        .in_place(memory, 2_048)
        .unwrap();
    let (mut cuts, mut dice) = (Cuts::default(), Dice(7));
    let mut applied = 0;
    while cuts.made < cut_budget() {
        let case = Case {
            old: &old,
            new: &new,
            patch: &patch,
            pages,
            mode: [Mode::Rewritable, Mode::Multiwrite, Mode::WriteOnce][applied % 3],
            piece: 64 + dice.below(500) as usize,
        };
        case.apply::<2_048, 8>(700, &mut dice, &mut cuts);
        applied += 1;
    }
    println!(
        "delta in-place images={applied} cuts={} operations={} erasures={} patch={} ram={}",
        cuts.made,
        cuts.operations,
        cuts.erasures,
        patch.len(),
        size_of::<InPlace<256, 2_048>>()
    );
    assert!(cuts.made >= cut_budget());
    assert!(size_of::<InPlace<256, 2_048>>() <= 2_048 + 256 + 2_048);
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn an_in_place_patch_of_the_other_tool_makes_its_image() {
    let (old, new) = (files::file("delta/foo/old"), files::file("delta/foo/new"));
    let patch = files::file("delta/foo/in-place-3000-500-crle.patch");
    let case = Case {
        old: &old,
        new: &new,
        patch: &patch,
        pages: 12,
        mode: Mode::WriteOnce,
        piece: 20,
    };
    // Its segments of 500 bytes are two pages each.
    let mut cuts = Cuts::default();
    for seed in 1..40 {
        case.apply::<250, 2>(400, &mut Dice(seed), &mut cuts);
    }
    assert!(cuts.made > 100, "{cuts:?}");
}

fn small_pair() -> (Vec<u8>, Vec<u8>) {
    let old: Vec<u8> = (0..200_u32).map(|at| (at * at / 7) as u8).collect();
    let mut new = [&old[60..], &[9; 30], &old[..50]].concat();
    new[10] ^= 3;
    (old, new)
}

#[test]
fn a_small_image_is_patched_over_itself_whenever_the_power_fails() {
    let (old, new) = small_pair();
    // One page is free, so the old image moves by one: each page is needed until the next one is on record.
    let patch = DeltaAuthor::new(&old, &new).in_place(320, 64).unwrap();
    let (mut cuts, mut dice) = (Cuts::default(), Dice(11));
    for round in 0..60 {
        let case = Case {
            old: &old,
            new: &new,
            patch: &patch,
            pages: 5,
            mode: [Mode::Rewritable, Mode::Multiwrite, Mode::WriteOnce][round % 3],
            piece: 1 + dice.below(40) as usize,
        };
        // A page has 16 words, and one is moved or written between two persisted states.
        case.apply::<64, 4>(24, &mut dice, &mut cuts);
    }
    assert!(cuts.made > 60, "{cuts:?}");
}

#[test]
fn a_journal_that_stands_inside_a_segment_is_not_resumed() {
    let (old, new) = small_pair();
    let patch = DeltaAuthor::new(&old, &new).in_place(512, 64).unwrap();
    let evidence = rehearse::<256, _>(&old, &new, &patch, Sha256::default(), Sha256::default());
    let declared = Declared::new(old.len() as u32, new.len() as u32, patch.len() as u32);
    let mut flash: SimFlash<4, 64> = flash_with(8, Mode::Rewritable, &old);
    let mut machine = InPlace::<256, 64>::new(evidence).unwrap();
    let mut journals: Vec<Vec<u8>> = Vec::new();
    while !turn(&mut machine, &mut flash, 0, &patch, 9, |_, bytes| {
        journals.push(bytes.to_vec());
        Ok(())
    })
    .unwrap()
    {}
    let resumed =
        |journal: &[u8]| InPlace::<256, 64>::resume(declared.in_memory(512), journal).is_some();
    let (mut moved, mut inside) = (0, 0);
    for journal in &journals {
        assert!(resumed(journal));
        // The fifth number of the decoder's state: how much is written.
        let Some(altered) = altered(journal, 4, |written| written.checked_sub(8)) else {
            moved += 1;
            continue;
        };
        inside += 1;
        assert!(!resumed(&altered));
    }
    assert!(moved >= 2 && inside >= 4, "{moved} {inside}");
}

/// A journal of which one number of the decoder's state is another one.
fn altered(journal: &[u8], at: usize, to: impl Fn(u32) -> Option<u32>) -> Option<Vec<u8>> {
    let (mut reader, mut room) = (FlatReader::new(journal), [0; 1_024]);
    let mut writer = FlatWriter::new(&mut room);
    reader.array(6, 1);
    writer.array(6, 1);
    (0..4).for_each(|_| writer.uint(reader.u32().into()));
    reader.array(19, 1);
    writer.array(19, 1);
    for number in 0..16 {
        let value = reader.u32();
        let value = if number == at { to(value)? } else { value };
        writer.uint(value.into());
    }
    writer.bytes(reader.bytes());
    writer.bytes(reader.bytes());
    let len = writer.finish()?;
    Some(room[..len].to_vec())
}

#[test]
fn a_patch_that_makes_another_image_is_found_out_before_anything_is_erased() {
    let (old, new) = small_pair();
    let patch = DeltaAuthor::new(&old, &new).in_place(512, 64).unwrap();
    let verdict = |patch: &[u8], expected: &[u8]| {
        let declared =
            Declared::new(old.len() as u32, new.len() as u32, patch.len() as u32).in_memory(512);
        let mut digest = Sha256::default();
        digest.update(expected);
        let mut rehearsal = Rehearsal::<256, _>::new(declared, Sha256::default());
        for piece in patch.chunks(3) {
            let read = |at: u32, out: &mut [u8]| {
                out.copy_from_slice(&old[at as usize..][..out.len()]);
                Ok::<(), ()>(())
            };
            if rehearsal.push(piece, read).is_err() {
                break;
            }
        }
        rehearsal.finish(&digest.finish())
    };
    assert!(verdict(&patch, &new).is_ok());
    assert_eq!(verdict(&patch, &old), Err(PatchError::Digest));
    assert_eq!(
        verdict(&patch[..patch.len() - 1], &new),
        Err(PatchError::Incomplete)
    );
    let sequential = DeltaAuthor::new(&old, &new).sequential().unwrap();
    assert_eq!(
        verdict(&sequential, &new),
        Err(PatchError::Type { found: 0 })
    );
}

#[test]
fn a_patch_moves_nothing_past_the_memory_that_was_declared() {
    let (old, new) = small_pair();
    // A good patch of the right image, laid out for more memory than there is.
    let patch = DeltaAuthor::new(&old, &new).in_place(512, 64).unwrap();
    let read = |at: u32, out: &mut [u8]| {
        out.copy_from_slice(&old[at as usize..][..out.len()]);
        Ok::<(), ()>(())
    };
    let unstated = Declared::new(old.len() as u32, new.len() as u32, patch.len() as u32);
    let rehearsed = |declared| {
        let mut rehearsal = Rehearsal::<256, _>::new(declared, Sha256::default());
        rehearsal.push(&patch, read)
    };
    for declared in [unstated, unstated.in_memory(448), unstated.in_memory(511)] {
        assert_eq!(rehearsed(declared), Err(PatchError::Layout.into()));
    }
    assert_eq!(rehearsed(unstated.in_memory(512)), Ok(()));
    // Nor does a decoder that goes on believe what it saved.
    let mut decoder = Decoder::<256>::new(unstated.in_memory(512));
    decoder
        .decode(&mut &patch[..patch.len() / 2], &mut [0; 200], read)
        .unwrap();
    let mut saved = [0; Decoder::<256>::SAVED_BYTES];
    let len = decoder.save(&mut saved).unwrap();
    let restored =
        |memory| Decoder::<256>::restore(unstated.in_memory(memory), &saved[..len]).is_some();
    assert_eq!([512, 511, 0].map(restored), [true, false, false]);
}

#[test]
fn segments_that_are_no_whole_pages_are_refused() {
    let (old, new) = small_pair();
    let patch = DeltaAuthor::new(&old, &new).in_place(480, 48).unwrap();
    let evidence = rehearse::<256, _>(&old, &new, &patch, Sha256::default(), Sha256::default());
    assert_eq!(
        InPlace::<256, 64>::new(evidence).unwrap_err(),
        PatchError::Layout
    );
}

#[test]
fn a_journal_of_something_else_is_not_resumed() {
    let (old, new) = small_pair();
    let patch = DeltaAuthor::new(&old, &new).in_place(512, 64).unwrap();
    let evidence = rehearse::<256, _>(&old, &new, &patch, Sha256::default(), Sha256::default());
    let machine = InPlace::<256, 64>::new(evidence).unwrap();
    let mut room = [0; InPlace::<256, 64>::SAVED_BYTES];
    let len = machine.save(&mut room).unwrap();
    let declared = Declared::new(old.len() as u32, new.len() as u32, patch.len() as u32);
    let declared = declared.in_memory(512);
    assert!(InPlace::<256, 64>::resume(declared, &room[..len]).is_some());
    for other in [
        Declared::new(declared.old + 1, declared.new, declared.patch).in_memory(512),
        Declared::new(declared.old, declared.new - 1, declared.patch).in_memory(512),
        Declared::new(declared.old, declared.new, declared.patch + 1).in_memory(512),
        declared.in_memory(511),
    ] {
        assert!(InPlace::<256, 64>::resume(other, &room[..len]).is_none());
    }
    for cut in 0..len {
        assert!(InPlace::<256, 64>::resume(declared, &room[..cut]).is_none());
    }
}
