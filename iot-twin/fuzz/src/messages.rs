//! What service and device say to each other, at both ends.

use iot_twin::iot_core::engine::Event;
use iot_twin::iot_core::port::Timer;
use iot_twin::iot_core::sim::{SimClock, SimEntropy};
use iot_twin::iot_core::{Channel, Engine, Message};
use iot_twin::sync::sim::{Life, World};
use iot_twin::{Twin, TwinService, Value};

#[derive(Twin)]
struct Room {
    #[twin(desired, range = 5.0..=30.0)]
    setpoint: f32,
    #[twin(desired)]
    lit: bool,
    #[twin(desired)]
    trim: Option<i8>,
    #[twin(reported)]
    count: u32,
}

struct Quiet;

impl Life<Room> for Quiet {
    fn desire(&mut self, _: &mut TwinService, _: &mut SimEntropy) {}
    fn measure(&mut self, _: &mut Room, _: &mut SimEntropy) {}
}

fn world() -> World<Room, 2> {
    let mut world = World::<Room, 2>::new(1, TwinService::of::<Room>());
    world.service_mut().set("setpoint", 21.0).expect("a field");
    world.device_mut().report(|room| room.count = 7);
    world.settle(&mut Quiet).expect("rest");
    world
}

/// Whatever a device is told, its fields stay in their ranges, what it says can be read, and it can go on. Whatever a
/// service is told, it goes on too.
pub fn run(data: &[u8]) {
    let mut world = world();
    world.down().push(data.to_vec());
    world.deliver_down();
    for _ in 0..20 {
        world.answer(&mut Quiet);
        if !world.device_step().expect("what it sends can be read") {
            break;
        }
    }
    assert!(world.device().state().accepts(0));

    let mut service = TwinService::of::<Room>();
    let now = SimClock::new().now();
    let message = Message::new(Channel::Twin, data);
    service.input(now, &Event::Message(message));
    service.set("lit", true).expect("a field");
    let state = service.snapshot().to_cbor();
    assert!(iot_twin::sync::TwinState::from_cbor(&state).is_ok());
    assert_eq!(service.desired("lit"), Some(&Value::Bool(true)));
}

/// Deltas and reports of a short life.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut world = world();
    let mut seeds = Vec::new();
    for round in 0..4_u8 {
        world.service_mut().set("trim", round).expect("a field");
        world
            .service_mut()
            .set("lit", round % 2 == 0)
            .expect("a field");
        world.device_mut().report(|room| room.count += 1);
        for _ in 0..4 {
            world.answer(&mut Quiet);
            let _ = world.device_step();
            let _ = world.service_step();
            seeds.extend(world.up().clone());
            seeds.extend(world.down().clone());
            world.deliver_down();
            world.deliver_up();
        }
    }
    seeds
}

#[test]
fn every_seed_is_a_message_and_keeps_the_claims() {
    let seeds = seeds();
    assert!(seeds.len() > 8);
    for seed in seeds {
        assert_eq!(&seed[1..2], [1], "the format");
        run(&seed);
    }
}
