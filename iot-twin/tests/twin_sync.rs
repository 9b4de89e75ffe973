//! Both halves in stories, each about one thing; worlds in which everything happens are in `twin_world.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test may fail loudly, on a host"
)]

use iot_twin::iot_core::engine::{Event, RecordKey};
use iot_twin::iot_core::port::Timer as _;
use iot_twin::iot_core::sim::{Faults, SimEntropy};
use iot_twin::iot_core::{Channel, DeviceId, Engine as _, Message, Peer, TenantId};
use iot_twin::sync::sim::{Hazards, Life, World};
use iot_twin::sync::{
    Code, DesireError, Edit, EditError, Notice, SubTwin, Subscriptions, TwinState, Version,
};
use iot_twin::{Change, FieldId, Twin, TwinDevice, TwinService, Value};

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

/// Applies everything, and remembers the setpoint.
#[derive(Default)]
struct Heater {
    applied: f32,
}

impl Life<Room> for Heater {
    fn desire(&mut self, _: &mut TwinService, _: &mut SimEntropy) {}
    fn measure(&mut self, _: &mut Room, _: &mut SimEntropy) {}
    fn answer(&mut self, change: &Change<RoomDesired>, _: &mut SimEntropy) -> Code {
        self.applied = change.setpoint;
        Code::APPLIED
    }
}

type Rooms = World<Room, 2>;

fn world() -> Rooms {
    Rooms::new(1, TwinService::of::<Room>())
}

fn settle(world: &mut Rooms) {
    world.settle(&mut Heater::default()).unwrap();
}

/// Has both sides say what they have to say, and the link carry it.
fn talk(world: &mut Rooms) {
    while world.service_step().unwrap()
        || world.device_step().unwrap()
        || world.deliver_down()
        || world.deliver_up()
    {}
}

fn code(world: &Rooms, name: &str) -> Code {
    world.service().acknowledgement(name).unwrap().code
}

#[test]
fn a_door_locked_by_hand_is_not_told_to_unlock_again() {
    let mut world = world();
    world.service_mut().set("lit", true).unwrap();
    settle(&mut world);
    assert!(world.device().state().lit);
    world.device_mut().report(|room| room.lit = false);
    settle(&mut world);
    assert_eq!(
        world.service().acknowledgement("lit").unwrap().code,
        Code::OVERRIDDEN
    );
    assert_eq!(
        world.service().reported("lit").unwrap().value,
        &Value::Bool(false)
    );
    // Neither a restart of the device nor one of the service, which desires the same again, undoes it.
    world.cut();
    settle(&mut world);
    assert!(!world.device().state().lit);
    world.replace_service(TwinService::of::<Room>());
    world.service_mut().set("lit", true).unwrap();
    world.cut();
    settle(&mut world);
    assert!(!world.device().state().lit);
    assert_eq!(
        world.service().acknowledgement("lit").unwrap().code,
        Code::OVERRIDDEN
    );
    // A newer intent does.
    world.service_mut().set("lit", true).unwrap();
    settle(&mut world);
    assert!(world.device().state().lit);
}

#[test]
fn what_was_durable_before_a_power_cut_is_reported_after_it_by_itself() {
    let mut world = world();
    world.service_mut().set("setpoint", 22.0).unwrap();
    settle(&mut world);
    // An edit and an answer become durable, and the power is cut before either is sent.
    world.connect(false);
    world.device_mut().report(|room| room.lit = true);
    world.service_mut().set("trim", 3_u8).unwrap();
    world.service_step().unwrap();
    world.deliver_down();
    while world.device_step().unwrap() {}
    world.up().clear();
    world.cut();
    // Nothing is measured again; the application only answers.
    settle(&mut world);
    let told = |name| world.service().reported(name).unwrap();
    assert_eq!(told("lit").value, &Value::Bool(true));
    assert!(!told("lit").stale && !told("setpoint").stale);
    assert_eq!(
        world.service().acknowledgement("trim").unwrap().code,
        Code::APPLIED
    );
    assert_eq!(
        world.service().version().epoch(),
        1,
        "nothing had to be superseded"
    );
}

