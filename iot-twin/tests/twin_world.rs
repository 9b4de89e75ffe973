//! What a twin promises, in random worlds: a link that loses, repeats and reorders, power cuts around every
//! operation, devices that lose their records, services that lose their memory or come back from a backup.
//!
//! Each property is given so many steps (20,000; `IOT_TWIN_STEPS` asks for others), and tells how many it made.
//! A step is one event: a change, a message sent, delivered or lost, a record written, a restart.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test may fail loudly, on a host"
)]

use std::collections::BTreeMap;
use std::env;

use iot_twin::iot_core::Engine;
use iot_twin::iot_core::engine::{Event, RecordKey};
use iot_twin::iot_core::node::block_on;
use iot_twin::iot_core::port::{Records, Timer};
use iot_twin::iot_core::sim::{Faults, SimEntropy};
use iot_twin::merge::merge;
use iot_twin::sync::sim::{Counts, Hazards, Life, World};
use iot_twin::sync::{Code, Edit, Notice, Subscriptions};
use iot_twin::{Change, Twin, TwinDevice, TwinService, Value};

#[derive(Twin)]
struct Room {
    #[twin(desired, unit = "Cel", range = 5.0..=30.0)]
    setpoint: f32,
    #[twin(desired)]
    lit: bool,
    #[twin(desired, range = -10..=10)]
    trim: Option<i8>,
    #[twin(reported, unit = "Cel", deadband = 0.2)]
    temperature: f32,
    #[twin(reported)]
    count: u32,
}

const BAD_LINK: Faults = Faults::new(400, 300, 0, 1);

/// Sets, withdraws, measures, edits by hand, and answers in every way.
struct Busy;

fn desire(twin: &mut TwinService, dice: &mut SimEntropy) {
    match dice.below(8) {
        0..3 => {
            let degrees = 5.0 + f64::from(u32::try_from(dice.below(100)).unwrap()) / 4.0;
            twin.set("setpoint", degrees).unwrap();
        }
        3..5 => twin.set("lit", dice.chance(500)).unwrap(),
        5..7 => {
            let trim = i8::try_from(dice.below(21)).unwrap() - 10;
            twin.set("trim", trim).unwrap();
        }
        _ => {
            let name = ["setpoint", "lit", "trim"][usize::try_from(dice.below(3)).unwrap()];
            twin.withdraw(name).unwrap();
        }
    }
}

impl Life<Room> for Busy {
    fn desire(&mut self, twin: &mut TwinService, dice: &mut SimEntropy) {
        desire(twin, dice);
    }

    fn measure(&mut self, room: &mut Room, dice: &mut SimEntropy) {
        match dice.below(3) {
            0 => room.lit = !room.lit,
            _ => {
                room.temperature = dice.below(400) as f32 / 10.0;
                room.count += 1;
            }
        }
    }

    fn answer(&mut self, _: &Change<RoomDesired>, dice: &mut SimEntropy) -> Code {
        match dice.below(10) {
            0 => Code::REJECTED,
            _ => Code::APPLIED,
        }
    }
}

fn steps() -> u64 {
    let steps = env::var("IOT_TWIN_STEPS").ok();
    steps.map_or(20_000, |steps| steps.parse().unwrap())
}

/// Worlds of 400 turns until there were enough steps; `end` is called at the end of each.
fn worlds<const PENDING: usize>(
    name: &str,
    hazards: Hazards,
    mut end: impl FnMut(u64, &mut World<Room, PENDING>),
) -> Counts {
    let mut sum = Counts::default();
    let mut seed = 0;
    while sum.steps < steps() {
        seed += 1;
        let mut world = World::<Room, PENDING>::new(seed, TwinService::of::<Room>());
        world.set_faults(BAD_LINK);
        world.set_hazards(hazards);
        for _ in 0..400 {
            world
                .turn(&mut Busy)
                .unwrap_or_else(|violation| panic!("seed {seed}: {violation} {world:?}"));
        }
        end(seed, &mut world);
        let counts = world.counts();
        sum.steps += counts.steps;
        sum.operations += counts.operations;
        sum.cuts += counts.cuts;
        sum.wipes += counts.wipes;
        sum.rolled_back += counts.rolled_back;
        sum.lost += counts.lost;
        sum.repeated += counts.repeated;
        sum.forgotten += counts.forgotten;
        sum.restored += counts.restored;
    }
    println!("{name} {sum:?}");
    assert!(
        sum.cuts > 500 && sum.lost > 500 && sum.repeated > 500,
        "{sum:?}"
    );
    sum
}

