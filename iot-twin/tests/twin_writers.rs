//! What several processes promise that write one twin through a store which compares and sets.
//!
//! The device is held against what the store holds, not against what a process believes. The random run makes 20,000
//! steps (`IOT_TWIN_STEPS` asks for others), and tells how many it made.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::std_instead_of_core,
    reason = "a test may fail loudly, on a host"
)]

use std::env;

use iot_twin::iot_core::sim::{Faults, SimEntropy};
use iot_twin::sync::sim::{Hazards, Life, World};
use iot_twin::sync::{Edit, TwinState};
use iot_twin::{Twin, TwinService, Value};

#[derive(Twin)]
struct Room {
    #[twin(desired)]
    lit: bool,
    #[twin(desired, range = -10..=10)]
    trim: Option<i8>,
    #[twin(reported)]
    count: u32,
}

/// Measures and answers only.
struct Measures;

impl Life<Room> for Measures {
    fn desire(&mut self, _: &mut TwinService, _: &mut SimEntropy) {}
    fn measure(&mut self, room: &mut Room, _: &mut SimEntropy) {
        room.count += 1;
    }
}

fn process() -> TwinService {
    TwinService::of::<Room>().with_store()
}

/// A world whose process has stored both fields, and whose device has them.
fn settled() -> World<Room, 2> {
    let mut world = World::new(1, process());
    let twin = world.service_mut();
    twin.set("trim", 1).unwrap();
    twin.set("lit", true).unwrap();
    let state = store(&mut world);
    world.move_service(process().restored(&state));
    world.device_mut().report(|_| {});
    world.settle(&mut Measures).unwrap();
    world
}

/// Puts what the process holds into the store; it does not know yet that it is there.
fn store(world: &mut World<Room, 2>) -> TwinState {
    let state = world.service().snapshot();
    world.record(&state);
    state
}

/// Everything that is under way arrives, and both sides say what they have to say.
fn exchange(world: &mut World<Room, 2>) {
    for _ in 0..20 {
        world.answer(&mut Measures);
        world.device_step().unwrap();
        world.service_step().unwrap();
        world.deliver_down();
        world.deliver_up();
        world.check().unwrap();
    }
}

/// The process dies; the next one goes on from the store, and ends with what is there, in the same epoch.
fn ends_with_what_is_stored(mut world: World<Room, 2>, state: &TwinState, trim: i128) {
    world.move_service(process().restored(state));
    world.settle(&mut Measures).unwrap();
    assert_eq!(world.device().state().trim.map(i128::from), Some(trim));
    assert_eq!(
        world.service().version().epoch(),
        1,
        "nothing was superseded"
    );
}

#[test]
fn an_edit_made_while_another_is_being_stored_keeps_nothing_from_the_device() {
    let mut world = settled();
    world.service_mut().set("trim", 2).unwrap();
    let state = store(&mut world);
    // The store takes its time, and somebody is faster.
    world.service_mut().set("trim", 3).unwrap();
    world.service_mut().stored(&state);
    exchange(&mut world);
    ends_with_what_is_stored(world, &state, 2);
}

#[test]
fn an_edit_that_is_not_stored_keeps_nothing_from_a_device_that_lost_its_records() {
    let mut world = settled();
    let state = store(&mut world);
    world.service_mut().set("trim", 3).unwrap();
    world.wipe();
    exchange(&mut world);
    ends_with_what_is_stored(world, &state, 1);
}

#[test]
fn what_is_not_stored_is_sent_as_soon_as_it_is() {
    let mut world = settled();
    for (name, value) in [
        ("trim", Value::from(2)),
        ("lit", false.into()),
        ("trim", 3.into()),
    ] {
        world.service_mut().set(name, value).unwrap();
        exchange(&mut world);
        assert_eq!(world.device().state().trim, Some(1));
    }
    let state = store(&mut world);
    world.service_mut().stored(&state);
    exchange(&mut world);
    ends_with_what_is_stored(world, &state, 3);
}

/// The next process asks a device that is still there; one that is gone would have been believed to say nothing.
#[test]
fn what_a_device_reports_is_acknowledged_once_it_is_stored() {
    let mut world = settled();
    world.device_mut().report(|room| room.count = 7);
    exchange(&mut world);
    assert!(!world.device().is_settled());
    let state = store(&mut world);
    world.service_mut().stored(&state);
    exchange(&mut world);
    assert!(world.device().is_settled());
    let stored = state.reported().find(|field| field.id.get() == 2).unwrap();
    assert_eq!(stored.value, Value::Int(7));
}

