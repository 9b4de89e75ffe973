use super::*;
use crate::node::block_on;
use alloc::vec;
use alloc::vec::Vec;
use embedded_storage_async::nor_flash::{NorFlashError, NorFlashErrorKind};
use proptest::prelude::*;

type Small = SimFlash<4, 64>;
type Image = FlashImage<4, 64>;

const ONES: [u8; 4] = [0xff; 4];
const MODES: [Mode; 3] = [Mode::Rewritable, Mode::Multiwrite, Mode::WriteOnce];

#[derive(Default)]
struct Collect(Vec<(u32, Torn, Image, u128, u32)>);

impl CrashSink<4, 64> for Collect {
    fn crash(&mut self, crash: &Crash<'_, 4, 64>) {
        let (hash, units) = (crash.hash(), crash.unstable_units());
        self.0
            .push((crash.operation(), crash.torn(), crash.image(), hash, units));
    }
}

fn write<const W: usize, const E: usize>(
    flash: &mut SimFlash<W, E>,
    offset: u32,
    bytes: &[u8],
) -> Result<(), SimFlashError> {
    block_on(NorFlash::write(flash, offset, bytes))
}

fn erase(flash: &mut Small, page: u32) -> Result<(), SimFlashError> {
    block_on(NorFlash::erase(flash, page * 64, page * 64 + 64))
}

fn word(flash: &mut Small, offset: u32) -> Result<[u8; 4], SimFlashError> {
    let mut word = [0; 4];
    block_on(flash.read(offset, &mut word)).map(|()| word)
}

fn models() -> TornModels {
    TornModels {
        reordered: 5,
        ..TornModels::ALL
    }
}

/// A flash whose first word of page 0 ended as `torn` when it was to become `[1, 2, 3, 4]`.
fn torn(mode: Mode, torn: Torn) -> Small {
    let mut flash = Small::new(2, mode);
    flash.cut_after(0, torn);
    assert_eq!(write(&mut flash, 0, &[1, 2, 3, 4]), Err(SimFlashError::Cut));
    assert_eq!(flash.cut(), Some(torn));
    flash.reboot();
    flash
}

/// Writes over two pages and erases one of them; some words are doubtful in the beginning.
fn script(flash: &mut Small) -> Result<(), SimFlashError> {
    write(
        flash,
        4,
        &[5, 6, 7, 8, 9, 10, 11, 12, 0xff, 0xff, 0xff, 0xff],
    )?;
    write(flash, 64, &[1; 32])?;
    write(flash, 0, &[0; 4])?; // the guard
    erase(flash, 1)?;
    write(flash, 64, &[7; 4])
}

fn doubtful(mode: Mode, first: Torn) -> Small {
    let mut flash = torn(mode, first);
    flash.set_torn(models());
    flash
}

#[test]
fn a_word_is_programmed_once_between_two_erases() {
    for mode in [Mode::Rewritable, Mode::WriteOnce] {
        let mut flash = Small::new(2, mode);
        write(&mut flash, 8, &[1, 2, 3, 4]).unwrap();
        let twice = FlashBreach::DoubleProgram { offset: 8 };
        assert_eq!(
            write(&mut flash, 8, &[1, 2, 3, 4]),
            Err(SimFlashError::Breach(twice))
        );
        assert_eq!(flash.violation(), Some(twice));
        erase(&mut flash, 0).unwrap();
        write(&mut flash, 8, &[4, 3, 2, 1]).unwrap();
        assert_eq!(word(&mut flash, 8), Ok([4, 3, 2, 1]));
        assert_eq!(flash.violation(), Some(twice), "the first breach is kept");
    }
}

#[test]
fn words_of_multiwrite_flash_are_anded() {
    let mut flash = Small::new(1, Mode::Multiwrite);
    write(&mut flash, 0, &[0xf0, 0xff, 1, 3]).unwrap();
    write(&mut flash, 0, &[0x3c, 0xff, 2, 1]).unwrap();
    assert_eq!(word(&mut flash, 0), Ok([0x30, 0xff, 0, 1]));
    assert_eq!(flash.violation(), None);
}

