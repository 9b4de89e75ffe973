//! Every move of the model, from every state of the model, made by the real engines too.
//!
//! A real engine cannot be copied, so each state remembers the records of the last boot and the moves since:
//! they are few. Equal states of the model must have equal records, byte for byte.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use std::collections::{HashMap, HashSet};

use iot_core::command::Class;
use iot_core::storage::memory::MemoryRecords;

use super::desk::{Act, Desk};
use super::device::{Op, Ram};
use super::flash::Flash;
use super::real::{Cut, RealDesk, RealDevice, Seen};
use super::rules::{Ask, End, Id, Rules, Say};

type Bytes = Vec<Option<Vec<u8>>>;

/// How much was compared.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Compared {
    pub(crate) states: usize,
    pub(crate) moves: usize,
    pub(crate) cuts: usize,
    pub(crate) full: usize,
}

#[derive(Clone, Copy, Debug)]
enum DeviceMove {
    Deliver(Ask),
    /// Both in one message.
    DeliverBoth(Ask, Ask),
    Run,
    Finish(Id),
}

/// Where a state of the model is found in the real world.
#[derive(Clone)]
struct Place<M> {
    records: Rc<MemoryRecords>,
    moves: Vec<M>,
}

/// The device, with every request of `asks` possible at any time.
pub(crate) fn device<const WINDOW: usize, const RESULTS: usize>(
    rules: &Rules,
    asks: &[Ask],
) -> Compared {
    let mut compared = Compared::default();
    let mut bytes = HashMap::<Flash, Bytes>::new();
    let start = (Ram::default(), Flash::default());
    let mut known = HashSet::from([start]);
    let place = Place {
        records: Rc::new(MemoryRecords::new()),
        moves: Vec::new(),
    };
    let mut queue = VecDeque::from([(start, place)]);
    let deliveries = deliveries(asks);
    while let Some(((ram, flash), place)) = queue.pop_front() {
        compared.states += 1;
        let mut moves = deliveries.clone();
        moves.push(DeviceMove::Run);
        moves.extend(ram.running().map(DeviceMove::Finish));
        for step in moves {
            let mut after = ram;
            let ops = match step {
                DeviceMove::Deliver(ask) => after.deliver(rules, &flash, &[ask]),
                DeviceMove::DeliverBoth(a, b) => after.deliver(rules, &flash, &[a, b]),
                DeviceMove::Finish(id) => after.finish(rules, &flash, id),
                DeviceMove::Run => Vec::new(),
            };
            let commits = ops.iter().filter(|op| is_commit(op)).count();
            if commits > 0 {
                compared.full += 1;
                let [real, other] = [(); 2].map(|()| replay::<WINDOW, RESULTS>(rules, &place));
                without_room(rules, flash, [real, other], step, &ops, &mut bytes);
            }
            for cut in (1..=commits).map(Some).chain([None]) {
                compared.moves += 1;
                let mut real = replay::<WINDOW, RESULTS>(rules, &place);
                let before = real.total();
                (real.cut, real.seen) = (cut, Vec::new());
                if matches!(step, DeviceMove::Run) {
                    assert_eq!(real.hand_out(), after.hand_out(), "{ram:?} {flash:?}");
                }
                let done = make_device_move(&mut real, rules, step);
                let ops = first_of(&ops, cut);
                assert_eq!(done.is_err(), cut.is_some());
                assert_eq!(real.seen, in_words(ops), "{step:?} in {ram:?} {flash:?}");
                let effects = ops.iter().filter(|op| has_effect(rules, op)).count();
                assert_eq!(usize::from(real.total() - before), effects);
                let written = ops.iter().rev().find_map(flash_of).unwrap_or(flash);
                same_bytes(&mut bytes, written, real.own_records());
                if cut.is_none() {
                    let mut moves = place.moves.clone();
                    moves.push(step);
                    let records = Rc::clone(&place.records);
                    if known.insert((after, written)) {
                        queue.push_back(((after, written), Place { records, moves }));
                    }
                } else {
                    boots::<WINDOW, RESULTS>(
                        rules,
                        written,
                        real.records,
                        &mut bytes,
                        &mut compared,
                        &mut |state, place| {
                            if known.insert(state) {
                                queue.push_back((state, place));
                            }
                        },
                    );
                }
            }
        }
    }
    compared
}

/// One request at a time, and what an issuer may send in one message.
fn deliveries(asks: &[Ask]) -> Vec<DeviceMove> {
    let mut moves: Vec<_> = asks.iter().copied().map(DeviceMove::Deliver).collect();
    for &ask in asks {
        let together = |later: &&Ask| {
            (later.id.issuer, later.id.epoch) == (ask.id.issuer, ask.id.epoch)
                && later.id.sequence > ask.id.sequence
                && later.settled == ask.settled
        };
        let later = asks.iter().filter(together);
        moves.extend(later.map(|&later| DeviceMove::DeliverBoth(ask, later)));
    }
    moves
}

