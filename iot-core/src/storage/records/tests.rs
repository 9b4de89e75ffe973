mod drops;
mod full;
mod keys;
mod long;
mod reads;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use embedded_storage_async::nor_flash::ReadNorFlash as _;
use proptest::prelude::*;

use super::*;
use crate::engine::BatchWriter;
use crate::node::block_on;
use crate::sim::SimFlash;
use crate::sim::flash::{Mode, Reading, SimFlashError, Torn};

const PAGES: u16 = 4;
type Store<'f, const W: usize, const E: usize> = FlashRecords<&'f mut SimFlash<W, E>, 4, 8>;
type Map = BTreeMap<u32, Vec<u8>>;
type Change = (u32, Option<Vec<u8>>);

fn open<const W: usize, const E: usize>(
    flash: &mut SimFlash<W, E>,
) -> Result<Store<'_, W, E>, FlashError<SimFlashError>> {
    let region = 0..u32::from(PAGES) * E as u32;
    block_on(Store::open(flash, region, Config::new()))
}

fn commit<R: Records>(store: &mut R, changes: &[Change]) -> Result<(), R::Error> {
    let mut buffer = [0; 2048];
    let mut writer = BatchWriter::new(&mut buffer);
    for (key, value) in changes {
        match value {
            Some(value) => writer.put(RecordKey::new(*key), value).unwrap(),
            None => writer.remove(RecordKey::new(*key)).unwrap(),
        }
    }
    block_on(store.commit(&writer.finish()))
}

fn content<R: Records>(store: &mut R) -> Map {
    let (mut all, mut from) = (Map::new(), RecordKey::new(0));
    while let Some(key) = block_on(store.next_key(from)).unwrap() {
        let mut buffer = [0; 1024];
        let value = block_on(store.read(key, &mut buffer)).unwrap().unwrap();
        all.insert(key.get(), value.to_vec());
        from = key.offset(1).unwrap();
    }
    all
}

fn apply(map: &mut Map, changes: &[Change]) {
    for (key, value) in changes {
        match value {
            Some(value) => drop(map.insert(*key, value.clone())),
            None => drop(map.remove(key)),
        }
    }
}

fn script(round: u32) -> Vec<Change> {
    let value = |len: u32| {
        (0..len)
            .map(|at| (round * 7 + at) as u8)
            .collect::<Vec<_>>()
    };
    let second = (!round.is_multiple_of(3)).then(|| value(round % 5));
    [(round % 4, Some(value(3 + round % 9))), (5, second)].into()
}

fn each_word_size(test: fn(usize)) {
    for size in [1, 2, 4, 8, 16, 32] {
        test(size);
    }
}

fn fills_and_reopens<const W: usize, const E: usize>() {
    let mut flash = SimFlash::<W, E>::new(PAGES, Mode::WriteOnce);
    let mut map = Map::new();
    for boot in 0..40 {
        flash.reboot();
        let operations = flash.operations();
        let mut store = open(&mut flash).unwrap();
        if boot > 0 {
            assert_eq!(operations, 0, "a clean boot writes nothing");
        }
        assert_eq!(content(&mut store), map, "after boot {boot}");
        for round in boot * 7..boot * 7 + 7 {
            let changes = script(round);
            commit(&mut store, &changes).unwrap();
            apply(&mut map, &changes);
            assert_eq!(content(&mut store), map, "round {round}");
        }
        assert_eq!(flash.violation(), None);
    }
    let erases = flash.counters().erases;
    assert!(erases > 12, "only {erases} erasures: nothing was compacted");
}

#[test]
fn what_is_committed_stays_over_compactions_and_boots_with_words_of_every_size() {
    each_word_size(|size| match size {
        1 => fills_and_reopens::<1, 512>(),
        2 => fills_and_reopens::<2, 512>(),
        4 => fills_and_reopens::<4, 512>(),
        8 => fills_and_reopens::<8, 512>(),
        16 => fills_and_reopens::<16, 1024>(),
        _ => fills_and_reopens::<32, 2048>(),
    });
}

