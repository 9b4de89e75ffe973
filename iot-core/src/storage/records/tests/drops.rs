//! Futures that are dropped while they wait for the flash.

use super::*;
use crate::storage::slow::{Slow, poll_times};

type Flash = SimFlash<4, 256>;
type SlowStore = FlashRecords<Slow<Flash>, 4, 8>;
const REGION: Range<u32> = 0..1024;

fn slow(flash: Slow<Flash>) -> SlowStore {
    block_on(SlowStore::open(flash, REGION, Config::new())).unwrap()
}

fn with_batch<R>(changes: &[Change], with: impl FnOnce(&Batch<'_>) -> R) -> R {
    let mut buffer = [0; 1024];
    let mut writer = BatchWriter::new(&mut buffer);
    for (key, value) in changes {
        match value {
            Some(value) => writer.put(RecordKey::new(*key), value).unwrap(),
            None => writer.remove(RecordKey::new(*key)).unwrap(),
        }
    }
    with(&writer.finish())
}

/// Drops one commit at each of its awaits; returns how many there were, and how many pages it erased.
fn drop_everywhere(store: &SlowStore, before: &Map, changes: &[Change]) -> (usize, u64) {
    let mut after = before.clone();
    apply(&mut after, changes);
    let erases = store.flash().0.counters().erases;
    for polls in 1.. {
        let mut dropped = store.clone();
        let done = with_batch(changes, |batch| poll_times(polls, dropped.commit(batch)));
        if let Some(result) = done {
            result.unwrap();
            return (polls, dropped.flash().0.counters().erases - erases);
        }
        // The recovery of the next call is dropped as well, at each of its awaits in turn.
        let mut key = RecordKey::new(0);
        for polls in 1.. {
            match poll_times(polls, dropped.next_key(key)) {
                None => {}
                Some(next) => {
                    key = next.unwrap().unwrap_or(key);
                    break;
                }
            }
        }
        let found = content(&mut dropped);
        assert!(
            found == *before || found == after,
            "after {polls} polls: {found:?}"
        );
        assert_eq!(content(&mut slow(dropped.flash().clone())), found);
        commit(&mut dropped, changes).unwrap();
        assert_eq!(content(&mut dropped), after);
        assert_eq!(content(&mut slow(dropped.into_flash())), after);
    }
    (0, 0)
}

#[test]
fn a_dropped_commit_is_there_whole_or_not_at_all_also_where_it_compacts() {
    let mut store = slow(Slow(Flash::new(PAGES, Mode::WriteOnce)));
    let (mut map, mut awaits, mut erases) = (Map::new(), 0, 0);
    for round in 0..24 {
        let changes = script(round);
        let dropped = drop_everywhere(&store, &map, &changes);
        (awaits, erases) = (awaits + dropped.0, erases + dropped.1);
        commit(&mut store, &changes).unwrap();
        apply(&mut map, &changes);
    }
    assert!(
        awaits > 200 && erases > 2,
        "{awaits} awaits, {erases} erasures"
    );
}

#[test]
fn a_recovery_that_is_dropped_while_it_reads_begins_again() {
    let mut store = slow(Slow(Flash::new(PAGES, Mode::WriteOnce)));
    let mut map = Map::new();
    for round in 0..9 {
        commit(&mut store, &script(round)).unwrap();
        apply(&mut map, &script(round));
    }
    // A commit that was begun and dropped, so that the next call looks at the flash.
    assert!(with_batch(&script(9), |batch| poll_times(1, store.commit(batch))).is_none());
    let mut polls = 0;
    while poll_times(polls, store.next_key(RecordKey::new(0))).is_none() {
        // Every call recovers from the start, and never answers from a part of it.
        polls += 1;
    }
    assert!(polls > 20, "only {polls} awaits");
    assert_eq!(content(&mut store), map);
}