/// T3.
#[test]
fn no_leaf_goes_back_within_an_epoch() {
    let sum = worlds::<2>("T3", Hazards::ALL, |_, _| {});
    assert!(sum.wipes > 5 && sum.rolled_back > 5 && sum.forgotten > 5 && sum.restored > 5);
}

/// T4, with room for one change only.
#[test]
fn what_is_claimed_to_be_complete_is_complete() {
    worlds::<1>("T4", Hazards::POWER, |_, _| {});
}

/// T5.
#[test]
fn after_quiet_and_one_full_exchange_both_sides_are_equal() {
    let sum = worlds::<2>("T5", Hazards::ALL, |seed, world| {
        world.device_mut().report(|_| {});
        world
            .settle(&mut Busy)
            .unwrap_or_else(|violation| panic!("seed {seed}: {violation} {world:?}"));
        for name in ["setpoint", "lit", "trim"] {
            let answer = world.service().acknowledgement(name);
            let Some(wish) = world.service().desired(name) else {
                continue;
            };
            let told = world.service().reported(name).unwrap();
            assert!(!told.stale, "seed {seed}: {name} {answer:?} {world:?}");
            let code = answer.unwrap().code;
            assert!(
                if code.is_applied() {
                    wish == told.value
                } else {
                    code.is_rejected()
                },
                "seed {seed}: {name} was answered {code} and is {told:?}, not {wish:?}"
            );
        }
    });
    assert!(sum.wipes > 5 && sum.rolled_back > 5 && sum.forgotten > 5 && sum.restored > 5);
}

/// T6: a story is told once whole, then with the power cut before and after each of its operations, and at each
/// of these with another cut soon after; then at random.
#[test]
fn no_version_ever_has_two_values_with_a_cut_at_every_write() {
    let story = |first: Option<(u64, bool)>, second: u64| {
        let mut world = World::<Room, 2>::new(1, TwinService::of::<Room>());
        if let Some((operation, after)) = first {
            world.cut_at(operation, after);
        }
        for round in 0..4_u8 {
            world.service_mut().set("setpoint", 20 + round).unwrap();
            world.service_mut().set("lit", round % 2 == 0).unwrap();
            world.device_mut().report(|room| room.count += 100);
            for _ in 0..40 {
                world.answer(&mut Busy);
                let cuts = world.counts().cuts;
                world.device_step().unwrap();
                if world.counts().cuts > cuts && cuts == 0 && second > 0 {
                    world.cut_at(
                        world.counts().operations + second - 1,
                        second.is_multiple_of(2),
                    );
                }
                world.service_step().unwrap();
                world.deliver_down();
                world.deliver_up();
                world.check().unwrap();
            }
        }
        let told = world.counts().operations;
        // What is not measured again is not known after a boot; the application measures.
        let mut cuts = u64::MAX;
        while cuts != world.counts().cuts {
            cuts = world.counts().cuts;
            world.device_mut().report(|room| room.count = 7);
            world.settle(&mut Busy).unwrap();
        }
        assert_eq!(
            world.service().reported("count").unwrap().value,
            &Value::Int(7)
        );
        (told, world.counts())
    };
    let (operations, _) = story(None, 0);
    assert!(operations > 12, "only {operations} operations");
    let (mut cuts, mut made) = (0, 0);
    for operation in 0..operations {
        for after in [false, true] {
            for second in 0..6 {
                let (operations, counts) = story(Some((operation, after)), second);
                cuts += counts.cuts;
                made += operations;
            }
        }
    }
    assert!(cuts >= operations * 2 * 6 + operations, "{cuts} cuts");
    println!("T6 {operations} operations, {cuts} cuts around each, {made} operations made");
    let mut hazards = Hazards::POWER;
    hazards.cuts = 400;
    worlds::<2>("T6", hazards, |_, _| {});
}

