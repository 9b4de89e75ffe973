//! Firmware and service of different age, one version apart, in both directions.

use iot_twin::iot_core::engine::{Engine, Event, Step};
use iot_twin::iot_core::time::TimeBounds;
use iot_twin::iot_core::{Channel, Instant, Message, Now};
use iot_twin::{FieldId, Text, Twin, TwinEnum, TwinService, Value};

use crate::pair::Pair;

mod old {
    use super::{Text, Twin, TwinEnum};

    #[derive(Clone, Copy, Debug, PartialEq, TwinEnum)]
    pub(super) enum Mode {
        Off = 0,
        Eco = 1,
    }

    #[derive(Twin)]
    pub(super) struct Fan {
        #[twin(desired, id = 0)]
        pub(super) speed: u8,
    }

    #[derive(Twin)]
    pub(super) struct Room {
        #[twin(desired, id = 0, range = 5.0..=30.0)]
        pub(super) setpoint: f32,
        #[twin(desired, id = 1)]
        pub(super) mode: Mode,
        #[twin(desired, id = 2)]
        pub(super) retired: bool,
        #[twin(desired, id = 3)]
        pub(super) name: Text<4>,
        #[twin(reported, id = 4)]
        pub(super) humidity: Option<u8>,
        #[twin(group, id = 16)]
        pub(super) fan: Fan,
    }
}

mod new {
    use super::{Text, Twin, TwinEnum};

    #[derive(Clone, Copy, Debug, PartialEq, TwinEnum)]
    pub(super) enum Mode {
        Off = 0,
        Eco = 1,
        Away = 2,
    }

    #[derive(Twin)]
    pub(super) struct Fan {
        #[twin(desired, id = 1)]
        pub(super) swing: bool,
        #[twin(desired, id = 0)]
        pub(super) speed: u8,
    }

    /// A wider range, one more variant, one field less, a longer text, one more field in a group.
    #[derive(Twin)]
    pub(super) struct Room {
        #[twin(group, id = 16)]
        pub(super) fan: Fan,
        #[twin(desired, id = 0, range = 5.0..=40.0)]
        pub(super) setpoint: f32,
        #[twin(desired, id = 1)]
        pub(super) mode: Mode,
        #[twin(desired, id = 3)]
        pub(super) name: Text<16>,
        #[twin(reported, id = 4)]
        pub(super) humidity: Option<u16>,
        #[twin(reported, id = 5)]
        pub(super) pressure: Option<f32>,
    }
}

#[test]
fn an_old_device_keeps_what_it_knows_of_a_newer_service_and_answers_for_the_rest() {
    let mut pair = Pair::<old::Room>::with([].into(), TwinService::of::<new::Room>());
    pair.device.report(|room| room.humidity = Some(40));
    pair.service
        .desire::<new::Room>(|room| {
            room.setpoint = 35.0;
            room.mode = new::Mode::Away;
            room.name = Text::new("bedroom").unwrap();
            room.fan.swing = true;
            room.fan.speed = 3;
        })
        .unwrap();
    pair.settle();
    assert!(pair.service.is_converged());
    let codes = ["setpoint", "mode", "name", "fan/swing", "fan/speed"].map(|name| pair.code(name));
    assert_eq!(codes, [422, 422, 422, 404, 200]);
    assert_eq!(pair.device.state().fan.speed, 3);
    assert_eq!(pair.device.state().mode, old::Mode::Off);
    let room: new::Room = pair.service.state().unwrap();
    assert_eq!((room.humidity, room.pressure), (Some(40), None));
}

#[test]
fn a_newer_firmware_takes_what_the_old_one_refused_and_did_not_know() {
    let mut pair = Pair::<old::Room>::with([].into(), TwinService::of::<new::Room>());
    pair.service
        .desire::<new::Room>(|room| {
            room.setpoint = 35.0;
            room.mode = new::Mode::Away;
            room.name = Text::new("bedroom").unwrap();
            room.fan.swing = true;
            room.fan.speed = 3;
        })
        .unwrap();
    pair.settle();
    // The new firmware boots from the old one's records; the service says nothing new.
    let version = pair.service.version();
    let mut pair = Pair::<new::Room>::with(pair.records, pair.service);
    pair.settle();
    assert_eq!(pair.service.version().number(), version.number());
    let codes = ["setpoint", "mode", "name", "fan/swing", "fan/speed"].map(|name| pair.code(name));
    assert_eq!(codes, [200; 5]);
    let room = pair.device.state();
    assert_eq!((room.setpoint, room.mode), (35.0, new::Mode::Away));
    assert_eq!((room.fan.swing, room.fan.speed), (true, 3));
    assert_eq!(room.name, "bedroom");
}