/// Under the same number, another process has stored another value.
#[test]
fn an_answer_to_what_another_process_has_stored_is_none_to_an_edit_that_is_not() {
    let mut world = settled();
    let state = store(&mut world);
    let mut late = process().restored(&state);
    late.set("trim", 5).unwrap();
    late.set("lit", false).unwrap();
    let version = late.desired_version("trim");

    world.service_mut().set("trim", 7).unwrap();
    assert_eq!(world.service().desired_version("trim"), version);
    let state = store(&mut world);
    world.service_mut().stored(&state);
    exchange(&mut world);
    assert_eq!(world.device().state().trim, Some(7));

    world.move_service(late);
    world.connect(true);
    world.device_mut().report(|room| room.trim = Some(7));
    exchange(&mut world);
    let late = world.service();
    assert_eq!(late.acknowledgement("trim"), None, "nobody was asked for 5");
    assert!(late.is_behind());
    ends_with_what_is_stored(world, &state, 7);
}

/// A process, and what it knows of the store.
struct Process {
    twin: TwinService,
    /// Of the store's value that it goes on from.
    revision: u32,
    /// How often it has counted since.
    counted: u32,
    /// What it has put into the store without having heard so.
    put: Option<TwinState>,
}

impl Process {
    fn of(store: &Store) -> Self {
        Self {
            twin: process().restored(&store.state),
            revision: store.revision,
            counted: 0,
            put: None,
        }
    }
}

struct Store {
    revision: u32,
    state: TwinState,
    counted: u32,
}

fn steps() -> u64 {
    let steps = env::var("IOT_TWIN_STEPS").ok();
    steps.map_or(20_000, |steps| steps.parse().unwrap())
}

/// Two processes at a time edit, store and learn that they have stored, each in its time; any of them may die.
#[test]
fn writers_that_compare_and_set_lose_no_update_and_reuse_no_version() {
    let (mut made, mut seed) = (0, 0);
    let (mut conflicts, mut died, mut late, mut wiped) = (0, 0, 0, 0);
    while made < steps() {
        seed += 1;
        let mut dice = SimEntropy::new(seed);
        let mut world = World::<Room, 2>::new(seed, process());
        let mut store = Store {
            revision: 0,
            state: world.service().snapshot(),
            counted: 0,
        };
        world.record(&store.state);
        world.set_faults(Faults::new(400, 300, 0, 1));
        world.set_hazards(Hazards::POWER);
        // The twin of the one at work is in the world.
        let (mut busy, mut idle) = (Process::of(&store), Process::of(&store));
        for turn in 0..400 {
            match dice.below(24) {
                0..3 => {
                    let twin = world.service_mut();
                    let value = twin.desired("trim").cloned();
                    let edit = match value {
                        Some(Value::Int(10)) => Edit::set("trim", -10),
                        Some(Value::Int(value)) => Edit::set("trim", Value::Int(value + 1)),
                        _ => Edit::set("trim", -10).if_absent(),
                    };
                    twin.edit(&edit).unwrap();
                    busy.counted += 1;
                }
                3 => world.service_mut().set("lit", dice.chance(500)).unwrap(),
                4..8 if store.revision == busy.revision => {
                    let state = world.service().snapshot();
                    world.record(&state);
                    busy.put = Some(state.clone());
                    store = Store {
                        revision: store.revision + 1,
                        state,
                        counted: store.counted + core::mem::take(&mut busy.counted),
                    };
                    busy.revision = store.revision;
                }
                4..8 => {
                    conflicts += 1;
                    let twin = world.service().clone().restored(&store.state);
                    busy = Process::of(&store);
                    world.move_service(twin);
                }
                8..10 => {
                    if let Some(state) = busy.put.take() {
                        late += u32::from(state.version() < world.service().version());
                        world.service_mut().stored(&state);
                    }
                }
                10 => {
                    busy.twin = world.service().clone();
                    core::mem::swap(&mut busy, &mut idle);
                    world.move_service(busy.twin.clone());
                    world.service_mut().ask();
                }
                11 if dice.chance(200) => {
                    died += 1;
                    busy = Process::of(&store);
                    world.move_service(busy.twin.clone());
                }
                12 if dice.chance(30) => {
                    wiped += 1;
                    world.wipe();
                }
                _ => world.turn(&mut Measures).unwrap_or_else(|violation| {
                    panic!("seed {seed} turn {turn}: {violation} {world:?}")
                }),
            }
            if world.service().is_behind() {
                let twin = world.service().clone().restored(&store.state);
                busy = Process::of(&store);
                world.move_service(twin);
            }
        }
        world.move_service(process().restored(&store.state));
        world.device_mut().report(|_| {});
        world
            .settle(&mut Measures)
            .unwrap_or_else(|violation| panic!("seed {seed}: {violation} {world:?}"));
        assert_eq!(
            world.service().version().epoch(),
            1,
            "seed {seed}: nothing had to be superseded"
        );
        if store.counted > 0 {
            let count = Value::Int(i128::from((store.counted - 1) % 21) - 10);
            let twin = world.service();
            assert_eq!(twin.desired("trim"), Some(&count), "no update is lost");
            assert_eq!(twin.reported("trim").unwrap().value, &count);
        }
        made += world.counts().steps;
    }
    println!("writers steps={made} conflicts={conflicts} died={died} late={late} wiped={wiped}");
    assert!(conflicts > 20 && died > 20 && late > 20 && wiped > 5);
}
