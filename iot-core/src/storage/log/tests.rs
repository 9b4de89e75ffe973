mod damage;
mod drops;
mod long;
mod order;

use alloc::vec::Vec;

use super::*;
use crate::engine::{BatchWriter, RecordKey};
use crate::node::block_on;
use crate::sim::SimFlash;
use crate::sim::flash::{Mode, SimFlashError};

const PAGES: u16 = 5;
const PAGE: u32 = 256;
const REGION: Range<u32> = 0..PAGE * PAGES as u32;

type Flash = SimFlash<4, 256>;
/// A key, and its value unless it was removed.
type Told = (u32, Option<Vec<u8>>);

fn new_flash() -> Flash {
    Flash::new(PAGES, Mode::WriteOnce)
}

fn open<F: NorFlash>(flash: F) -> Result<Log<F, 5>, LogError<F::Error>> {
    block_on(Log::open(flash, REGION, Config::new()))
}

fn told(number: u32) -> [Told; 2] {
    let value = (0..number % 30).map(|at| (number + at) as u8).collect();
    let second = (!number.is_multiple_of(3)).then(|| Vec::from(number.to_le_bytes()));
    [(number, Some(value)), (number + 1, second)]
}

fn with_batch<R>(entries: &[Told], with: impl FnOnce(&Batch<'_>) -> R) -> R {
    let mut buffer = [0; 8192];
    let mut writer = BatchWriter::new(&mut buffer);
    for (key, value) in entries {
        match value {
            Some(value) => writer.put(RecordKey::new(*key), value).unwrap(),
            None => writer.remove(RecordKey::new(*key)).unwrap(),
        }
    }
    with(&writer.finish())
}

fn append<F: NorFlash, const P: usize>(
    log: &mut Log<F, P>,
    entries: &[Told],
) -> Result<(), LogError<F::Error>> {
    with_batch(entries, |batch| block_on(log.append(batch)))
}

/// Appends after the oldest page was retired, if it must be; says whether it was.
fn append_anyway<F: NorFlash, const P: usize>(log: &mut Log<F, P>, entries: &[Told]) -> bool {
    let full = append(log, entries).is_err();
    if full {
        block_on(log.retire_oldest()).unwrap();
        append(log, entries).unwrap();
    }
    full
}

/// What the log tells from a place on; the place is then behind it.
fn read_on<F: NorFlash, const P: usize>(
    log: &mut Log<F, P>,
    cursor: &mut Cursor,
) -> Result<Vec<Told>, LogError<F::Error>> {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    while let Some(entry) = block_on(log.next(cursor))? {
        let value = block_on(log.read(&entry, &mut buffer))?;
        assert_eq!(entry.value_bytes().unwrap_or(0), value.len());
        let value = entry.value_bytes().map(|_| value.to_vec());
        all.push((entry.key().get(), value));
    }
    Ok(all)
}

fn content<F: NorFlash, const P: usize>(log: &mut Log<F, P>) -> Vec<Told> {
    let mut cursor = log.oldest();
    read_on(log, &mut cursor).unwrap()
}

#[test]
fn a_cursor_goes_through_all_pages_in_the_order_of_appending_and_follows_the_growing_log() {
    let mut log = open(new_flash()).unwrap();
    let (mut all, mut retired) = (Vec::new(), 0);
    let mut follower = log.oldest();
    for number in 0..400 {
        retired += u32::from(append_anyway(&mut log, &told(number)));
        all.extend(told(number));
        assert_eq!(
            read_on(&mut log, &mut follower).unwrap(),
            told(number),
            "{number}"
        );
        let found = content(&mut log);
        assert!(all.ends_with(&found) && found.len() >= 2, "{number}");
    }
    assert!(retired > 30, "only {retired} retirements");
    assert_eq!(log.flash().violation(), None);
}

#[test]
fn a_retirement_takes_the_oldest_page_alone_and_the_only_page_stays() {
    let mut log = open(new_flash()).unwrap();
    let mut number = 0;
    while log.pages_in_use() < 3 {
        append(&mut log, &told(number)).unwrap();
        number += 1;
    }
    for pages in [2, 1] {
        let mut cursor = log.oldest();
        let first = block_on(log.next(&mut cursor)).unwrap().unwrap();
        let (before, place) = (content(&mut log), first.place);
        block_on(log.retire_oldest()).unwrap();
        let after = content(&mut log);
        assert!(before.ends_with(&after) && after.len() < before.len());
        assert_eq!(log.pages_in_use(), pages);
        // A cursor in the page that is gone begins again with what is left.
        assert_eq!(read_on(&mut log, &mut cursor).unwrap(), after);
        let mut buffer = [0; 64];
        let read = block_on(log.read(&first, &mut buffer));
        assert_eq!(read, Err(LogError::Corrupt), "{place:?}");
    }
    let last = content(&mut log);
    block_on(log.retire_oldest()).unwrap();
    assert_eq!(content(&mut log), last);
}

#[test]
fn an_entry_is_not_taken_for_another_of_its_kind_that_stands_where_it_stood() {
    let mut log = open(new_flash()).unwrap();
    let entry = |number: u32| [(7, Some(Vec::from(number.to_le_bytes())))];
    append(&mut log, &entry(0)).unwrap();
    let mut cursor = log.oldest();
    let old = block_on(log.next(&mut cursor)).unwrap().unwrap();
    let mut same = 0;
    for number in 1..200 {
        append_anyway(&mut log, &entry(number));
        let mut cursor = log.oldest();
        while let Some(new) = block_on(log.next(&mut cursor)).unwrap() {
            if new.place == old.place && new != old {
                same += 1;
                let mut buffer = [0; 64];
                let read = block_on(log.read(&old, &mut buffer));
                assert_eq!(read, Err(LogError::Corrupt));
            }
        }
    }
    assert!(same > 10, "the place was never used again");
}

#[test]
fn a_full_log_refuses_without_a_change_until_a_page_is_retired() {
    let mut log = open(new_flash()).unwrap();
    let mut number = 0;
    while append(&mut log, &told(number)).is_ok() {
        number += 1;
    }
    assert!(log.is_at_limit());
    assert_eq!(log.pages_in_use(), 3);
    let (before, image) = (content(&mut log), log.flash().image().hash());
    for _ in 0..3 {
        assert_eq!(append(&mut log, &told(number)), Err(LogError::Full));
    }
    assert_eq!(log.flash().image().hash(), image);
    assert_eq!(content(&mut log), before);
    block_on(log.retire_oldest()).unwrap();
    append(&mut log, &told(number)).unwrap();
}

#[test]
fn the_longest_batch_fills_a_page_and_a_longer_one_is_refused_without_a_change() {
    let mut log = open(new_flash()).unwrap();
    append(&mut log, &told(8)).unwrap();
    let image = log.flash().image().hash();
    let long = |bytes: usize| [(1, Some(Vec::from_iter((0..bytes).map(|at| at as u8))))];
    let Err(LogError::TooLong { limit }) = append(&mut log, &long(4000)) else {
        panic!("it was not refused");
    };
    assert_eq!(
        append(&mut log, &long(limit as usize - 11)),
        Err(LogError::TooLong { limit })
    );
    assert_eq!(log.flash().image().hash(), image);
    append(&mut log, &long(limit as usize - 12)).unwrap();
    assert_eq!(content(&mut log)[2..], long(limit as usize - 12));

    // Nor is a value longer than its length can tell, whatever the page holds.
    let flash = SimFlash::<4, 16384>::new(4, Mode::WriteOnce);
    let mut log = block_on(Log::<_, 4>::open(flash, 0..65536, Config::new())).unwrap();
    assert!(matches!(
        append(&mut log, &long(4096)),
        Err(LogError::TooLong { .. })
    ));
    append(&mut log, &long(4095)).unwrap();
    assert_eq!(content(&mut log), long(4095));
}

#[test]
fn a_batch_without_entries_changes_nothing() {
    let mut log = open(new_flash()).unwrap();
    let image = log.flash().image().hash();
    append(&mut log, &[]).unwrap();
    assert_eq!(log.flash().image().hash(), image);
}

#[test]
fn a_region_is_whole_pages_of_the_flash_two_more_than_are_spare_and_not_more_than_fit() {
    let four = Config::new();
    let refused = [
        (0..PAGE * 3, four),
        (PAGE * 2..PAGE * 5, four),
        (0..PAGE * 4, four.spare_pages(3)),
        (0..PAGE * 6, four),
        (4..PAGE * 4 + 4, four),
        (0..PAGE * 4 + 4, four),
        (
            Range {
                start: PAGE * 4,
                end: 0,
            },
            four,
        ),
    ];
    for (region, config) in refused {
        let mut flash = new_flash();
        let log = block_on(Log::<_, 5>::open(&mut flash, region.clone(), config));
        assert_eq!(log.err(), Some(LogError::Region { limit: 5 }), "{region:?}");
        assert_eq!(flash.counters().words, 0);
    }
    let mut flash = new_flash();
    let four_of_five = block_on(Log::<_, 4>::open(&mut flash, REGION, four));
    assert_eq!(four_of_five.err(), Some(LogError::Region { limit: 4 }));
}

#[test]
fn a_log_changes_nothing_outside_of_its_region() {
    let mut flash = SimFlash::<4, 256>::new(7, Mode::WriteOnce);
    block_on(flash.write(PAGE - 4, b"mine")).unwrap();
    block_on(flash.write(PAGE * 6, b"mine")).unwrap();
    let around = [flash.image().page_hash(0), flash.image().page_hash(6)];
    let region = PAGE..PAGE * 6;
    let mut log = block_on(Log::<_, 5>::open(flash, region, Config::new())).unwrap();
    for number in 0..200 {
        append_anyway(&mut log, &told(number));
    }
    let image = log.flash().image();
    assert_eq!([image.page_hash(0), image.page_hash(6)], around);
    assert!((1..6).all(|page| image.erases(page) > 3));
}

#[test]
fn a_boot_that_writes_opens_a_page_where_no_guard_may_be_written() {
    let boot = |flash: &mut Flash, config: Config, number| {
        flash.reboot();
        let mut log = block_on(Log::<_, 5>::open(&mut *flash, REGION, config)).unwrap();
        append_anyway(&mut log, &told(number));
        content(&mut log)
    };
    let erases = |config: Config| {
        let (mut flash, mut all) = (new_flash(), Vec::new());
        for number in 0..40 {
            all.extend(told(number));
            let found = boot(&mut flash, config, number);
            assert!(all.ends_with(&found) && found.ends_with(&told(number)));
        }
        assert_eq!(flash.violation(), None);
        flash.counters().erases
    };
    let (with, without) = (erases(Config::new()), erases(Config::new().without_guard()));
    assert!(with < 20 && without >= 40, "{with} and {without} erasures");
}

#[test]
fn a_buffer_that_is_too_short_is_told_the_length() {
    let mut log = open(new_flash()).unwrap();
    append(&mut log, &told(23)).unwrap();
    let mut cursor = log.oldest();
    let entry = block_on(log.next(&mut cursor)).unwrap().unwrap();
    let mut buffer = [0; 22];
    let read = block_on(log.read(&entry, &mut buffer));
    assert_eq!(read, Err(LogError::Buffer { bytes: 23 }));
    assert!(block_on(log.read(&entry, &mut [0; 23])).is_ok());
}

#[test]
fn an_error_of_the_flash_is_handed_on_and_the_next_call_recovers() {
    let mut flash = new_flash();
    let mut log = open(&mut flash).unwrap();
    append(&mut log, &told(1)).unwrap();
    let flash = log.into_flash();
    flash.cut_after(2, crate::sim::flash::Torn::NotStarted);
    let mut log = open(&mut *flash).unwrap();
    let cut = Err(LogError::Flash(SimFlashError::Cut));
    assert_eq!(append(&mut log, &told(2)), cut);
    assert_eq!(append(&mut log, &told(2)), cut);
    log.machine.flash.reboot();
    append(&mut log, &told(2)).unwrap();
    assert_eq!(content(&mut log), [told(1), told(2)].concat());
}
