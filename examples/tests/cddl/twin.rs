use iot_core::{Channel, Engine, Event};
use iot_twin::{Text, Twin, TwinDevice, TwinEnum, TwinService};

use super::engine::{hand, now, run};
use super::schema::{Schema, schema};

pub(crate) const SCHEMA: Schema = schema!("iot-twin/src/sync/wire.cddl");

#[derive(Clone, Copy, Debug, PartialEq, TwinEnum)]
enum Mode {
    Off = 0,
    Away = 300,
}

#[derive(Twin)]
struct Lamp {
    #[twin(desired)]
    name: Text<12>,
    #[twin(desired)]
    colour: [u8; 3],
    #[twin(desired, reported)]
    mode: Mode,
}

#[derive(Twin)]
struct Room {
    #[twin(desired)]
    setpoint: f32,
    #[twin(desired)]
    lit: bool,
    #[twin(desired)]
    level: Option<u16>,
    #[twin(reported)]
    temperature: f64,
    #[twin(reported)]
    offset: i32,
    #[twin(group, id = 300)]
    lamp: Lamp,
}

/// The encoding is a message of that rule, for any of a device's twelve twins, and of no other kind.
fn holds(rule: &str, bytes: &[u8]) {
    SCHEMA.holds(rule, bytes);
    SCHEMA.accepts("message", bytes).unwrap();
    for kind in 0..=24 {
        let mut other = bytes.to_vec();
        other[2] = kind;
        let is_same = kind < 24 && kind % 2 == bytes[2] % 2;
        // From 24 on a number takes two bytes, so that what follows is moved.
        assert_eq!(
            SCHEMA.accepts(rule, &other).is_ok(),
            is_same,
            "{rule} {kind}"
        );
    }
}

/// Both sides over an hour: every message is a delta of the service or a report of the device.
#[test]
fn deltas_and_reports_are_as_described() {
    let mut device = TwinDevice::<Room, 8>::new();
    let mut service = TwinService::of::<Room>().in_epoch(0xefff_ffff);
    for engine in [&mut device as &mut dyn Engine, &mut service] {
        engine.input(now(0), &Event::Restored);
        engine.input(now(0), &Event::Connected { resumed: false });
    }
    let (mut deltas, mut reports) = (0, 0);
    for minute in 0..60 {
        let now = now(minute * 60_000);
        match minute {
            5 => device.report(|room| (room.temperature, room.offset) = (21.5, -3)),
            10 => service.set("setpoint", 22.5).unwrap(),
            15 => service.set("lit", true).unwrap(),
            20 => service.set("level", 300).unwrap(),
            22 => service
                .desire::<Room>(|room| {
                    room.lamp.name = Text::new("ceiling").unwrap();
                    room.lamp.colour = [255, 128, 0];
                    room.lamp.mode = Mode::Away;
                })
                .map(drop)
                .unwrap(),
            23 => device.report(|room| room.lamp.mode = Mode::Away),
            25 => service.withdraw("setpoint").unwrap(),
            27 => service.set("level", iot_twin::Value::Null).unwrap(),
            30 => service.ask(),
            _ => {}
        }
        for message in run(&mut service, now).messages {
            holds("delta", &message);
            deltas += 1;
            hand(&mut device, now, Channel::Twin, &message);
        }
        if let Some(change) = device.changed() {
            let answer = minute != 15;
            device.acknowledge(change.version, answer);
        }
        for message in run(&mut device, now).messages {
            holds("report", &message);
            reports += 1;
            hand(&mut service, now, Channel::Twin, &message);
        }
    }
    assert!(service.is_converged());
    assert!(
        deltas >= 5 && reports >= 5,
        "{deltas} deltas and {reports} reports"
    );
}
