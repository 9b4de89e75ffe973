//! Store-and-forward over MQTT in one image: outbox, session and client, driven by hand against a broker of a few lines.
#![no_std]
#![no_main]

use core::task::{Context, Poll};
use core::time::Duration;

use cortex_m_rt::entry;
use iot_core::engine::{Done, Engine, Event, Failure, RecordKey, Step};
use iot_core::node::PollTimer;
use iot_core::port::{Timer, Transport};
use iot_core::{Channel, DeviceId, Fate, Message, Now, TenantId};
use iot_firmware::board::{Board, exit, opaque};
use iot_firmware::uart::Jitter;
use iot_firmware::world::{now, poll};
use iot_transport::mqtt::chip::{Broken, Client, Settings, Stream};
use iot_transport::outbox::{Cursor, Outbox, Overflow};

type Link<'s> = Client<'s, Broker, PollTimer<fn() -> Now>, Jitter, 8, 512, 256>;
type Messages = Outbox<16, 256>;

/// What the broker says: CONNACK, SUBACK, a message, PUBACK.
const ANSWERS: &[u8] = b"\x20\x03\x00\x00\x00\x90\x04\x80\x01\x00\x01\x32\x21\x00\x1aiot/1/acme/d1/command/down\x00\x01\x00go\x40\x02\x00\x01";

struct Broker {
    said: usize,
    heard: usize,
}

impl Stream for Broker {
    fn poll_open(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(opaque(Ok(())))
    }
    fn poll_read(&mut self, _: &mut Context<'_>, room: &mut [u8]) -> Poll<Result<usize, Broken>> {
        let there = match self.heard {
            0 => 0,
            1..90 => 5,
            _ => ANSWERS.len(),
        };
        let said = ANSWERS.get(self.said..there).unwrap_or(&[]);
        let mut count = 0;
        for (to, from) in room.iter_mut().zip(said) {
            *to = opaque(*from);
            count += 1;
        }
        self.said += count;
        match count {
            0 => Poll::Pending,
            count => Poll::Ready(opaque(Ok(count))),
        }
    }
    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Broken>> {
        self.heard += opaque(bytes.len());
        Poll::Ready(opaque(Ok(bytes.len())))
    }
    fn close(&mut self) {}
}

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    match run() {
        Some((messages, delivered)) if messages > 0 && delivered > 0 => {
            board.finish(Ok(&[("messages", messages), ("delivered", delivered)]))
        }
        _ => board.finish(Err("forward")),
    }
}

#[inline(never)]
fn run() -> Option<(usize, usize)> {
    let tenant = TenantId::new(opaque("acme")).ok()?;
    let device = DeviceId::new(opaque("d1")).ok()?;
    let broker = Broker { said: 0, heard: 0 };
    let settings = Settings::device(tenant, device);
    let timer = PollTimer::new(now as fn() -> Now);
    let mut client = Link::new(broker, timer, Jitter::default(), settings);
    let mut outbox = Messages::new(RecordKey::new(0x100), opaque(7))
        .on(opaque(Channel::Telemetry), opaque(Overflow::Oldest));
    outbox.input(timer.now(), opaque(&Event::Restored));
    poll(client.subscribe(opaque(Channel::Command)))
        .ok()?
        .ok()?;
    let message = Message::telemetry(opaque(b"21.5")).expires_in(opaque(Duration::from_secs(9)));
    opaque(outbox.push(timer.now(), &message).is_ok());

    let (mut messages, mut delivered, mut cursor) = (0, 0, Cursor::START);
    let mut buffer = [0; 512];
    for _ in 0..12 {
        drive(&mut outbox, &mut client, timer.now(), &mut buffer);
        if let Ok(Ok(event)) = poll(client.next(&mut buffer)) {
            match event {
                Event::Message(message) => messages += usize::from(!message.payload.is_empty()),
                event => outbox.input(timer.now(), opaque(&event)),
            }
        }
        while let Some(settled) = outbox.settled_after(cursor) {
            cursor = settled.cursor;
            delivered += usize::from(opaque(settled.fate) == Fate::Delivered);
        }
        opaque(outbox.deadline());
    }
    Some((messages, delivered))
}

/// Does what the outbox asks for, with records that are not kept.
#[inline(never)]
fn drive(outbox: &mut Messages, client: &mut Link<'_>, now: Now, buffer: &mut [u8]) {
    let mut stored = [0u8; 128];
    loop {
        let done = match outbox.step(now, buffer) {
            Step::Idle => break,
            Step::Persist(batch) => {
                opaque(batch.is_empty());
                Done::Persisted
            }
            Step::Read(key) => {
                stored[0] = opaque(key.get() as u8);
                Done::Read(opaque(Some(&stored)))
            }
            Step::Send(message) => match poll(client.submit(&message)) {
                Ok(Ok(ticket)) => Done::Sent(ticket),
                _ => Done::Failed(opaque(Failure::Busy)),
            },
            _ => continue,
        };
        outbox.done(now, done);
    }
}
