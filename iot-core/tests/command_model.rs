//! The rules of commands, searched to a fixpoint at small scope, and the real engines held to that model.
//!
//! `command_model/` holds the rules once more, in plain sets: a device, two issuers, and a wire on which
//! every message stays for ever. A search visits every world that loss, repetition, reordering, ancient
//! messages, cuts around each commit on both sides and a restored backup can lead to, and checks the claims
//! of each class in each of them; and from each of them, once nothing goes wrong any more, what is under way
//! must end and a new command must be carried out. Then the real `Inbox` and `Issuer` make every move of the
//! model from every state of the model, and must do and record the same, byte for byte.
//!
//! The scopes are small in a debug build and larger in release mode. `IOT_COMMANDS`, set to any number, asks
//! for the largest, which take some minutes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

extern crate alloc;

mod command_model {
    pub(crate) mod conform;
    pub(crate) mod desk;
    pub(crate) mod device;
    pub(crate) mod flash;
    pub(crate) mod real;
    pub(crate) mod rules;
    pub(crate) mod search;
    pub(crate) mod world;
}

use alloc::collections::{BTreeSet, VecDeque};
use std::collections::HashSet;
use std::env;

use command_model::conform;
use command_model::real::{RealDevice, Seen};
use command_model::rules::{Ask, End, Id, Mutant, Rules, Say};
use command_model::search::search;
use iot_core::command::{Class, Standing, Window};
use iot_core::storage::memory::MemoryRecords;

/// Of three scopes: the first in a debug build, the last when `IOT_COMMANDS` is set.
fn scope<T>([quick, release, deep]: [T; 3]) -> T {
    if env::var("IOT_COMMANDS").is_ok() {
        deep
    } else if cfg!(debug_assertions) {
        quick
    } else {
        release
    }
}

/// Every claim holds in every world, and at least `least` worlds were visited.
fn holds(rules: &Rules, least: usize) {
    let found = search(rules);
    println!(
        "issued={:?} restores={:?} classes={:?}: states={} transitions={}",
        rules.issued, rules.restores, rules.classes, found.states, found.transitions
    );
    assert_eq!(found.broken, None);
    assert!(found.states >= least, "only {} worlds", found.states);
}

const fn only(class: Class) -> [Class; 4] {
    [class; 4]
}

const CLASSES: [[Class; 4]; 5] = [
    Rules::MIXED,
    only(Class::Transactional),
    only(Class::Idempotent),
    only(Class::Probed),
    only(Class::Opaque),
];

#[test]
fn every_claim_holds_in_every_world_of_one_issuer() {
    let (issued, least) = scope([(2, 500), (3, 10_000), (4, 100_000)]);
    for classes in CLASSES {
        holds(&Rules::new([issued, 0], classes), least);
    }
}

/// More commands than the window is wide.
#[test]
fn every_claim_holds_in_every_world_where_the_window_moves_on() {
    let (issued, window, least) = scope([(3, 2, 5_000), (4, 3, 100_000), (5, 4, 20_000_000)]);
    let classes = scope([only(Class::Transactional), Rules::MIXED, Rules::MIXED]);
    let mut rules = Rules::new([issued, 0], classes);
    rules.window = window;
    holds(&rules, least);
}

#[test]
fn every_claim_holds_in_every_world_of_two_issuers() {
    let (issued, least) = scope([([1, 1], 300), ([2, 1], 40_000), ([2, 2], 2_000_000)]);
    for classes in CLASSES {
        holds(&Rules::new(issued, classes), least / 4);
    }
}

#[test]
fn every_claim_holds_in_every_world_with_an_issuer_restored_from_a_backup() {
    let (issued, least) = scope([([1, 0], 300), ([1, 1], 5_000), ([2, 0], 1_000_000)]);
    for class in [Class::Opaque, Class::Idempotent] {
        let mut rules = Rules::new(issued, only(class));
        rules.restores = [1, 0];
        holds(&rules, least);
    }
}

/// Everything waits for everything else, on record where it must.
#[test]
fn every_claim_holds_in_every_world_of_one_lane() {
    let (issued, least) = scope([(2, 300), (3, 3_000), (4, 100_000)]);
    for classes in CLASSES {
        let mut rules = Rules::new([issued, 0], classes);
        rules.one_lane = true;
        holds(&rules, least);
    }
    let mut rules = Rules::new(scope([[1, 1], [2, 1], [2, 2]]), Rules::MIXED);
    rules.one_lane = true;
    holds(&rules, least);
}