#[test]
fn a_value_outside_the_range_is_refused_by_the_device_and_the_old_one_stands() {
    let (mut world, mut heater) = (world(), Heater::default());
    world.service_mut().set("setpoint", 21.0).unwrap();
    world.settle(&mut heater).unwrap();
    for (value, code) in [
        (Value::Float(31.0), Code::OUT_OF_RANGE),
        (Value::from("warm"), Code::REJECTED),
        (Value::Float(f64::NAN), Code::OUT_OF_RANGE),
    ] {
        world
            .service_mut()
            .set_field(FieldId::new(0), value)
            .unwrap();
        world.settle(&mut heater).unwrap();
        assert_eq!(
            world.service().acknowledgement("setpoint").unwrap().code,
            code
        );
        assert_eq!(
            world.device().state().setpoint.to_bits(),
            21.0_f32.to_bits()
        );
        world.cut();
        world.settle(&mut heater).unwrap();
        assert_eq!(
            heater.applied.to_bits(),
            21.0_f32.to_bits(),
            "after a restart"
        );
    }
}

#[test]
fn unknown_and_reported_fields_are_answered_for() {
    let mut world = world();
    world
        .service_mut()
        .set_field(FieldId::new(3), 20.0)
        .unwrap();
    world
        .service_mut()
        .set_field(FieldId::new(99), 1_u8)
        .unwrap();
    world
        .service_mut()
        .set_field(FieldId::new(100), true)
        .unwrap();
    settle(&mut world);
    let code = |id| {
        world
            .service()
            .acknowledgement_of(FieldId::new(id))
            .unwrap()
            .code
    };
    assert_eq!(code(3), Code::READ_ONLY);
    assert_eq!([code(99), code(100)], [Code::UNKNOWN; 2]);
}

#[test]
fn a_withdrawn_desire_leaves_the_value_and_is_told_once() {
    let mut world = world();
    world.service_mut().set("setpoint", 25.0).unwrap();
    settle(&mut world);
    world.service_mut().withdraw("setpoint").unwrap();
    settle(&mut world);
    assert_eq!(world.service().desired("setpoint"), None);
    assert_eq!(
        world.device().state().setpoint.to_bits(),
        25.0_f32.to_bits()
    );
}

#[test]
fn small_changes_are_not_reported() {
    let mut world = world();
    let mut told = |degrees| {
        world.device_mut().report(|room| room.temperature = degrees);
        settle(&mut world);
        world
            .service()
            .reported("temperature")
            .unwrap()
            .value
            .as_f64()
    };
    assert_eq!(told(20.0), Some(20.0));
    assert_eq!(told(20.125), Some(20.0));
    assert_eq!(told(20.25), Some(20.25));
}

#[test]
fn a_report_from_before_a_restart_is_marked_stale() {
    let mut world = world();
    world.device_mut().report(|room| room.temperature = 20.0);
    settle(&mut world);
    assert!(!world.service().reported("temperature").unwrap().stale);
    world.cut();
    settle(&mut world);
    assert!(world.service().reported("temperature").unwrap().stale);
    world.device_mut().report(|room| room.temperature = 20.0);
    settle(&mut world);
    assert!(!world.service().reported("temperature").unwrap().stale);
}

#[test]
fn a_typed_desire_states_only_what_it_sets() {
    let mut service = TwinService::of::<Room>();
    let set = |room: &mut RoomDesired| room.lit = false;
    assert_eq!(service.desire::<Room>(set), Ok(1));
    assert_eq!(service.desired("lit"), Some(&Value::Bool(false)));
    assert_eq!(service.desired("setpoint"), None);
    // The same again is no news.
    assert_eq!(service.desire::<Room>(set), Ok(0));
    let version = service.version();
    assert!(service.desire::<Room>(|room| room.setpoint = 99.0).is_err());
    assert_eq!(service.version(), version);
}

#[test]
fn a_new_service_can_ask_for_everything() {
    let mut world = world();
    world.device_mut().report(|room| room.count = 5);
    settle(&mut world);
    world.replace_service(TwinService::of::<Room>().in_epoch(2));
    assert_eq!(world.service().reported("count"), None);
    world.service_mut().ask();
    talk(&mut world);
    assert_eq!(
        world.service().reported("count").unwrap().value,
        &Value::Int(5)
    );
}

