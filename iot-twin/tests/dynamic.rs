//! Twins that are described at run time keep every promise: they say and record, byte for byte, what a struct does.
//!
//! Each test makes 20,000 steps, or as many as `IOT_TWIN_STEPS` asks for.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test may fail loudly, on a host"
)]

use std::env;
use std::sync::{Arc, LazyLock};

use iot_twin::dynamic::{Dynamic, Shape, Spec};
use iot_twin::iot_core::sim::{Faults, SimEntropy};
use iot_twin::leaf::Kind;
use iot_twin::schema::Access;
use iot_twin::sync::sim::{Hazards, Life, World};
use iot_twin::{Change, Code, FieldId, LocalEdit, Twin, TwinDevice, TwinService, Value};

#[derive(Twin)]
struct Room {
    #[twin(desired, range = 5.0..=30.0)]
    setpoint: f32,
    #[twin(desired, local = Max)]
    level: u8,
    #[twin(desired, range = -10..=10)]
    trim: Option<i8>,
    #[twin(reported, deadband = 0.25)]
    temperature: f32,
    #[twin(reported)]
    count: u32,
}

static SHAPE: LazyLock<Arc<Shape>> = LazyLock::new(|| {
    Shape::new([
        Spec::new(0, "/setpoint", Kind::F32, Access::Desired).with_range(5.0, 30.0),
        Spec::new(1, "/level", Kind::Unsigned, Access::Desired)
            .with_local(LocalEdit::Max)
            .with_range(0.0, 255.0),
        Spec::new(2, "/trim", Kind::Signed, Access::Desired)
            .optional()
            .with_range(-10.0, 10.0),
        Spec::new(3, "/temperature", Kind::F32, Access::Reported).with_deadband(0.25),
        Spec::new(4, "/count", Kind::Unsigned, Access::Reported),
    ])
    .unwrap()
});

fn described() -> TwinDevice<Dynamic, 2> {
    TwinDevice::of(Dynamic::new(&SHAPE))
}

fn steps() -> u64 {
    let steps = env::var("IOT_TWIN_STEPS").ok();
    steps.map_or(20_000, |steps| steps.parse().unwrap())
}

/// The same life for both: the service knows fields by number only, so that its messages are the same too.
struct Busy;

fn desire(twin: &mut TwinService, dice: &mut SimEntropy) {
    let id = u16::try_from(dice.below(4)).unwrap();
    let value = match (dice.below(6), id) {
        (0, _) => return twin.withdraw_field(FieldId::new(id)),
        (1, _) => Value::Null,
        (2, _) => Value::from("text"),
        (_, 0) => Value::Float(f64::from(u32::try_from(dice.below(160)).unwrap()) / 4.0),
        (_, 2) => Value::Int(i128::from(dice.below(24)) - 12),
        _ => Value::Int(dice.below(300).into()),
    };
    twin.set_field(FieldId::new(id), value).unwrap();
}

impl Life<Room> for Busy {
    fn desire(&mut self, twin: &mut TwinService, dice: &mut SimEntropy) {
        desire(twin, dice);
    }
    fn measure(&mut self, room: &mut Room, dice: &mut SimEntropy) {
        match dice.below(4) {
            0 => room.level = u8::try_from(dice.below(200)).unwrap(),
            1 => room.trim = dice.chance(500).then_some(3),
            _ => {
                room.temperature = dice.below(400) as f32 / 10.0;
                room.count += 1;
            }
        }
    }
    fn answer(&mut self, _: &Change<RoomDesired>, dice: &mut SimEntropy) -> Code {
        Code::from(dice.chance(900))
    }
    fn begin(&mut self, epoch: u32) -> TwinService {
        TwinService::new().in_epoch(epoch)
    }
}

impl Life<Dynamic> for Busy {
    fn desire(&mut self, twin: &mut TwinService, dice: &mut SimEntropy) {
        desire(twin, dice);
    }
    fn measure(&mut self, room: &mut Dynamic, dice: &mut SimEntropy) {
        match dice.below(4) {
            0 => room.set("/level", dice.below(200)).unwrap(),
            1 => {
                let trim = if dice.chance(500) {
                    Value::Int(3)
                } else {
                    Value::Null
                };
                room.set("/trim", trim).unwrap();
            }
            _ => {
                let degrees = dice.below(400) as f32 / 10.0;
                room.set("/temperature", degrees).unwrap();
                let Some(Value::Int(count)) = room.get("/count") else {
                    panic!("a number");
                };
                let next = Value::Int(count + 1);
                room.set("/count", next).unwrap();
            }
        }
    }
    fn answer(&mut self, _: &Change<Dynamic>, dice: &mut SimEntropy) -> Code {
        Code::from(dice.chance(900))
    }
    fn begin(&mut self, epoch: u32) -> TwinService {
        TwinService::new().in_epoch(epoch)
    }
}

