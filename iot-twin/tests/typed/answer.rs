//! What an application answers for: what it was shown, and nothing else.

use iot_twin::Twin;

use crate::pair::Pair;

#[derive(Twin)]
struct Room {
    #[twin(desired, local = FollowDesired)]
    follow: u8,
    #[twin(desired)]
    last: u8,
}

#[test]
fn what_was_edited_while_an_application_worked_is_offered_to_it_again() {
    let mut pair = Pair::<Room>::new();
    pair.service.set("follow", 1_u8).unwrap();
    pair.settle();
    pair.applies = false;
    pair.service.set("last", 5_u8).unwrap();
    pair.settle();
    let change = pair.device.changed().unwrap();
    // Meanwhile somebody turns the other one by hand.
    pair.device.report(|room| room.follow = 9);
    pair.settle();
    pair.device.acknowledge(change.version, true);
    pair.settle();
    assert_eq!((pair.code("last"), pair.code("follow")), (200, 202));
    assert_eq!(pair.device.state().follow, 9);
    let again = pair.device.changed().unwrap();
    assert_eq!(again.follow, 1);
    pair.device.acknowledge(again.version, true);
    pair.settle();
    assert_eq!((pair.code("follow"), pair.device.state().follow), (200, 1));
    assert!(!pair.device.has_changed());
}

#[test]
fn what_was_released_while_an_application_worked_is_offered_to_it_again() {
    let mut pair = Pair::<Room>::new();
    pair.service.set("last", 1_u8).unwrap();
    pair.settle();
    pair.device.report(|room| room.last = 9);
    pair.settle();
    assert_eq!(pair.code("last"), 409);
    pair.applies = false;
    pair.service.set("follow", 5_u8).unwrap();
    pair.settle();
    let change = pair.device.changed().unwrap();
    assert_eq!((change.follow, change.last), (5, 9));
    pair.device.release();
    pair.settle();
    pair.device.acknowledge(change.version, true);
    pair.settle();
    assert_eq!(
        (pair.device.state().follow, pair.device.state().last),
        (5, 9)
    );
    assert_eq!(pair.device.changed().unwrap().last, 1);
}

#[test]
fn an_answer_that_takes_its_time_is_given_for_the_change_that_it_was_asked_for() {
    let mut pair = Pair::<Room>::new();
    pair.applies = false;
    pair.service.set("follow", 5_u8).unwrap();
    pair.settle();
    let change = pair.device.changed().unwrap();
    pair.device
        .acknowledge(change.version, iot_twin::Code::PENDING);
    pair.settle();
    assert!(pair.device.changed().is_none() && pair.code("follow") == 202);
    // Before it is done, somebody undoes it.
    pair.device.report(|room| room.follow = 3);
    pair.settle();
    pair.device.acknowledge(change.version, true);
    pair.settle();
    assert_eq!((pair.code("follow"), pair.device.state().follow), (202, 3));
    let change = pair.device.changed().unwrap();
    pair.device
        .acknowledge(change.version, iot_twin::Code::PENDING);
    pair.device.acknowledge(change.version, true);
    pair.settle();
    assert_eq!((pair.code("follow"), pair.device.state().follow), (200, 5));
}