/// An issuer that holds more commands than the device keeps results: some ends are lost, no claim is.
#[test]
fn every_claim_holds_in_every_world_where_results_are_forgotten() {
    let (issued, least) = scope([(2, 300), (3, 20_000), (4, 100_000)]);
    for classes in CLASSES {
        let mut rules = Rules::new([issued, 0], classes);
        (rules.results, rules.pending) = (1, 2);
        holds(&rules, least / 4);
    }
}

/// An issuer that holds more commands than the window is wide.
#[test]
fn every_claim_holds_in_every_world_where_the_window_is_too_narrow() {
    let (window, issued, least) = scope([(1, 2, 300), (2, 3, 30_000), (2, 4, 100_000)]);
    let mut rules = Rules::new([issued, 0], Rules::MIXED);
    (rules.window, rules.pending) = (window, window + 1);
    holds(&rules, least);
}

/// A small world in which a broken rule shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Small {
    issued: u8,
    restores: u8,
    pending: u8,
    window: u8,
    results: u8,
}

const fn world(issued: u8, restores: u8, pending: u8, window: u8, results: u8) -> Small {
    Small {
        issued,
        restores,
        pending,
        window,
        results,
    }
}

const SMALL: [Small; 7] = [
    world(2, 0, 2, 4, 2),
    world(1, 1, 2, 4, 2),
    world(3, 0, 2, 2, 2),
    world(3, 0, 3, 2, 2),
    world(3, 0, 2, 4, 2),
    world(3, 0, 3, 2, 1),
    // Larger than the others, so only one class is searched.
    world(2, 1, 2, 4, 2),
];

fn classes_of(sizes: Small) -> &'static [[Class; 4]] {
    if sizes.issued + sizes.restores == 3 && sizes.restores == 1 {
        &CLASSES[1..2]
    } else {
        &CLASSES
    }
}

fn small(sizes: Small, classes: [Class; 4]) -> Rules {
    let mut rules = Rules::new([sizes.issued, 0], classes);
    rules.restores[0] = sizes.restores;
    (rules.pending, rules.window) = (sizes.pending, sizes.window);
    rules.results = sizes.results;
    rules
}

#[test]
fn every_broken_rule_breaks_a_claim() {
    // A catch counts only where nothing is wrong as long as no rule is broken.
    let sound = scope([2, SMALL.len(), SMALL.len()]);
    for &sizes in &SMALL[..sound] {
        for &classes in classes_of(sizes) {
            holds(&small(sizes, classes), 10);
        }
    }
    for mutant in Mutant::ALL {
        let sizes = shows_in(mutant);
        let caught = classes_of(sizes).iter().find_map(|&classes| {
            let mut rules = small(sizes, classes);
            rules.mutant = Some(mutant);
            let found = search(&rules);
            let (claim, way) = found.broken?;
            Some((claim, way.len(), found.states))
        });
        let (claim, moves, states) = caught.unwrap_or_else(|| panic!("{mutant:?} was not caught"));
        println!("{mutant:?}: \"{claim}\" after {moves} moves, {states} worlds of {sizes:?}");
    }
}

/// The smallest of the small worlds in which a broken rule shows.
const fn shows_in(mutant: Mutant) -> Small {
    SMALL[match mutant {
        Mutant::EpochNotDurable | Mutant::EpochReturns | Mutant::EpochKept => 1,
        Mutant::EvictUnsettled | Mutant::FloorNotDurable | Mutant::SettledForgotten => 2,
        Mutant::SettleEarly | Mutant::WindowOverOpen => 3,
        Mutant::DropBehindLive => 4,
        Mutant::PassUnsettled => 5,
        Mutant::OldEpochSettles => 6,
        _ => 0,
    }]
}

/// Requests of the given issuers, lives and numbers, with each of the given floors.
fn asks(issuers: u8, epochs: u8, sequences: &[u8], floors: &[u8]) -> Vec<Ask> {
    let mut asks = Vec::new();
    for issuer in 1..=issuers {
        for epoch in 1..=epochs {
            for &sequence in sequences {
                let id = Id {
                    issuer,
                    epoch,
                    sequence,
                };
                let floors = floors.iter().filter(|&&floor| floor <= sequence);
                asks.extend(floors.map(|&settled| Ask { id, settled }));
            }
        }
    }
    asks
}