#[test]
fn a_new_device_lives_with_an_older_service() {
    let mut pair = Pair::<new::Room>::with([].into(), TwinService::of::<old::Room>());
    pair.device.report(|room| {
        room.humidity = Some(300);
        room.pressure = Some(101.5);
        room.mode = new::Mode::Eco;
    });
    pair.service
        .desire::<old::Room>(|room| {
            room.setpoint = 21.0;
            room.retired = true;
            room.fan.speed = 2;
        })
        .unwrap();
    pair.settle();
    assert!(pair.service.is_converged());
    assert_eq!(pair.code("setpoint"), 200);
    assert_eq!(pair.code("retired"), 404, "the field is no more");
    let room = pair.device.state();
    assert_eq!((room.setpoint, room.fan.speed), (21.0, 2));
    // What the service does not know it keeps, under its number.
    let pressure = pair.service.reported_of(FieldId::new(5)).unwrap();
    assert_eq!(pressure.value, &Value::Float(101.5));
    // What its struct cannot hold makes no half of a struct.
    assert!(pair.service.state::<old::Room>().is_none());
    pair.device.report(|room| room.humidity = Some(50));
    pair.settle();
    let room: old::Room = pair.service.state().unwrap();
    assert_eq!((room.humidity, room.mode), (Some(50), old::Mode::Eco));
    // A variant that the service does not know yet.
    pair.device.report(|room| room.mode = new::Mode::Away);
    pair.settle();
    assert!(pair.service.state::<old::Room>().is_none());
    assert_eq!(pair.service.reported("mode").unwrap().value, &Value::Int(2));
}

#[test]
fn an_older_firmware_comes_back_and_keeps_what_still_fits() {
    let mut pair = Pair::<new::Room>::new();
    pair.service
        .desire::<new::Room>(|room| {
            room.setpoint = 35.0;
            room.mode = new::Mode::Eco;
            room.fan.swing = true;
        })
        .unwrap();
    pair.settle();
    assert_eq!(pair.code("setpoint"), 200);
    let mut pair = Pair::<old::Room>::with(pair.records, pair.service);
    // The record of a value that does not fit is none; it is asked for, and refused.
    assert_eq!(pair.device.state().setpoint, 0.0);
    pair.settle();
    assert!(pair.service.is_converged());
    assert_eq!((pair.code("setpoint"), pair.code("mode")), (422, 200));
    assert_eq!(pair.device.state().mode, old::Mode::Eco);
    let mut pair = Pair::<new::Room>::with(pair.records, pair.service);
    pair.settle();
    assert_eq!(pair.code("setpoint"), 200);
    assert_eq!(pair.device.state().setpoint, 35.0);
    assert!(pair.device.state().fan.swing);
}

#[test]
fn a_refusal_that_comes_again_is_not_written_again() {
    let mut pair = Pair::<old::Room>::with([].into(), TwinService::of::<new::Room>());
    pair.service.set("setpoint", 35.0).unwrap();
    pair.settle();
    let refused = |message: &&Vec<u8>| message[0] == 0x88 && message.ends_with(b"\x42\x0c\x00\x00");
    let again = pair.messages.iter().find(refused).unwrap();
    let message = Message::new(Channel::Twin, again);
    let now = Now::new(Instant::from_millis(1), TimeBounds::UNKNOWN);
    pair.device.input(now, &Event::Message(message));
    let mut buffer = [0; 256];
    let step = pair.device.step(now, &mut buffer);
    assert!(!matches!(step, Step::Persist(_)));
}

#[derive(Twin)]
struct Narrow {
    #[twin(desired, range = 0..=10)]
    level: u8,
}

#[derive(Twin)]
struct Wide {
    #[twin(desired, range = 0..=20)]
    level: u8,
}

#[test]
fn a_wider_range_alone_makes_a_new_firmware_ask_again() {
    let mut pair = Pair::<Narrow>::with([].into(), TwinService::of::<Wide>());
    pair.service.set("level", 15_u8).unwrap();
    pair.settle();
    assert_eq!((pair.code("level"), pair.device.state().level), (422, 0));
    let mut pair = Pair::<Wide>::with(pair.records, pair.service);
    pair.settle();
    assert_eq!((pair.code("level"), pair.device.state().level), (200, 15));
}
