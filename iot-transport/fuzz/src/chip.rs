//! A client for chips, before a broker that may say anything.

use core::task::{Context, Poll, Waker};
use std::collections::BTreeSet;

use iot_transport::iot_core::entropy::{Entropy, EntropyError};
use iot_transport::iot_core::node::{PollTimer, block_on};
use iot_transport::iot_core::port::Transport;
use iot_transport::iot_core::time::TimeBounds;
use iot_transport::iot_core::{DeviceId, Event, Instant, Message, Now, TenantId};
use iot_transport::mqtt::Version;
use iot_transport::mqtt::chip::{Broken, Client, ClientError, Settings, Stream};

/// What the broker says on the one link that there is; nothing can be opened afterwards.
struct Wire<'d> {
    data: Option<&'d [u8]>,
    rest: &'d [u8],
}

impl Stream for Wire<'_> {
    fn poll_open(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.rest = self.data.take().ok_or(Broken::new())?;
        Poll::Ready(Ok(()))
    }
    fn poll_read(&mut self, _: &mut Context<'_>, room: &mut [u8]) -> Poll<Result<usize, Broken>> {
        let (some, rest) = self.rest.split_at(self.rest.len().min(room.len()).min(9));
        room[..some.len()].copy_from_slice(some);
        self.rest = rest;
        Poll::Ready(Ok(some.len()))
    }
    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Broken>> {
        Poll::Ready(Ok(bytes.len()))
    }
    fn close(&mut self) {
        self.rest = &[];
    }
}

struct Zeros;

impl Entropy for Zeros {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        out.fill(0);
        Ok(())
    }
}

/// No message ends twice, none ends that was not submitted, and no payload is longer than its packet may be; also when
/// the caller's buffer is often too small.
pub fn run(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else {
        return;
    };
    let version = if first % 2 == 0 {
        Version::V3
    } else {
        Version::V5
    };
    let names = (TenantId::new("acme"), DeviceId::new("d1"));
    let settings = Settings::device(names.0.expect("a name"), names.1.expect("a name"));
    let (data, rest) = (Some(data), &[][..]);
    let timer = PollTimer::new(|| Now::new(Instant::ZERO, TimeBounds::UNKNOWN));
    let settings = settings.with_version(version);
    let mut client =
        Client::<_, _, _, 3, 64, 128>::new(Wire { data, rest }, timer, Zeros, settings);
    let mut open = BTreeSet::new();
    for payload in [&b"one"[..], b"two", b"three"] {
        let ticket = block_on(client.submit(&Message::telemetry(payload)));
        open.insert(ticket.expect("there is room").get());
    }
    let mut buffer = [0; 128];
    let mut asked = 0_u32;
    loop {
        asked += 1;
        let room = if first & 2 != 0 && asked & 3 != 0 {
            16
        } else {
            128
        };
        let told = {
            let next = std::pin::pin!(client.next(&mut buffer[..room]));
            match next.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(Event::Settled { ticket, .. })) => Some(Some(ticket.get())),
                Poll::Ready(Ok(_)) => Some(None),
                Poll::Ready(Err(ClientError::Buffer { needed })) if needed > room => Some(None),
                Poll::Ready(Err(error)) => panic!("the buffer is as long as a packet: {error}"),
                Poll::Pending => None,
            }
        };
        match told {
            Some(Some(ticket)) => assert!(open.remove(&ticket), "it ended twice, or never began"),
            Some(None) => {}
            // The data are used up, and the next attempt is later.
            None if !client.is_connected() => break,
            None => {}
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let message = b"\x19\x00\x17iot/1/acme/d1/twin/down";
    let mut v3 = vec![0, 0x20, 2, 0, 0, 0x30];
    v3.extend_from_slice(message);
    v3.extend_from_slice(&[0x40, 2, 0, 1, 0x90, 3, 0x80, 0, 1, 0xd0, 0]);
    let mut v5 = vec![
        1, 0x20, 6, 0, 0, 3, 0x21, 0, 4, 0x40, 3, 0, 2, 0x87, 0x32, 0x1d,
    ];
    v5.extend_from_slice(&message[1..]);
    v5.extend_from_slice(&[0, 9, 0, b'x', 0xe0, 1, 0x8b]);
    // A message waits for a larger buffer, one is too long for the client, and fates come behind them.
    let mut waits = v5.clone();
    waits[0] = 3;
    waits[15] = 0x3d;
    waits.splice(44..45, [7; 33]);
    let mut long = vec![2, 0x20, 2, 0, 0, 0x32, 0xac, 2];
    long.extend_from_slice(&message[1..]);
    long.resize(8 + 300, 1);
    long.extend_from_slice(&[0x40, 2, 0, 1]);
    vec![v3, v5, waits, long]
}

#[test]
fn the_seeds_keep_the_claims() {
    for seed in seeds() {
        run(&seed);
    }
}
