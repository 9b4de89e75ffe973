//! What holds whatever happens: pushes, losses of link and power, full storage, fates and time in any order.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;

use super::*;
use proptest::prelude::*;

const ITEMS: usize = 4;
type Tested = Outbox<ITEMS, 128>;

#[derive(Clone, Debug)]
enum Move {
    Push(u8, u8, u8, usize),
    Steps(usize),
    /// A driver asks, and is dropped before it does anything.
    Ask,
    Link(bool),
    Settle(usize, u8),
    Wait(u64),
    /// The power fails, perhaps when a step was done and the outbox does not know it.
    Cut(bool),
    Read,
    Room(usize),
    /// The driver's buffer is so long from now on.
    Buffer(usize),
    /// The transport takes only urgent messages, or all.
    Gate(bool),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let any_move = prop_oneof![
        4 => (0..3u8, 0..4u8, 0..3u8, 0..60usize).prop_map(|(a, b, c, d)| Move::Push(a, b, c, d)),
        4 => (0..6usize).prop_map(Move::Steps),
        2 => Just(Move::Ask),
        1 => any::<bool>().prop_map(Move::Link),
        3 => (0..4usize, 0..8u8).prop_map(|(at, fate)| Move::Settle(at, fate)),
        1 => (0..400u64).prop_map(Move::Wait),
        1 => any::<bool>().prop_map(Move::Cut),
        1 => Just(Move::Read),
        1 => (150..600usize).prop_map(Move::Room),
        1 => (140..300usize).prop_map(Move::Buffer),
        1 => any::<bool>().prop_map(Move::Gate),
    ];
    proptest::collection::vec(any_move, 1..120)
}

fn tested() -> Tested {
    empty::<ITEMS, 128>()
        .on(Channel::Telemetry, Overflow::Oldest)
        .on(Channel::Command, Overflow::LowestPriority)
        .on(Channel::Health, Overflow::Never)
}

/// What is known outside.
#[derive(Debug, Default)]
struct Known {
    stored: BTreeSet<u64>,
    acknowledged: BTreeSet<u64>,
    /// The hop said no to these.
    refused: BTreeSet<u64>,
    /// The storage or the driver's buffer may have been too small for any.
    cramped: bool,
    told: BTreeMap<u64, Fate>,
    cursor: Cursor,
    floor: u64,
    looked_at: usize,
}

impl Known {
    fn look(&mut self, outside: &Outside, outbox: &Tested, pushed: u64) {
        for sequence in 1..=pushed {
            let is_stored = outbox.is_stored(Sequence(sequence));
            assert!(
                is_stored || !self.stored.contains(&sequence),
                "{sequence} is not stored any more"
            );
            if is_stored {
                self.stored.insert(sequence);
            }
        }
        for &(_, sequence, floor) in outside.taken.iter().skip(self.looked_at) {
            assert!(
                !self.told.contains_key(&sequence),
                "{sequence} was sent after its fate was told"
            );
            assert!(
                sequence >= self.floor,
                "{sequence} was sent below the floor {}",
                self.floor
            );
            self.floor = self.floor.max(floor);
        }
        self.looked_at = outside.taken.len();
        agrees(outbox);
        assert!(outbox.len() <= ITEMS && outside.records.len() <= ITEMS + 1 + 4 * ITEMS / 16 + 3);
    }

    fn read(&mut self, outbox: &mut Tested) {
        while let Some(settled) = outbox.settled_after(self.cursor) {
            let (sequence, fate) = (settled.sequence.get(), settled.fate);
            let before = self.told.insert(sequence, fate);
            assert_eq!(before, None, "{sequence} has two fates");
            assert!(fate != Fate::Delivered || self.acknowledged.contains(&sequence));
            let may_be = self.cramped || self.refused.contains(&sequence);
            assert!(fate != Fate::Refused || may_be, "nobody refused {sequence}");
            self.cursor = settled.cursor;
        }
    }

    /// What was told is told again as it was, as far as it is remembered.
    fn read_again(&self, outbox: &mut Tested) {
        let (mut cursor, mut all) = (Cursor::START, Vec::new());
        while let Some(settled) = outbox.settled_after(cursor) {
            if settled.cursor <= self.cursor {
                all.push((settled.sequence.get(), settled.fate));
            }
            cursor = settled.cursor;
            if cursor >= self.cursor {
                break;
            }
        }
        for (sequence, fate) in all {
            assert_eq!(
                self.told.get(&sequence),
                Some(&fate),
                "{sequence} is told differently"
            );
        }
    }
}

