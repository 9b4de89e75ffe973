//! The outbox, driven by hand: messages stored, read back, sent and settled, pushed out and expired.
#![no_std]
#![no_main]

use core::time::Duration;

use cortex_m_rt::entry;
use iot_core::engine::{Done, Engine, Event, RecordKey, Step};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Fate, Instant, Message, Now, Ticket};
use iot_firmware::board::{Board, exit, opaque};
use iot_transport::outbox::{Cursor, Outbox, Overflow};

type Messages = Outbox<16, 256>;

const NOW: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    let mut outbox = Messages::new(RecordKey::new(0x100), opaque(7))
        .on(opaque(Channel::Telemetry), opaque(Overflow::Oldest));
    let (sent, settled) = run(&mut outbox);
    let facts = [("sent", sent), ("settled", settled)];
    board.finish(if sent > 0 && settled > 0 {
        Ok(&facts)
    } else {
        Err("outbox")
    })
}

/// Does what a driver and an application do; returns how many messages were sent, and how many fates were read.
#[inline(never)]
fn run(outbox: &mut Messages) -> (usize, usize) {
    // Neither the time nor the events are known to the compiler: nothing that a device needs is left out.
    let now = *opaque(&NOW);
    let (mut sent, mut settled, mut cursor) = (0, 0, Cursor::START);
    let (mut buffer, mut stored) = ([0; 512], [0u8; 128]);
    outbox.input(now, opaque(&Event::Restored));
    for _ in 0..40 {
        let message =
            Message::telemetry(opaque(b"21.5")).expires_in(opaque(Duration::from_secs(9)));
        opaque(outbox.push(now, &message).is_ok());
        loop {
            let done = match outbox.step(now, &mut buffer) {
                Step::Idle => break,
                Step::Persist(batch) => {
                    opaque(batch.is_empty());
                    Done::Persisted
                }
                Step::Read(key) => {
                    stored[0] = opaque(key.get() as u8);
                    Done::Read(opaque(Some(&stored)))
                }
                Step::Send(message) => {
                    sent += usize::from(!opaque(message.payload).is_empty());
                    Done::Sent(Ticket::new(sent as u64))
                }
                _ => continue,
            };
            outbox.done(now, done);
        }
        let (ticket, fate) = (Ticket::new(opaque(sent as u64)), opaque(Fate::Delivered));
        outbox.input(now, &Event::Settled { ticket, fate });
        while let Some(next) = outbox.settled_after(cursor) {
            (cursor, settled) = (next.cursor, settled + 1);
        }
        opaque(outbox.deadline());
    }
    (sent, settled)
}
