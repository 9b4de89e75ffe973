use super::*;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use proptest::prelude::*;

fn every(gap: Gap) -> impl Iterator<Item = u64> {
    gap.first..=gap.last
}

/// Messages in the order of their arrival, each with the floor that its sender had then.
fn arrivals() -> impl Strategy<Value = Vec<(u64, u64)>> {
    // A sender with up to 16 messages that are not settled, which are sent in any order, again, or never.
    proptest::collection::vec((0..4u8, 0..16usize), 1..400).prop_map(|moves| {
        let (mut live, mut next, mut sent) = (Vec::new(), 1u64, Vec::new());
        for (kind, at) in moves {
            match kind {
                0 | 1 if live.len() < 16 => {
                    live.push(next);
                    next += 1;
                }
                2 if !live.is_empty() => {
                    let index = at % live.len();
                    let _: u64 = live.remove(index);
                }
                _ if !live.is_empty() => {
                    let floor = live.iter().min().copied().unwrap_or(next);
                    if next - floor < 64 {
                        sent.push((live[at % live.len()], floor));
                    }
                }
                _ => {}
            }
        }
        sent
    })
}

proptest! {
    #[test]
    fn every_sequence_is_new_once_or_missing_once_and_never_both(arrivals in arrivals()) {
        let mut tracker = GapTracker::<2>::new();
        let (mut new, mut missing) = (BTreeSet::new(), BTreeSet::new());
        let mut highest_floor = 0;
        for (sequence, floor) in arrivals {
            let mut gaps = Vec::new();
            let receipt = tracker.receive(Position::new(7, sequence, floor), |gap| gaps.push(gap));
            match receipt {
                Receipt::New => prop_assert!(new.insert(sequence)),
                Receipt::Repeated | Receipt::TooLate => prop_assert!(new.contains(&sequence) || missing.contains(&sequence)),
            }
            for sequence in gaps.into_iter().flat_map(every) {
                prop_assert!(missing.insert(sequence));
            }
            highest_floor = highest_floor.max(floor);
        }
        prop_assert!(new.is_disjoint(&missing));
        for sequence in 1..highest_floor {
            prop_assert!(new.contains(&sequence) || missing.contains(&sequence), "{sequence} was not told");
        }
    }
}

#[test]
fn what_falls_out_of_the_window_is_missing_and_stays_it() {
    let mut tracker = GapTracker::<1>::new();
    let mut missing = Vec::new();
    assert_eq!(
        tracker.receive(Position::new(1, 2, 1), |gap| missing.push(gap)),
        Receipt::New
    );
    assert_eq!(
        tracker.receive(Position::new(1, 65, 1), |gap| missing.push(gap)),
        Receipt::New
    );
    assert_eq!(
        missing.iter().copied().flat_map(every).collect::<Vec<_>>(),
        [1]
    );
    assert_eq!(
        tracker.receive(Position::new(1, 1, 1), |gap| missing.push(gap)),
        Receipt::TooLate
    );
    assert_eq!(missing.len(), 1);
}

#[test]
fn a_jump_over_billions_is_one_gap_and_costs_one_window() {
    let mut tracker = GapTracker::<1>::new();
    let mut missing = Vec::new();
    let far = 1 << 60;
    assert_eq!(
        tracker.receive(Position::new(1, far, far), |gap| missing.push(gap)),
        Receipt::New
    );
    assert_eq!(
        (missing[0].first, missing[0].last, missing.len()),
        (1, far - 1, 1)
    );
}

#[test]
fn another_stream_begins_anew() {
    let mut tracker = GapTracker::<1>::new();
    let mut missing = Vec::new();
    for (stream, sequence) in [(1, 1), (1, 2), (2, 1)] {
        let position = Position::new(stream, sequence, sequence);
        assert_eq!(
            tracker.receive(position, |gap| missing.push(gap)),
            Receipt::New,
            "{stream} {sequence}"
        );
    }
    assert!(missing.is_empty());
    assert_eq!(tracker.settled_below(), (2, 2));
    let late = tracker.receive(Position::new(1, 3, 3), |gap| missing.push(gap));
    assert_eq!((late, tracker.settled_below()), (Receipt::TooLate, (2, 2)));
}
