//! Payloads on their way into a bank, interrupted anywhere.

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

use iot_core::engine::RecordKey;
use iot_core::node::block_on;
use iot_core::port::{ImageSource, Records};
use iot_core::storage::memory::FixedRecords;
use iot_ota::delta::{Declared, Decoder, DeltaAuthor};
use iot_ota::image::{
    BlockError, Expected, FillError, Intake, IntakeError, Plain, Reorder, Transform, fill,
};
use iot_ota::sim::{MemoryBanks, SimError};
use iot_ota::slot::{Bank, Banks, Release};
use proptest::prelude::*;

#[path = "support/files.rs"]
mod files;
#[path = "support/keys.rs"]
mod keys;

use keys::{Sha256, sha256};

const PAGE: usize = 256;
const BLOCK: usize = 512;

type Taking<T> = Intake<T, Sha256, PAGE, { Decoder::<256>::SAVED_BYTES }>;

/// A payload, what it becomes, and how a transform for it begins.
struct Case<T> {
    old: Vec<u8>,
    new: Vec<u8>,
    payload: Vec<u8>,
    transform: fn(Declared) -> T,
}

#[derive(Default)]
struct Told {
    cuts: u64,
    most_fetched_again: usize,
}

impl<T: Transform> Case<T> {
    fn banks(&self) -> MemoryBanks {
        let release = Release::new(1, sha256(&self.old), self.old.len() as u32);
        let capacity = self.old.len().max(self.new.len()).next_multiple_of(PAGE) as u32;
        MemoryBanks::factory(capacity, PAGE as u32, &self.old, release)
    }

    fn expected(&self) -> Expected {
        let size = |bytes: &[u8]| bytes.len() as u32;
        Expected::new(size(&self.payload), size(&self.new), sha256(&self.new))
    }

    fn transform(&self) -> T {
        let size = |bytes: &[u8]| bytes.len() as u32;
        (self.transform)(Declared::new(
            size(&self.old),
            size(&self.new),
            size(&self.payload),
        ))
    }