#[test]
fn a_device_without_a_link_writes_once_for_many_reports() {
    let mut world = world();
    world.connect(false);
    let mut writes = 0;
    for count in 0..640_u32 {
        world.device_mut().report(|room| room.count = count + 1);
        while world.device_step().unwrap() {
            writes += 1;
        }
    }
    assert!((8..=12).contains(&writes), "{writes} writes");
}

#[test]
fn a_withdrawn_desire_is_forgotten_once_the_device_has_it_and_not_before() {
    let mut world = world();
    world.service_mut().set("setpoint", 25.0).unwrap();
    world.service_mut().set("lit", true).unwrap();
    settle(&mut world);
    world.service_mut().withdraw("setpoint").unwrap();
    // Said, and lost on the way: the tombstone stays, or the device would keep the desire for ever.
    world.service_step().unwrap();
    world.down().clear();
    world.connect(true);
    world.device_step().unwrap();
    world.deliver_up();
    assert_eq!(world.service().snapshot().desired().count(), 2);
    assert!(!world.service().is_converged());
    settle(&mut world);
    assert_eq!(world.service().snapshot().desired().count(), 1);
    // An old message does not bring it back, and neither does a restart of either side.
    let version = world.service().version();
    world.cut();
    settle(&mut world);
    assert_eq!(world.service().version(), version, "no digest differs");
    let state = world.service().snapshot();
    world.replace_service(TwinService::of::<Room>().reopened(&state));
    settle(&mut world);
    assert_eq!(world.service().desired("setpoint"), None);
    // And it can be desired again.
    world.service_mut().set("setpoint", 26.0).unwrap();
    settle(&mut world);
    assert_eq!(
        world.device().state().setpoint.to_bits(),
        26.0_f32.to_bits()
    );
}

#[test]
fn a_desire_that_is_withdrawn_twice_or_was_never_there_is_no_news() {
    let mut world = world();
    world.service_mut().withdraw("lit").unwrap();
    assert_eq!(world.service().version(), Version::new(1, 0));
    world.service_mut().set("lit", true).unwrap();
    world.service_mut().withdraw("lit").unwrap();
    world.service_mut().withdraw("lit").unwrap();
    assert_eq!(world.service().version(), Version::new(1, 2));
}

#[test]
fn a_restored_service_speaks_in_a_new_epoch_and_undoes_nothing_that_was_done_by_hand() {
    let mut world = world();
    world.service_mut().set("lit", true).unwrap();
    world.service_mut().set("setpoint", 20.0).unwrap();
    settle(&mut world);
    let backup = world.service().snapshot().to_cbor();
    world.service_mut().set("setpoint", 25.0).unwrap();
    settle(&mut world);
    world.device_mut().report(|room| room.lit = false);
    settle(&mut world);
    let state = TwinState::from_cbor(&backup).unwrap();
    world.replace_service(TwinService::of::<Room>().reopened(&state));
    assert_eq!(world.service().version().epoch(), 2);
    settle(&mut world);
    // The backup's setpoint is desired again; its light is what the device holds already, and no new intent.
    assert_eq!(
        world.device().state().setpoint.to_bits(),
        20.0_f32.to_bits()
    );
    assert!(!world.device().state().lit);
    assert_eq!(code(&world, "lit"), Code::OVERRIDDEN);
}

#[test]
fn more_changes_than_the_device_has_room_for_all_arrive() {
    let mut world = World::<Room, 1>::new(1, TwinService::of::<Room>());
    world.service_mut().set("setpoint", 22.0).unwrap();
    world.service_mut().set("lit", true).unwrap();
    world.service_mut().set("trim", 3_u8).unwrap();
    world.settle(&mut Heater::default()).unwrap();
    let room = world.device().state();
    assert_eq!(
        (room.setpoint.to_bits(), room.lit, room.trim),
        (22.0_f32.to_bits(), true, Some(3))
    );
    for name in ["setpoint", "lit", "trim"] {
        let answer = world.service().acknowledgement(name).unwrap();
        assert_eq!(answer.code, Code::APPLIED, "{name}");
    }
}