/// A device that is shown some messages, each durable before the next; its records say where that leads.
fn shown(messages: &[Vec<u8>]) -> BTreeMap<u32, Vec<u8>> {
    let mut world = World::<Room, 3>::new(1, TwinService::of::<Room>());
    for message in messages {
        world.down().push(message.clone());
        world.deliver_down();
        while world.device_step().unwrap() {}
        world.up().clear();
    }
    let mut records = world.records().clone();
    let (mut all, mut from) = (BTreeMap::new(), RecordKey::new(0));
    while let Some(key) = block_on(records.next_key(from)).unwrap() {
        all.insert(key.get(), records.value(key).unwrap().to_vec());
        from = key.offset(1).unwrap();
    }
    // Up to where everything is in depends on what came late; the leaves do not.
    all.remove(&TwinDevice::<Room, 3>::RECORDS.get());
    all
}

/// What a service says in a random life, to a device that it never hears of.
fn said(dice: &mut SimEntropy) -> Vec<Vec<u8>> {
    let mut world = World::<Room, 3>::new(dice.next_u64(), TwinService::of::<Room>());
    for _ in 0..=dice.below(8) {
        for _ in 0..=dice.below(3) {
            desire(world.service_mut(), dice);
        }
        world.service_step().unwrap();
        // Now and then everything is said again, from the start.
        if dice.chance(300) {
            world
                .clock()
                .advance(core::time::Duration::from_secs(1_000));
            world.service_step().unwrap();
        }
    }
    core::mem::take(world.down())
}

fn shuffled(messages: &[Vec<u8>], dice: &mut SimEntropy) -> Vec<Vec<u8>> {
    let mut rest = messages.to_vec();
    let mut all = Vec::new();
    while !rest.is_empty() {
        let at = usize::try_from(dice.below(rest.len() as u64)).unwrap();
        if dice.chance(700) {
            all.push(rest.swap_remove(at));
        } else {
            all.push(rest[at].clone());
        }
    }
    all
}

/// T1: the order of two deltas, their grouping, and repetition make no difference.
#[test]
fn merging_deltas_is_commutative_associative_and_idempotent() {
    let (mut dice, mut made, mut different) = (SimEntropy::new(1), 0, 0);
    while made < steps() {
        let said = said(&mut dice);
        if said.is_empty() {
            continue;
        }
        let pick = |dice: &mut SimEntropy| {
            said[usize::try_from(dice.below(said.len() as u64)).unwrap()].clone()
        };
        let [a, b, c] = [pick(&mut dice), pick(&mut dice), pick(&mut dice)];
        let of = |messages: &[&Vec<u8>]| {
            let messages: Vec<_> = messages.iter().copied().cloned().collect();
            shown(&messages)
        };
        let all = of(&[&a, &b, &c]);
        assert_eq!(of(&[&b, &a, &c]), all, "commutative");
        assert_eq!(of(&[&b, &c, &a]), all, "associative");
        assert_eq!(of(&[&a, &a, &b, &c, &b, &c, &a]), all, "idempotent");
        different += u64::from(of(&[&a]) != all);
        made += 17;
    }
    println!("T1 steps={made} different={different}");
    assert!(different > made / 100);
}

/// T2: any order and repetition of the same messages leads to the same leaves.
#[test]
fn the_final_state_depends_only_on_the_set_delivered() {
    let (mut dice, mut made) = (SimEntropy::new(2), 0);
    while made < steps() {
        let mut messages = said(&mut dice);
        messages.retain(|_| dice.chance(700));
        let (one, two) = (
            shuffled(&messages, &mut dice),
            shuffled(&messages, &mut dice),
        );
        assert_eq!(shown(&one), shown(&two), "{one:?} {two:?}");
        made += one.len() as u64 + two.len() as u64;
    }
    println!("T2 steps={made}");
}

