//! How many keys a store holds, and what it counts of a batch.

use super::*;
use crate::storage::memory::FixedRecords;
#[cfg(feature = "alloc")]
use crate::storage::memory::MemoryRecords;

type Three<'f> = FlashRecords<&'f mut SimFlash<4, 512>, 4, 3>;

fn open_three(flash: &mut SimFlash<4, 512>) -> Three<'_> {
    block_on(Three::open(flash, 0..2048, Config::new())).unwrap()
}

/// What is there after each batch was offered, and whether it was taken.
fn offer<R: Records>(store: &mut R, batches: &[Vec<Change>]) -> Vec<(bool, Map)> {
    let offer = |batch: &Vec<Change>| (commit(store, batch).is_ok(), content(store));
    batches.iter().map(offer).collect()
}

/// A store that holds any number of keys, and refuses when there are more than three.
fn expected(batches: &[Vec<Change>]) -> Vec<(bool, Map)> {
    let mut map = Map::new();
    let offer = |batch: &Vec<Change>| {
        let mut next = map.clone();
        apply(&mut next, batch);
        let fits = next.len() <= 3;
        if fits {
            map = next;
        }
        (fits, map.clone())
    };
    batches.iter().map(offer).collect()
}

#[test]
fn a_key_is_counted_once_and_one_that_is_removed_before_not_at_all() {
    let put = |key: u32| (key, Some(Vec::from([key as u8])));
    let batches = [
        [put(1), put(2)].to_vec(),
        [put(3), put(3)].to_vec(),
        [(1, None), put(4)].to_vec(),
        [put(4), put(5)].to_vec(),
        [put(2), (2, None), put(6), put(6)].to_vec(),
        [(6, None), (6, None), put(7), put(8)].to_vec(),
    ];
    let expected = expected(&batches);
    let taken: Vec<_> = expected.iter().map(|(taken, _)| *taken).collect();
    assert_eq!(taken, [true, true, true, false, true, false]);
    let mut flash = SimFlash::new(4, Mode::WriteOnce);
    assert_eq!(offer(&mut open_three(&mut flash), &batches), expected);
    assert_eq!(offer(&mut FixedRecords::<3, 8>::new(), &batches), expected);
}

#[test]
fn a_store_that_holds_its_keys_says_so_and_changes_nothing() {
    let mut flash = SimFlash::new(4, Mode::WriteOnce);
    let mut store = open_three(&mut flash);
    let change = |key: u32| (key, Some(Vec::new()));
    commit(&mut store, &[change(1), change(2), change(3)]).unwrap();
    let before = store.flash().operations();
    let refused = commit(&mut store, &[change(4)]);
    assert_eq!(refused, Err(FlashError::Keys { limit: 3 }));
    assert_eq!(store.flash().operations(), before);
}

fn removals_first(mut batch: Vec<Change>) -> Vec<Change> {
    batch.sort_by_key(|(_, value)| value.is_some());
    batch
}

fn few_keys() -> impl Strategy<Value = Change> {
    let value = proptest::collection::vec(any::<u8>(), 0..7);
    (0u32..6, proptest::option::of(value))
}

proptest! {
    #[test]
    fn every_store_counts_the_keys_that_a_batch_leaves(batches in proptest::collection::vec(proptest::collection::vec(few_keys(), 0..6), 0..12)) {
        let sorted: Vec<_> = batches.iter().cloned().map(removals_first).collect();
        let expected = expected(&sorted);
        let mut flash = SimFlash::new(4, Mode::WriteOnce);
        prop_assert_eq!(&offer(&mut open_three(&mut flash), &sorted), &expected);
        prop_assert_eq!(&content(&mut open_three(&mut flash)), &expected.last().cloned().unwrap_or_default().1);
        prop_assert_eq!(&offer(&mut FixedRecords::<3, 8>::new(), &sorted), &expected);
        let fitting: Vec<_> = sorted.iter().zip(&expected).filter(|(_, end)| end.0).map(|(batch, _)| batch.clone()).collect();
        let ends: Vec<_> = expected.into_iter().filter(|end| end.0).collect();
        #[cfg(feature = "alloc")]
        prop_assert_eq!(offer(&mut MemoryRecords::new(), &fitting), ends);
        #[cfg(not(feature = "alloc"))]
        let _ = (fitting, ends);
    }

    /// In the order of the batch no key may be one too many, so flash may refuse what the result would allow.
    #[test]
    fn no_batch_that_was_taken_leaves_more_than_a_boot_can_show(batches in proptest::collection::vec(proptest::collection::vec(few_keys(), 0..6), 0..12)) {
        let mut flash = SimFlash::new(4, Mode::WriteOnce);
        let mut map = Map::new();
        for batch in batches {
            if commit(&mut open_three(&mut flash), &batch).is_ok() {
                apply(&mut map, &batch);
            }
            prop_assert_eq!(&content(&mut open_three(&mut flash)), &map);
        }
    }
}