#[test]
fn data_on_a_word_that_was_attempted_is_a_breach_and_a_guard_is_not() {
    for (mode, first) in [
        (Mode::Rewritable, Torn::Attempted),
        (Mode::WriteOnce, Torn::Attempted),
        (Mode::WriteOnce, Torn::Unstable),
    ] {
        let mut flash = torn(mode, first);
        assert_eq!(word(&mut flash, 0), Ok(ONES), "it looks erased");
        let breach = FlashBreach::DataOnAttempted { offset: 0 };
        let mut other = flash.clone();
        assert_eq!(
            write(&mut other, 0, &[1, 2, 3, 4]),
            Err(SimFlashError::Breach(breach))
        );
        assert_eq!(word(&mut other, 0), Ok(ONES), "and the word is untouched");

        write(&mut flash, 0, &[0; 4]).unwrap();
        assert_eq!(word(&mut flash, 0), Ok([0; 4]));
        assert_eq!(flash.violation(), None);
    }
}

#[test]
fn a_word_programmed_with_ones_counts_as_attempted() {
    let mut flash = Small::new(1, Mode::WriteOnce);
    write(&mut flash, 0, &ONES).unwrap();
    assert_eq!(flash.image().cell(0, 0), Some(FlashCell::Attempted));
    assert!(write(&mut flash, 0, &[1; 4]).is_err());
}

#[test]
fn a_guard_may_fail_on_write_once_words_alone() {
    for (mode, read) in [
        (Mode::Rewritable, Ok([0; 4])),
        (Mode::WriteOnce, Err(SimFlashError::Ecc { offset: 0 })),
    ] {
        let mut flash = torn(mode, Torn::Attempted);
        flash.set_guard_fails(true);
        write(&mut flash, 0, &[0; 4]).unwrap();
        assert_eq!(word(&mut flash, 0), read);
    }
}

#[test]
fn a_guard_on_a_word_that_reads_programmed_is_a_breach() {
    let breach = FlashBreach::ZeroOnProgrammed { offset: 0 };
    let mut flash = torn(Mode::WriteOnce, Torn::Unstable);
    flash.set_reading(Reading::Value);
    assert!(write(&mut flash, 0, &[0; 4]).is_err());
    assert_eq!(flash.violation(), Some(breach));

    let mut flash = torn(Mode::Rewritable, Torn::Complete);
    assert!(write(&mut flash, 0, &[0; 4]).is_err());
    assert_eq!(flash.violation(), Some(breach));

    let mut flash = torn(Mode::WriteOnce, Torn::Ecc);
    assert!(write(&mut flash, 0, &[0; 4]).is_err());
    assert_eq!(
        flash.violation(),
        Some(FlashBreach::DoubleProgram { offset: 0 })
    );
}

#[test]
fn unaligned_and_outlying_accesses_are_breaches_of_their_kind() {
    type Access = fn(&mut Small) -> Result<(), SimFlashError>;
    let unaligned: [Access; 5] = [
        |flash| write(flash, 2, &[0; 4]),
        |flash| write(flash, 0, &[0; 3]),
        |flash| block_on(flash.read(1, &mut [0; 4])),
        |flash| block_on(NorFlash::erase(flash, 0, 32)),
        |flash| block_on(NorFlash::erase(flash, 4, 64)),
    ];
    let outlying: [Access; 5] = [
        |flash| write(flash, 128, &[0; 4]),
        |flash| write(flash, 124, &[0; 8]),
        |flash| block_on(flash.read(u32::MAX - 3, &mut [0; 4])),
        |flash| block_on(NorFlash::erase(flash, 64, 192)),
        |flash| block_on(NorFlash::erase(flash, 64, 0)),
    ];
    for (kind, accesses) in [
        (NorFlashErrorKind::NotAligned, unaligned),
        (NorFlashErrorKind::OutOfBounds, outlying),
    ] {
        for access in accesses {
            let mut flash = Small::new(2, Mode::Rewritable);
            assert_eq!(access(&mut flash).unwrap_err().kind(), kind);
            assert!(flash.violation().is_some());
            assert_eq!(flash.image().hash(), 0, "nothing was programmed");
        }
    }
}

