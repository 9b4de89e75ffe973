//! Futures that are dropped while they wait for the flash.

use super::*;
use crate::storage::slow::{Slow, poll_times};

type SlowLog = Log<Slow<Flash>, 5>;

fn pages(count: usize) -> (SlowLog, Vec<Told>) {
    let (mut log, mut number) = (open(Slow(new_flash())).unwrap(), 0);
    while log.pages_in_use() < count {
        append(&mut log, &told(number)).unwrap();
        number += 1;
    }
    let all = content(&mut log);
    (log, all)
}

/// Drops what `call` makes of a log at each of its awaits; returns how many there were.
fn drop_everywhere(
    log: &SlowLog,
    call: impl Fn(&mut SlowLog, usize) -> bool,
    check: impl Fn(&[Told]),
) -> usize {
    for polls in 1.. {
        let mut dropped = log.clone();
        if call(&mut dropped, polls) {
            check(&content(&mut dropped));
            return polls;
        }
        // The log goes on as it is, and after a boot it is the same.
        let found = content(&mut dropped);
        check(&found);
        let mut flash = dropped.clone().into_flash();
        flash.0.reboot();
        assert_eq!(
            content(&mut open(flash).unwrap()),
            found,
            "after {polls} polls"
        );
        append_anyway(&mut dropped, &told(77));
        let after = content(&mut dropped);
        assert!(after.ends_with(&told(77)));
        assert_eq!(dropped.flash().0.violation(), None, "after {polls} polls");
        let mut again = open(dropped.into_flash()).unwrap();
        assert_eq!(content(&mut again), after, "after {polls} polls");
    }
    0
}

#[test]
fn a_dropped_append_is_there_whole_or_not_at_all() {
    for count in [1, 2, 3] {
        let (log, before) = pages(count);
        let long = [(9, Some(Vec::from([5; 150]))), (10, None)];
        let after = [&before[..], &long].concat();
        let polls = drop_everywhere(
            &log,
            |log, polls| with_batch(&long, |batch| poll_times(polls, log.append(batch))).is_some(),
            |found| assert!(found == before || found == after),
        );
        // At the limit it may be refused at once.
        assert!(polls > 8 || count == 3, "{polls} awaits");
    }
}

#[test]
fn a_dropped_append_after_a_boot_is_there_whole_or_not_at_all() {
    for config in [Config::new(), Config::new().without_guard()] {
        let (log, before) = pages(2);
        let log = block_on(Log::open(log.into_flash(), REGION, config)).unwrap();
        let after = [&before[..], &told(50)].concat();
        let polls = drop_everywhere(
            &log,
            |log, polls| {
                with_batch(&told(50), |batch| poll_times(polls, log.append(batch))).is_some()
            },
            |found| assert!(found == before || found == after),
        );
        assert!(polls > 8, "{polls} awaits");
    }
}

#[test]
fn a_dropped_retirement_is_there_or_not() {
    for count in [2, 3] {
        let (log, before) = pages(count);
        let mut retired = log.clone();
        block_on(retired.retire_oldest()).unwrap();
        let after = content(&mut retired);
        let polls = drop_everywhere(
            &log,
            |log, polls| poll_times(polls, log.retire_oldest()).is_some(),
            |found| assert!(found == before || found == after),
        );
        assert!(polls > 3, "{polls} awaits");
    }
}

#[test]
fn an_opening_may_be_dropped_at_any_await() {
    let empty = Slow(new_flash());
    let (full, all) = pages(3);
    let mut torn = full.clone();
    with_batch(&told(1), |batch| poll_times(2, torn.append(batch)));
    let mut none = 0;
    for (start, content_then) in [
        (empty, Vec::new()),
        (full.into_flash(), all.clone()),
        (torn.into_flash(), all),
    ] {
        for polls in 1.. {
            let mut flash = start.clone();
            let open_it = Log::<_, 5>::open(&mut flash, REGION, Config::new());
            let done = poll_times(polls, open_it).is_some();
            flash.0.reboot();
            assert_eq!(
                content(&mut open(flash).unwrap()),
                content_then,
                "{polls} polls"
            );
            if done {
                none += polls;
                break;
            }
        }
    }
    assert!(none > 60, "only {none} awaits");
}

#[test]
fn a_dropped_look_moves_no_cursor() {
    let (mut log, all) = pages(2);
    let mut cursor = log.oldest();
    let first = block_on(log.next(&mut cursor)).unwrap().unwrap();
    let start = cursor;
    for polls in 1.. {
        let next = poll_times(polls, log.next(&mut cursor)).map(|next| next.unwrap().unwrap());
        if next.is_some() {
            break;
        }
        assert_eq!(cursor, start);
        let mut value = [0; 64];
        poll_times(polls, log.read(&first, &mut value)).map(Result::unwrap);
    }
    assert_eq!(read_on(&mut log, &mut { start }).unwrap(), all[1..]);
}