    /// Fetches all of it; the power fails after `lasts()` more bytes each time, and the checkpoint is persisted after
    /// each block. `stops` ends it, as a lost link and a reboot would, after blocks of these numbers.
    fn fetch(&self, mut lasts: impl FnMut() -> Option<u64>, stops: &[usize], told: &mut Told) {
        let mut banks = self.banks();
        let (mut checkpoint, mut furthest, mut stopped) = (None::<Vec<u8>>, 0, 0);
        'boots: loop {
            banks.restore_power();
            if let Some(bytes) = lasts() {
                banks.cut_power_after(bytes);
            }
            let begun: Result<Taking<T>, _> = match &checkpoint {
                None => Intake::begin(
                    self.transform(),
                    Sha256::default(),
                    self.expected(),
                    &mut banks,
                ),
                Some(saved) => Intake::resume(
                    self.transform(),
                    Sha256::default(),
                    self.expected(),
                    &mut banks,
                    saved,
                ),
            };
            let Ok(mut intake) = begun else {
                told.cuts += 1;
                continue;
            };
            let again = furthest - (intake.received() as usize).min(furthest);
            told.most_fetched_again = told.most_fetched_again.max(again);
            while (intake.received() as usize) < self.payload.len() {
                let from = intake.received() as usize;
                // Blocks keep to their grid.
                let to = (from / BLOCK + 1) * BLOCK;
                let block = &self.payload[from..to.min(self.payload.len())];
                match intake.push(&mut banks, from as u32, block) {
                    Ok(()) => {}
                    Err(IntakeError::Banks(SimError::PowerCut)) => {
                        told.cuts += 1;
                        continue 'boots;
                    }
                    Err(error) => panic!("{error:?}"),
                }
                assert!(banks.bytes(Bank::B).len() <= self.new.len());
                furthest = furthest.max(intake.received() as usize);
                let mut room = [0; 512];
                if let Some(len) = intake.checkpoint(&mut room) {
                    checkpoint = Some(room[..len].to_vec());
                }
                if stops.get(stopped) == Some(&(furthest / BLOCK)) {
                    stopped += 1;
                    told.cuts += 1;
                    continue 'boots;
                }
            }
            match intake.finish(&mut banks) {
                Ok(()) => break,
                Err(IntakeError::Banks(SimError::PowerCut)) => told.cuts += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
        assert!(banks.bytes(Bank::B) == self.new, "another image");
    }
}

fn plain(len: usize) -> Case<Plain> {
    let new: Vec<u8> = (0..len as u32).map(|at| (at * at / 9) as u8).collect();
    Case {
        old: vec![1; 700],
        payload: new.clone(),
        new,
        transform: |_| Plain::new(),
    }
}

fn patched(old: Vec<u8>, new: Vec<u8>) -> Case<Decoder<256>> {
    Case {
        payload: DeltaAuthor::new(&old, &new).sequential().unwrap(),
        old,
        new,
        transform: Decoder::new,
    }
}

fn changed(len: u32) -> Case<Decoder<256>> {
    let old: Vec<u8> = (0..len).map(|at| (at * at / 9 + at) as u8).collect();
    let mut new = [&old[500..], &old[..450]].concat();
    let mut seed = 7_u32;
    // What is new does not shrink, so that the patch has many blocks.
    new.extend((0..len).map(|_| {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        seed as u8
    }));
    patched(old, new)
}

#[test]
fn an_interruption_after_any_block_costs_at_most_one_block() {
    let mut told = Told::default();
    let whole = plain(9_000);
    let blocks = whole.payload.len() / BLOCK;
    for stop in 1..=blocks {
        whole.fetch(|| None, &[stop], &mut told);
    }
    let patch = changed(4_000);
    let patch_blocks = patch.payload.len() / BLOCK;
    assert!(patch_blocks > 7, "{patch_blocks}");
    for stop in 1..=patch_blocks {
        patch.fetch(|| None, &[stop], &mut told);
    }
    let every: Vec<usize> = (1..=patch_blocks).collect();
    patch.fetch(|| None, &every, &mut told);
    assert!(
        told.cuts as usize > blocks + 2 * patch_blocks - 3,
        "{}",
        told.cuts
    );
    assert!(
        told.most_fetched_again <= BLOCK,
        "{}",
        told.most_fetched_again
    );
}

/// Numbers that only look random.
fn dice(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[test]
fn a_power_cut_at_any_byte_costs_at_most_one_block() {
    let budget = std::env::var("IOT_INTAKE_CUTS").map_or(600, |cuts| cuts.parse().unwrap());
    let (mut told, mut seed, mut fetched) = (Told::default(), 5_u64, 0);
    let (whole, patch) = (plain(9_000), changed(4_000));
    while told.cuts < budget {
        // Far enough to get on between two of them.
        let mut lasts = || Some(1 + dice(&mut seed) % 14_000);
        match fetched % 2 {
            0 => whole.fetch(&mut lasts, &[], &mut told),
            _ => patch.fetch(&mut lasts, &[], &mut told),
        }
        fetched += 1;
    }
    println!(
        "intake images={fetched} cuts={} fetched_again<={} block={BLOCK}",
        told.cuts, told.most_fetched_again
    );
    assert!(told.most_fetched_again <= BLOCK);
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn real_firmware_is_patched_into_the_other_bank_whenever_the_power_fails() {
    let [old, new] = [
        "delta/pybv11/1f5d945af/firmware1.bin",
        "delta/pybv11/1f5d945af-dirty/firmware1.bin",
    ]
    .map(files::file);
    let budget = std::env::var("IOT_DELTA_CUTS").map_or(200, |cuts| cuts.parse().unwrap());
    let case = patched(old, new);
    let (mut told, mut seed, mut fetched) = (Told::default(), 9_u64, 0);
    while told.cuts < budget {
        // Clearing what is left of the bank is the larger part.
        case.fetch(|| Some(dice(&mut seed) % 400_000), &[], &mut told);
        fetched += 1;
    }
    println!(
        "delta a/b images={fetched} cuts={} fetched_again<={} block={BLOCK} ram={}",
        told.cuts,
        told.most_fetched_again,
        size_of::<Taking<Decoder<256>>>(),
    );
    assert!(told.most_fetched_again <= BLOCK);
    assert!(size_of::<Taking<Decoder<256>>>() <= 2_048 + 256 + PAGE);
}

#[test]
fn a_payload_that_becomes_more_than_was_declared_is_not_written() {
    let case = plain(1_000);
    for declared in [0, 1, PAGE - 1, PAGE, 999] {
        let mut banks = case.banks();
        let expected = Expected::new(1_000, declared as u32, sha256(&case.new));
        let mut intake: Taking<Plain> =
            Intake::begin(Plain::new(), Sha256::default(), expected, &mut banks).unwrap();
        let pushed = intake.push(&mut banks, 0, &case.payload);
        assert_eq!(pushed, Err(IntakeError::TooLong));
        assert!(banks.bytes(Bank::B).len() <= declared);
    }
    let mut banks = case.banks();
    let mut intake: Taking<Plain> =
        Intake::begin(Plain::new(), Sha256::default(), case.expected(), &mut banks).unwrap();
    assert_eq!(
        intake.push(&mut banks, 0, &vec![0; 1_001]),
        Err(IntakeError::TooLong)
    );
    assert_eq!(
        intake.push(&mut banks, u32::MAX, &[1]),
        Err(IntakeError::TooLong)
    );
    assert_eq!(
        intake.push(&mut banks, 3, &[1]),
        Err(IntakeError::Gap { expected: 0 })
    );
    assert_eq!(banks.bytes(Bank::B), []);
    let expected = Expected::new(1_000, banks.capacity() + 1, [0; 32]);
    let begun: Result<Taking<Plain>, _> =
        Intake::begin(Plain::new(), Sha256::default(), expected, &mut banks);
    assert_eq!(begun.err(), Some(IntakeError::TooLong));
}

#[test]
fn an_interruption_after_the_last_block_costs_no_more_than_its_page() {
    // The last page is full, or a part of one.
    for len in [4 * PAGE, 4 * PAGE + 1, 5 * PAGE - 1] {
        let case = plain(len);
        let mut banks = case.banks();
        let mut intake: Taking<Plain> =
            Intake::begin(Plain::new(), Sha256::default(), case.expected(), &mut banks).unwrap();
        intake.push(&mut banks, 0, &case.payload).unwrap();
        let mut room = [0; 64];
        let saved = intake.checkpoint(&mut room).unwrap();
        let mut intake: Taking<Plain> = Intake::resume(
            Plain::new(),
            Sha256::default(),
            case.expected(),
            &mut banks,
            &room[..saved],
        )
        .unwrap();
        let from = intake.received();
        assert!(
            case.payload.len() - (from as usize) < PAGE,
            "{from} of {len}"
        );
        let rest = &case.payload[from as usize..];
        intake.push(&mut banks, from, rest).unwrap();
        assert_eq!(intake.finish(&mut banks), Ok(()));
        assert!(banks.bytes(Bank::B) == case.new);
    }
}

#[test]
fn a_piece_that_was_there_already_is_nothing_new() {
    let case = plain(1_000);
    let mut banks = case.banks();
    let mut intake: Taking<Plain> =
        Intake::begin(Plain::new(), Sha256::default(), case.expected(), &mut banks).unwrap();
    intake.push(&mut banks, 0, &case.payload[..600]).unwrap();
    for (from, to) in [(0, 600), (0, 1), (599, 600), (100, 400)] {
        let again = intake.push(&mut banks, from as u32, &case.payload[from..to]);
        assert_eq!((again, intake.received()), (Ok(()), 600));
    }
    // A piece of which only a part was there must come in its place.
    assert_eq!(
        intake.push(&mut banks, 500, &case.payload[500..700]),
        Err(IntakeError::Gap { expected: 600 })
    );
    intake.push(&mut banks, 600, &case.payload[600..]).unwrap();
    assert_eq!(intake.finish(&mut banks), Ok(()));
    assert!(banks.bytes(Bank::B) == case.new);
}

#[test]
fn what_is_missing_or_another_image_is_never_finished() {
    let case = plain(1_000);
    let finished = |bytes: &[u8]| {
        let mut banks = case.banks();
        let mut intake: Taking<Plain> =
            Intake::begin(Plain::new(), Sha256::default(), case.expected(), &mut banks).unwrap();
        intake.push(&mut banks, 0, bytes).unwrap();
        intake.finish(&mut banks)
    };
    assert_eq!(finished(&case.payload), Ok(()));
    assert_eq!(finished(&case.payload[..999]), Err(IntakeError::Incomplete));
    let mut other = case.payload.clone();
    other[500] ^= 1;
    assert_eq!(finished(&other), Err(IntakeError::Digest));
}

#[test]
fn a_checkpoint_that_is_none_begins_again() {
    let case = changed(3_000);
    let mut banks = case.banks();
    let mut intake: Taking<Decoder<256>> = Intake::begin(
        case.transform(),
        Sha256::default(),
        case.expected(),
        &mut banks,
    )
    .unwrap();
    intake
        .push(&mut banks, 0, &case.payload[..2 * BLOCK])
        .unwrap();
    let mut room = [0; 512];
    let len = intake.checkpoint(&mut room).unwrap();
    let resume = |saved: &[u8]| {
        let (mut banks, transform) = (banks.clone(), case.transform());
        let resumed: Taking<Decoder<256>> = Intake::resume(
            transform,
            Sha256::default(),
            case.expected(),
            &mut banks,
            saved,
        )
        .unwrap();
        (resumed.written(), resumed.received())
    };
    assert!(resume(&room[..len]).1 > 0);
    for cut in 0..len {
        assert_eq!(resume(&room[..cut]), (0, 0));
    }
}

/// A source that fails every seventh time, and else gives less than it is asked for every second time.
struct Shy<'a> {
    payload: &'a [u8],
    asked: u32,
    given: usize,
}

impl ImageSource for Shy<'_> {
    type Error = core::fmt::Error;

    async fn read(&mut self, offset: u32, buffer: &mut [u8]) -> Result<usize, core::fmt::Error> {
        self.asked += 1;
        if self.asked.is_multiple_of(7) {
            return Err(core::fmt::Error);
        }
        let len = match self.asked % 2 {
            0 => buffer.len().div_ceil(2),
            _ => buffer.len(),
        };
        let mut payload = self.payload;
        let Ok(given) = payload.read(offset, &mut buffer[..len]).await;
        self.given += given;
        Ok(given)
    }
}

#[test]
fn a_bank_is_filled_from_a_source_that_fails_with_a_reboot_after_each_failure() {
    let case = changed(4_000);
    let mut source = Shy {
        payload: &case.payload,
        asked: 0,
        given: 0,
    };
    let (mut banks, mut records) = (case.banks(), FixedRecords::<4, 512>::new());
    let (key, mut room, mut block) = (RecordKey::new(7), [0; 512], [0; BLOCK]);
    let mut boots = 0;
    let intake = loop {
        boots += 1;
        assert!(boots < 100, "no end");
        let saved = block_on(records.read(key, &mut room))
            .unwrap()
            .unwrap_or(&[]);
        let mut intake: Taking<Decoder<256>> = Intake::resume(
            case.transform(),
            Sha256::default(),
            case.expected(),
            &mut banks,
            saved,
        )
        .unwrap();
        let filled = block_on(fill(
            &mut source,
            &mut intake,
            &mut banks,
            &mut records,
            key,
            &mut block,
        ));
        match filled {
            Ok(()) => break intake,
            Err(FillError::Source(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
    };
    intake.finish(&mut banks).unwrap();
    assert!(banks.bytes(Bank::B) == case.new);
    assert!(boots > 2, "{boots}");
    assert!(source.given <= case.payload.len() + boots * BLOCK);
}

#[test]
fn a_source_that_has_less_than_declared_is_no_image() {
    let case = plain(1_000);
    let mut banks = case.banks();
    let mut intake: Taking<Plain> =
        Intake::begin(Plain::new(), Sha256::default(), case.expected(), &mut banks).unwrap();
    let mut records = FixedRecords::<4, 512>::new();
    let mut source = &case.payload[..999];
    let key = RecordKey::new(7);
    let mut run = |block: &mut [u8]| {
        block_on(fill(
            &mut source,
            &mut intake,
            &mut banks,
            &mut records,
            key,
            block,
        ))
    };
    assert_eq!(run(&mut []), Err(FillError::Buffer));
    assert_eq!(run(&mut [0; BLOCK]), Err(FillError::Ended));
}

#[cfg(feature = "std")]
#[test]
fn an_image_in_a_file_is_a_source_like_any_other() {
    let case = plain(3_000);
    let path = std::env::temp_dir().join(format!("iot-ota-image-{}", std::process::id()));
    std::fs::write(&path, &case.payload).unwrap();
    let mut source = iot_ota::image::ImageFile::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let (mut banks, mut records) = (case.banks(), FixedRecords::<4, 512>::new());
    let mut intake: Taking<Plain> =
        Intake::begin(Plain::new(), Sha256::default(), case.expected(), &mut banks).unwrap();
    let key = RecordKey::new(7);
    let filled = block_on(fill(
        &mut source,
        &mut intake,
        &mut banks,
        &mut records,
        key,
        &mut [0; BLOCK],
    ));
    assert!(filled.is_ok());
    assert_eq!(intake.finish(&mut banks), Ok(()));
}

proptest! {
    #[test]
    fn blocks_in_any_order_come_out_in_theirs(
        len in 1_usize..200,
        order in proptest::collection::vec((0_u32..30, any::<bool>()), 0..200),
    ) {
        let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
        let hashes = payload.chunks(8).flat_map(sha256).collect::<Vec<u8>>();
        let mut blocks =
            Reorder::<_, 8, 3>::new(Sha256::default(), &hashes, len as u32).unwrap();
        let mut out = Vec::new();
        let rest = (0..30).map(|block| (block, false));
        for (block, spoilt) in order.into_iter().chain(rest) {
            let from = block as usize * 8;
            if from >= len {
                continue;
            }
            let mut bytes = payload[from..(from + 8).min(len)].to_vec();
            if spoilt {
                bytes[0] ^= 1;
            }
            let first = (out.len() / 8) as u32;
            let wanted = blocks.missing().any(|offset| offset == block * 8);
            match blocks.accept(block * 8, &bytes) {
                Ok(()) => prop_assert!(!(spoilt && wanted)),
                Err(BlockError::Hash { block: named }) => prop_assert!(spoilt && named == block),
                Err(BlockError::Ahead { first: named }) => {
                    prop_assert!(named == first && block >= first + 3);
                }
                Err(error) => panic!("{error:?}"),
            }
            while let Some((offset, bytes)) = blocks.ready() {
                prop_assert_eq!(offset as usize, out.len());
                out.extend_from_slice(bytes);
                blocks.release();
            }
        }
        prop_assert_eq!(out, payload);
    }
}

#[test]
fn blocks_go_on_where_they_were_interrupted_and_nothing_is_skipped() {
    let payload = b"abcdefghijklmnopqr";
    let hashes = payload.chunks(4).flat_map(sha256).collect::<Vec<u8>>();
    let begin = || Reorder::<_, 4, 2>::new(Sha256::default(), &hashes, 18).unwrap();
    let missing = |blocks: &Reorder<'_, Sha256, 4, 2>| blocks.missing().collect::<Vec<_>>();
    // In the middle of a block, that block is the next one.
    for (offset, next) in [(0, 0), (3, 0), (4, 4), (7, 4), (17, 16)] {
        let blocks = begin().resume(offset);
        assert_eq!(missing(&blocks).first(), Some(&next), "from {offset}");
    }
    assert_eq!(
        missing(&begin().resume(16)),
        [16],
        "there is none behind the last"
    );
    assert_eq!(missing(&begin().resume(99)), [16]);

    let mut blocks = begin().resume(8);
    // What is not there is not dealt with.
    blocks.release();
    assert_eq!(missing(&blocks), [8, 12]);
    blocks.accept(12, b"mnop").unwrap();
    blocks.release();
    assert_eq!((blocks.ready(), missing(&blocks)), (None, vec![8]));
    // What was handed on before is nothing new, and takes no place.
    blocks.accept(0, b"abcd").unwrap();
    assert_eq!((blocks.ready(), missing(&blocks)), (None, vec![8]));
    blocks.accept(8, b"ijkl").unwrap();
    assert_eq!(blocks.ready(), Some((8, &b"ijkl"[..])));
}

#[test]
fn what_is_no_block_is_refused() {
    let hashes = [sha256(b"abcd"), sha256(b"ef")].concat();
    let new = |hashes: &[u8], size| Reorder::<_, 4, 2>::new(Sha256::default(), hashes, size).err();
    assert_eq!(new(&hashes[..63], 6), Some(BlockError::Table));
    assert_eq!(new(&hashes, 9), Some(BlockError::Table));
    assert_eq!(new(&hashes, 4), Some(BlockError::Table));
    let mut blocks = Reorder::<_, 4, 2>::new(Sha256::default(), &hashes, 6).unwrap();
    for (offset, bytes) in [
        (1, &b"bcde"[..]),
        (0, b"abc"),
        (4, b"efgh"),
        (8, b"x"),
        (u32::MAX, b"x"),
        (6, b""),
    ] {
        assert_eq!(blocks.accept(offset, bytes), Err(BlockError::Shape));
    }
}
