//! What an edit at the device means for what is desired, and the other way round (rule R9).

use iot_twin::iot_core::engine::{Engine as _, Event};
use iot_twin::iot_core::time::TimeBounds;
use iot_twin::iot_core::{Instant, Now};
use iot_twin::{FieldId, Twin, TwinDevice, TwinService, Value};

use crate::pair::Pair;

const NOW: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);

#[derive(Twin)]
struct Room {
    #[twin(desired)]
    last: u8,
    #[twin(desired, local = FollowDesired)]
    follow: u8,
    #[twin(desired, local = LocalSticky)]
    sticky: u8,
    #[twin(desired, local = Max)]
    max: Option<u8>,
    #[twin(desired, local = Or)]
    or: bool,
}

fn pair() -> Pair<Room> {
    let mut pair = Pair::new();
    pair.device.report(|_| {});
    pair
}

fn desire(pair: &mut Pair<Room>, name: &str, value: impl Into<Value>) {
    pair.service.set(name, value).unwrap();
    pair.settle();
}

fn edit(pair: &mut Pair<Room>, edit: impl FnOnce(&mut Room)) {
    pair.device.report(edit);
    pair.settle();
}

/// The same now and after a power cut and a restart of the service that desires the same again.
fn holds(pair: &mut Pair<Room>, name: &str, code: u16, holds: impl Fn(&Room) -> bool) {
    assert_eq!(pair.code(name), code, "{name}");
    assert!(holds(pair.device.state()), "{name}");
    pair.boot();
    pair.settle();
    assert_eq!(pair.code(name), code, "{name} after a power cut");
    assert!(holds(pair.device.state()), "{name} after a power cut");
    let desired = pair.service.desired(name).unwrap().clone();
    pair.service = TwinService::of::<Room>();
    desire(pair, name, desired);
    pair.connect();
    pair.settle();
    assert_eq!(pair.code(name), code, "{name} after a new service");
    assert!(holds(pair.device.state()), "{name} after a new service");
}

#[test]
fn last_intent_an_edit_stands_until_something_newer_is_desired() {
    let mut pair = pair();
    desire(&mut pair, "last", 5_u8);
    edit(&mut pair, |room| room.last = 7);
    holds(&mut pair, "last", 409, |room| room.last == 7);
    desire(&mut pair, "last", 6_u8);
    holds(&mut pair, "last", 200, |room| room.last == 6);
}

#[test]
fn follow_desired_an_edit_is_undone_and_told_while_it_lasts() {
    let mut pair = pair();
    // Nothing is desired yet: the edit stands.
    edit(&mut pair, |room| room.follow = 3);
    assert_eq!(pair.device.state().follow, 3);
    desire(&mut pair, "follow", 5_u8);
    holds(&mut pair, "follow", 200, |room| room.follow == 5);
    pair.applies = false;
    edit(&mut pair, |room| room.follow = 9);
    assert_eq!(pair.code("follow"), 202);
    assert_eq!(
        pair.service.reported("follow").unwrap().value,
        &Value::Int(9)
    );
    assert_eq!(pair.device.changed().unwrap().follow, 5);
    pair.applies = true;
    pair.settle();
    holds(&mut pair, "follow", 200, |room| room.follow == 5);
}

#[test]
fn follow_desired_what_the_application_refused_is_not_asked_of_it_again() {
    let mut pair = pair();
    pair.applies = false;
    desire(&mut pair, "follow", 5_u8);
    let version = pair.device.changed().unwrap().version;
    pair.device.acknowledge(version, false);
    edit(&mut pair, |room| room.follow = 9);
    assert!(pair.device.changed().is_none());
    assert_eq!(pair.code("follow"), 409);
}

#[test]
fn local_sticky_an_edit_stands_until_it_is_released_or_the_desire_withdrawn() {
    let mut pair = pair();
    desire(&mut pair, "sticky", 5_u8);
    assert_eq!((pair.code("sticky"), pair.device.state().sticky), (200, 5));
    edit(&mut pair, |room| room.sticky = 7);
    desire(&mut pair, "sticky", 6_u8);
    holds(&mut pair, "sticky", 409, |room| room.sticky == 7);
    // At the device.
    pair.device.release();
    pair.settle();
    holds(&mut pair, "sticky", 200, |room| room.sticky == 6);
    edit(&mut pair, |room| room.sticky = 8);
    // By the service.
    pair.service.withdraw("sticky").unwrap();
    pair.settle();
    desire(&mut pair, "sticky", 9_u8);
    holds(&mut pair, "sticky", 200, |room| room.sticky == 9);
}