/// T1 to T6 and T9 are proved of the engine with a struct; here it is the same engine.
#[test]
fn a_described_twin_says_what_a_struct_says() {
    let (mut made, mut seed, mut said) = (0, 0, 0);
    while made < steps() {
        seed += 1;
        let mut room = World::<Room, 2>::new(seed, TwinService::new());
        let mut twin = World::<Dynamic, 2>::with_device(seed, TwinService::new(), described);
        room.set_faults(Faults::new(400, 300, 0, 1));
        twin.set_faults(Faults::new(400, 300, 0, 1));
        room.set_hazards(Hazards::ALL);
        twin.set_hazards(Hazards::ALL);
        for turn in 0..400 {
            room.turn(&mut Busy).unwrap();
            twin.turn(&mut Busy).unwrap();
            assert_eq!(room.up(), twin.up(), "seed {seed} turn {turn}");
            assert_eq!(room.down(), twin.down(), "seed {seed} turn {turn}");
            said += room.up().len() + room.down().len();
        }
        assert_eq!(room.counts(), twin.counts());
        made += twin.counts().steps;
    }
    println!("described steps={made} said={said}");
    assert!(said > 1_000);
}

/// T3, T4, T5 and T6 on it, whatever happens.
#[test]
fn after_quiet_a_described_twin_is_equal_to_its_copy() {
    let (mut made, mut seed, mut cuts, mut wipes) = (0, 0, 0, 0);
    while made < steps() {
        seed += 1;
        let mut world = World::<Dynamic, 2>::with_device(seed, TwinService::new(), described);
        world.set_faults(Faults::new(400, 300, 0, 1));
        world.set_hazards(Hazards::ALL);
        for _ in 0..400 {
            world
                .turn(&mut Busy)
                .unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        }
        world.device_mut().report(|_| {});
        world
            .settle(&mut Busy)
            .unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        let (room, twin) = (world.device().state(), world.service());
        for spec in SHAPE.specs() {
            if let Some(told) = twin
                .reported_of(spec.id())
                .filter(|told| !told.value.is_null())
            {
                let here = room.get(spec.path()).and_then(Value::as_f64);
                let far = (here.unwrap() - told.value.as_f64().unwrap()).abs();
                // What has not moved by its deadband is not told.
                assert!(far < 0.25, "seed {seed}: {}", spec.path());
            }
        }
        made += world.counts().steps;
        cuts += world.counts().cuts;
        wipes += world.counts().wipes;
    }
    println!("described T5 steps={made} cuts={cuts} wipes={wipes}");
    assert!(cuts > 500 && wipes > 5);
}

/// A firmware, or a file, of another version: what was refused is taken, and what is on record stays.
#[test]
fn a_description_that_grew_takes_what_the_older_one_did_not_know() {
    let mut world = World::<Dynamic, 2>::with_device(1, TwinService::new(), || {
        let few = SHAPE.specs().iter().take(1).cloned();
        TwinDevice::of(Dynamic::new(&Shape::new(few).unwrap()))
    });
    let id = |path: &str| SHAPE.id(path).unwrap();
    let twin = world.service_mut();
    twin.set_field(id("/setpoint"), 21.0).unwrap();
    twin.set_field(id("/level"), 40_u8).unwrap();
    world.settle(&mut Busy).unwrap();
    let code = |world: &World<Dynamic, 2>, path: &str| {
        let answer = world.service().acknowledgement_of(id(path));
        answer.map(|answer| answer.code)
    };
    assert_eq!(code(&world, "/level"), Some(Code::UNKNOWN));
    let held = world.records().clone();
    let mut grown = World::<Dynamic, 2>::with_device(1, world.service().clone(), described);
    grown.restore_records(held);
    grown.settle(&mut Applied).unwrap();
    assert_eq!(code(&grown, "/level"), Some(Code::APPLIED));
    assert_eq!(
        grown.device().state().get("/setpoint"),
        Some(&Value::Float(21.0))
    );
    assert_eq!(grown.device().state().get("/level"), Some(&Value::Int(40)));
}

struct Applied;

impl Life<Dynamic> for Applied {
    fn desire(&mut self, _: &mut TwinService, _: &mut SimEntropy) {}
    fn measure(&mut self, _: &mut Dynamic, _: &mut SimEntropy) {}
}