#[test]
fn a_hundred_changes_of_a_field_that_nobody_could_send_are_one() {
    let mut world = world();
    settle(&mut world);
    for step in 0..100_u8 {
        world
            .service_mut()
            .set("setpoint", 10.0 + f64::from(step) / 8.0)
            .unwrap();
    }
    world.service_mut().set("lit", true).unwrap();
    world.service_step().unwrap();
    assert_eq!(world.down().len(), 1);
    assert!(world.down()[0].len() < 40, "two fields");
    settle(&mut world);
    assert_eq!(
        world.device().state().setpoint.to_bits(),
        22.375_f32.to_bits()
    );
}

#[test]
fn what_a_batch_cannot_do_whole_it_does_not_begin() {
    let mut twin = TwinService::of::<Room>();
    let seen = twin.edit(&Edit::set("setpoint", 20.0)).unwrap();
    let refused = |twin: &mut TwinService, edits: &[Edit], at, why| {
        let before = twin.snapshot();
        assert_eq!(twin.edit_all(edits), Err((at, why)));
        assert_eq!(twin.snapshot(), before);
    };
    let lit = Edit::set("lit", true);
    let late = Edit::set("setpoint", 21.0).if_version(Version::new(1, 9));
    refused(&mut twin, &[lit.clone(), late], 1, EditError::Version);
    let other = Edit::set("setpoint", 21.0).if_value(19.0);
    refused(&mut twin, &[lit.clone(), other], 1, EditError::Value);
    let there = Edit::set("setpoint", 21.0).if_absent();
    refused(&mut twin, &[there], 0, EditError::Version);
    let hot = Edit::set("setpoint", 99.0);
    let range = EditError::Desire(DesireError::Range);
    refused(&mut twin, &[lit.clone(), hot.clone()], 1, range);
    refused(
        &mut twin,
        &[lit.clone(), lit.clone()],
        1,
        EditError::Repeated,
    );
    let measured = Edit::set("temperature", 1.0);
    refused(
        &mut twin,
        &[measured],
        0,
        EditError::Desire(DesireError::ReadOnly),
    );
    let nothing = Edit::set("door", true);
    refused(
        &mut twin,
        &[nothing],
        0,
        EditError::Desire(DesireError::Unknown),
    );

    // Conditions are held against the twin before the batch.
    let both = [
        Edit::set("setpoint", 21).if_version(seen),
        Edit::set("lit", true).if_absent(),
    ];
    assert_eq!(twin.edit_all(&both), Ok(Version::new(1, 3)));
    assert_eq!(twin.desired("setpoint"), Some(&Value::Float(21.0)));
    // One by one, each does what it can.
    let each = twin.edit_each(&[hot, Edit::withdraw("lit").if_value(true), lit]);
    assert_eq!(
        each,
        [Err(range), Ok(Version::new(1, 4)), Ok(Version::new(1, 5))]
    );
}

#[test]
fn a_subscriber_is_told_its_own_path_in_order_and_what_went_by() {
    let mut world = world();
    let mut subscriptions = Subscriptions::new(2);
    let light = subscriptions.add(world.service(), "lit").unwrap();
    let all = subscriptions.add(world.service(), "").unwrap();
    assert!(subscriptions.add(world.service(), "").is_err());
    world.service_mut().set("setpoint", 20.0).unwrap();
    world.service_mut().set("lit", true).unwrap();
    world.service_mut().set("lit", false).unwrap();
    let waiting = |subscriptions: &Subscriptions, world: &Rooms| {
        subscriptions.waiting(world.service()).collect::<Vec<_>>()
    };
    assert_eq!(waiting(&subscriptions, &world), [light, all]);
    let lit = FieldId::new(1);
    assert_eq!(
        subscriptions.next(light, world.service()),
        Some(Notice::Desired {
            field: lit,
            value: Some(&Value::Bool(false)),
            version: Version::new(1, 3),
            skipped: true,
        })
    );
    assert_eq!(waiting(&subscriptions, &world), [all]);
    settle(&mut world);
    let answered = Notice::Answered {
        field: lit,
        code: Code::APPLIED,
        skipped: false,
    };
    let mut told = Vec::new();
    while let Some(notice) = subscriptions.next(light, world.service()) {
        told.push(notice);
    }
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.contains(&answered), "{told:?}");
    assert!(subscriptions.remove(light) && !subscriptions.remove(light));
    assert_eq!(subscriptions.next(light, world.service()), None);
    // The path of a field is not the start of another's name.
    let start = subscriptions.add(world.service(), "li").unwrap();
    world.service_mut().set("lit", true).unwrap();
    assert_eq!(subscriptions.next(start, world.service()), None);
}