#[test]
fn each_mode_tears_a_word_in_its_own_ways() {
    let left = |mode| {
        let (mut flash, sink) = (
            Small::new(1, mode),
            Rc::new(RefCell::new(Collect::default())),
        );
        flash.set_torn(models());
        flash.set_sink(sink.clone());
        write(&mut flash, 0, &[1, 2, 3, 4]).unwrap();
        let told = core::mem::take(&mut sink.borrow_mut().0);
        told.into_iter()
            .map(|(_, torn, image, ..)| (torn, image.cell(0, 0).unwrap()))
            .collect::<Vec<_>>()
    };
    use FlashCell::{Attempted, Ecc, Erased, Programmed, Unstable};
    let whole = [1, 2, 3, 4];
    assert_eq!(
        left(Mode::WriteOnce),
        [
            (Torn::NotStarted, Erased),
            (Torn::Ecc, Ecc),
            (Torn::Attempted, Attempted),
            (Torn::Unstable, Unstable(whole)),
            (Torn::Complete, Programmed(whole)),
        ]
    );
    for mode in [Mode::Rewritable, Mode::Multiwrite] {
        let mut left = left(mode);
        for sample in [1, 0] {
            let (torn, cell) = left.remove(4 + usize::from(sample));
            assert_eq!(torn, Torn::Bits(sample));
            let Programmed(some) = cell else {
                panic!("{cell:?}")
            };
            assert!(some.iter().zip(whole).all(|(some, all)| some & all == all));
            assert_ne!(some, whole);
        }
        assert_eq!(
            left,
            [
                (Torn::NotStarted, Erased),
                (Torn::Prefix(1), Programmed([1, 0xff, 0xff, 0xff])),
                (Torn::Prefix(2), Programmed([1, 2, 0xff, 0xff])),
                (Torn::Prefix(3), Programmed([1, 2, 3, 0xff])),
                (Torn::Attempted, Attempted),
                (Torn::Unstable, Unstable(whole)),
                (Torn::Complete, Programmed(whole)),
            ]
        );
    }
}

#[test]
fn a_torn_program_never_clears_what_was_programmed_before() {
    let mut flash = Small::new(1, Mode::Multiwrite);
    let sink = Rc::new(RefCell::new(Collect::default()));
    flash.set_torn(models());
    write(&mut flash, 0, &[0xf0; 4]).unwrap();
    flash.set_sink(sink.clone());
    write(&mut flash, 0, &[0x0f; 4]).unwrap();
    for (_, torn, image, ..) in &sink.borrow().0 {
        let Some(FlashCell::Programmed(left)) = image.cell(0, 0) else {
            panic!("{torn:?} left {:?}", image.cell(0, 0));
        };
        assert!(left.iter().all(|byte| byte & !0xf0 == 0), "{torn:?}");
    }
}

#[test]
fn a_torn_erase_leaves_each_of_its_pictures() {
    let filled = |mode| {
        let mut flash = Small::new(2, mode);
        write(&mut flash, 0, &[3; 64]).unwrap();
        write(&mut flash, 64, &[4; 8]).unwrap();
        flash
    };
    let after = |mode, how| {
        let mut flash = filled(mode);
        flash.cut_after(0, how);
        assert_eq!(erase(&mut flash, 0), Err(SimFlashError::Cut));
        assert_eq!(flash.cut(), Some(how));
        assert_eq!(
            flash.image().page_hash(1),
            filled(mode).image().page_hash(1)
        );
        let cells = (0..16).map(|word| flash.image().cell(0, word).unwrap());
        cells.collect::<Vec<_>>()
    };
    use FlashCell::{Ecc, Erased, Programmed, Unstable};
    let full = Programmed([3; 4]);
    for mode in MODES {
        assert_eq!(after(mode, Torn::NotStarted), [full; 16]);
        assert_eq!(after(mode, Torn::Complete), [Erased; 16]);
        let half = [[Erased; 8], [full; 8]];
        assert_eq!(after(mode, Torn::EraseFirstHalf), half.concat());
        let half = [[full; 8], [Erased; 8]];
        assert_eq!(after(mode, Torn::EraseSecondHalf), half.concat());
        assert_eq!(
            after(mode, Torn::EraseAlternate),
            [[Erased, full]; 8].concat()
        );
        assert_eq!(after(mode, Torn::EraseMarginal), [Unstable([3; 4]); 16]);
        for cell in after(mode, Torn::EraseGarbage(0)) {
            let nearer = |value: [u8; 4]| value.iter().any(|byte| byte & 3 != 3);
            assert!(
                !matches!(cell, Programmed(value) if nearer(value)),
                "{cell:?}"
            );
            assert_ne!(cell, Erased, "it may not be programmed again");
        }
    }
    assert_eq!(after(Mode::WriteOnce, Torn::EraseEcc), [Ecc; 16]);
}

