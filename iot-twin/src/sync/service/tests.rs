//! What only this crate can see: messages byte by byte.

use alloc::vec;
use iot_core::engine::{Engine, Event, Step};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Instant, Message, Now};

use crate::leaf::LeafWriter;
use crate::sync::wire::service::write_delta;
use crate::sync::wire::{Delta, open_leaf};
use crate::sync::{SubTwin, TwinDevice, TwinService};
use crate::{FieldId, Twin};

#[derive(Twin)]
struct Room {
    #[twin(desired, unit = "Cel", range = 5.0..=30.0)]
    setpoint: f32,
    #[twin(desired)]
    lit: bool,
    #[twin(desired, range = -10..=10)]
    trim: Option<i8>,
}

type Device = TwinDevice<Room, 2>;

fn at(millis: u64) -> Now {
    Now::new(Instant::from_millis(millis), TimeBounds::UNKNOWN)
}

#[test]
fn the_messages_are_as_described() {
    for (number, kind) in [(0, 0), (3, 6)] {
        let mut buffer = [0; 160];
        let mut service = TwinService::of::<Room>().numbered(SubTwin::new(number));
        service.set("setpoint", 21.5).unwrap();
        let Step::Send(delta) = service.step(at(0), &mut buffer) else {
            panic!("nothing to send");
        };
        // [1, 2 * twin, epoch 1, base 0, to 1, acknowledged 0, want false, [[0, 1, 21.5]]]
        let mut expected =
            b"\x88\x01\x00\x01\x00\x01\x00\xf4\x81\x83\x00\x01\xfa\x41\xac\x00\x00".to_vec();
        expected[2] = kind;
        assert_eq!(delta.payload, expected);

        let mut device = Device::new().numbered(SubTwin::new(number));
        device.input(at(0), &Event::Restored);
        device.input(at(0), &Event::Connected { resumed: false });
        let Step::Send(report) = device.step(at(0), &mut buffer) else {
            panic!("nothing to send");
        };
        // [1, 2 * twin + 1, epoch 0, contiguous 0, floor 1, base 0, want true, [], to 0, no digests]
        let mut expected = vec![0x8b, 1, 1, 0, 0, 1, 0, 0xf5, 0x80, 0, 0xf6, 0xf6];
        expected[2] = kind + 1;
        assert_eq!(report.payload, expected);
    }
}

#[test]
fn a_delta_that_names_a_field_twice_is_refused_whole() {
    let (lit, trim) = (Room::FIELDS[1].id, Room::FIELDS[2].id);
    let nobody = FieldId::new(60_000);
    for (first, second, taken) in [
        (lit, trim, true),
        (lit, lit, false),
        (nobody, nobody, false),
    ] {
        let mut device = Device::new();
        device.input(at(0), &Event::Restored);
        device.input(at(0), &Event::Connected { resumed: false });
        let mut bytes = [0; 64];
        let mut out = LeafWriter::new(&mut bytes);
        let delta = Delta {
            twin: SubTwin::MAIN,
            epoch: 1,
            base: 0,
            to: 2,
            acknowledged: 0,
            want: false,
        };
        let mut fields = write_delta(&mut out, &delta).unwrap();
        for (id, version) in [(first, 1), (second, 2)] {
            assert!(fields.add(&mut out, |out| {
                open_leaf(out, 3, id, version)?;
                out.null()
            }));
        }
        let len = out.len();
        let message = Message::new(Channel::Twin, &bytes[..len]);
        device.input(at(0), &Event::Message(message));
        let mut buffer = [0; 160];
        let step = device.step(at(0), &mut buffer);
        assert_eq!(
            matches!(step, Step::Persist(_)),
            taken,
            "{first:?} {second:?}"
        );
    }
}
