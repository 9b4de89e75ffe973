//! The device twin, driven by hand: a desired setpoint arrives, is stored, applied and acknowledged.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use iot_core::engine::{Done, Engine, Event, Step};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Instant, Message, Now, Ticket};
use iot_firmware::board::{Board, exit, millis, opaque};
use iot_firmware::fixture::{DESIRED, Room, SETPOINT};
use iot_twin::TwinDevice;

type RoomTwin = TwinDevice<Room, 8>;

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    let mut twin = RoomTwin::new();
    twin.input(now(), &Event::Restored);
    twin.input(now(), &Event::Connected { resumed: false });
    twin.report(|room| room.temperature = opaque(19.5));
    let (mut records, mut messages) = settle(&mut twin);
    let delta = Message::new(Channel::Twin, opaque(DESIRED));
    twin.input(now(), &Event::Message(delta));
    for _ in 0..2 {
        let (persisted, sent) = settle(&mut twin);
        (records, messages) = (records + persisted, messages + sent);
        if let Some(change) = twin.changed() {
            twin.acknowledge(
                change.version,
                change.setpoint.to_bits() == opaque(SETPOINT).to_bits(),
            );
        }
    }
    if twin.state().setpoint.to_bits() == opaque(SETPOINT).to_bits() && records > 0 && messages > 1
    {
        board.finish(Ok(&[("records", records), ("messages", messages)]))
    }
    board.finish(Err("twin"))
}

fn now() -> Now {
    Now::new(Instant::from_millis(millis().into()), TimeBounds::UNKNOWN)
}

/// Does what the twin asks for, as a driver would; counts what was stored and what was sent.
fn settle(twin: &mut RoomTwin) -> (usize, usize) {
    let (mut counts, mut buffer) = ((0, 0), [0; 256]);
    loop {
        let done = match twin.step(now(), &mut buffer) {
            Step::Persist(batch) => {
                counts.0 += usize::from(!opaque(batch.is_empty()));
                Done::Persisted
            }
            Step::Send(message) => {
                counts.1 += usize::from(!opaque(message.payload).is_empty());
                Done::Sent(Ticket::new(1))
            }
            _ => return counts,
        };
        twin.done(now(), done);
    }
}
