//! That a field shall have no value, and that nothing is desired of it, are two things.

use iot_twin::sync::{Edit, Notice, Subscriptions, TwinState};
use iot_twin::{FieldId, Twin, TwinService, Value};

use crate::pair::Pair;

#[derive(Twin)]
struct Room {
    #[twin(desired)]
    limit: Option<f32>,
    #[twin(desired)]
    fan: u8,
}

fn pair() -> Pair<Room> {
    let mut pair = Pair::<Room>::new();
    pair.device.report(|room| room.limit = Some(5.0));
    pair.settle();
    pair
}

#[test]
fn that_a_field_shall_have_no_value_reaches_a_device_that_has_one() {
    let mut pair = pair();
    assert_eq!(pair.service.desire::<Room>(|room| room.limit = None), Ok(1));
    pair.settle();
    assert!(pair.service.is_converged());
    assert_eq!((pair.device.state().limit, pair.code("limit")), (None, 200));
    assert_eq!(pair.service.desired("limit"), Some(&Value::Null));
    pair.boot();
    assert_eq!(pair.device.changed().unwrap().limit, None);
}

#[test]
fn that_it_shall_have_none_again_is_a_new_intent_after_an_edit() {
    let mut pair = pair();
    for given in [Some(7.0), Some(9.0)] {
        pair.service.set("limit", Value::Null).unwrap();
        pair.settle();
        assert_eq!(pair.device.state().limit, None);
        pair.device.report(|room| room.limit = given);
        pair.settle();
        assert_eq!(pair.code("limit"), 409);
    }
}

#[test]
fn a_withdrawn_desire_leaves_an_optional_field_as_it_is() {
    let mut pair = pair();
    pair.service.set("limit", 7.0).unwrap();
    pair.settle();
    pair.service.withdraw("limit").unwrap();
    pair.settle();
    assert_eq!(pair.device.state().limit, Some(7.0));
    assert_eq!(pair.service.desired("limit"), None);
    assert_eq!(pair.service.snapshot().desired().count(), 0);
}

#[test]
fn a_field_that_always_has_a_value_refuses_to_have_none() {
    let mut pair = pair();
    assert!(pair.service.set("fan", Value::Null).is_err());
    pair.service
        .set_field(FieldId::new(1), Value::Null)
        .unwrap();
    pair.settle();
    assert_eq!(pair.code("fan"), 400);
    pair.service.withdraw_field(FieldId::new(1));
    pair.settle();
    assert_eq!(pair.service.desired("fan"), None);
}

#[test]
fn conditions_snapshots_and_subscribers_keep_both_apart() {
    let mut twin = TwinService::of::<Room>();
    let mut subscriptions = Subscriptions::new(1);
    let all = subscriptions.add(&twin, "").unwrap();
    let mut told = |twin: &TwinService| match subscriptions.next(all, twin) {
        Some(Notice::Desired { value, .. }) => value.cloned(),
        other => panic!("{other:?}"),
    };
    twin.edit(&Edit::set("limit", Value::Null).if_absent())
        .unwrap();
    assert_eq!(told(&twin), Some(Value::Null));
    let state = TwinState::from_cbor(&twin.snapshot().to_cbor()).unwrap();
    assert_eq!(state, twin.snapshot());
    let mut twin = twin.restored(&state);
    assert_eq!(twin.desired("limit"), Some(&Value::Null));
    twin.edit(&Edit::withdraw("limit").if_value(Value::Null))
        .unwrap();
    assert_eq!(told(&twin), None);
    let state = TwinState::from_cbor(&twin.snapshot().to_cbor()).unwrap();
    assert_eq!(twin.restored(&state).desired("limit"), None);
}