#[test]
fn a_torn_erase_never_brings_a_word_nearer_to_programmed() {
    let after = |how, cell: FlashCell<4>| {
        let mut image = Image::new(1, Mode::WriteOnce);
        image.set(0, cell);
        let mut flash = Small::from_image(image);
        flash.cut_after(0, how);
        assert_eq!(erase(&mut flash, 0), Err(SimFlashError::Cut));
        flash.image().cell(0, 0).unwrap()
    };
    use FlashCell::{Attempted, Ecc, Erased, Programmed, Unstable};
    let value = [1, 2, 3, 4];
    for how in [
        Torn::EraseGarbage(0),
        Torn::EraseGarbage(1),
        Torn::EraseMarginal,
    ] {
        assert_eq!(after(how, Erased), Erased);
        assert_eq!(after(how, Attempted), Attempted);
    }
    assert_eq!(after(Torn::EraseGarbage(0), Unstable(value)), Attempted);
    assert_eq!(after(Torn::EraseGarbage(0), Ecc), Ecc);
    for cell in [Programmed(value), Unstable(value), Ecc] {
        assert_eq!(after(Torn::EraseEcc, cell), Ecc);
        let Unstable(left) = after(Torn::EraseMarginal, cell) else {
            panic!("{cell:?} is stable after a marginal erase");
        };
        if cell != Ecc {
            assert!(left.iter().zip(value).all(|(left, was)| left & was == was));
        }
    }
}

#[test]
fn a_planned_cut_leaves_exactly_what_the_sink_was_told() {
    let mut kinds = [0; Torn::KINDS];
    for (mode, first) in [
        (Mode::Rewritable, Torn::Attempted),
        (Mode::Multiwrite, Torn::Prefix(2)),
        (Mode::WriteOnce, Torn::Attempted),
        (Mode::WriteOnce, Torn::Unstable),
    ] {
        let sink = Rc::new(RefCell::new(Collect::default()));
        let mut flash = doubtful(mode, first);
        flash.set_sink(sink.clone());
        script(&mut flash).unwrap();
        assert_eq!(flash.violation(), None);
        assert_eq!(flash.operations(), 14);
        for (operation, torn, image, hash, units) in sink.borrow().0.iter() {
            let mut again = doubtful(mode, first);
            again.cut_after(*operation, *torn);
            assert_eq!(script(&mut again), Err(SimFlashError::Cut));
            assert_eq!(again.cut(), Some(*torn));
            assert_eq!(again.image().to_bytes(), image.to_bytes(), "{torn:?}");
            assert_eq!(image.hash(), *hash, "{torn:?} was foreseen otherwise");
            assert_eq!(image.unstable_units(), *units, "{torn:?}");
            kinds[torn.kind()] += 1;
        }
    }
    assert!(kinds.iter().all(|count| *count > 0), "{kinds:?}");
}

#[test]
fn a_cut_that_cannot_be_does_nothing_and_says_so() {
    let mut flash = Small::new(1, Mode::Rewritable);
    flash.cut_after(0, Torn::Ecc);
    assert_eq!(write(&mut flash, 0, &[1; 4]), Err(SimFlashError::Cut));
    assert_eq!(flash.cut(), Some(Torn::NotStarted));
    assert_eq!(
        word(&mut flash, 0),
        Err(SimFlashError::Cut),
        "the power is off"
    );
    assert_eq!(erase(&mut flash, 0), Err(SimFlashError::Cut));
    flash.reboot();
    assert_eq!(word(&mut flash, 0), Ok(ONES));
}

