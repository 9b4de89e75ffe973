//! Deltas that no service of ours would send.

use iot_core::engine::{Done, Engine, Event, Step};
use iot_core::{Channel, Message};

use super::{Device, Room, at};
use crate::leaf::LeafWriter;
use crate::sync::Version;
use crate::sync::wire::service::write_delta;
use crate::sync::wire::{Delta, open_leaf};
use crate::{FieldId, Twin};

/// A device after a delta to 3 with these fields, then `cut` bytes less, and a full exchange with storage.
fn after_delta(fields: &[(FieldId, u32, &[u8])], cut: usize) -> Device {
    let mut device = Device::new();
    device.input(at(0), &Event::Restored);
    device.input(at(0), &Event::Connected { resumed: false });
    let mut bytes = [0; 64];
    let mut out = LeafWriter::new(&mut bytes);
    let delta = Delta {
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
    assert_eq!(device.progress().unwrap().0, Version::new(1, 3));
    let backwards = [(lit, 3, &[0xf5][..]), (lit, 2, &[0xf4])];
    let device = after_delta(&backwards, 0);
    assert!(device.changed().unwrap().lit);
    assert_eq!(device.progress().unwrap().0, Version::new(1, 0));
}

#[test]
fn a_delta_that_was_cut_off_counts_up_to_there_and_claims_nothing() {
    let (lit, trim) = (Room::FIELDS[1].id, Room::FIELDS[2].id);
    let fields = [(lit, 1, &[0xf5][..]), (trim, 3, &[0x07])];
    let whole = after_delta(&fields, 0);
    assert_eq!(whole.changed().unwrap().trim, Some(7));
    assert_eq!(whole.progress().unwrap().0, Version::new(1, 3));
    let cut = after_delta(&fields, 1);
    let change = cut.changed().unwrap();
    assert_eq!((change.lit, change.trim), (true, None));
    assert_eq!(cut.progress().unwrap().0, Version::new(1, 0));
    let trailing = [(lit, 1, &[0xf5][..]), (trim, 3, &[0x07, 0x00])];
    let longer = after_delta(&trailing, 0);
    assert_eq!(longer.progress().unwrap().0, Version::new(1, 0));
}