#[derive(Twin)]
struct Network {
    #[twin(desired)]
    channel: u8,
    #[twin(reported)]
    strength: i8,
}

#[test]
fn two_twins_of_a_device_share_a_channel_and_nothing_else() {
    const NETWORK: SubTwin = SubTwin::new(1);
    const RECORDS: RecordKey = RecordKey::new(0x5556_0000);
    struct Radio;
    impl Life<Network> for Radio {
        fn desire(&mut self, _: &mut TwinService, _: &mut SimEntropy) {}
        fn measure(&mut self, _: &mut Network, _: &mut SimEntropy) {}
    }
    let mut rooms = world();
    let network = TwinService::of::<Network>().numbered(NETWORK);
    let mut networks = World::<Network, 2>::with_device(1, network, || {
        TwinDevice::new().numbered(NETWORK).with_records(RECORDS)
    });
    rooms.service_mut().set("setpoint", 21.0).unwrap();
    networks.service_mut().set("channel", 6_u8).unwrap();
    networks
        .device_mut()
        .report(|network| network.strength = -60);
    // Every message reaches both twins at either end.
    for _ in 0..6 {
        rooms.service_step().unwrap();
        networks.service_step().unwrap();
        let down = [rooms.down().clone(), networks.down().clone()].concat();
        (*rooms.down(), *networks.down()) = (down.clone(), down);
        while rooms.deliver_down() | networks.deliver_down() {}
        rooms.answer(&mut Heater::default());
        networks.answer(&mut Radio);
        while rooms.device_step().unwrap() | networks.device_step().unwrap() {}
        let up = [rooms.up().clone(), networks.up().clone()].concat();
        (*rooms.up(), *networks.up()) = (up.clone(), up);
        while rooms.deliver_up() | networks.deliver_up() {}
    }
    assert!(rooms.service().is_converged() && networks.service().is_converged());
    assert_eq!(
        rooms.device().state().setpoint.to_bits(),
        21.0_f32.to_bits()
    );
    assert_eq!(networks.device().state().channel, 6);
    let strength = networks.service().reported("strength").unwrap();
    assert_eq!(strength.value, &Value::Int(-60));
    assert!(rooms.service().reported("strength").is_none());
    // They keep their records apart.
    let kept = |key| networks.records().value(key).is_some();
    assert!(kept(RECORDS) && !kept(TwinDevice::<Network, 2>::RECORDS));
}

/// A life in which the service is stored before it sends, and now and then begins again from what was stored `age`
/// stores ago; how often it did.
fn stored_life(seed: u64, age: usize) -> (Rooms, u32) {
    let mut heater = Heater::default();
    let mut world = Rooms::new(seed, TwinService::of::<Room>());
    let mut dice = SimEntropy::new(seed);
    // A new service cannot know who spoke to the device before; once they have met, it does.
    world.settle(&mut heater).unwrap();
    world.set_faults(Faults::new(400, 300, 0, 1));
    world.set_hazards(Hazards::POWER);
    let mut stored = vec![world.service().snapshot().to_cbor()];
    let mut restarts = 0;
    for _ in 0..400 {
        match dice.below(20) {
            0 => {
                let degrees = 5 + u8::try_from(dice.below(25)).unwrap();
                world.service_mut().set("setpoint", degrees).unwrap();
            }
            1 => world.service_mut().set("lit", dice.chance(500)).unwrap(),
            2 => world.device_mut().report(|room| room.lit = !room.lit),
            3 => {
                let from = stored.len().saturating_sub(1 + age);
                let state = TwinState::from_cbor(&stored[from]).unwrap();
                let twin = TwinService::of::<Room>().restored(&state);
                if age == 0 {
                    world.move_service(twin);
                } else {
                    world.replace_service(twin);
                }
                restarts += 1;
            }
            4..8 => {
                stored.push(world.service().snapshot().to_cbor());
                world.service_step().unwrap();
            }
            8..12 => drop(world.device_step().unwrap()),
            12 => world.answer(&mut heater),
            13..17 => drop(world.deliver_down()),
            _ => drop(world.deliver_up()),
        }
        world.check().unwrap();
    }
    world.device_mut().report(|_| {});
    world.settle(&mut heater).unwrap();
    (world, restarts)
}