#[test]
fn words_of_one_write_land_in_any_order_when_the_controller_may() {
    let sink = Rc::new(RefCell::new(Collect::default()));
    let mut flash = Small::new(1, Mode::WriteOnce);
    flash.set_torn(models());
    flash.set_sink(sink.clone());
    write(&mut flash, 0, &[5; 16]).unwrap();
    let told = &sink.borrow().0;
    let landed = |number: u8| {
        let same = |entry: &&(u32, Torn, Image, u128, u32)| entry.1 == Torn::Reordered(number);
        let image = &told.iter().find(same).unwrap().2;
        let full = FlashCell::Programmed([5; 4]);
        [0, 1, 2, 3].map(|word| image.cell(0, word).unwrap() == full)
    };
    assert_eq!(landed(0), [false, false, false, true]);
    assert_eq!(landed(1), [false, true, true, true]);
    let sampled = [2, 3, 4].map(landed);
    let out_of_order = |landed: &[bool; 4]| landed.windows(2).any(|pair| !pair[0] && pair[1]);
    assert!(sampled.iter().any(out_of_order), "{sampled:?}");

    let sink = Rc::new(RefCell::new(Collect::default()));
    let mut flash = Small::new(1, Mode::WriteOnce);
    flash.set_torn(TornModels::ALL);
    flash.set_sink(sink.clone());
    write(&mut flash, 0, &[5; 16]).unwrap();
    let reordered = |entry: &(u32, Torn, Image, u128, u32)| entry.1.kind() == 7;
    assert!(!sink.borrow().0.iter().any(reordered), "the switch was off");
}

#[test]
fn an_unstable_word_reads_as_the_policy_says() {
    let mut flash = torn(Mode::WriteOnce, Torn::Unstable);
    flash.set_reading(Reading::Value);
    assert_eq!(word(&mut flash, 0), Ok([1, 2, 3, 4]));
    flash.set_reading(Reading::Erased);
    assert_eq!(word(&mut flash, 0), Ok(ONES));

    let mut seen = Vec::new();
    for seed in 0..40 {
        flash.set_reading(Reading::Random(seed));
        let read = word(&mut flash, 0);
        assert_eq!(word(&mut flash, 0), read, "one seed, one picture");
        seen.push(read);
    }
    let mix = |read: &Result<[u8; 4], _>| matches!(read, Ok(value) if *value != ONES && *value != [1, 2, 3, 4]);
    assert!(seen.contains(&Ok(ONES)) && seen.contains(&Ok([1, 2, 3, 4])));
    assert!(seen.contains(&Err(SimFlashError::Ecc { offset: 0 })));
    assert!(seen.iter().any(mix));

    flash.set_reading(Reading::Flicker(1));
    let reads = (0..40).map(|_| word(&mut flash, 0)).collect::<Vec<_>>();
    assert!(reads.windows(2).any(|pair| pair[0] != pair[1]));
}

#[test]
fn a_marginal_page_counts_as_one_instability_and_each_torn_word_as_another() {
    let mut flash = torn(Mode::WriteOnce, Torn::Unstable);
    assert_eq!(flash.image().unstable_units(), 1);
    write(&mut flash, 64, &[9; 64]).unwrap();
    flash.cut_after(0, Torn::EraseMarginal);
    assert!(erase(&mut flash, 1).is_err());
    assert_eq!(flash.image().unstable_units(), 2);
    flash.reboot();
    erase(&mut flash, 0).unwrap();
    assert_eq!(flash.image().unstable_units(), 1);
    erase(&mut flash, 1).unwrap();
    assert_eq!(flash.image().unstable_units(), 0);
    assert_eq!(flash.image().hash(), 0, "erased flash is erased flash");
}

#[test]
fn a_copy_is_a_flash_of_its_own() {
    let mut flash = Small::new(2, Mode::Rewritable);
    write(&mut flash, 0, &[1; 4]).unwrap();
    let mut copy = flash.clone();
    write(&mut copy, 4, &[2; 4]).unwrap();
    erase(&mut flash, 0).unwrap();
    assert_eq!(word(&mut copy, 0), Ok([1; 4]));
    assert_eq!(word(&mut flash, 4), Ok(ONES));
}

