//! MQTT with its session, against a broker of a few lines: connected, subscribed, both ways, acknowledged.
#![no_std]
#![no_main]

use core::task::{Context, Poll};

use cortex_m_rt::entry;
use iot_core::node::PollTimer;
use iot_core::port::Transport;
use iot_core::{Channel, DeviceId, Event, Fate, Message, TenantId};
use iot_firmware::board::{Board, exit, opaque};
use iot_firmware::uart::Jitter;
use iot_firmware::world::{now, poll};
use iot_transport::mqtt::chip::{Broken, Client, Settings, Stream};

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
        let mut count = 0;
        for (to, from) in room
            .iter_mut()
            .zip(ANSWERS.get(self.said..there).unwrap_or(&[]))
        {
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
        _ => board.finish(Err("mqtt")),
    }
}

#[inline(never)]
fn run() -> Option<(usize, usize)> {
    let tenant = TenantId::new(opaque("acme")).ok()?;
    let device = DeviceId::new(opaque("d1")).ok()?;
    let broker = Broker { said: 0, heard: 0 };
    let settings = Settings::device(tenant, device);
    let timer = PollTimer::new(now);
    let mut client =
        Client::<_, _, _, 8, 512, 256>::new(broker, timer, Jitter::default(), settings);
    let mut buffer = [0; 128];
    let (mut messages, mut delivered) = (0, 0);
    poll(client.subscribe(opaque(Channel::Command)))
        .ok()?
        .ok()?;
    opaque(poll(client.submit(&Message::telemetry(opaque(b"21.5")))).is_ok());
    for _ in 0..8 {
        match poll(client.next(&mut buffer)) {
            Ok(Ok(Event::Message(message))) => messages += usize::from(!message.payload.is_empty()),
            Ok(Ok(Event::Settled { fate, .. })) => {
                delivered += usize::from(opaque(fate) == Fate::Delivered);
            }
            _ => {}
        }
    }
    Some((messages, delivered))
}
