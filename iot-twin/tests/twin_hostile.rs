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
use iot_twin::sync::{DesireError, TwinState};
use iot_twin::{FieldId, Timing, Twin, TwinService, Value};
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

/// Neither goes into a message, and both would stand in front of all that is desired after them.
#[test]
fn what_no_message_can_carry_is_refused_and_stops_no_other_desire() {
    let mut pair = settled();
    for (value, error) in [
        (Value::from("x".repeat(5_000)), DesireError::Range),
        (Value::from("x".repeat(1_022)), DesireError::Range),
        (Value::Array(vec![Value::from(1); 65]), DesireError::Range),
        (Value::Array(vec![]), DesireError::Kind),
        (Value::Array(vec![Value::from("a")]), DesireError::Kind),
        (Value::Array(vec![Value::Null]), DesireError::Kind),
        (Value::map([("a", 1.into())]), DesireError::Kind),
        (Value::Bytes(vec![1]), DesireError::Kind),
        (Value::Int(1 << 64), DesireError::Kind),
    ] {
        let refused = pair.service.set_field(FieldId::new(0), value);
        assert_eq!(refused, Err(error));
    }
    let longest = Value::from("x".repeat(1_021));
    pair.service.set_field(FieldId::new(0), longest).unwrap();
    let list = Value::Array(vec![Value::Float(0.1); 64]);
    pair.service.set_field(FieldId::new(9), list).unwrap();
    pair.service.set("lamp", 3_u8).unwrap();
    pair.settle();
    assert_eq!((pair.device.state().lamp, pair.code("fan")), (3, 400));
    let state = pair.service.snapshot();
    assert_eq!(TwinState::from_cbor(&state.to_cbor()), Ok(state));
}

#[test]
fn a_state_with_a_desire_that_no_message_can_carry_is_refused() {
    let mut out = Encoder::new(Vec::new());
    out.array(9).unwrap().u8(1).unwrap().u8(1).unwrap();
    out.u8(1).unwrap().u8(0).unwrap().bool(true).unwrap();
    out.u8(0).unwrap().u8(0).unwrap();
    out.array(1).unwrap().array(4).unwrap().u8(0).unwrap();
    let head = out.u8(1).unwrap().writer().clone();
    for (value, is_read) in [(&b"\x01"[..], true), (b"\x41\x01", false), (b"\xa0", false)] {
        let bytes = [&head, value, b"\xf6\x80"].concat();
        assert_eq!(
            TwinState::from_cbor(&bytes).is_ok(),
            is_read,
            "{bytes:02x?}"
        );
    }
}

#[test]
fn a_device_cannot_fill_the_memory_of_its_service() {
    let mut twin = TwinService::of::<Room>();
    let mut tell = |id: u16, version: u64, floor: u64| {
        let mut out = Encoder::new(Vec::new());
        out.array(11).unwrap().u8(1).unwrap().u8(1).unwrap();
        out.u8(1).unwrap().u8(0).unwrap().u64(floor).unwrap();
        out.u64(version - 1).unwrap().bool(false).unwrap();
        out.array(1).unwrap().array(3).unwrap().u16(id).unwrap();
        out.u64(version).unwrap().str(&"x".repeat(1_000)).unwrap();
        out.u64(version).unwrap().u8(7).unwrap().u8(7).unwrap();
        let message = Message::new(Channel::Twin, out.writer());
        twin.input(NOW, &Event::Message(message));
        let mut buffer = [0; 256];
        let asks = matches!(twin.step(NOW, &mut buffer), Step::Send(_));
        twin.done(NOW, Done::Sent(Ticket::new(0)));
        (twin.snapshot(), asks)
    };
    let mut last = None;
    for id in 100..5_000 {
        last = Some(tell(id, u64::from(id), 1));
    }
    let (state, _) = last.unwrap();
    assert!(state.reported().count() >= 30);
    assert!(state.to_cbor().len() < 34 << 10);
    // What the device has not told since its restart makes room, and what the schema knows always has some.
    let (state, _) = tell(6_000, 6_000, 5_999);
    let ids: Vec<_> = state.reported().map(|field| field.id.get()).collect();
    assert_eq!(ids, [6_000]);
    for id in 6_001..6_050 {
        tell(id, id.into(), 5_999);
    }
    let (state, _) = tell(1, 7_000, 5_999);
    assert!(state.reported().any(|field| field.id.get() == 1));
}

/// A late report answers for an epoch that is over, in which the number meant something else.
#[test]
fn an_answer_of_another_epoch_is_none() {
    let mut twin = TwinService::of::<Room>().in_epoch(2);
    twin.set("lamp", 3_u8).unwrap();
    for (epoch, answer) in [(1, None), (2, Some(200))] {
        let mut out = Encoder::new(Vec::new());
        out.array(11).unwrap().u8(1).unwrap().u8(1).unwrap();
        out.u32(epoch).unwrap().u8(0).unwrap().u8(1).unwrap();
        out.u8(0).unwrap().bool(false).unwrap();
        out.array(1).unwrap().array(5).unwrap().u8(1).unwrap();
        out.u32(epoch).unwrap().u8(3).unwrap();
        out.u8(1).unwrap().u16(200).unwrap();
        out.u32(epoch).unwrap().null().unwrap().null().unwrap();
        let message = Message::new(Channel::Twin, out.writer());
        twin.input(NOW, &Event::Message(message));
        let code = twin.acknowledgement("lamp").map(|answer| answer.code.get());
        assert_eq!(code, answer, "{epoch}");
    }
}