/// One cut at each operation of a script, with one torn outcome; then the script goes on.
fn survives_a_cut_anywhere<const W: usize, const E: usize>(mode: Mode, torn: Torn) -> u32 {
    let (mut cuts, mut boots) = (0, 0);
    for at in 0.. {
        let mut flash = SimFlash::<W, E>::new(PAGES, mode);
        flash.cut_after(at, torn);
        let (mut map, mut round, mut next) = (Map::new(), 0, Vec::new());
        if let Ok(mut store) = open(&mut flash) {
            while round < 40 {
                next = script(round);
                if commit(&mut store, &next).is_err() {
                    break;
                }
                apply(&mut map, &next);
                round += 1;
            }
        }
        assert_eq!(flash.violation(), None, "{torn:?} at {at}");
        if flash.cut().is_none() {
            break;
        }
        cuts += 1;
        for reading in [Reading::Erased, Reading::Value, Reading::Flicker(at.into())] {
            let mut flash = flash.clone();
            flash.set_reading(reading);
            flash.reboot();
            let mut store = open(&mut flash).unwrap();
            let found = content(&mut store);
            let mut whole = map.clone();
            apply(&mut whole, &next);
            assert!(
                found == map || found == whole,
                "{torn:?} at {at}: {found:?}"
            );
            boots += flash.operations();
            assert!(flash.operations() <= 16);
            // The verdict holds, and the script goes on.
            flash.reboot();
            let mut store = open(&mut flash).unwrap();
            assert_eq!(content(&mut store), found, "{torn:?} at {at}");
            for round in round..round + 30 {
                commit(&mut store, &script(round)).unwrap();
            }
            assert_eq!(flash.violation(), None, "{torn:?} at {at}");
        }
    }
    assert!(boots > 0, "no boot had to give a page up");
    cuts
}

#[test]
fn a_batch_is_whole_or_absent_after_a_cut_at_any_operation() {
    let mut cuts = 0;
    let any = [
        Torn::NotStarted,
        Torn::Complete,
        Torn::Attempted,
        Torn::Unstable,
    ];
    for torn in any {
        cuts += survives_a_cut_anywhere::<4, 256>(Mode::Rewritable, torn);
        cuts += survives_a_cut_anywhere::<8, 512>(Mode::WriteOnce, torn);
    }
    cuts += survives_a_cut_anywhere::<4, 256>(Mode::Rewritable, Torn::Prefix(1));
    cuts += survives_a_cut_anywhere::<4, 256>(Mode::WriteOnce, Torn::Ecc);
    cuts += survives_a_cut_anywhere::<32, 2048>(Mode::WriteOnce, Torn::Ecc);
    assert!(cuts > 1_000, "only {cuts} cuts");
}

#[test]
fn a_value_that_was_damaged_is_not_made_good_by_copying_it() {
    let mut flash = SimFlash::<4, 256>::new(PAGES, Mode::Multiwrite);
    let value = [0xA5; 40];
    let mut store = open(&mut flash).unwrap();
    commit(
        &mut store,
        &[(1, Some(value.into())), (2, Some(value.into()))],
    )
    .unwrap();
    let damaged = (0..256 * 4).step_by(4).find(|&at| {
        let mut word = [0; 4];
        block_on(store.machine.flash.read(at, &mut word)).unwrap();
        word == [0xA5; 4]
    });
    block_on(
        store
            .machine
            .flash
            .write(damaged.unwrap(), &[0xA5, 0xA5, 0xA4, 0xA5]),
    )
    .unwrap();
    let mut buffer = [0; 40];
    let mut read = |store: &mut Store<'_, 4, 256>, key| {
        let read = block_on(store.read(RecordKey::new(key), &mut buffer));
        read.map(|value| value.map(<[u8]>::to_vec))
    };
    let corrupt = FlashError::Log(LogError::Corrupt);
    let mut round = 0;
    while commit(&mut store, &[(3, Some(Vec::from([round; 20])))]).is_ok() {
        assert_eq!(read(&mut store, 1), Err(corrupt));
        assert_eq!(read(&mut store, 2), Ok(Some(value.into())));
        round += 1;
    }
    assert!(round > 5, "nothing was to be copied");
    assert_eq!(commit(&mut store, &[(3, None)]), Err(corrupt));
    assert_eq!(open(&mut flash).err(), Some(corrupt));
}

fn change() -> impl Strategy<Value = Change> {
    let value = proptest::collection::vec(any::<u8>(), 0..60);
    (0u32..10, proptest::option::of(value))
}

proptest! {
    #[test]
    fn a_batch_changes_everything_or_is_refused_as_full(batches in proptest::collection::vec(proptest::collection::vec(change(), 0..5), 0..40)) {
        let mut flash = SimFlash::<4, 256>::new(PAGES, Mode::Rewritable);
        let mut store = open(&mut flash).unwrap();
        let mut map = Map::new();
        for batch in batches {
            let before = store.flash().counters().words;
            match commit(&mut store, &batch) {
                Ok(()) => apply(&mut map, &batch),
                Err(error) => {
                    prop_assert_eq!(error.kind(), RecordsErrorKind::Full);
                    prop_assert_eq!(store.flash().counters().words, before);
                }
            }
            prop_assert_eq!(&content(&mut store), &map);
        }
        flash.reboot();
        let mut store = open(&mut flash).unwrap();
        prop_assert_eq!(content(&mut store), map);
        prop_assert_eq!(flash.operations(), 0);
        prop_assert_eq!(flash.violation(), None);
    }
}