/// T7: what is desired, as a document, is the document before with the edits as an RFC 7396 patch.
#[test]
fn merging_leaves_is_merge_patch_on_the_document() {
    let (mut dice, mut made, mut removed) = (SimEntropy::new(3), 0, 0);
    while made < steps() {
        let mut world = World::<Room, 2>::new(made, TwinService::of::<Room>());
        let mut document = Value::map([]);
        for _ in 0..20 {
            let mut edits: Vec<Edit> = Vec::new();
            let mut patch = BTreeMap::new();
            for name in ["setpoint", "lit", "trim"] {
                let value = match (dice.below(4), name) {
                    (0, _) => continue,
                    (1, _) => Value::Null,
                    (_, "lit") => dice.chance(500).into(),
                    (_, "trim") => i8::try_from(dice.below(10)).unwrap().into(),
                    _ => Value::Float(f64::from(5 + u8::try_from(dice.below(20)).unwrap())),
                };
                edits.push(match &value {
                    Value::Null => Edit::withdraw(name),
                    value => Edit::set(name, value.clone()),
                });
                removed += u32::from(value.is_null());
                patch.insert(name.to_owned(), value);
            }
            world.service_mut().edit_all(&edits).unwrap();
            merge(&mut document, &Value::Map(patch));
            assert_eq!(world.service().desired_document(), document);
            if dice.chance(300) {
                world.settle(&mut Applied).unwrap();
                // What the device is at is the same document, where nothing was withdrawn.
                let reported = world.service().reported_document();
                for (name, value) in document.as_map().unwrap() {
                    assert_eq!(reported.get(name), Some(value));
                }
            }
            assert_eq!(world.service().desired_document(), document);
            made += edits.len() as u64 + 1;
        }
    }
    println!("T7 steps={made} removed={removed}");
    assert!(removed > 100);
}

/// Applies everything.
struct Applied;

impl Life<Room> for Applied {
    fn desire(&mut self, _: &mut TwinService, _: &mut SimEntropy) {}
    fn measure(&mut self, _: &mut Room, _: &mut SimEntropy) {}
}

#[derive(Twin)]
struct Door {
    #[twin(desired)]
    open: bool,
    #[twin(reported)]
    passed: u32,
}

/// The service wants the door open, and says so again whenever it has lost its memory.
struct Porter {
    asked: u32,
}

impl Life<Door> for Porter {
    fn desire(&mut self, _: &mut TwinService, _: &mut SimEntropy) {}
    fn measure(&mut self, door: &mut Door, _: &mut SimEntropy) {
        door.passed += 1;
    }
    fn answer(&mut self, change: &Change<DoorDesired>, _: &mut SimEntropy) -> Code {
        self.asked += u32::from(change.open);
        Code::APPLIED
    }
    fn begin(&mut self, epoch: u32) -> TwinService {
        let mut twin = TwinService::of::<Door>().in_epoch(epoch);
        twin.set("open", true).unwrap();
        twin
    }
}

/// T9: whatever is lost, repeated, reordered, cut or forgotten; a new intent opens it.
#[test]
fn a_door_locked_by_hand_is_not_told_to_unlock_again() {
    let (mut made, mut seed, mut opened, mut cuts, mut forgotten) = (0, 0, 0_u32, 0, 0);
    while made < steps() {
        seed += 1;
        let mut porter = Porter { asked: 0 };
        let mut world = World::<Door, 2>::new(seed, TwinService::of::<Door>());
        for _ in 0..4 {
            world.service_mut().set("open", true).unwrap();
            world.settle(&mut porter).unwrap();
            assert!(world.device().state().open, "a new intent opens it");
            opened += 1;
            // By hand; it counts as soon as it is on record.
            world.device_mut().report(|door| door.open = false);
            world.device_step().unwrap();
            let asked = porter.asked;
            world.set_faults(BAD_LINK);
            let mut hazards = Hazards::POWER;
            (hazards.forgets, hazards.collides) = (100, 100);
            world.set_hazards(hazards);
            for _ in 0..100 {
                world.turn(&mut porter).unwrap();
                assert!(!world.device().state().open, "seed {seed}: {world:?}");
            }
            world.settle(&mut porter).unwrap();
            assert!(!world.device().state().open, "seed {seed}: {world:?}");
            assert_eq!(porter.asked, asked, "seed {seed}: nobody asked for it");
            assert_eq!(
                world.service().acknowledgement("open").unwrap().code,
                Code::OVERRIDDEN
            );
            assert_eq!(
                world.service().reported("open").unwrap().value,
                &Value::Bool(false)
            );
        }
        made += world.counts().steps;
        cuts += world.counts().cuts;
        forgotten += world.counts().forgotten;
    }
    println!("T9 steps={made} opened={opened} cuts={cuts} forgotten={forgotten}");
    assert!(opened > 20 && cuts > 100 && forgotten > 5);
}