/// Makes a move that has something written while the storage has no room: nothing may rest on it.
fn without_room<const WINDOW: usize, const RESULTS: usize>(
    rules: &Rules,
    before: Flash,
    [mut real, mut other]: [RealDevice<WINDOW, RESULTS>; 2],
    step: DeviceMove,
    ops: &[Op],
    bytes: &mut HashMap<Flash, Bytes>,
) {
    real.seen.clear();
    real.fill();
    let mut expected = in_words(ops);
    let new = match step {
        DeviceMove::Run => return,
        DeviceMove::Finish(id) => {
            real.finish(rules, id).unwrap();
            assert_eq!(real.seen, [], "an end was said that is not on record");
            let settled = 0;
            real.deliver(rules, &[Ask { id, settled }]).unwrap();
            let running = Seen::Say(id, Say::InProgress);
            assert_eq!(real.seen, [running]);
            expected.push(running);
            if rules.class(id) == Class::Transactional {
                gives_up_its_effect(&mut real, id, &expected);
                return;
            }
            [None, None]
        }
        DeviceMove::Deliver(ask) => {
            real.deliver(rules, &[ask]).unwrap();
            [Some(ask), None]
        }
        DeviceMove::DeliverBoth(a, b) => {
            real.deliver(rules, &[a, b]).unwrap();
            [Some(a), Some(b)]
        }
    };
    assert!(!real.seen.contains(&Seen::Commit));
    // What must be on record before it runs is not handed out.
    let records = ops
        .iter()
        .filter_map(flash_of)
        .flatten()
        .flatten()
        .flatten();
    let written: Vec<Id> = records.map(|record| record.id).collect();
    let known = |id: Id| {
        before
            .iter()
            .flatten()
            .flatten()
            .any(|record| record.id == id)
    };
    let is_new = |id: Id| !known(id) && new.iter().flatten().any(|ask| ask.id == id);
    other.fill();
    make_device_move(&mut other, rules, step).unwrap();
    while let Some((id, _)) = other.hand_out() {
        assert!(!(is_new(id) && written.contains(&id)), "{id:?} {step:?}");
    }
    real.make_room().unwrap();
    assert_eq!(sorted(&real.seen), sorted(&expected), "{step:?}");
    let written = ops.iter().rev().find_map(flash_of).unwrap();
    same_bytes(bytes, written, real.own_records());
}

/// A transactional command ended while the storage had no room: it has no effect, and says so.
fn gives_up_its_effect<const WINDOW: usize, const RESULTS: usize>(
    real: &mut RealDevice<WINDOW, RESULTS>,
    id: Id,
    expected: &[Seen],
) {
    let effects = real.total();
    real.make_room().unwrap();
    assert_eq!(
        real.total(),
        effects,
        "an effect came after it was given up"
    );
    let done = Seen::Say(id, Say::Ended(End::Done));
    let given_up = Seen::Say(id, Say::Ended(End::NoRoom));
    let expected = expected
        .iter()
        .map(|seen| if *seen == done { given_up } else { *seen });
    assert_eq!(sorted(&real.seen), sorted(&expected.collect::<Vec<_>>()));
}

/// Boots from `records`, with a cut at each commit of the boot and without one.
fn boots<const WINDOW: usize, const RESULTS: usize>(
    rules: &Rules,
    flash: Flash,
    records: MemoryRecords,
    bytes: &mut HashMap<Flash, Bytes>,
    compared: &mut Compared,
    found: &mut impl FnMut((Ram, Flash), Place<DeviceMove>),
) {
    compared.cuts += 1;
    let (ram, ops) = Ram::boot(rules, &flash);
    let commits = ops.iter().filter(|op| is_commit(op)).count();
    for cut in (1..=commits).map(Some).chain([None]) {
        let (real, booted) = RealDevice::<WINDOW, RESULTS>::boot(records.clone(), cut);
        let ops = first_of(&ops, cut);
        assert_eq!(booted.is_err(), cut.is_some());
        assert_eq!(real.seen, in_words(ops), "boot from {flash:?}");
        let written = ops.iter().rev().find_map(flash_of).unwrap_or(flash);
        same_bytes(bytes, written, real.own_records());
        if cut.is_some() {
            boots::<WINDOW, RESULTS>(rules, written, real.records, bytes, compared, found);
        } else {
            let records = Rc::new(records.clone());
            let moves = Vec::new();
            found((ram, written), Place { records, moves });
        }
    }
}

