//! Telemetry that the service confirms end to end.
//!
//! A broker's acknowledgement says that the broker has a message, not that anybody will. Each pack
//! therefore carries a number, the device keeps it until the service has confirmed that number, and what
//! the broker forgot is sent again. The service counts what arrived twice.

use std::collections::BTreeMap;
use std::time::Duration;

use iot_core::codec::{self, Limits};
use iot_core::engine::{Done, Engine, Event, Step};
use iot_core::{Channel, Instant, Message, Now, Priority};
use minicbor::Decoder;

const FORMAT: u8 = 1;
const LIMITS: Limits = Limits::new(1_024, 4, 64);
/// How long the device waits for a confirmation before it sends a pack again.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// What the service tells the device: everything up to `contiguous` has arrived.
pub fn encode_confirmation(contiguous: u64, buffer: &mut [u8]) -> Option<&[u8]> {
    codec::encode_into(buffer, |w| w.array(2)?.u8(FORMAT)?.u64(contiguous)?.ok()).ok()
}

fn decode_confirmation(bytes: &[u8]) -> Option<u64> {
    codec::check(bytes, LIMITS).ok()?;
    let mut decoder = Decoder::new(bytes);
    (decoder.array().ok()?? == 2 && decoder.u8().ok()? == FORMAT).then_some(())?;
    decoder.u64().ok()
}

#[derive(Debug)]
struct Pack {
    bytes: Vec<u8>,
    sent: Option<Instant>,
}

/// Packs that are not confirmed yet; an engine on the telemetry channel.
#[derive(Debug, Default)]
pub struct Backlog {
    packs: BTreeMap<u64, Pack>,
    last: u64,
    offered: Option<u64>,
    /// Nothing is sent for now.
    held: bool,
    /// Packs sent more than once.
    pub resent: u64,
}

impl Backlog {
    /// The number the next pack must carry.
    pub const fn next_number(&self) -> u64 {
        self.last + 1
    }

    /// Takes a pack that carries [`next_number`](Self::next_number).
    pub fn push(&mut self, bytes: Vec<u8>) {
        self.last += 1;
        self.packs.insert(self.last, Pack { bytes, sent: None });
    }

    /// Keeps everything, or lets it go again.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// How many packs the service has not confirmed.
    pub fn waiting(&self) -> usize {
        self.packs.len()
    }

    fn due(&self, now: Instant) -> Option<u64> {
        let due = |pack: &Pack| pack.sent.is_none_or(|sent| now >= sent + PATIENCE);
        self.packs
            .iter()
            .find(|(_, pack)| due(pack))
            .map(|(number, _)| *number)
    }
}

impl Engine for Backlog {
    fn handles(&self, channel: Channel) -> bool {
        channel == Channel::Telemetry
    }

    fn input(&mut self, _: Now, event: &Event<'_>) {
        match event {
            Event::Message(message) => {
                if let Some(contiguous) = decode_confirmation(message.payload) {
                    self.packs.retain(|number, _| *number > contiguous);
                }
            }
            // The broker may have forgotten what it acknowledged.
            Event::Connected { resumed: false } => {
                for pack in self.packs.values_mut() {
                    pack.sent = pack.sent.map(|_| Instant::ZERO);
                }
            }
            _ => {}
        }
    }

    fn step<'b>(&mut self, now: Now, buffer: &'b mut [u8]) -> Step<'b> {
        self.offered = self.due(now.instant).filter(|_| !self.held);
        let Some(pack) = self.offered.and_then(|number| self.packs.get(&number)) else {
            return Step::Idle;
        };
        match buffer.get_mut(..pack.bytes.len()) {
            Some(room) => {
                room.copy_from_slice(&pack.bytes);
                Step::Send(Message::telemetry(room).with_priority(Priority::Low))
            }
            None => Step::Idle,
        }
    }

    fn done(&mut self, now: Now, done: Done<'_>) {
        let Done::Sent(_) = done else { return };
        if let Some(pack) = self
            .offered
            .take()
            .and_then(|number| self.packs.get_mut(&number))
        {
            self.resent += u64::from(pack.sent.is_some());
            pack.sent = Some(now.instant);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let due = |pack: &Pack| pack.sent.map_or(Instant::ZERO, |sent| sent + PATIENCE);
        let first = self.packs.values().map(due).min();
        first.filter(|_| !self.held)
    }
}