/// What is kept in order and counted is what looking through all places finds.
fn agrees(outbox: &Tested) {
    let slots = &outbox.slots;
    let mut census = Census::EMPTY;
    slots.iter().for_each(|slot| census.add(slot));
    assert_eq!(outbox.census, census);
    let mut live: Vec<_> = (0..ITEMS).filter(|at| slots[*at].is_live()).collect();
    live.sort_by_key(|at| slots[*at].sequence);
    assert!(outbox.order.live().eq(live.iter().copied()));
    let staged: Vec<_> = live.iter().filter(|at| slots[**at].is_staged()).collect();
    assert!(
        (outbox.staged().map(|index| outbox.order.place(index)))
            .eq(staged.iter().map(|at| Some(**at)))
    );
    let dead = |slot: &Slot| slot.dead().filter(|_| !slot.is_live());
    let longest = slots.iter().filter_map(dead).min();
    let next = outbox.order.free().map(|at| &slots[at]);
    assert!(next.is_none_or(
        |slot| !slot.is_live() && slot.dead().is_none_or(|number| Some(number) == longest)
    ));
    // No end of a life is overlooked.
    let expiry = |slot: &Slot| slot.expires > 0 && !matches!(slot.state, State::InFlight(_));
    let waiting = || slots.iter().filter(|slot| slot.is_live() && expiry(slot));
    assert!(waiting().all(|slot| outbox.soonest <= slot.expires));
}

fn fate(code: u8) -> Fate {
    match code {
        0..=4 => Fate::Delivered,
        5 => Fate::Refused,
        6 => Fate::Evicted,
        _ => Fate::Expired,
    }
}

fn run(moves: Vec<Move>) {
    let mut outside = Outside::up();
    let mut outbox = outside.boot(tested());
    let (mut known, mut pushed) = (Known::default(), 0);
    for step in moves {
        match step {
            Move::Push(channel, priority, life, len) => {
                let channel =
                    [Channel::Telemetry, Channel::Command, Channel::Health][usize::from(channel)];
                let priority = crate::envelope::priority_of(priority).unwrap();
                let mut message = Message::new(channel, &[0x2A; 60][..len]).with_priority(priority);
                if life > 0 {
                    message = message.expires_in(Duration::from_secs(u64::from(life) * 150));
                }
                if let Ok(sequence) = outbox.push(outside.now(), &message) {
                    // What was never stored is gone, and its number is free.
                    assert!(!known.stored.contains(&sequence.get()));
                    pushed = pushed.max(sequence.get());
                }
            }
            Move::Steps(count) => {
                for _ in 0..count {
                    outside.one(&mut outbox, true);
                }
            }
            Move::Ask => {
                let mut buffer = [0; 1_024];
                let _ = outbox.step(outside.now(), &mut buffer);
            }
            Move::Link(up) => {
                outside.is_up = up;
                if up {
                    outbox.input(outside.now(), &Event::Connected { resumed: false });
                }
            }
            Move::Settle(at, code) if at < outside.taken.len() => {
                let sequence = outside.taken[at].1;
                match fate(code) {
                    Fate::Delivered => drop(known.acknowledged.insert(sequence)),
                    Fate::Refused => drop(known.refused.insert(sequence)),
                    _ => {}
                }
                outside.acknowledge(&mut outbox, at, fate(code));
                known.looked_at = outside.taken.len();
            }
            Move::Settle(..) => {}
            Move::Wait(seconds) => outside.now_s += seconds,
            Move::Cut(unaware) => {
                if unaware {
                    outside.one(&mut outbox, false);
                }
                let sent = outside.taken.clone();
                for (_, sequence, floor) in sent.into_iter().skip(known.looked_at) {
                    assert!(!known.told.contains_key(&sequence));
                    known.floor = known.floor.max(floor);
                }
                outbox = outside.boot(tested());
                known.looked_at = 0;
                known.read_again(&mut outbox);
            }
            Move::Read => known.read(&mut outbox),
            Move::Room(bytes) => (outside.room, known.cramped) = (Some(bytes), true),
            Move::Buffer(bytes) => (outside.buffer, known.cramped) = (Some(bytes), true),
            Move::Gate(shut) => outside.gate = shut.then_some(Priority::High),
        }
        known.look(&outside, &outbox, pushed);
    }
    // All goes well from here on: everything comes to its end.
    outside.room = None;
    (outside.is_up, outside.gate, outside.buffer) = (true, None, None);
    outbox.input(outside.now(), &Event::Connected { resumed: false });
    for _ in 0..100 {
        outside.now_s += 2;
        outside.drive(&mut outbox);
        let now = outside.now().instant;
        assert!(
            outbox.deadline().is_none_or(|at| at > now),
            "it wakes for nothing"
        );
        known.look(&outside, &outbox, pushed);
        while let Some((_, sequence, _)) = outside.taken.first().copied() {
            known.acknowledged.insert(sequence);
            outside.acknowledge(&mut outbox, 0, Fate::Delivered);
        }
        known.looked_at = 0;
        known.read(&mut outbox);
    }
    assert!(outbox.is_empty(), "{outbox:?}");
    for sequence in &known.stored {
        assert!(known.told.contains_key(sequence), "{sequence} has no fate");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 2_000 } else { 20_000 }))]

    #[test]
    fn every_message_that_was_stored_has_exactly_one_fate(moves in moves()) {
        run(moves);
    }
}