#[test]
fn the_real_inbox_does_what_the_model_does() {
    type Scope<'a> = (u8, u8, &'a [u8], &'a [u8]);
    let scopes: &[Scope<'_>] = scope([
        &[
            (1, 2, &[1, 2, 5], &[1, 5]),
            (1, 1, &[1, 2, 3], &[1, 2, 3]),
            (2, 1, &[1, 2], &[1, 2]),
        ],
        &[
            (1, 2, &[1, 2, 5], &[0, 1, 2, 5]),
            (1, 1, &[1, 2, 3, 4], &[1, 2, 3, 4]),
            (2, 1, &[1, 2], &[1, 2]),
        ],
        &[
            (1, 2, &[1, 2, 3, 5, 6], &[0, 1, 2, 3, 5, 6]),
            (1, 1, &[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5]),
            (2, 1, &[1, 2], &[0, 1, 2]),
        ],
    ]);
    for &(issuers, epochs, sequences, floors) in scopes {
        for one_lane in [false, true] {
            let classes = scope([&CLASSES[..1], &CLASSES, &CLASSES]);
            for &classes in classes {
                let mut rules = Rules::new([0, 0], classes);
                rules.one_lane = one_lane;
                let asks = asks(issuers, epochs, sequences, floors);
                let compared = conform::device::<4, 2>(&rules, &asks);
                println!(
                    "inbox, {} requests, one lane: {one_lane}, {classes:?}: {compared:?}",
                    asks.len()
                );
                assert!(compared.cuts > 10 && compared.moves > 50 && compared.full > 10);
            }
        }
    }
}

#[test]
fn the_real_issuer_does_what_the_model_does() {
    let rules = Rules::new([0, 0], Rules::MIXED);
    let compared = conform::desk::<2>(&rules, 5);
    println!("issuer: {compared:?}");
    assert!(compared.states > 50 && compared.cuts > 100 && compared.moves > 500);
}

/// Every window that can be reached with sequences up to 20, against a set.
#[test]
fn the_real_window_is_a_set_with_a_floor() {
    const WIDTH: u32 = 8;
    type Set = (u32, BTreeSet<u32>);
    let start: (Window<8>, Set) = (Window::new(1), (1, BTreeSet::new()));
    let (mut known, mut queue) = (HashSet::new(), VecDeque::from([start]));
    while let Some((window, (floor, ended))) = queue.pop_front() {
        for sequence in 0..=20 {
            let expected = match sequence {
                _ if sequence < floor => Standing::Settled,
                _ if sequence >= floor + WIDTH => Standing::Beyond,
                _ if ended.contains(&sequence) => Standing::Ended,
                _ => Standing::Open,
            };
            assert_eq!(window.standing(sequence), expected);
            for what in 0..3 {
                let (mut real, mut floor, mut ended) = (window, floor, ended.clone());
                match what {
                    0 => {
                        real.end(sequence);
                        if (floor..floor + WIDTH).contains(&sequence) {
                            ended.insert(sequence);
                        }
                    }
                    1 => {
                        real.settle_below(sequence);
                        floor = floor.max(sequence);
                    }
                    _ => {
                        let needed = floor.max((sequence + 1).saturating_sub(WIDTH));
                        let may = (floor..needed).all(|sequence| ended.contains(&sequence));
                        assert_eq!(real.reach(sequence), may);
                        floor = if may { needed } else { floor };
                    }
                }
                ended.retain(|&sequence| sequence >= floor);
                if known.insert((floor, ended.clone())) {
                    queue.push_back((real, (floor, ended)));
                }
            }
        }
    }
    println!("windows: {}", known.len());
    assert!(known.len() > 3_000, "only {} windows", known.len());
}

/// A device of the rules' sizes, with opaque commands that an issuer has under way.
fn opaque_device() -> (Rules, RealDevice<8, 2>) {
    let mut rules = Rules::new([0, 0], only(Class::Opaque));
    rules.window = 8;
    let (device, booted) = RealDevice::boot(MemoryRecords::new(), None);
    booted.unwrap();
    (rules, device)
}

const fn ask(sequence: u8, settled: u8) -> Ask {
    let id = Id {
        issuer: 1,
        epoch: 1,
        sequence,
    };
    Ask { id, settled }
}

#[test]
fn what_was_settled_behind_a_running_command_is_never_run() {
    let (rules, mut device) = opaque_device();
    device.deliver(&rules, &[ask(1, 1)]).unwrap();
    let (running, _) = device.hand_out().unwrap();
    // The issuer gave up 1 to 3, and has the device carry out 4.
    device.deliver(&rules, &[ask(4, 4)]).unwrap();
    let (fourth, _) = device.hand_out().unwrap();
    device.finish(&rules, fourth).unwrap();
    device.finish(&rules, running).unwrap();
    let (mut device, _) = RealDevice::<8, 2>::boot(device.records, None);
    device.deliver(&rules, &[ask(2, 2)]).unwrap();
    device.deliver(&rules, &[ask(3, 2)]).unwrap();
    assert_eq!(device.hand_out(), None, "an ancient command ran");
}