#[test]
fn a_service_that_stores_before_it_sends_never_opens_an_epoch() {
    let mut restarts = 0;
    for seed in 0..200 {
        let (world, begun) = stored_life(seed, 0);
        assert_eq!(world.service().version().epoch(), 1, "seed {seed}");
        restarts += begun;
    }
    assert!(restarts > 2_000, "{restarts}");
}

#[test]
fn a_service_from_an_old_copy_converges_in_a_new_epoch() {
    let opened = (0..200).filter(|&seed| stored_life(seed, 5).0.service().version().epoch() > 1);
    let opened = opened.count();
    assert!(opened > 60, "{opened} of 200 opened an epoch");
}

/// Two lives of a device: it lost its records and an old message greets it, or it comes back with older ones.
#[test]
fn a_version_that_two_lives_of_a_device_have_given_is_noticed() {
    for is_older in [false, true] {
        let mut world = world();
        if is_older {
            world.service_mut().set("lit", true).unwrap();
            settle(&mut world);
        }
        world.keep_image();
        world.device_mut().report(|room| room.count = 1);
        world.device_step().unwrap();
        world.device_step().unwrap();
        world.deliver_up();
        world.service_step().unwrap();
        let greeting = world.down().clone();
        settle(&mut world);
        if is_older {
            world.roll_back();
        } else {
            world.wipe();
        }
        world.device_mut().report(|room| room.count = 2);
        world.down().clone_from(&greeting);
        settle(&mut world);
        let count = world.service().reported("count").unwrap().value;
        assert_eq!(count, &Value::Int(2), "{is_older}");
    }
}

/// An operator who presses the button again means it, whichever way it is said.
#[test]
fn what_was_overridden_or_refused_is_desired_again_by_desire_as_by_set() {
    let mut world = world();
    world.service_mut().set("lit", true).unwrap();
    settle(&mut world);
    world.device_mut().report(|room| room.lit = false);
    settle(&mut world);
    let desire = |twin: &mut TwinService| twin.desire::<Room>(|room| room.lit = true);
    assert_eq!(desire(world.service_mut()), Ok(1));
    assert_eq!(desire(world.service_mut()), Ok(0), "it is on its way");
    assert_eq!(
        world.service_mut().desire::<Room>(|_| {}),
        Ok(0),
        "nothing is said of it"
    );
    settle(&mut world);
    assert!(world.device().state().lit);
}

#[test]
fn a_twin_of_a_device_takes_nothing_from_nobody() {
    let mut world = world();
    world.device_mut().report(|room| room.count = 7);
    world.device_step().unwrap();
    world.device_step().unwrap();
    let reports = world.up().clone();
    assert!(!reports.is_empty());
    let (tenant, device) = (
        TenantId::new("acme").unwrap(),
        DeviceId::new("boiler-7").unwrap(),
    );
    let mut twin = TwinService::of::<Room>().for_device(tenant, device);
    let before = twin.snapshot();
    let now = world.clock().now();
    for report in &reports {
        let message = Message::new(Channel::Twin, report);
        twin.input(now, &Event::Message(message));
    }
    assert_eq!(twin.snapshot(), before);
    let peer = Peer::new(&tenant, &device);
    for report in &reports {
        let message = Message::new(Channel::Twin, report).to(peer);
        twin.input(now, &Event::Message(message));
    }
    assert_ne!(twin.snapshot(), before);
}

/// What was changed before the service was heard may have got versions that an earlier life has used.
#[test]
fn what_a_device_has_not_sent_is_not_acknowledged_by_what_an_earlier_life_sent() {
    let mut world = world();
    let measure = |world: &mut Rooms, temperature, count| {
        world.device_mut().report(|room| {
            (room.temperature, room.count) = (temperature, count);
        });
    };
    measure(&mut world, 20.0, 1);
    settle(&mut world);
    world.wipe();
    measure(&mut world, 30.0, 1);
    for count in 2..6 {
        measure(&mut world, 30.0, count);
    }
    settle(&mut world);
    let temperature = world.service().reported("temperature").unwrap();
    assert_eq!(temperature.value, &Value::Float(30.0));
}