fn replay<const WINDOW: usize, const RESULTS: usize>(
    rules: &Rules,
    place: &Place<DeviceMove>,
) -> RealDevice<WINDOW, RESULTS> {
    let (mut real, booted) = RealDevice::boot((*place.records).clone(), None);
    booted.unwrap();
    for step in &place.moves {
        if matches!(step, DeviceMove::Run) {
            real.hand_out();
        }
        make_device_move(&mut real, rules, *step).unwrap();
    }
    real
}

/// Makes every move but the application's own.
fn make_device_move<const WINDOW: usize, const RESULTS: usize>(
    real: &mut RealDevice<WINDOW, RESULTS>,
    rules: &Rules,
    step: DeviceMove,
) -> Result<(), Cut> {
    match step {
        DeviceMove::Deliver(ask) => real.deliver(rules, &[ask]),
        DeviceMove::DeliverBoth(a, b) => real.deliver(rules, &[a, b]),
        DeviceMove::Finish(id) => real.finish(rules, id),
        DeviceMove::Run => Ok(()),
    }
}

fn same_bytes<K: core::hash::Hash + Eq + core::fmt::Debug>(
    bytes: &mut HashMap<K, Bytes>,
    state: K,
    found: Bytes,
) {
    if let Some(known) = bytes.get(&state) {
        assert_eq!(*known, found, "{state:?} has two kinds of records");
    } else {
        bytes.insert(state, found);
    }
}

fn is_commit(op: &Op) -> bool {
    matches!(op, Op::Commit { .. })
}

fn flash_of(op: &Op) -> Option<Flash> {
    match op {
        Op::Commit { flash, .. } => Some(*flash),
        Op::Say(..) => None,
    }
}

fn has_effect(rules: &Rules, op: &Op) -> bool {
    matches!(op, Op::Commit { ends: Some(id), .. } if rules.class(*id) == Class::Transactional)
}

/// The operations up to and with the commit after which the power goes.
fn first_of(ops: &[Op], cut: Option<usize>) -> &[Op] {
    let Some(cut) = cut else { return ops };
    let commits = ops.iter().enumerate().filter(|(_, op)| is_commit(op));
    let last = commits.map(|(at, _)| at).nth(cut - 1).unwrap();
    &ops[..=last]
}

fn in_words(ops: &[Op]) -> Vec<Seen> {
    let word = |op: &Op| match *op {
        Op::Commit { .. } => Seen::Commit,
        Op::Say(id, say) => Seen::Say(id, say),
    };
    ops.iter().map(word).collect()
}

#[derive(Clone, Copy, Debug)]
enum DeskMove {
    Issue,
    Hear(Id, End),
    GiveUp(bool),
    Repeat,
}

/// The issuer, with every answer possible at any time, and restored from every backup.
pub(crate) fn desk<const PENDING: usize>(rules: &Rules, issued: u8) -> Compared {
    let mut compared = Compared::default();
    let mut bytes = HashMap::<Desk, Bytes>::new();
    let mut known = HashSet::from([Desk::EMPTY]);
    let mut queue = VecDeque::from([(Desk::EMPTY, MemoryRecords::new())]);
    while let Some((desk, records)) = queue.pop_front() {
        compared.states += 1;
        let mut turns = vec![(None, desk.boot(1))];
        if (1..3).contains(&desk.epoch) {
            turns.push((Some(desk.epoch + 1), desk.restore(rules, 1, desk.epoch + 1)));
        }
        for (clock, acts) in turns {
            for cut in cuts(&acts) {
                compared.cuts += 1;
                let (real, booted) = match clock {
                    None => RealDesk::<PENDING>::boot(records.clone(), cut),
                    Some(clock) => RealDesk::restore(records.clone(), cut, clock),
                };
                assert_eq!(booted.is_err(), cut.is_some());
                let after = check_desk(desk, &acts, cut, &real, &mut bytes);
                if known.insert(after) {
                    queue.push_back((after, real.records));
                }
            }
        }
        // A boot that still has to drop something is another state's business.
        if desk.boot(1).iter().any(|act| matches!(act, Act::Commit(_))) {
            continue;
        }
        let mut moves = vec![DeskMove::Repeat];
        moves.extend([true, false].map(DeskMove::GiveUp));
        if desk.next <= issued {
            moves.push(DeskMove::Issue);
        }
        let epoch = desk.epoch.max(1);
        let ids = (1..=issued).map(|sequence| Id {
            issuer: 1,
            epoch,
            sequence,
        });
        let ends = [End::Done, End::InDoubt, End::Forgotten, End::TooOld];
        moves.extend(ids.flat_map(|id| ends.map(|end| DeskMove::Hear(id, end))));
        for step in moves {
            let (acts, foretold) = match step {
                DeskMove::Issue => desk
                    .issue(rules, 1)
                    .map_or((Vec::new(), None), |(id, acts)| (acts, Some(id))),
                DeskMove::Hear(id, end) => (desk.hear(rules, id, end).unwrap_or_default(), None),
                DeskMove::GiveUp(short) => (desk.give_up(1, short), None),
                DeskMove::Repeat => (desk.sends(1).collect(), None),
            };
            if acts.iter().any(|act| matches!(act, Act::Commit(_))) {
                compared.full += 1;
                let (mut real, booted) = RealDesk::<PENDING>::boot(records.clone(), None);
                booted.unwrap();
                real.seen.clear();
                real.fill();
                make(&mut real, rules, step, foretold).unwrap();
                waits_for_room(desk, &acts, real, &mut bytes);
            }
            for cut in cuts(&acts) {
                compared.moves += 1;
                let (mut real, booted) = RealDesk::<PENDING>::boot(records.clone(), None);
                booted.unwrap();
                (real.seen, real.cut) = (Vec::new(), cut);
                let done = make(&mut real, rules, step, foretold);
                assert_eq!(done.is_err(), cut.is_some());
                let after = check_desk(desk, &acts, cut, &real, &mut bytes);
                if known.insert(after) {
                    queue.push_back((after, real.records));
                }
            }
        }
    }
    compared
}

