//! What only this crate can see: messages byte by byte.

use alloc::collections::BTreeMap;
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
    let mut device = after_delta(&twice, 0);
    assert!(device.changed().unwrap().lit);
    assert_eq!(device.progress(), Version::new(1, 3));
    let backwards = [(lit, 3, &[0xf5][..]), (lit, 2, &[0xf4])];
    let mut device = after_delta(&backwards, 0);
    assert!(device.changed().unwrap().lit);
    assert_eq!(device.progress(), Version::new(1, 0));
}

#[test]
fn a_delta_that_was_cut_off_counts_up_to_there_and_claims_nothing() {
    let (lit, trim) = (Room::FIELDS[1].id, Room::FIELDS[2].id);
    let fields = [(lit, 1, &[0xf5][..]), (trim, 3, &[0x07])];
    let mut whole = after_delta(&fields, 0);
    assert_eq!(whole.changed().unwrap().trim, Some(7));
    assert_eq!(whole.progress(), Version::new(1, 3));
    let mut cut = after_delta(&fields, 1);
    let change = cut.changed().unwrap();
    assert_eq!((change.lit, change.trim), (true, None));
    assert_eq!(cut.progress(), Version::new(1, 0));
    let trailing = [(lit, 1, &[0xf5][..]), (trim, 3, &[0x07, 0x00])];
    let longer = after_delta(&trailing, 0);
    assert_eq!(longer.progress(), Version::new(1, 0));
}

/// Hands a device the desired field that comes after `base`.
fn desire(device: &mut Device, base: u32, id: FieldId, value: &[u8]) {
    let mut bytes = [0; 64];
    let mut out = LeafWriter::new(&mut bytes);
    let delta = Delta {
        twin: SubTwin::MAIN,
        epoch: 1,
        base,
        to: base + 1,
        acknowledged: 0,
        want: false,
    };
    let mut array = write_delta(&mut out, &delta);
    let start = out.len();
    open_leaf(&mut out, 3, id, (base + 1).into());
    out.raw(value);
    assert!(array.add(&mut out, start));
    let len = out.len();
    let message = Message::new(Channel::Twin, &bytes[..len]);
    device.input(at(0), &Event::Message(message));
}

#[test]
fn what_is_not_durable_is_neither_offered_nor_answered_for_nor_told() {
    let (setpoint, lit) = (Room::FIELDS[0].id, Room::FIELDS[1].id);
    let mut buffer = [0; 160];
    let mut device = after_delta(&[(lit, 3, &[0xf5])], 0);
    let first = device.changed().unwrap().version;
    desire(&mut device, 3, setpoint, &[0xfa, 0x41, 0xb0, 0, 0]);
    // It has arrived; the older change is still what is offered.
    let change = device.changed().unwrap();
    assert_eq!((change.version, change.setpoint), (first, 0.0));
    device.acknowledge(Version::new(u32::MAX, 0), true);
    assert!(matches!(device.step(at(0), &mut buffer), Step::Persist(_)));
    assert!(device.changed().is_none());
    device.done(at(0), Done::Persisted);
    let change = device.changed().unwrap();
    assert_eq!(change.setpoint.to_bits(), 22.0_f32.to_bits());
    assert!(!device.is_settled());
}

#[test]
fn an_edit_while_records_are_written_is_written_too() {
    let lit = Room::FIELDS[1].id;
    let (mut buffer, mut kept) = ([0; 160], BTreeMap::new());
    let mut device = Device::new();
    device.input(at(0), &Event::Restored);
    device.input(at(0), &Event::Connected { resumed: false });
    desire(&mut device, 0, lit, &[0xf5]);
    let mut edits = 0;
    while let Step::Persist(batch) = device.step(at(0), &mut buffer) {
        for (key, value) in batch.iter() {
            kept.insert(key, value.unwrap().to_vec());
        }
        // The first time what is desired is written, the second time an edit with it.
        match edits {
            0 => device.report(|room| room.setpoint = 9.0),
            1 => device.report(|room| room.trim = Some(4)),
            _ => {}
        }
        edits += 1;
        device.done(at(0), Done::Persisted);
    }
    assert!(
        edits >= 3,
        "an edit while another one is written is written too"
    );
    let mut booted = Device::new();
    for (key, value) in &kept {
        booted.input(at(0), &Event::Record { key: *key, value });
    }
    booted.input(at(0), &Event::Restored);
    assert_eq!(booted.state().trim, Some(4));
    assert_eq!(booted.state().setpoint.to_bits(), 9.0_f32.to_bits());
}

#[test]
fn a_service_that_runs_out_of_numbers_opens_an_epoch() {
    let mut service = TwinService::of::<Room>();
    service.set("lit", true).unwrap();
    service.version = u32::MAX;
    service.set("setpoint", 23.0).unwrap();
    assert_eq!(service.version(), Version::new(2, 2));
}