#[test]
fn a_result_is_kept_for_its_issuer_while_a_command_that_was_given_up_runs() {
    let (rules, mut device) = opaque_device();
    device.deliver(&rules, &[ask(1, 1)]).unwrap();
    let (given_up, _) = device.hand_out().unwrap();
    device.deliver(&rules, &[ask(3, 2)]).unwrap();
    let (third, _) = device.hand_out().unwrap();
    device.finish(&rules, third).unwrap();
    device.deliver(&rules, &[ask(2, 2)]).unwrap();
    device.seen.clear();
    device.deliver(&rules, &[ask(3, 2)]).unwrap();
    assert_eq!(device.seen, [Seen::Say(third, Say::Ended(End::Done))]);
    device.finish(&rules, given_up).unwrap();
    device.deliver(&rules, &[ask(2, 2)]).unwrap();
    assert_eq!(device.hand_out(), Some((ask(2, 2).id, false)));
}

#[test]
fn an_ancient_request_costs_no_result_its_place() {
    let (rules, mut device) = opaque_device();
    for asked in [ask(1, 1), ask(3, 2)] {
        device.deliver(&rules, &[asked]).unwrap();
        let (id, _) = device.hand_out().unwrap();
        device.finish(&rules, id).unwrap();
    }
    // 1 is settled and asked for once more, and has no answer yet when 2 wants a place.
    device.deliver(&rules, &[ask(1, 1), ask(2, 2)]).unwrap();
    device.seen.clear();
    device.deliver(&rules, &[ask(3, 2)]).unwrap();
    assert_eq!(
        device.seen,
        [Seen::Say(ask(3, 2).id, Say::Ended(End::Done))]
    );
}

#[test]
fn the_window_never_passes_an_end_that_its_issuer_may_still_ask_for() {
    let (rules, mut device) = opaque_device();
    device.deliver(&rules, &[ask(1, 1)]).unwrap();
    let (first, _) = device.hand_out().unwrap();
    device.finish(&rules, first).unwrap();
    // Its answer was lost, and the issuer has more under way than the window is wide.
    for sequence in [9, 8, 9] {
        device.deliver(&rules, &[ask(sequence, 1)]).unwrap();
        while let Some((id, _)) = device.hand_out() {
            device.finish(&rules, id).unwrap();
        }
    }
    device.seen.clear();
    device.deliver(&rules, &[ask(1, 1)]).unwrap();
    assert_eq!(device.seen, [Seen::Say(first, Say::Ended(End::Done))]);
    device.deliver(&rules, &[ask(9, 9)]).unwrap();
    assert_eq!(device.hand_out(), Some((ask(9, 9).id, false)));
}

#[test]
fn an_older_life_settles_nothing_of_a_newer_one() {
    let (rules, mut device) = opaque_device();
    let of = |epoch, sequence, settled| {
        let id = Id {
            issuer: 1,
            epoch,
            sequence,
        };
        Ask { id, settled }
    };
    device.deliver(&rules, &[of(2, 2, 1)]).unwrap();
    // From before the issuer was restored, and long over.
    device.deliver(&rules, &[of(1, 7, 7)]).unwrap();
    device.deliver(&rules, &[of(2, 1, 1)]).unwrap();
    let handed_out = [(); 2].map(|()| device.hand_out().map(|(id, _)| id));
    assert_eq!(handed_out, [Some(of(2, 2, 1).id), Some(of(2, 1, 1).id)]);
}

#[test]
fn the_first_command_on_record_is_where_a_firmware_of_any_sizes_looks() {
    let (rules, mut device) = opaque_device();
    device.deliver(&rules, &[ask(1, 1)]).unwrap();
    let (fewer, _) = RealDevice::<8, 1>::boot(device.records.clone(), None);
    assert!(fewer.is_damaged(), "it would run everything once more");
    let (same, _) = RealDevice::<8, 2>::boot(device.records, None);
    assert!(!same.is_damaged());
}

#[test]
fn an_end_that_is_not_on_record_is_on_no_other_record_either() {
    let (mut rules, mut device) = opaque_device();
    rules.classes = only(Class::Transactional);
    device.deliver(&rules, &[ask(1, 1)]).unwrap();
    device.deliver(&rules, &[ask(2, 1)]).unwrap();
    let [first, second] = [(); 2].map(|()| device.hand_out().unwrap().0);
    device.break_storage();
    device.finish(&rules, second).unwrap();
    // Only one effect can wait, so the first fails without one.
    device.fail(first).unwrap();
    device.cut = Some(1);
    device.make_room().unwrap_err();
    let (mut device, _) = RealDevice::<8, 2>::boot(device.records, None);
    device.deliver(&rules, &[ask(2, 1)]).unwrap();
    assert_eq!(device.hand_out(), Some((second, false)));
    device.finish(&rules, second).unwrap();
    assert_eq!(device.total(), 1, "the effect of the second was lost");
}
