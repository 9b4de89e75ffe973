//! What only this crate can see: messages byte by byte.

use alloc::vec;
use iot_core::engine::{Done, Engine, Event, Step};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Instant, Message, Now};

use crate::leaf::LeafWriter;
use crate::sync::wire::service::write_delta;
use crate::sync::wire::{Delta, open_leaf};
use crate::sync::{SubTwin, TwinDevice, TwinService, Version};
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

/// A device after a delta to 3 with these fields, then `cut` bytes less, and a full exchange with storage.
fn after_delta(fields: &[(FieldId, u32, &[u8])], cut: usize) -> Device {
    let mut device = Device::new();
    device.input(at(0), &Event::Restored);
    device.input(at(0), &Event::Connected { resumed: false });
    let mut bytes = [0; 64];
    let mut out = LeafWriter::new(&mut bytes);
    let delta = Delta {
        twin: SubTwin::MAIN,
        epoch: 1,
        base: 0,
        to: 3,
        acknowledged: 0,
        want: false,
    };
    let mut array = write_delta(&mut out, &delta);
    for (id, version, value) in fields {
        let start = out.len();
        open_leaf(&mut out, 3, *id, (*version).into());
        out.raw(value);
        assert!(array.add(&mut out, start));
    }
    let len = out.len() - cut;
    let message = Message::new(Channel::Twin, &bytes[..len]);
    device.input(at(0), &Event::Message(message));
    let mut buffer = [0; 160];
    while let Step::Persist(_) = device.step(at(0), &mut buffer) {
        device.done(at(0), Done::Persisted);
    }
    device
}

#[test]
fn a_field_that_a_delta_names_twice_has_the_later_value() {
    let (lit, nobody) = (Room::FIELDS[1].id, FieldId::new(60_000));
    let twice = [
        (nobody, 1, &[0xf4][..]),
        (lit, 2, &[0xf4]),
        (lit, 3, &[0xf5]),
    ];
    let device = after_delta(&twice, 0);
    assert!(device.changed().unwrap().lit);
    assert_eq!(device.progress(), Version::new(1, 3));
    let backwards = [(lit, 3, &[0xf5][..]), (lit, 2, &[0xf4])];
    let device = after_delta(&backwards, 0);
    assert!(device.changed().unwrap().lit);
    assert_eq!(device.progress(), Version::new(1, 0));
}

#[test]
fn a_delta_that_was_cut_off_counts_up_to_there_and_claims_nothing() {
    let (lit, trim) = (Room::FIELDS[1].id, Room::FIELDS[2].id);
    let fields = [(lit, 1, &[0xf5][..]), (trim, 3, &[0x07])];
    let whole = after_delta(&fields, 0);
    assert_eq!(whole.changed().unwrap().trim, Some(7));
    assert_eq!(whole.progress(), Version::new(1, 3));
    let cut = after_delta(&fields, 1);
    let change = cut.changed().unwrap();
    assert_eq!((change.lit, change.trim), (true, None));
    assert_eq!(cut.progress(), Version::new(1, 0));
}
