//! One message with numbers that nobody can have come to, from a fault or from an enemy, ends nothing for ever.
#![cfg(all(feature = "alloc", feature = "derive"))]
#![allow(
    clippy::unwrap_used,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails loudly, on a host"
)]

#[path = "typed/pair.rs"]
mod pair;

use std::time::Duration;

use iot_twin::iot_core::engine::{Done, Engine, Event, Step};
use iot_twin::iot_core::time::TimeBounds;
use iot_twin::iot_core::{Channel, Instant, Message, Now, Ticket};
use iot_twin::sync::TwinState;
use iot_twin::{Timing, Twin, TwinService, Value};
use minicbor::Encoder;
use pair::Pair;

#[derive(Twin)]
struct Room {
    #[twin(desired)]
    fan: u8,
    #[twin(desired)]
    lamp: u8,
}

const NOW: Now = Now::new(Instant::from_millis(1), TimeBounds::UNKNOWN);
const GREATEST: u64 = (1 << 62) - 1;

fn settled() -> Pair<Room> {
    let mut pair = Pair::new();
    pair.service.set("fan", 1_u8).unwrap();
    pair.settle();
    pair
}

/// Both sides understand each other: an edit is reported, a desire applied, also after restarts of both.
fn lives(mut pair: Pair<Room>) {
    for round in 0..2_u8 {
        for _ in 0..5 {
            pair.connect();
            pair.settle();
        }
        pair.device.report(|room| room.lamp = 77 + round);
        pair.settle();
        pair.service.set("fan", 2 + round).unwrap();
        pair.settle();
        assert_eq!(pair.device.state().fan, 2 + round);
        let lamp = pair.service.reported("lamp").unwrap().value;
        assert_eq!(lamp, &Value::from(77 + round));
        assert!(pair.service.is_converged());
        let epoch = pair.service.version().epoch();
        pair.service = TwinService::of::<Room>().in_epoch(epoch);
        pair.boot();
    }
}

fn delta(epoch: u32, acknowledged: u64) -> Vec<u8> {
    let mut out = Encoder::new(Vec::new());
    out.array(8).unwrap().u8(1).unwrap().u8(0).unwrap();
    out.u32(epoch).unwrap().u8(0).unwrap().u8(0).unwrap();
    out.u64(acknowledged).unwrap().bool(false).unwrap();
    out.array(0).unwrap();
    out.into_writer()
}

/// A report, with a field under a version if there is one.
fn report(epoch: u32, floor: u64, field: Option<u64>, to: u64) -> Vec<u8> {
    let mut out = Encoder::new(Vec::new());
    out.array(11).unwrap().u8(1).unwrap().u8(1).unwrap();
    out.u32(epoch).unwrap().u8(1).unwrap().u64(floor).unwrap();
    out.u8(0).unwrap().bool(false).unwrap();
    out.array(field.iter().count() as u64).unwrap();
    if let Some(version) = field {
        out.array(3).unwrap().u8(1).unwrap();
        out.u64(version).unwrap().u8(7).unwrap();
    }
    out.u64(to).unwrap().null().unwrap().null().unwrap();
    out.into_writer()
}

#[test]
fn a_device_that_is_told_of_impossible_reports_goes_on_reporting() {
    for acknowledged in [1 << 48, 1 << 61, GREATEST] {
        let mut pair = settled();
        let delta = delta(1, acknowledged);
        let message = Message::new(Channel::Twin, &delta);
        pair.device.input(NOW, &Event::Message(message));
        lives(pair);
    }
}

#[test]
fn a_service_that_is_told_impossible_reports_still_takes_those_that_are_possible() {
    for (floor, field, to) in [
        (1, None, GREATEST),
        (GREATEST, None, 9),
        (1, Some(GREATEST), 9),
    ] {
        let mut pair = settled();
        let report = report(1, floor, field, to);
        let message = Message::new(Channel::Twin, &report);
        pair.service.input(NOW, &Event::Message(message));
        lives(pair);
    }
}

#[test]
fn the_last_epochs_are_not_reached_by_one_message() {
    for epoch in [u32::MAX, u32::MAX - 1, 0xf000_0000, 0xefff_fffe] {
        let mut pair = settled();
        let down = delta(epoch, 0);
        let message = Message::new(Channel::Twin, &down);
        pair.device.input(NOW, &Event::Message(message));
        lives(pair);
        let mut pair = settled();
        let up = report(epoch, 1, None, 1);
        let message = Message::new(Channel::Twin, &up);
        pair.service.input(NOW, &Event::Message(message));
        lives(pair);
    }
}

#[test]
fn a_state_with_no_version_left_does_not_overflow() {
    let mut out = Encoder::new(Vec::new());
    out.array(9).unwrap().u8(1).unwrap();
    out.u32(u32::MAX).unwrap().u32(u32::MAX).unwrap();
    out.u8(0).unwrap().bool(true).unwrap();
    out.u8(0).unwrap().u8(0).unwrap();
    out.array(0).unwrap().array(0).unwrap();
    let state = TwinState::from_cbor(&out.into_writer()).unwrap();
    let mut twin = TwinService::of::<Room>().restored(&state);
    twin.set("fan", 3_u8).unwrap();
    assert_eq!(twin.version().number(), u32::MAX);
    assert_eq!(twin.desired("fan"), None, "it cannot be said any more");
}

#[test]
fn a_service_that_waits_for_ever_is_no_panic() {
    let timing = Timing::new(Duration::MAX, Duration::MAX);
    let mut twin = TwinService::of::<Room>().with_timing(timing);
    twin.set("fan", 1_u8).unwrap();
    let mut buffer = [0; 256];
    for _ in 0..3 {
        assert!(matches!(twin.step(NOW, &mut buffer), Step::Send(_)));
        twin.done(NOW, Done::Sent(Ticket::new(0)));
        twin.ask();
    }
}