#[test]
fn local_sticky_an_edit_before_anything_is_desired_stands_too() {
    let mut pair = pair();
    edit(&mut pair, |room| room.sticky = 7);
    desire(&mut pair, "sticky", 5_u8);
    holds(&mut pair, "sticky", 409, |room| room.sticky == 7);
}

#[test]
fn max_the_greater_value_stands_whoever_stated_it() {
    let mut pair = pair();
    desire(&mut pair, "max", 50_u8);
    edit(&mut pair, |room| room.max = Some(60));
    holds(&mut pair, "max", 409, |room| room.max == Some(60));
    desire(&mut pair, "max", 55_u8);
    holds(&mut pair, "max", 409, |room| room.max == Some(60));
    edit(&mut pair, |room| room.max = Some(20));
    holds(&mut pair, "max", 200, |room| room.max == Some(55));
    edit(&mut pair, |room| room.max = Some(55));
    // Nobody at the device wants more: the service may want less.
    desire(&mut pair, "max", 30_u8);
    holds(&mut pair, "max", 200, |room| room.max == Some(30));
    edit(&mut pair, |room| room.max = None);
    holds(&mut pair, "max", 200, |room| room.max == Some(30));
}

#[test]
fn or_true_stands_if_either_side_states_it() {
    let mut pair = pair();
    desire(&mut pair, "or", false);
    edit(&mut pair, |room| room.or = true);
    holds(&mut pair, "or", 409, |room| room.or);
    edit(&mut pair, |room| room.or = false);
    assert!(!pair.device.state().or);
    desire(&mut pair, "or", true);
    holds(&mut pair, "or", 200, |room| room.or);
    edit(&mut pair, |room| room.or = false);
    holds(&mut pair, "or", 200, |room| room.or);
}

/// A service by number, or one of another version, desires what the field cannot have.
fn refused(pair: &mut Pair<Room>, id: u16, name: &str) {
    pair.service.set_field(FieldId::new(id), "much").unwrap();
    pair.settle();
    assert_eq!(pair.code(name), 400);
    pair.boot();
    pair.settle();
}

#[test]
fn an_edit_still_stands_after_a_desire_that_was_refused() {
    let mut pair = pair();
    desire(&mut pair, "sticky", 5_u8);
    edit(&mut pair, |room| room.sticky = 7);
    refused(&mut pair, 2, "sticky");
    desire(&mut pair, "sticky", 5_u8);
    holds(&mut pair, "sticky", 409, |room| room.sticky == 7);

    desire(&mut pair, "max", 5_u8);
    edit(&mut pair, |room| room.max = Some(60));
    refused(&mut pair, 3, "max");
    desire(&mut pair, "max", 10_u8);
    holds(&mut pair, "max", 409, |room| room.max == Some(60));

    edit(&mut pair, |room| room.or = true);
    refused(&mut pair, 4, "or");
    desire(&mut pair, "or", false);
    holds(&mut pair, "or", 409, |room| room.or);
}

#[test]
fn an_edit_can_be_released_after_a_desire_that_was_refused() {
    let mut pair = pair();
    desire(&mut pair, "sticky", 5_u8);
    edit(&mut pair, |room| room.sticky = 7);
    refused(&mut pair, 2, "sticky");
    pair.device.release();
    pair.settle();
    pair.boot();
    desire(&mut pair, "sticky", 6_u8);
    holds(&mut pair, "sticky", 200, |room| room.sticky == 6);
}

#[test]
fn what_is_said_of_a_field_before_the_records_are_read_gives_way_to_them() {
    let mut pair = pair();
    desire(&mut pair, "sticky", 5_u8);
    pair.device = TwinDevice::new();
    pair.device.report(|room| room.sticky = 7);
    for (key, value) in &pair.records {
        let record = Event::Record { key: *key, value };
        pair.device.input(NOW, &record);
    }
    pair.device.input(NOW, &Event::Restored);
    pair.connect();
    pair.settle();
    holds(&mut pair, "sticky", 200, |room| room.sticky == 5);
    edit(&mut pair, |room| room.sticky = 7);
    holds(&mut pair, "sticky", 409, |room| room.sticky == 7);
}
