//! What is an intent, what is none, and what a shadow cannot say.

use super::world::{Seen, World, at};
use super::*;
use crate::{Twin, TwinService};
use iot_core::engine::{Engine as _, Event};

#[derive(Twin)]
struct House {
    #[twin(desired)]
    locked: bool,
    #[twin(reported)]
    heat: f32,
    #[twin(group, id = 16)]
    attic: Attic,
}

#[derive(Twin)]
struct Attic {
    #[twin(desired)]
    volume: u8,
    #[twin(reported)]
    count: u32,
}

impl Seen for House {
    fn seen(desired: &Self::Desired) -> (bool, u8) {
        (desired.locked, desired.attic.volume)
    }
}

fn lived_in() -> World<House> {
    let mut world = World::<House>::new(1);
    world.device.report(|house| house.heat = 20.0);
    world.device.report(|house| house.locked = true);
    world.device.report(|house| house.locked = false);
    world.settle();
    world
}

#[test]
fn a_door_is_not_unlocked_by_an_intent_that_was_fulfilled_before_it_was_locked_by_hand() {
    for reconnected in [false, true] {
        let mut world = lived_in();
        // The door is open already, so the shadow tells no difference.
        if reconnected {
            world.link.disconnected();
            let topic = "$aws/things/door/shadow/name/main/update";
            world.handle(topic, r#"{"state":{"desired":{"locked":false}}}"#);
            world.link.connected();
        } else {
            world.desire(r#"{"locked":false}"#);
        }
        world.settle();
        world.device.report(|house| house.locked = true);
        world.settle();
        assert!(world.shown().get("delta").is_some());
        assert!(
            world.device.state().locked,
            "{reconnected} {:?}",
            world.told
        );
        world.desire(r#"{"locked":false}"#);
        world.settle();
        assert!(!world.device.state().locked, "{reconnected}");
    }
}

#[test]
fn a_link_that_was_restarted_takes_a_fulfilled_intent_for_none() {
    let mut world = lived_in();
    world.desire(r#"{"locked":true}"#);
    world.settle();
    world.desire(r#"{"locked":false}"#);
    world.settle();
    let id = ShadowId::named("door", "main").unwrap();
    world.link = ShadowLink::new(id, TwinService::of::<House>());
    let now = at(world.millis);
    world
        .device
        .input(now, &Event::Connected { resumed: false });
    world.link.connected();
    world.settle();
    world.device.report(|house| house.locked = true);
    world.settle();
    assert!(world.device.state().locked, "{:?}", world.told);
}

#[test]
fn what_was_wished_while_nobody_listened_and_was_the_case_undoes_nothing_that_was_done_by_hand() {
    let mut world = lived_in();
    world.link.disconnected();
    // The shadow says that the door is open, so there is no difference, and nobody is told.
    let topic = "$aws/things/door/shadow/name/main/update";
    world.handle(topic, r#"{"state":{"desired":{"locked":false}}}"#);
    world.device.report(|house| house.locked = true);
    world.settle();
    world.link.connected();
    world.settle();
    assert!(world.device.state().locked, "{:?}", world.told);
    let reported = world.shown().get("reported").unwrap().clone();
    assert_eq!(reported.get("locked"), Some(&true.into()));
}

#[test]
fn what_is_no_longer_desired_in_the_cloud_is_not_desired_in_the_twin() {
    for (removed, reconnected) in [
        ("null", false),
        ("null", true),
        (r#"{"locked":null,"attic":null}"#, false),
        (r#"{"locked":null,"attic":{"volume":null}}"#, true),
    ] {
        let mut world = lived_in();
        world.desire(r#"{"locked":true,"attic":{"volume":7}}"#);
        world.settle();
        assert_eq!(world.link.twin().desired("attic/volume"), Some(&7.into()));
        if reconnected {
            world.link.disconnected();
        }
        world.millis += 1_000;
        let topic = "$aws/things/door/shadow/name/main/update";
        let told = world.handle(topic, &format!(r#"{{"state":{{"desired":{removed}}}}}"#));
        if reconnected {
            world.link.connected();
        } else {
            world.publish(&told);
        }
        world.settle();
        assert_eq!(world.link.twin().desired("locked"), None, "{removed}");
        assert_eq!(world.link.twin().desired("attic/volume"), None, "{removed}");
        // The device keeps what it has.
        let state = world.device.state();
        assert_eq!((state.locked, state.attic.volume), (true, 7), "{removed}");
    }
}

#[test]
fn the_fields_of_a_group_stay_in_the_shadow_over_reconnects() {
    let mut world = lived_in();
    world.device.report(|house| house.attic.count = 7);
    world.settle();
    let before = world.shown();
    let attic = before.get("reported").unwrap().get("attic").unwrap();
    assert_eq!(attic.get("count"), Some(&7.into()));
    let asked = world.requests.len();
    world.link.connected();
    world.settle();
    assert_eq!(world.shown(), before);
    // Nothing was to be said, so nothing but the question was asked.
    assert_eq!(world.requests.len(), asked + 1, "{:?}", world.requests);
}

#[test]
fn a_number_that_json_does_not_have_is_not_in_the_shadow_and_makes_no_storm() {
    let mut world = lived_in();
    let asked = world.requests.len();
    world.device.report(|house| house.heat = f32::NAN);
    world.settle();
    world.settle();
    assert_eq!(world.shown().get("reported").unwrap().get("heat"), None);
    assert_eq!(world.requests.len(), asked + 1, "{:?}", world.requests);
    world.device.report(|house| house.heat = 21.0);
    world.settle();
    let heat = world.shown().get("reported").unwrap().get("heat").cloned();
    assert!(heat.unwrap().is_same(&21.into()));
}

#[test]
fn names_that_the_twin_does_not_have_are_not_kept() {
    let mut world = lived_in();
    let empty = format!("{:?}", world.link).len();
    for number in 0..200 {
        world.millis += 1_000;
        world.desire(&format!(r#"{{"name{number}":1}}"#));
        world.desire(&format!(r#"{{"name{number}":null}}"#));
    }
    let grown = format!("{:?}", world.link).len() - empty;
    assert!(grown < 200, "{grown}");
}