#[test]
fn what_was_done_is_counted() {
    let mut flash = Small::new(2, Mode::WriteOnce);
    write(&mut flash, 0, &[1; 12]).unwrap();
    block_on(NorFlash::erase(&mut flash, 0, 128)).unwrap();
    erase(&mut flash, 1).unwrap();
    word(&mut flash, 0).unwrap();
    let wanted = FlashCounters {
        reads: 1,
        writes: 1,
        words: 3,
        erases: 3,
    };
    assert_eq!(flash.counters(), wanted);
    assert_eq!([0, 1, 2].map(|page| flash.image().erases(page)), [1, 2, 0]);
}

#[test]
fn reads_cross_pages_whether_words_are_doubtful_or_not() {
    let mut flash = SimFlash::<8, 64>::new(3, Mode::WriteOnce);
    let data: Vec<u8> = (0..192).collect();
    write(&mut flash, 0, &data).unwrap();
    let mut whole = vec![0; 192];
    block_on(flash.read(0, &mut whole)).unwrap();
    assert_eq!(whole, data);
    let mut image = flash.into_image();
    image.set(9, FlashCell::Unstable([7; 8]));
    let mut flash = SimFlash::from_image(image);
    let mut middle = vec![0; 96];
    block_on(flash.read(48, &mut middle)).unwrap();
    assert_eq!(middle[24..32], [0xff; 8]);
    middle[24..32].copy_from_slice(&data[72..80]);
    assert_eq!(middle, data[48..144]);
}

#[test]
fn a_run_is_continued_from_bytes() {
    for mode in MODES {
        let mut flash = doubtful(mode, Torn::Attempted);
        flash.cut_after(12, Torn::EraseMarginal);
        script(&mut flash).unwrap_err();
        let bytes = flash.image().to_bytes();
        let image = Image::from_bytes(&bytes).unwrap();
        assert_eq!(image.hash(), flash.image().hash());
        assert_eq!(image.unstable_units(), 1);
        assert_eq!(image.erases(1), flash.image().erases(1));
        assert_eq!(image.to_bytes(), bytes);
    }
}

#[test]
fn bytes_of_another_flash_are_refused() {
    let mut bytes = Small::new(1, Mode::WriteOnce).into_image().to_bytes();
    let geometry = FlashImageError::Geometry {
        write: 4,
        erase: 64,
    };
    assert_eq!(
        FlashImage::<8, 64>::from_bytes(&bytes).unwrap_err(),
        geometry
    );
    let length = FlashImageError::Length {
        bytes: bytes.len() - 1,
        needed: bytes.len(),
    };
    assert_eq!(
        Image::from_bytes(&bytes[..bytes.len() - 1]).unwrap_err(),
        length
    );
    *bytes.last_mut().unwrap() = 3;
    bytes[18] = 0; // an attempted word reads as ones
    bytes[18 + 64] = 3;
    let cell = FlashImageError::Cell { page: 0, word: 0 };
    assert_eq!(Image::from_bytes(&bytes).unwrap_err(), cell);
    bytes[4] = 2;
    assert_eq!(
        Image::from_bytes(&bytes).unwrap_err(),
        FlashImageError::Version
    );
}

proptest! {
    #[test]
    fn bytes_from_anywhere_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Image::from_bytes(&bytes);
        let mut framed = Small::new(1, Mode::WriteOnce).into_image().to_bytes();
        for (to, from) in framed.iter_mut().skip(5).zip(&bytes) { *to = *from; }
        let _ = Image::from_bytes(&framed);
    }

    #[test]
    fn the_hash_depends_on_every_cell_alone(cells in proptest::collection::vec((0usize..32, 0u8..5, any::<[u8; 4]>()), 0..60)) {
        let mut image = Image::new(2, Mode::WriteOnce);
        for (index, kind, bytes) in cells {
            let bytes = match kind { 0 | 3 => [0xff; 4], 2 => [0; 4], _ => bytes };
            if let Some(cell) = FlashCell::from_parts(kind, bytes) { image.set(index, cell); }
        }
        let mut again = Image::new(2, Mode::WriteOnce);
        for index in (0..32).rev() { again.set(index, image.at(index)); }
        prop_assert_eq!(again.hash(), image.hash());
        prop_assert_eq!(again.hash(), image.page_hash(0) ^ image.page_hash(1));
        prop_assert_eq!(again.unstable_units(), image.unstable_units());
    }
}