fn make<const PENDING: usize>(
    real: &mut RealDesk<PENDING>,
    rules: &Rules,
    step: DeskMove,
    foretold: Option<Id>,
) -> Result<(), Cut> {
    match step {
        DeskMove::Issue => real.issue(rules, foretold),
        DeskMove::Hear(id, end) => real.hear(id, end),
        DeskMove::GiveUp(short) => real.give_up(short),
        DeskMove::Repeat => real.repeat(),
    }
}

/// A move was made while the storage had no room: what is not on record is neither sent nor settled.
fn waits_for_room<const PENDING: usize>(
    desk: Desk,
    acts: &[Act],
    mut real: RealDesk<PENDING>,
    bytes: &mut HashMap<Desk, Bytes>,
) {
    let first = acts.iter().position(|act| matches!(act, Act::Commit(_)));
    let (before, after) = acts.split_at(first.unwrap());
    assert_eq!(sorted(&real.seen), sorted(&desk_words(before)), "{desk:?}");
    real.seen.clear();
    real.repeat().unwrap();
    let told = |id: Id| {
        let mut tells = before.iter();
        tells.any(|act| matches!(act, Act::Tell(told, _) if *told == id))
    };
    let repeats = desk.sends(1).filter(|act| match act {
        Act::Send(ask) => !told(ask.id),
        _ => true,
    });
    let repeats: Vec<_> = repeats.collect();
    assert_eq!(
        sorted(&real.seen),
        sorted(&desk_words(&repeats)),
        "{desk:?}"
    );
    real.seen.clear();
    real.make_room();
    let mut last = desk;
    for act in after {
        if let Act::Commit(desk) = act {
            last = *desk;
        }
    }
    assert_eq!(real.seen, desk_words(after), "{desk:?}");
    same_bytes(bytes, last, real.own_records());
}

fn desk_words(acts: &[Act]) -> Vec<Seen> {
    let word = |act: &Act| match *act {
        Act::Commit(_) => Seen::Commit,
        Act::Send(ask) => Seen::Send(ask),
        Act::Tell(id, end) => Seen::Tell(id, end),
    };
    acts.iter().map(word).collect()
}

/// The order of messages that leave together says nothing.
fn sorted(words: &[Seen]) -> Vec<Seen> {
    let mut words = words.to_vec();
    words.sort_unstable();
    words
}

fn cuts(acts: &[Act]) -> impl Iterator<Item = Option<usize>> {
    let commits = acts.iter().filter(|act| matches!(act, Act::Commit(_)));
    (1..=commits.count()).map(Some).chain([None])
}

fn check_desk<const PENDING: usize>(
    before: Desk,
    acts: &[Act],
    cut: Option<usize>,
    real: &RealDesk<PENDING>,
    bytes: &mut HashMap<Desk, Bytes>,
) -> Desk {
    let (mut after, mut commits) = (before, 0);
    let mut done = acts.len();
    for (at, act) in acts.iter().enumerate() {
        if let Act::Commit(desk) = *act {
            (after, commits) = (desk, commits + 1);
        }
        if cut == Some(commits) {
            done = at + 1;
            break;
        }
    }
    let words = desk_words(&acts[..done]);
    let of_a_kind = |seen: &Seen| matches!(seen, Seen::Commit);
    let real_turns: Vec<_> = real.seen.split(of_a_kind).map(sorted).collect();
    let turns: Vec<_> = words.split(of_a_kind).map(sorted).collect();
    assert_eq!(real_turns, turns, "from {before:?}");
    same_bytes(bytes, after, real.own_records());
    after
}