/// Whoever follows the notices knows the newest value of each leaf, and whether any went by.
#[test]
fn subscribers_end_with_the_newest_values_and_are_told_what_went_by() {
    let (mut lagged, mut skipped, mut notices) = (0_u32, 0_u32, 0_u32);
    let mut hazards = Hazards::POWER;
    hazards.wipes = 100;
    worlds::<2>("subscribers", hazards, |seed, world| {
        let mut backup = world.service().snapshot();
        let mut subscriptions = Subscriptions::new(1);
        let all = subscriptions.add(world.service(), "").unwrap();
        assert!(subscriptions.add(world.service(), "lit").is_err());
        let mut mirror = Mirror::of(world.service());
        let mut dice = SimEntropy::new(seed);
        for _ in 0..100 {
            world.turn(&mut Busy).unwrap();
            if dice.chance(20) {
                backup = world.service().snapshot();
            } else if dice.chance(50) {
                let twin = world.service().clone().reopened(&backup);
                world.replace_service(twin);
            }
            if !dice.chance(200) {
                continue;
            }
            while let Some(notice) = subscriptions.next(all, world.service()) {
                notices += 1;
                match notice {
                    Notice::Lagged => {
                        lagged += 1;
                        mirror = Mirror::of(world.service());
                    }
                    notice => skipped += u32::from(mirror.take(&notice)),
                }
            }
            assert_eq!(mirror, Mirror::of(world.service()), "seed {seed}");
            assert!(subscriptions.waiting(world.service()).next().is_none());
        }
    });
    println!("notices={notices} skipped={skipped} lagged={lagged}");
    assert!(lagged > 0 && skipped > 5 && notices > 200);
}

/// What a subscriber knows.
#[derive(Debug, Default, PartialEq)]
struct Mirror {
    desired: BTreeMap<u16, Value>,
    reported: BTreeMap<u16, Value>,
}

impl Mirror {
    fn of(twin: &TwinService) -> Self {
        let mut mirror = Self::default();
        for schema in Room::SCHEMA {
            let (id, name) = (schema.field.id.get(), schema.name.to_string());
            if let Some(value) = twin.desired(&name) {
                mirror.desired.insert(id, value.clone());
            }
            if let Some(told) = twin.reported(&name) {
                mirror.reported.insert(id, told.value.clone());
            }
        }
        mirror
    }

    fn take(&mut self, notice: &Notice<'_>) -> bool {
        match notice {
            Notice::Desired {
                field,
                value,
                skipped,
                ..
            } => {
                match value {
                    Some(value) => drop(self.desired.insert(field.get(), (*value).clone())),
                    None => drop(self.desired.remove(&field.get())),
                }
                *skipped
            }
            Notice::Reported {
                field,
                value,
                skipped,
            } => {
                self.reported.insert(field.get(), (*value).clone());
                *skipped
            }
            Notice::Answered { skipped, .. } => *skipped,
            _ => false,
        }
    }
}

#[test]
fn a_device_that_is_away_has_no_deadline() {
    let mut world = World::<Room, 2>::new(1, TwinService::of::<Room>());
    world.settle(&mut Applied).unwrap();
    let now = world.clock().now();
    world.device_mut().input(now, &Event::Disconnected);
    assert_eq!(world.device().deadline(), None);
}
